import GDNTensor

/// The input gradient of a projection to 16 columns, as the gates have: dx [m, n] (+)= dy [m, 16] W [16, n]. Bound by writing (and
/// reading) dx once; W stays in registers.
///
/// Which of the 8 columns of a tile is which is free as long as both operands agree. With g = lane / 4 and t = lane % 4 a
/// thread holds of A rows g, g + 8, of B column g, of C columns 2t, 2t + 1 of rows g, g + 8. The other two products of such a
/// projection read the long matrix as fast by cuBLASLt as by kernels of our own (Benchmarks/LOG.md, section 9).
private let narrowProductSource = KernelSource(
    name: "narrow_product",
    text: #"""
        typedef unsigned short bfloat16;
        typedef unsigned int u32;
        typedef long long i64;

        __device__ float low(u32 x) { return __uint_as_float(x << 16); }
        __device__ float high(u32 x) { return __uint_as_float(x & 0xffff0000u); }
        __device__ u32 pack(float low, float high) {
            u32 packed;
            asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
            return packed;
        }
        // C (16 × 8) += A (16 × 16) B (16 × 8): a0, a2 are row g; a1, a3 row g + 8; a0, a1 go with b0.
        __device__ void multiply(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                         "{%0,%1,%2,%3};"
                         : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                         : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
        }
        __device__ uint4 load(const bfloat16 *from, bool valid) {
            return valid ? *(const uint4 *)from : make_uint4(0, 0, 0, 0);
        }

        constexpr int WARPS = 4;
        // dx = dy W + old, where there is one; `old` may be dx. A warp owns 64 columns and their part of W, and goes through
        // blocks of 16 rows. Grid: (⌈width / 256⌉, any).
        extern "C" __global__ void __launch_bounds__(128, 6) narrow_product_input(
            bfloat16 *dx, const bfloat16 *old, const bfloat16 *dy, const bfloat16 *w, int rows, int width) {
            int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, first = (blockIdx.x * WARPS + threadIdx.x / 32) * 64;
            // Column n of tile q is column 8 (n / 2) + 2q + n % 2 of a half: a thread's columns of four tiles are 8t … 8t + 7.
            u32 b[2][4][2];
        #pragma unroll
            for (int i = 0; i < 16; i++) {
                int half = i / 8, tile = i / 2 % 4, k = 4 * t + i % 2 * 2;
                int column = first + 32 * half + 8 * (g / 2) + 2 * tile + g % 2;
                const bfloat16 *from = w + (i64)k * width + column;
                b[half][tile][i % 2] = column < width ? from[0] | (u32)from[width] << 16 : 0;
            }
            struct Part {
                uint4 old[2][2];
                uint2 a[2];
            };
            auto fetch = [&](Part &part, int row) {
        #pragma unroll
                for (int r = 0; r < 2; r++) {
                    int own = row + g + 8 * r;
                    part.a[r] = own < rows ? *(const uint2 *)(dy + (i64)own * 16 + 4 * t) : make_uint2(0, 0);
        #pragma unroll
                    for (int half = 0; half < 2; half++) {
                        int column = first + 32 * half + 8 * t;
                        part.old[r][half] = load(old + (i64)own * width + column, old && own < rows && column < width);
                    }
                }
            };
            Part part, next;
            fetch(part, blockIdx.y * 16);
        #pragma unroll 1
            for (int row = blockIdx.y * 16; row < rows; row += gridDim.y * 16) {
                fetch(next, row + gridDim.y * 16);
        #pragma unroll
                for (int half = 0; half < 2; half++) {
                    float c[4][4];
        #pragma unroll
                    for (int r = 0; r < 2; r++) {
                        uint4 raw = part.old[r][half];
                        u32 word[4] = {raw.x, raw.y, raw.z, raw.w};
        #pragma unroll
                        for (int q = 0; q < 4; q++) c[q][2 * r] = low(word[q]), c[q][2 * r + 1] = high(word[q]);
                    }
        #pragma unroll
                    for (int q = 0; q < 4; q++)
                        multiply(c[q], part.a[0].x, part.a[1].x, part.a[0].y, part.a[1].y, b[half][q][0], b[half][q][1]);
                    int column = first + 32 * half + 8 * t;
        #pragma unroll
                    for (int r = 0; r < 2; r++) {
                        int own = row + g + 8 * r;
                        if (own >= rows || column >= width) continue;
                        *(uint4 *)(dx + (i64)own * width + column) =
                            make_uint4(pack(c[0][2 * r], c[0][2 * r + 1]), pack(c[1][2 * r], c[1][2 * r + 1]),
                                       pack(c[2][2 * r], c[2][2 * r + 1]), pack(c[3][2 * r], c[3][2 * r + 1]));
                    }
                }
                part = next;
            }
        }
        """#)

extension CUDABackend {
    /// Whether a product is one that `narrowProduct` takes: bfloat16, 16 rows of W, contiguous rows of whole vectors.
    func isNarrowProduct(_ problem: MatMul.Problem, alpha: Float, beta: Float) -> Bool {
        problem.k == 16 && problem.n % 8 == 0 && problem.inputType == .bfloat16 && problem.outputType == .bfloat16
            && !problem.transposeA && !problem.transposeB && problem.lda == problem.k && problem.ldb == problem.n
            && problem.ldc == problem.n && alpha == 1 && (beta == 0 || beta == 1)
    }

    /// dx = dy W, or dx += dy W; all start at multiples of 16 bytes.
    func narrowProduct(_ dx: Tensor, _ dy: Tensor, _ weight: Tensor, _ problem: MatMul.Problem) throws {
        let across = (problem.n + 255) / 256
        let down = min((problem.m + 15) / 16, max(1, description.multiprocessors * 6 / across))
        try launch(
            kernel(narrowProductSource, "narrow_product_input"), grid: (across, down, 1), threads: 128,
            [
                .tensor(dx), .optional(problem.accumulates ? dx : nil), .tensor(dy), .tensor(weight), .int(problem.m),
                .int(problem.n),
            ])
    }
}
