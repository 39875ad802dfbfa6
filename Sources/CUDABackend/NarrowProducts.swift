import GDNTensor

/// Products of a long matrix with one of 16 rows or columns, as the projections of the gates are: bound by reading (and
/// writing) the long matrix once.
///
///     y [m, 16] = alpha x [m, k] Wᵀ        dx [m, n] (+)= dy [m, 16] W        dW [16, n] = dyᵀ x
///
/// No matrix goes through shared memory: which of the 16 inputs, 8 columns or 8 rows of a tile is which is free as long as both
/// operands agree, so a thread's own part of a tile is 16 bytes of a row as it lies in memory. With g = lane / 4 and
/// t = lane % 4 it holds of A rows g, g + 8, of B column g, of C columns 2t, 2t + 1 of rows g, g + 8.
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
        __device__ u32 transposed(u32 matrix) {
            u32 result;
            asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(matrix));
            return result;
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
        // Past the first cache, which keeps W.
        __device__ uint4 load_once(const bfloat16 *from, bool valid) {
            uint4 v = make_uint4(0, 0, 0, 0);
            if (valid)
                asm("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                    : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                    : "l"(from));
            return v;
        }
        __device__ void store(float *to, float a, float b, float c, float d) { *(float4 *)to = make_float4(a, b, c, d); }
        __device__ void store(bfloat16 *to, float a, float b, float c, float d) {
            *(uint2 *)to = make_uint2(pack(a, b), pack(c, d));
        }
        constexpr int WARPS = 4;

        // y = alpha x Wᵀ. A block owns 32 rows; warps take turns at 64 of the inputs, and their sums are added in order.
        extern "C" __global__ void __launch_bounds__(128, 4) narrow_product_forward(
            OUT *y, const bfloat16 *x, const bfloat16 *w, int rows, int width, float alpha) {
            __shared__ __align__(16) float sums[WARPS][32][16];
            int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, first = blockIdx.x * 32;
            float c[2][2][4] = {};
            // Rows g, g + 8, g + 16, g + 24; inputs 8t … 8t + 7 of both halves.
            uint4 a[4][2], next[4][2];
            auto fetch = [&](uint4 (&to)[4][2], int input) {
        #pragma unroll
                for (int r = 0; r < 4; r++) {
                    int row = first + g + 8 * r;
                    const bfloat16 *from = x + (i64)row * width;
        #pragma unroll
                    for (int half = 0; half < 2; half++) {
                        int at = input + 32 * half + 8 * t;
                        to[r][half] = load_once(from + at, row < rows && at < width);
                    }
                }
            };
            fetch(a, 64 * warp);
        #pragma unroll 1
            for (int input = 64 * warp; input < width; input += 64 * WARPS) {
                fetch(next, input + 64 * WARPS);
        #pragma unroll
                for (int half = 0; half < 2; half++) {
                    int at = input + 32 * half + 8 * t;
        #pragma unroll
                    for (int n = 0; n < 2; n++) {
                        uint4 b = load(w + (i64)(g + 8 * n) * width + at, at < width);
        #pragma unroll
                        for (int m = 0; m < 2; m++) {
                            const uint4 &upper = a[2 * m][half], &lower = a[2 * m + 1][half];
                            multiply(c[m][n], upper.x, lower.x, upper.y, lower.y, b.x, b.y);
                            multiply(c[m][n], upper.z, lower.z, upper.w, lower.w, b.z, b.w);
                        }
                    }
                }
        #pragma unroll
                for (int r = 0; r < 4; r++) a[r][0] = next[r][0], a[r][1] = next[r][1];
            }
        #pragma unroll
            for (int m = 0; m < 2; m++)
        #pragma unroll
                for (int n = 0; n < 2; n++)
        #pragma unroll
                    for (int i = 0; i < 4; i++)
                        sums[warp][16 * m + g + 8 * (i / 2)][8 * n + 2 * t + i % 2] = c[m][n][i];
            __syncthreads();
            int row = threadIdx.x / 4, column = threadIdx.x % 4 * 4;
            if (first + row >= rows) return;
            float sum[4] = {};
        #pragma unroll
            for (int i = 0; i < WARPS; i++)
        #pragma unroll
                for (int j = 0; j < 4; j++) sum[j] += sums[i][row][column + j];
            store(y + (i64)(first + row) * 16 + column, alpha * sum[0], alpha * sum[1], alpha * sum[2], alpha * sum[3]);
        }

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

        // Sums of dyᵀ x over a part of the rows: partial [gridDim.y][16][width]. A block owns 64 columns; its warps take turns
        // at 16 rows, SETS of which are under way, and their sums are added in order. Grid: (⌈width / 64⌉, any).
        constexpr int SETS = 3;
        extern "C" __global__ void __launch_bounds__(128, 4) narrow_product_weight(
            float *partial, const bfloat16 *dy, const bfloat16 *x, int rows, int width) {
            __shared__ float sums[WARPS][16][64];
            int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, first = blockIdx.x * 64;
            int step = gridDim.y * WARPS * 16, column = first + 8 * g;
            float c[8][4] = {};
            // Of x rows 4t … 4t + 3, columns 8g … 8g + 7: column g of tile j is column 8g + j, k are rows 4t, 4t + 1 and 4t + 2, 4t + 3.
            // Of dy a word of rows 4 (g / 2) + g % 2 and two further on: transposed they are the same k of output g.
            struct Set {
                uint4 x[4];
                u32 dy[4];
            } sets[SETS];
            int row = (blockIdx.y * WARPS + warp) * 16, other = 4 * (g / 2) + g % 2;
            const bfloat16 *from_x = x + (i64)(row + 4 * t) * width + column, *from_dy = dy + (i64)(row + other) * 16 + 2 * t;
            auto fetch = [&](Set &set, int row) {
        #pragma unroll
                for (int r = 0; r < 4; r++) {
                    int further = r / 2 * 2;
                    set.x[r] = load(from_x + r * width, row + 4 * t + r < rows && column < width);
                    set.dy[r] = row + other + further < rows ? *(const u32 *)(from_dy + further * 16 + r % 2 * 8) : 0;
                }
                from_x += (i64)step * width, from_dy += step * 16;
            };
        #pragma unroll
            for (int s = 0; s < SETS; s++) fetch(sets[s], row + s * step);
        #pragma unroll 1
            while (row < rows) {
        #pragma unroll
                for (int s = 0; s < SETS; s++) {
                    Set &set = sets[s];
                    u32 a[4];
        #pragma unroll
                    for (int r = 0; r < 4; r++) a[r] = transposed(set.dy[r]);
        #pragma unroll
                    for (int j = 0; j < 8; j++) {
                        u32 word[4];
        #pragma unroll
                        for (int r = 0; r < 4; r++)
                            word[r] = j < 2 ? set.x[r].x : j < 4 ? set.x[r].y : j < 6 ? set.x[r].z : set.x[r].w;
                        u32 b0 = j % 2 ? word[0] >> 16 | (word[1] & 0xffff0000u) : (word[0] & 0xffffu) | word[1] << 16;
                        u32 b1 = j % 2 ? word[2] >> 16 | (word[3] & 0xffff0000u) : (word[2] & 0xffffu) | word[3] << 16;
                        multiply(c[j], a[0], a[1], a[2], a[3], b0, b1);
                    }
                    fetch(set, row + SETS * step);
                    row += step;
                }
            }
        #pragma unroll
            for (int j = 0; j < 8; j++)
        #pragma unroll
                for (int i = 0; i < 4; i++) sums[warp][g + 8 * (i / 2)][16 * t + 8 * (i % 2) + j] = c[j][i];
            __syncthreads();
            for (int i = threadIdx.x; i < 16 * 64; i += 32 * WARPS) {
                float sum = 0;
        #pragma unroll
                for (int k = 0; k < WARPS; k++) sum += sums[k][i / 64][i % 64];
                if (first + i % 64 < width) partial[((i64)blockIdx.y * 16 + i / 64) * width + first + i % 64] = sum;
            }
        }
        """#)

extension CUDABackend {
    /// Which of the three products a problem is.
    enum NarrowProduct {
        case forward, input, weight
    }

    /// The product that `narrowProduct` takes: bfloat16, 16 rows or columns, contiguous rows of whole vectors.
    func narrowProduct(_ problem: MatMul.Problem, alpha: Float, beta: Float) -> NarrowProduct? {
        let (m, n, k) = (problem.m, problem.n, problem.k)
        guard problem.inputType == .bfloat16, problem.ldc == n, problem.lda == (problem.transposeA ? m : k),
            problem.ldb == (problem.transposeB ? k : n)
        else { return nil }
        switch (problem.transposeA, problem.transposeB, problem.outputType) {
        case (false, true, .bfloat16), (false, true, .float32):
            return n == 16 && k % 8 == 0 && k > 0 && beta == 0 ? .forward : nil
        case (false, false, .bfloat16):
            return k == 16 && n % 8 == 0 && alpha == 1 && (beta == 0 || beta == 1) ? .input : nil
        case (true, false, .float32):
            return m == 16 && n % 8 == 0 && alpha == 1 && beta == 0 ? .weight : nil
        default: return nil
        }
    }

    /// C = alpha · op(A) op(B) + beta · C for a problem that is `form`; all start at multiples of 16 bytes.
    func narrowProduct(
        _ form: NarrowProduct, _ c: Tensor, _ a: Tensor, _ b: Tensor, _ problem: MatMul.Problem, alpha: Float
    ) throws {
        let (m, n, k) = (problem.m, problem.n, problem.k)
        func kernel(_ name: String) throws -> Kernel {
            try self.kernel(narrowProductSource, name, [("OUT", c.dtype == .float32 ? "float" : "unsigned short")])
        }
        switch form {
        case .forward:
            try launch(
                kernel("narrow_product_forward"), blocks: (m + 31) / 32, threads: 128,
                [.tensor(c), .tensor(a), .tensor(b), .int(m), .int(k), .float(alpha)])
        case .input:
            let across = (n + 255) / 256
            let down = min((m + 15) / 16, max(1, description.multiprocessors * 6 / across))
            try launch(
                kernel("narrow_product_input"), grid: (across, down, 1), threads: 128,
                [
                    .tensor(c), .optional(problem.accumulates ? c : nil), .tensor(a), .tensor(b), .int(m), .int(n),
                ])
        case .weight:
            let across = (n + 63) / 64
            let down = min((k + 63) / 64, max(1, description.multiprocessors * 4 / across))
            let partial = try empty([down, 16 * n])
            try launch(
                kernel("narrow_product_weight"), grid: (across, down, 1), threads: 128,
                [.tensor(partial), .tensor(a), .tensor(b), .int(k), .int(n)])
            try sumRows(partial, into: c)
        }
    }
}
