import GDNTensor

/// Products of a long matrix with one of 16 rows or columns, as the projections of the gates are: bound by reading (and
/// writing) the long matrix once.
///
///     y [m, 16] = alpha x [m, k] Wᵀ        dx [m, n] (+)= dy [m, 16] W        dW [16, n] = dyᵀ x
///
/// The long matrix is copied to shared memory several steps ahead, by each warp for itself; blocks stay and read whole rows or
/// long pieces of them. Which of the 16 inputs or 8 columns of a tile is which is free as long as both operands agree.
/// With g = lane / 4 and t = lane % 4 a thread holds of A rows g, g + 8, of B column g, of C columns 2t, 2t + 1 of rows
/// g, g + 8.
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
        __device__ void store(float *to, float x) { *to = x; }
        __device__ void store(bfloat16 *to, float x) { *to = (bfloat16)pack(x, 0); }
        __device__ u32 shared_address(const void *pointer) { return (u32)__cvta_generic_to_shared(pointer); }
        // 16 bytes; zeros where `valid` is false. The second form keeps them in the first cache.
        __device__ void copy_async(void *to, const void *from, bool valid) {
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                         "r"(valid ? 16 : 0)
                         : "memory");
        }
        __device__ void copy_async_kept(void *to, const void *from, bool valid) {
            asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared_address(to)), "l"(from),
                         "r"(valid ? 16 : 0), "n"(16)
                         : "memory");
        }
        __device__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
        template <int PENDING>
        __device__ void copy_wait() {
            asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
        }
        __device__ void load_transposed(u32 (&r)[4], const bfloat16 *row) {
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                         : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                         : "r"(shared_address(row))
                         : "memory");
        }
        #ifndef FORWARD_STAGES
        #define FORWARD_STAGES 4
        #endif
        #ifndef WEIGHT_STAGES
        #define WEIGHT_STAGES 3
        #endif

        // y = alpha x Wᵀ. A step is 8 rows; each warp takes 128 of the inputs, whose part of W stays in registers, and the warps'
        // sums are added in order. Rows wider than all warps together take several passes a step. Any number of blocks and warps.
        extern "C" __global__ void __launch_bounds__(512, 1) narrow_product_forward(
            OUT *y, const bfloat16 *x, const bfloat16 *w, int rows, int width, float alpha) {
            extern __shared__ __align__(16) unsigned char shared[];
            constexpr int TILE = 8 * 128, PADDED = 8 * 16 + 8;
            int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
            bfloat16 *tiles = (bfloat16 *)shared + warp * FORWARD_STAGES * TILE;
            float *sums = (float *)((bfloat16 *)shared + warps * FORWARD_STAGES * TILE);
            int passes = (width + 128 * warps - 1) / (128 * warps);
            // Chunk i of row r lies at i ^ 4 (r % 2): 8 threads that read a chunk of two rows meet all banks.
            auto fetch = [&](int stage, int group, int pass) {
                int column = (pass * warps + warp) * 128 + lane % 16 * 8;
        #pragma unroll
                for (int i = 0; i < 4; i++) {
                    int r = 2 * i + lane / 16, row = group * 8 + r;
                    copy_async(tiles + stage * TILE + r * 128 + 8 * (lane % 16 ^ r % 2 * 4), x + (i64)row * width + column,
                               row < rows && column < width);
                }
            };
            int ahead = blockIdx.x, ahead_pass = 0;
            auto advance = [&] {
                if (++ahead_pass == passes) ahead_pass = 0, ahead += gridDim.x;
            };
        #pragma unroll
            for (int s = 0; s < FORWARD_STAGES - 1; s++) {
                fetch(s, ahead, ahead_pass);
                copy_commit();
                advance();
            }
            // As the products take it: rows g and g + 8 in turns.
            uint4 weights[4][2];
            auto load_weights = [&](int pass) {
        #pragma unroll
                for (int h = 0; h < 4; h++) {
                    int column = (pass * warps + warp) * 128 + 32 * h + 8 * t;
                    uint4 upper = load(w + (i64)g * width + column, column < width);
                    uint4 lower = load(w + (i64)(g + 8) * width + column, column < width);
                    weights[h][0] = make_uint4(upper.x, lower.x, upper.y, lower.y);
                    weights[h][1] = make_uint4(upper.z, lower.z, upper.w, lower.w);
                }
            };
            load_weights(0);
            int stage = 0, buffer = 0;
        #pragma unroll 1
            for (int group = blockIdx.x; group * 8 < rows; group += gridDim.x) {
                float c[2][4] = {};
        #pragma unroll 1
                for (int pass = 0; pass < passes; pass++) {
                    if (passes > 1) load_weights(pass);
                    copy_wait<FORWARD_STAGES - 2>();
                    __syncwarp();
                    // Into the stage that the step before read.
                    fetch(stage == 0 ? FORWARD_STAGES - 1 : stage - 1, ahead, ahead_pass);
                    copy_commit();
                    advance();
                    const bfloat16 *own = tiles + stage * TILE + g * 128;
        #pragma unroll
                    for (int h = 0; h < 4; h++) {
                        uint4 b = *(const uint4 *)(own + 8 * ((4 * h + t) ^ g % 2 * 4));
                        const uint4 &first = weights[h][0], &second = weights[h][1];
                        multiply(c[0], first.x, first.y, first.z, first.w, b.x, b.y);
                        multiply(c[1], second.x, second.y, second.z, second.w, b.z, b.w);
                    }
                    stage = stage + 1 == FORWARD_STAGES ? 0 : stage + 1;
                }
                // By output, then row.
                float *all = sums + buffer * warps * PADDED, *mine = all + warp * PADDED;
        #pragma unroll
                for (int i = 0; i < 2; i++)
                    *(float2 *)(mine + (g + 8 * i) * 8 + 2 * t) =
                        make_float2(c[0][2 * i] + c[1][2 * i], c[0][2 * i + 1] + c[1][2 * i + 1]);
                __syncthreads();
                // Four threads a sum. The other buffer is free: everyone who read it has passed the barrier.
                for (int i = threadIdx.x; i < 4 * 8 * 16; i += blockDim.x) {
                    int at = i / 4, row = group * 8 + at % 8;
                    float sum = 0;
        #pragma unroll 4
                    for (int k = i % 4; k < warps; k += 4) sum += all[k * PADDED + at];
                    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
                    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
                    if (i % 4 == 0 && row < rows) store(y + (i64)row * 16 + at / 8, alpha * sum);
                }
                buffer ^= 1;
            }
            copy_wait<0>();
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

        // Sums of dyᵀ x over a part of the rows: partial [gridDim.y][16][width]. `across` warps lie side by side, each with 128 columns;
        // the others have other rows, 16 a step, and their sums are added in order. Grid: (⌈width / (128 across)⌉, any).
        extern "C" __global__ void __launch_bounds__(512, 1) narrow_product_weight(
            float *partial, const bfloat16 *dy, const bfloat16 *x, int rows, int width, int across) {
            extern __shared__ __align__(16) unsigned char shared[];
            constexpr int TILE = 16 * 128 + 16 * 16, PITCH = 128 + 8;
            int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
            int first = blockIdx.x * across * 128, column = first + warp % across * 128 + lane % 16 * 8;
            int down = warps / across, step = gridDim.y * down * 16;
            int row = (blockIdx.y * down + warp / across) * 16, ahead = row;
            bfloat16 *tiles = (bfloat16 *)shared + warp * WEIGHT_STAGES * TILE;
            // Chunk i of row r lies at i ^ r % 8: 8 rows of a chunk meet all banks.
            auto fetch = [&](int stage) {
                bfloat16 *to = tiles + stage * TILE;
        #pragma unroll
                for (int i = 0; i < 8; i++) {
                    int r = 2 * i + lane / 16;
                    copy_async(to + r * 128 + 8 * (lane % 16 ^ r % 8), x + (i64)(ahead + r) * width + column,
                               ahead + r < rows && column < width);
                }
                copy_async_kept(to + 16 * 128 + 8 * lane, dy + (i64)ahead * 16 + 8 * lane, ahead + lane / 2 < rows);
                copy_commit();
                ahead += step;
            };
        #pragma unroll
            for (int s = 0; s < WEIGHT_STAGES - 1; s++) fetch(s);
            float c[16][4] = {};
            int stage = 0;
            // Rows 0 … 7 and 8 … 15 of two chunks; of dy both chunks.
            int k = lane % 8 + lane / 8 % 2 * 8;
            int at_dy = 16 * 128 + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8;
        #pragma unroll 1
            for (; row < rows; row += step) {
                copy_wait<WEIGHT_STAGES - 2>();
                __syncwarp();
                // Into the stage that the step before read.
                fetch(stage == 0 ? WEIGHT_STAGES - 1 : stage - 1);
                const bfloat16 *tile = tiles + stage * TILE;
                u32 a[4];
                load_transposed(a, tile + at_dy);
        #pragma unroll
                for (int pair = 0; pair < 8; pair++) {
                    u32 b[4];
                    load_transposed(b, tile + k * 128 + 8 * ((2 * pair + lane / 16) ^ k % 8));
                    multiply(c[2 * pair], a[0], a[1], a[2], a[3], b[0], b[1]);
                    multiply(c[2 * pair + 1], a[0], a[1], a[2], a[3], b[2], b[3]);
                }
                stage = stage + 1 == WEIGHT_STAGES ? 0 : stage + 1;
            }
            copy_wait<0>();
            __syncthreads();
            float *sums = (float *)shared, *mine = sums + warp * 16 * PITCH;
        #pragma unroll
            for (int j = 0; j < 16; j++)
        #pragma unroll
                for (int i = 0; i < 2; i++)
                    *(float2 *)(mine + (g + 8 * i) * PITCH + 8 * j + 2 * t) = make_float2(c[j][2 * i], c[j][2 * i + 1]);
            __syncthreads();
            for (int i = threadIdx.x; i < 16 * 32 * across; i += blockDim.x) {
                int output = i / (32 * across), from = i % (32 * across) * 4;
                if (first + from >= width) continue;
                const float *part = sums + (from / 128 * 16 + output) * PITCH + from % 128;
                float4 sum = *(const float4 *)part;
                for (int k = 1; k < down; k++) {
                    part += across * 16 * PITCH;
                    float4 more = *(const float4 *)part;
                    sum = make_float4(sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w);
                }
                *(float4 *)(partial + ((i64)blockIdx.y * 16 + output) * width + first + from) = sum;
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
        // Blocks of 16 warps have a multiprocessor to themselves; 8 where it has little shared memory.
        let shared = description.sharedBytesPerBlock
        let (warps, stages) = (shared >= 160 << 10 ? 16 : 8, shared >= 220 << 10 ? 3 : 2)
        func kernel(_ name: String) throws -> Kernel {
            try self.kernel(
                narrowProductSource, name,
                [("OUT", c.dtype == .float32 ? "float" : "unsigned short"), ("WEIGHT_STAGES", "\(stages)")])
        }
        switch form {
        case .forward:
            let across = min(warps, (k + 127) / 128)
            try launch(
                kernel("narrow_product_forward"),
                blocks: min((m + 7) / 8, description.multiprocessors * (warps / across)), threads: 32 * across,
                shared: across * (4 * 8 * 128 * 2 + 2 * (8 * 16 + 8) * 4),
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
            var side = 1
            while side < 4, side * 128 < n { side *= 2 }
            let across = (n + 128 * side - 1) / (128 * side)
            let down = min((k + 16 * warps / side - 1) / (16 * warps / side), max(1, description.multiprocessors / across))
            let partial = try empty([down, 16 * n])
            try launch(
                kernel("narrow_product_weight"), grid: (across, down, 1), threads: 32 * warps,
                shared: warps * stages * 2 * (16 * 128 + 16 * 16),
                [.tensor(partial), .tensor(a), .tensor(b), .int(k), .int(n), .int(side)])
            try sumRows(partial, into: c)
        }
    }
}
