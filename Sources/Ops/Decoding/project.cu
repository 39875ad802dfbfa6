// What a mixer computes of its input before the recurrence: RMS norm, the projections q, k, v, gate, a and b, the short
// convolutions of q, k and v with their activations. A thread owns a channel of a sequence and shifts its window.
//
// Matrix m has rows[m] rows (0: it is not there); `out` [BATCH, stride] takes them one after the other.
// Macros: TAPS of the convolutions (0: none), ACTIVATION of q and k. Grid: any number of blocks.

struct Projections {
    const element *at[6];
    int rows[6];

    DEVICE int units() const {
        int total = 0;
#pragma unroll
        for (int m = 0; m < 6; m++) total += (rows[m] + 7) / 8;
        return total;
    }
    // Matrix of row `index` of a unit, its row there and its column in the output, −1 where there is none.
    DEVICE void find(int unit, int index, int &matrix, int &row, int &column) const {
        int start = 0, columns = 0;
        matrix = row = 0, column = -1;
#pragma unroll
        for (int m = 0; m < 6; m++) {
            int count = (rows[m] + 7) / 8, own = (unit - start) * 8 + index;
            if (unit >= start && unit < start + count && own < rows[m]) matrix = m, row = own, column = columns + own;
            start += count, columns += rows[m];
        }
    }
    DEVICE const element *operator()(int unit, int row) const {
        const element *found = nullptr;
        int start = 0;
#pragma unroll
        for (int m = 0; m < 6; m++) {
            int count = (rows[m] + 7) / 8, own = (unit - start) * 8 + row;
            if (unit >= start && unit < start + count && own < rows[m]) found = at[m] + (i64)own * INPUTS;
            start += count;
        }
        return found;
    }
    DEVICE const element *anything() const { return at[0]; }
};

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
NAMED(decoding_project)
(float *out, const float *stream, const float *norm, float eps, const element *w0, const element *w1, const element *w2,
 const element *w3, const element *w4, const element *w5, int n0, int n1, int n2, int n3, int n4, int n5,
 int stride, float *q_window, float *k_window, float *v_window, const float *q_filter, const float *k_filter,
 const float *v_filter) {
    Projections matrices = {{w0, w1, w2, w3, w4, w5}, {n0, n1, n2, n3, n4, n5}};
    int units = matrices.units();
    Product<Projections> product(matrices, units, shared_memory());
    let_next_kernel_start();

    // Output i of a thread in a round: rows of units first, sequences then.
    constexpr int OUTPUTS = (UNITS * 8 * BATCH + THREADS - 1) / THREADS;
    for (int first = blockIdx.x; first < units; first += UNITS * gridDim.x) {
        float *window[OUTPUTS];
        float past[OUTPUTS][TAPS > 1 ? TAPS - 1 : 1], filter[OUTPUTS][TAPS > 0 ? TAPS : 1];
        int matrix[OUTPUTS], to[OUTPUTS];
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++) {
            int index = threadIdx.x + i * THREADS, unit = first + index / (8 * BATCH) * gridDim.x;
            int b = index / 8 % BATCH, row, column;
            matrices.find(unit, index % 8, matrix[i], row, column);
            bool exists = index < UNITS * 8 * BATCH && column >= 0;
            to[i] = exists ? b * stride + column : -1;
            if (TAPS == 0 || !exists || matrix[i] > 2) continue;
            int channels = matrix[i] == 0 ? n0 : matrix[i] == 1 ? n1 : n2;
            window[i] = (matrix[i] == 0 ? q_window : matrix[i] == 1 ? k_window : v_window)
                      + ((i64)b * channels + row) * (TAPS - 1);
            const float *taps = (matrix[i] == 0 ? q_filter : matrix[i] == 1 ? k_filter : v_filter) + row * TAPS;
#pragma unroll
            for (int j = 0; j < TAPS - 1; j++) past[i][j] = window[i][j];
#pragma unroll
            for (int j = 0; j < TAPS; j++) filter[i][j] = taps[j];
        }
        if (first == blockIdx.x) {
            wait_for_kernel_before();
            load_normalised(product.shared.x, stream, norm, eps);
        }
        product.round(first);
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++) {
            int index = threadIdx.x + i * THREADS;
            if (to[i] < 0) continue;
            float y = product.sum(index / (8 * BATCH), index / 8 % BATCH, index % 8);
            if (matrix[i] <= 2) {
                if (TAPS > 0) {
                    // y = Σ_j w_j x_{t − TAPS + 1 + j}; the window keeps the last TAPS − 1 inputs.
                    float x = y;
                    y = filter[i][TAPS > 0 ? TAPS - 1 : 0] * x;
#pragma unroll
                    for (int j = 0; j < TAPS - 1; j++) {
                        y += filter[i][j] * past[i][j];
                        window[i][j] = j + 1 < TAPS - 1 ? past[i][j + 1] : x;
                    }
                }
                y = matrix[i] < 2 ? activation_value<ACTIVATION>(y) : silu(y);
            }
            out[to[i]] = y;
        }
        __syncthreads();
    }
}
