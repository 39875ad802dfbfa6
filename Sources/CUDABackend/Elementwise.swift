import GDNTensor

/// Additions and conversions that the tape needs; everything else belongs to operations.
private let elementwiseSource = KernelSource(
    name: "elementwise",
    text: #"""
        typedef unsigned short bfloat16;
        typedef long long index_t;
        __device__ float to_float(float x) { return x; }
        __device__ float to_float(bfloat16 x) { return __uint_as_float((unsigned)x << 16); }
        __device__ void from_float(float *to, float x) { *to = x; }
        __device__ void from_float(bfloat16 *to, float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(*to) : "f"(x)); }
        __device__ unsigned pack(float low, float high) {
            unsigned packed;
            asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
            return packed;
        }

        // Elements that travel together: at least 16 bytes of each tensor.
        constexpr int VECTOR = sizeof(OUT) == 2 || sizeof(A) == 2 || sizeof(B) == 2 ? 8 : 4;
        struct Vector {
            float at[VECTOR];
        };
        __device__ Vector load(const float *from) {
            Vector v;
        #pragma unroll
            for (int i = 0; i < VECTOR; i += 4) {
                float4 raw = *(const float4 *)(from + i);
                v.at[i] = raw.x, v.at[i + 1] = raw.y, v.at[i + 2] = raw.z, v.at[i + 3] = raw.w;
            }
            return v;
        }
        __device__ Vector load(const bfloat16 *from) {
            uint4 raw = *(const uint4 *)from;
            unsigned word[4] = {raw.x, raw.y, raw.z, raw.w};
            Vector v;
        #pragma unroll
            for (int i = 0; i < VECTOR; i++) v.at[i] = __uint_as_float(i & 1 ? word[i / 2] & 0xffff0000u : word[i / 2] << 16);
            return v;
        }
        __device__ void store(float *to, const Vector &v) {
        #pragma unroll
            for (int i = 0; i < VECTOR; i += 4)
                *(float4 *)(to + i) = make_float4(v.at[i], v.at[i + 1], v.at[i + 2], v.at[i + 3]);
        }
        __device__ void store(bfloat16 *to, const Vector &v) {
            unsigned word[4];
        #pragma unroll
            for (int i = 0; i < VECTOR; i += 2) word[i / 2] = pack(v.at[i], v.at[i + 1]);
            *(uint4 *)to = make_uint4(word[0], word[1], word[2], word[3]);
        }

        // Elementwise kernels take the first `vectors` vectors as such (none where a tensor is not aligned), the rest one by one.
        #define THREAD ((index_t)blockIdx.x * blockDim.x + threadIdx.x)
        #define THREADS ((index_t)gridDim.x * blockDim.x)
        #define EACH(i, first, n) for (index_t i = (first) + THREAD; i < (n); i += THREADS)

        // out = a + b; out may be a.
        extern "C" __global__ void add(OUT *out, const A *a, const B *b, index_t count, index_t vectors) {
            EACH(i, 0, vectors) {
                Vector x = load(a + i * VECTOR), y = load(b + i * VECTOR);
        #pragma unroll
                for (int j = 0; j < VECTOR; j++) x.at[j] += y.at[j];
                store(out + i * VECTOR, x);
            }
            EACH(i, vectors * VECTOR, count) from_float(&out[i], to_float(a[i]) + to_float(b[i]));
        }

        // Two vectors are under way at a time.
        template <class Function>
        __device__ void map(OUT *out, const A *a, index_t count, index_t vectors, Function function) {
            for (index_t i = THREAD; i < vectors; i += 2 * THREADS) {
                index_t next = i + THREADS;
                bool more = next < vectors;
                Vector x = load(a + i * VECTOR), y = load(a + (more ? next : i) * VECTOR);
        #pragma unroll
                for (int j = 0; j < VECTOR; j++) x.at[j] = function(x.at[j]), y.at[j] = function(y.at[j]);
                store(out + i * VECTOR, x);
                if (more) store(out + next * VECTOR, y);
            }
            EACH(i, vectors * VECTOR, count) from_float(&out[i], function(to_float(a[i])));
        }
        // out = a, another dtype.
        extern "C" __global__ void convert(OUT *out, const A *a, index_t count, index_t vectors) {
            map(out, a, count, vectors, [](float x) { return x; });
        }
        // out = factor · a; out may be a.
        extern "C" __global__ void scale(OUT *out, const A *a, float factor, index_t count, index_t vectors) {
            map(out, a, count, vectors, [factor](float x) { return factor * x; });
        }

        // Columns of a matrix into another: out[r][at + c] = a[r][from + c], c below `count`.
        extern "C" __global__ void copy_columns(
            OUT *out, const A *a, int count, int from, int at, int a_width, int out_width, index_t elements) {
            EACH(i, 0, elements) {
                index_t r = elements >> 32 ? i / count : (index_t)((unsigned)i / (unsigned)count);
                int c = (int)(i - r * count);
                out[r * out_width + at + c] = a[r * a_width + from + c];
            }
        }

        // Zeros in `count` columns of a matrix from column `at` on.
        extern "C" __global__ void clear_columns(OUT *out, int count, int at, int width, index_t elements) {
            EACH(i, 0, elements) {
                index_t r = elements >> 32 ? i / count : (index_t)((unsigned)i / (unsigned)count);
                out[r * width + at + (i - r * count)] = 0;
            }
        }

        // out[c] = Σ_r a[r][c]. A block of 1024 threads: 1024 / lanes columns; lane y adds rows y, y + lanes, …, in order, and
        // the lanes' sums are added as a tree. `lanes` is a power of two.
        extern "C" __global__ void __launch_bounds__(1024) sum_rows(OUT *out, const A *a, int rows, int columns, int lanes) {
            __shared__ float sums[1024];
            int across = 1024 / lanes, x = threadIdx.x % across, y = threadIdx.x / across;
            int column = blockIdx.x * across + x;
            float sum = 0;
            if (column < columns) {
        #pragma unroll 8
                for (int row = y; row < rows; row += lanes) sum += to_float(a[(index_t)row * columns + column]);
            }
            sums[threadIdx.x] = sum;
            for (int step = lanes / 2; step > 0; step /= 2) {
                __syncthreads();
                if (y < step) sums[threadIdx.x] += sums[threadIdx.x + step * across];
            }
            if (y == 0 && column < columns) from_float(&out[column], sums[x]);
        }
        """#)

extension CUDABackend {
    /// `to += from`, counts equal, each float32 or bfloat16.
    package func add(into to: Tensor, _ from: Tensor) throws {
        try run("add", to, to, from, [.tensor(to), .tensor(to), .tensor(from)])
    }

    /// A new tensor `a + b` of a's dtype.
    package func sum(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        let result = try empty(a.shape, a.dtype)
        try run("add", result, a, b, [.tensor(result), .tensor(a), .tensor(b)])
        return result
    }

    /// The same numbers as another dtype (float32 or bfloat16).
    package func convert(_ tensor: Tensor, to dtype: DType) throws -> Tensor {
        if tensor.dtype == dtype { return tensor }
        let result = try empty(tensor.shape, dtype)
        try convert(tensor, into: result)
        return result
    }

    /// Writes the numbers of `from` in the dtype of `to` (float32 or bfloat16).
    package func convert(_ from: Tensor, into to: Tensor) throws {
        if from.dtype == to.dtype { return try copy(from, into: to) }
        try run("convert", to, from, from, [.tensor(to), .tensor(from)])
    }

    /// Sums over the rows of a float32 matrix [rows, columns], in a fixed order: [columns].
    package func sumRows(_ matrix: Tensor) throws -> Tensor {
        let (rows, columns) = (matrix.shape.rows, matrix.shape[-1])
        let result = try empty([columns])
        let kernel = try kernel(elementwiseSource, "sum_rows", [("OUT", "float"), ("A", "float"), ("B", "float")])
        var lanes = 4
        while lanes < 128, lanes * 4 <= rows { lanes *= 2 }
        let across = 1024 / lanes
        try launch(
            kernel, blocks: (columns + across - 1) / across, threads: 1024,
            [.tensor(result), .tensor(matrix), .int(rows), .int(columns), .int(lanes)])
        return result
    }

    /// Copies `count` columns of a matrix into another of the same dtype and number of rows.
    package func copyColumns(_ matrix: Tensor, from: Int, into target: Tensor, at: Int, count: Int) throws {
        let rows = matrix.shape.rows
        guard target.shape.rows == rows, matrix.dtype == target.dtype else {
            throw ShapeError("copy_columns", "source is \(matrix.shape) but target \(target.shape)")
        }
        let kernel = try kernel(
            elementwiseSource, "copy_columns",
            [("OUT", try cName(target)), ("A", try cName(matrix)), ("B", try cName(matrix))])
        try launch(
            kernel, blocks: min((rows * count + 255) / 256, 132 * 16), threads: 256,
            [
                .tensor(target), .tensor(matrix), .int(count), .int(from), .int(at), .int(matrix.shape[-1]),
                .int(target.shape[-1]), .long(rows * count),
            ])
    }

    /// Zeros in some columns of a matrix.
    package func clearColumns(_ matrix: Tensor, _ columns: Range<Int>) throws {
        let name = try cName(matrix)
        let kernel = try kernel(elementwiseSource, "clear_columns", [("OUT", name), ("A", name), ("B", name)])
        let count = matrix.shape.rows * columns.count
        try launch(
            kernel, blocks: min((count + 255) / 256, 132 * 16), threads: 256,
            [
                .columns(matrix, start: 0, width: columns.count), .int(columns.count), .int(columns.lowerBound),
                .int(matrix.shape[-1]), .long(count),
            ])
    }

    /// `to = factor · from`.
    package func scale(_ from: Tensor, by factor: Float, into to: Tensor) throws {
        try run("scale", to, from, from, [.tensor(to), .tensor(from), .float(factor)])
    }

    private func run(_ name: String, _ out: Tensor, _ a: Tensor, _ b: Tensor, _ arguments: [KernelArgument]) throws {
        guard a.count == out.count, b.count == out.count else {
            throw ShapeError(name, "shapes \(a.shape) and \(b.shape) have other counts than \(out.shape)")
        }
        let kernel = try kernel(
            elementwiseSource, name, [("OUT", try cName(out)), ("A", try cName(a)), ("B", try cName(b))])
        let isHalf = [out, a, b].contains { $0.dtype == .bfloat16 }
        let isAligned = [out, a, b].allSatisfy { $0.deviceAddress % 16 == 0 }
        let vectors = isAligned ? out.count / (isHalf ? 8 : 4) : 0
        let blocks = min((max(vectors, out.count - 8 * vectors) + 255) / 256, 132 * 32)
        try launch(kernel, blocks: max(1, blocks), threads: 256, arguments + [.long(out.count), .long(vectors)])
    }

    private func cName(_ tensor: Tensor) throws -> String {
        switch tensor.dtype {
        case .float32: return "float"
        case .bfloat16: return "unsigned short"
        case .float16, .int32, .uint8: throw BackendError("arithmetic on \(tensor.dtype.rawValue) is not supported")
        }
    }
}
