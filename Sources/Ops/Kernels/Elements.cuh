// Stands before every operation's kernels: what `element` is, functions, loops over elements.
//
// ELEMENT_BFLOAT16 (0 or 1) chooses what `element` is; KERNEL(name) and BOUNDED_KERNEL append the dtype to a kernel's name.

#if ELEMENT_BFLOAT16
typedef bfloat16 element;
#define WITH_DTYPE(name) name##_bfloat16
#else
typedef float element;
#define WITH_DTYPE(name) name##_float32
#endif
#define KERNEL(name) extern "C" __global__ void WITH_DTYPE(name)
// At most `threads` a block, and registers for `blocks` of them a multiprocessor.
#define BOUNDED_KERNEL(name, threads, blocks)                                                                          \
    extern "C" __global__ void __launch_bounds__(threads, blocks) WITH_DTYPE(name)

// What a float becomes when it is stored as an element.
DEVICE float rounded(float x) {
    element stored;
    from_float(&stored, x);
    return to_float(stored);
}

// --- Functions ---------------------------------------------------------------------------------------------------

// In bfloat16 kernels by the hardware's approximations (errors near 1e-6, far below the element's 4e-3): exact division
// and expf cost more than the memory traffic of the kernels that use them.
#if ELEMENT_BFLOAT16
DEVICE float sigmoid(float x) {
    float power, result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(-1.4426950408889634f * x));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(1.0f + power));
    return result;
}
#else
DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
#endif
DEVICE float silu(float x) { return x * sigmoid(x); }
// d(x σ(x))/dx = σ (1 + x (1 − σ)), as two fused operations
DEVICE float silu_gradient(float x) {
    float s = sigmoid(x);
    return s + s * (x - x * s);
}
// ln(1 + eˣ) without overflow.
DEVICE float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

// The activations of `Activation`, and their derivatives. CODE: 0 none, 1 SiLU, 2 ReLU, 3 one plus ELU.
template <int CODE>
DEVICE float activation_value(float x) {
    return CODE == 1 ? silu(x) : CODE == 2 ? fmaxf(x, 0.0f) : CODE == 3 ? (x > 0 ? 1.0f + x : expf(x)) : x;
}
template <int CODE>
DEVICE float activation_slope(float x) {
    return CODE == 1 ? silu_gradient(x)
         : CODE == 2 ? (x > 0 ? 1.0f : 0.0f)
         : CODE == 3 ? (x > 0 ? 1.0f : expf(x)) : 1.0f;
}

// --- Loops -------------------------------------------------------------------------------------------------------

// `VECTOR` elements travel together: 16 bytes where rows allow it, one element otherwise.
#ifndef VECTOR
#define VECTOR (16 / (int)sizeof(element))
#endif

// Elements by vectors, a grid of any size.
#define EACH_VECTOR(index, count)                                                                                      \
    for (i64 index = (i64)blockIdx.x * blockDim.x + threadIdx.x; index < (count) / VECTOR;                             \
         index += (i64)gridDim.x * blockDim.x)
