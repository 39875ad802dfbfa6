// Additions and conversions that the tape needs; everything else belongs to operations.
// OUT, A and B are the element types of the result and of what it is made from.

// Elements that travel together: at least 16 bytes of each tensor.
constexpr int VECTOR = sizeof(OUT) == 2 || sizeof(A) == 2 || sizeof(B) == 2 ? 8 : 4;
typedef Floats<VECTOR> Vector;
// Turns of a loop over vectors that are written out.
constexpr int TURNS = VECTOR == 8 ? 1 : 4;

// Elementwise kernels take the first `vectors` vectors as such (none where a tensor is not aligned), the rest one by one.
#define THREAD ((i64)blockIdx.x * blockDim.x + threadIdx.x)
#define THREADS ((i64)gridDim.x * blockDim.x)
#define EACH(i, first, n) for (i64 i = (first) + THREAD; i < (n); i += THREADS)

// out = a + b; out may be a.
extern "C" __global__ void add(OUT *out, const A *a, const B *b, i64 count, i64 vectors) {
#pragma unroll(TURNS)
    EACH(i, 0, vectors) {
        Vector x, y;
        load_vector(x, a + i * VECTOR), load_vector(y, b + i * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) x.at[j] += y.at[j];
        store_vector(out + i * VECTOR, x);
    }
    EACH(i, vectors * VECTOR, count) from_float(&out[i], to_float(a[i]) + to_float(b[i]));
}

// Two vectors are under way at a time.
template <class Function>
__device__ void map(OUT *out, const A *a, i64 count, i64 vectors, Function function) {
#pragma unroll(TURNS)
    for (i64 i = THREAD; i < vectors; i += 2 * THREADS) {
        i64 next = i + THREADS;
        bool more = next < vectors;
        Vector x, y;
        load_vector(x, a + i * VECTOR), load_vector(y, a + (more ? next : i) * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) x.at[j] = function(x.at[j]), y.at[j] = function(y.at[j]);
        store_vector(out + i * VECTOR, x);
        if (more) store_vector(out + next * VECTOR, y);
    }
    EACH(i, vectors * VECTOR, count) from_float(&out[i], function(to_float(a[i])));
}
// out = a, another dtype.
extern "C" __global__ void convert(OUT *out, const A *a, i64 count, i64 vectors) {
    map(out, a, count, vectors, [](float x) { return x; });
}
// out = factor · a; out may be a.
extern "C" __global__ void scale(OUT *out, const A *a, float factor, i64 count, i64 vectors) {
    map(out, a, count, vectors, [factor](float x) { return factor * x; });
}

// Columns of a matrix into another: out[r][at + c] = a[r][from + c], c below `count`.
extern "C" __global__ void copy_columns(
    OUT *out, const A *a, int count, int from, int at, int a_width, int out_width, i64 elements) {
    EACH(i, 0, elements) {
        i64 r = elements >> 32 ? i / count : (i64)((unsigned)i / (unsigned)count);
        int c = (int)(i - r * count);
        out[r * out_width + at + c] = a[r * a_width + from + c];
    }
}

// Zeros in `count` columns of a matrix from column `at` on.
extern "C" __global__ void clear_columns(OUT *out, int count, int at, int width, i64 elements) {
    EACH(i, 0, elements) {
        i64 r = elements >> 32 ? i / count : (i64)((unsigned)i / (unsigned)count);
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
        for (int row = y; row < rows; row += lanes) sum += to_float(a[(i64)row * columns + column]);
    }
    sums[threadIdx.x] = sum;
    for (int step = lanes / 2; step > 0; step /= 2) {
        __syncthreads();
        if (y < step) sums[threadIdx.x] += sums[threadIdx.x + step * across];
    }
    if (y == 0 && column < columns) from_float(&out[column], sums[x]);
}
