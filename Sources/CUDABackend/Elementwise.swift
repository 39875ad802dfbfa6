import GDNTensor

/// Additions and conversions that the tape needs; everything else belongs to operations.
private let elementwiseSource = KernelSource(
    name: "elementwise",
    text: #"""
        __device__ float to_float(float x) { return x; }
        __device__ float to_float(unsigned short x) { return __uint_as_float((unsigned)x << 16); }
        __device__ void from_float(float *to, float x) { *to = x; }
        __device__ void from_float(unsigned short *to, float x) {
            asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(*to) : "f"(x));
        }
        typedef long long index_t;
        #define EACH(i, n)                                                                   \
            for (index_t i = (index_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;          \
                 i += (index_t)gridDim.x * blockDim.x)

        // out = a + b; out may be a.
        extern "C" __global__ void add(OUT *out, const A *a, const B *b, index_t count) {
            EACH(i, count) from_float(&out[i], to_float(a[i]) + to_float(b[i]));
        }
        // out = a, another dtype.
        extern "C" __global__ void convert(OUT *out, const A *a, index_t count) {
            EACH(i, count) from_float(&out[i], to_float(a[i]));
        }
        // Columns of a matrix into another: out[r][at + c] = a[r][from + c], c below `count`.
        extern "C" __global__ void copy_columns(
            OUT *out, const A *a, int count, int from, int at, int a_width, int out_width, index_t elements) {
            EACH(i, elements) {
                index_t r = i / count;
                int c = (int)(i - r * count);
                out[r * out_width + at + c] = a[r * a_width + from + c];
            }
        }
        // out[c] = Σ_r a[r][c], in order. Blocks of 32 columns × 8 rows.
        extern "C" __global__ void sum_rows(OUT *out, const A *a, int rows, int columns) {
            __shared__ float sums[8][32];
            int x = threadIdx.x % 32, y = threadIdx.x / 32, column = blockIdx.x * 32 + x;
            float sum = 0;
            if (column < columns)
                for (int row = y; row < rows; row += 8) sum += to_float(a[(index_t)row * columns + column]);
            sums[y][x] = sum;
            __syncthreads();
            if (y == 0 && column < columns) {
                for (int i = 1; i < 8; i++) sum += sums[i][x];
                from_float(&out[column], sum);
            }
        }
        // out = factor · a; out may be a.
        extern "C" __global__ void scale(OUT *out, const A *a, float factor, index_t count) {
            EACH(i, count) from_float(&out[i], factor * to_float(a[i]));
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
        let columns = matrix.shape[-1]
        let result = try empty([columns])
        let kernel = try kernel(elementwiseSource, "sum_rows", [("OUT", "float"), ("A", "float"), ("B", "float")])
        try launch(
            kernel, blocks: (columns + 31) / 32, threads: 256,
            [.tensor(result), .tensor(matrix), .int(matrix.shape.rows), .int(columns)])
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
        let blocks = min((out.count + 1023) / 1024, 132 * 16)
        try launch(kernel, blocks: blocks, threads: 256, arguments + [.long(out.count)])
    }

    private func cName(_ tensor: Tensor) throws -> String {
        switch tensor.dtype {
        case .float32: return "float"
        case .bfloat16: return "unsigned short"
        case .float16, .int32, .uint8: throw BackendError("arithmetic on \(tensor.dtype.rawValue) is not supported")
        }
    }
}
