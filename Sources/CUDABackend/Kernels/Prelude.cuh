// Stands before every kernel, of the backend and of the operations: types, conversions, vectors, reductions.
// No CUDA header is used: NVRTC carries none, and everything here is a few instructions of PTX.

typedef unsigned short bfloat16;
typedef unsigned int u32;
typedef long long i64;

#define DEVICE __device__ __forceinline__
#define FULL_MASK 0xffffffffu
#define INFINITY_F __int_as_float(0x7f800000)

// --- Conversions -------------------------------------------------------------------------------------------------

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bfloat16 x) { return __uint_as_float((u32)x << 16); }

DEVICE void from_float(float *to, float x) { *to = x; }
DEVICE void from_float(bfloat16 *to, float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(*to) : "f"(x)); }

// Two numbers as bfloat16, `low` in the lower half.
DEVICE u32 pack(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
DEVICE float low_half(u32 packed) { return __uint_as_float(packed << 16); }
DEVICE float high_half(u32 packed) { return __uint_as_float(packed & 0xffff0000u); }

// --- Vectors -----------------------------------------------------------------------------------------------------

template <int N>
struct Floats {
    float at[N];
};

DEVICE void load_vector(Floats<4> &v, const float *from) {
    float4 raw = *(const float4 *)from;
    v.at[0] = raw.x, v.at[1] = raw.y, v.at[2] = raw.z, v.at[3] = raw.w;
}
DEVICE void load_vector(Floats<8> &v, const bfloat16 *from) {
    uint4 raw = *(const uint4 *)from;
    v.at[0] = low_half(raw.x), v.at[1] = high_half(raw.x), v.at[2] = low_half(raw.y), v.at[3] = high_half(raw.y);
    v.at[4] = low_half(raw.z), v.at[5] = high_half(raw.z), v.at[6] = low_half(raw.w), v.at[7] = high_half(raw.w);
}
DEVICE void load_vector(Floats<4> &v, const bfloat16 *from) {
    uint2 raw = *(const uint2 *)from;
    v.at[0] = low_half(raw.x), v.at[1] = high_half(raw.x), v.at[2] = low_half(raw.y), v.at[3] = high_half(raw.y);
}
DEVICE void load_vector(Floats<8> &v, const float *from) {
    float4 a = ((const float4 *)from)[0], b = ((const float4 *)from)[1];
    v.at[0] = a.x, v.at[1] = a.y, v.at[2] = a.z, v.at[3] = a.w;
    v.at[4] = b.x, v.at[5] = b.y, v.at[6] = b.z, v.at[7] = b.w;
}
template <typename T>
DEVICE void load_vector(Floats<1> &v, const T *from) {
    v.at[0] = to_float(*from);
}
DEVICE void store_vector(float *to, const Floats<4> &v) {
    *(float4 *)to = make_float4(v.at[0], v.at[1], v.at[2], v.at[3]);
}
DEVICE void store_vector(float *to, const Floats<8> &v) {
    ((float4 *)to)[0] = make_float4(v.at[0], v.at[1], v.at[2], v.at[3]);
    ((float4 *)to)[1] = make_float4(v.at[4], v.at[5], v.at[6], v.at[7]);
}
DEVICE void store_vector(bfloat16 *to, const Floats<8> &v) {
    uint4 raw;
    raw.x = pack(v.at[0], v.at[1]), raw.y = pack(v.at[2], v.at[3]);
    raw.z = pack(v.at[4], v.at[5]), raw.w = pack(v.at[6], v.at[7]);
    *(uint4 *)to = raw;
}
DEVICE void store_vector(bfloat16 *to, const Floats<4> &v) {
    uint2 raw;
    raw.x = pack(v.at[0], v.at[1]), raw.y = pack(v.at[2], v.at[3]);
    *(uint2 *)to = raw;
}
template <typename T>
DEVICE void store_vector(T *to, const Floats<1> &v) {
    from_float(to, v.at[0]);
}

// N numbers as they lie in memory, on their way while others are computed with. In whole words: halves of their own would
// take a register each.
template <typename T, int N>
struct __align__(N * sizeof(T)) Packed {
    u32 word[N * sizeof(T) / 4];
    DEVICE float value(int j) const {
        if (sizeof(T) == 4) return __uint_as_float(word[j]);
        return j & 1 ? high_half(word[j / 2]) : low_half(word[j / 2]);
    }
};
template <>
struct Packed<bfloat16, 1> {
    bfloat16 half;
    DEVICE float value(int) const { return to_float(half); }
};
template <int N, typename T>
DEVICE Packed<T, N> fetch(const T *from) {
    return *(const Packed<T, N> *)from;
}
template <typename T, int N>
DEVICE Floats<N> widen(const Packed<T, N> &packed) {
    Floats<N> v;
#pragma unroll
    for (int j = 0; j < N; j++) v.at[j] = packed.value(j);
    return v;
}

// --- Reductions (a fixed tree, so results do not depend on timing) -----------------------------------------------

DEVICE float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(FULL_MASK, x, step);
    return x;
}
DEVICE float warp_max(float x) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x = fmaxf(x, __shfl_xor_sync(FULL_MASK, x, step));
    return x;
}

// Sum over a block of WARPS warps; every thread receives it. `shared` holds WARPS floats.
template <int WARPS>
DEVICE float block_sum(float x, float *shared) {
    x = warp_sum(x);
    if (WARPS == 1) return x;
    __syncthreads();
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = x;
    __syncthreads();
    float total = 0;
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) total += shared[warp];
    return total;
}
