import GDNTensor

/// y[r, o] = alpha Σ_d x[r, d] W[o, d] for a few rows r: what decoding asks for. Bound by reading W once; a warp owns an
/// output and all ROWS rows, each lane 16 bytes of W at a time.
private let smallProductSource = KernelSource(
    name: "small_product",
    text: #"""
        typedef unsigned short bfloat16;
        __device__ float low(unsigned x) { return __uint_as_float(x << 16); }
        __device__ float high(unsigned x) { return __uint_as_float(x & 0xffff0000u); }
        __device__ void store(float *to, float x) { *to = x; }
        __device__ void store(bfloat16 *to, float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(*to) : "f"(x)); }

        extern "C" __global__ void __launch_bounds__(128) small_product(
            OUT *y, const uint4 *x, const uint4 *w, int outputs, int vectors, float alpha) {
            int output = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
            if (output >= outputs) return;
            w += (long long)output * vectors;
            float sums[ROWS];
        #pragma unroll
            for (int r = 0; r < ROWS; r++) sums[r] = 0;
        #pragma unroll 4
            for (int i = lane; i < vectors; i += 32) {
                uint4 b = w[i];
        #pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    uint4 a = x[(long long)r * vectors + i];
                    sums[r] += low(a.x) * low(b.x) + high(a.x) * high(b.x) + low(a.y) * low(b.y) + high(a.y) * high(b.y)
                             + low(a.z) * low(b.z) + high(a.z) * high(b.z) + low(a.w) * low(b.w) + high(a.w) * high(b.w);
                }
            }
        #pragma unroll
            for (int r = 0; r < ROWS; r++) {
                float sum = sums[r];
        #pragma unroll
                for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
                if (lane == 0) store(&y[(long long)r * outputs + output], alpha * sum);
            }
        }
        """#)

extension CUDABackend {
    /// Whether a product is one that `smallProduct` takes: few rows of bfloat16, W as it is stored, nothing added to.
    func isSmallProduct(_ problem: MatMul.Problem) -> Bool {
        problem.m <= 4 && problem.inputType == .bfloat16 && !problem.transposeA && problem.transposeB
            && !problem.accumulates && problem.k % 8 == 0 && problem.lda == problem.k && problem.ldb == problem.k
            && problem.ldc == problem.n && (problem.outputType == .float32 || problem.outputType == .bfloat16)
    }

    /// y [m, n] = alpha · x [m, k] Wᵀ with W [n, k].
    func smallProduct(_ y: Tensor, _ x: Tensor, _ weight: Tensor, _ problem: MatMul.Problem, alpha: Float) throws {
        let kernel = try kernel(
            smallProductSource, "small_product",
            [("ROWS", "\(problem.m)"), ("OUT", y.dtype == .float32 ? "float" : "unsigned short")])
        try launch(
            kernel, blocks: (problem.n + 3) / 4, threads: 128,
            [
                .tensor(y), .tensor(x), .tensor(weight), .int(problem.n), .int(problem.k / 8), .float(alpha),
            ])
    }
}
