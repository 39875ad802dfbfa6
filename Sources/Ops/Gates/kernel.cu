// g = −exp(A_log) softplus(a + dt_bias), β = c σ(b). a and b are elements, everything else float32 [rows, heads]. Rows
// of a and b (and of their gradients) may lie among others, a_pitch and b_pitch elements apart.
KERNEL(gates_forward)
(float *log_decay, float *beta, const element *a, const element *b, const float *a_log, const float *dt_bias,
 float strength, i64 rows, int heads, int a_pitch, int b_pitch) {
    i64 count = rows * heads;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        i64 row = i / heads;
        int head = i - row * heads;
        log_decay[i] = -expf(a_log[head]) * softplus(to_float(a[row * a_pitch + head]) + dt_bias[head]);
        beta[i] = strength * sigmoid(to_float(b[row * b_pitch + head]));
    }
}

// da = −dg exp(A_log) σ(a + dt_bias), db = dβ c σ'(b); partial sums of dA_log = Σ dg g and ddt_bias = Σ da over the
// rows of a block. Zeros in the unused columns up to a_room and b_room. Block: `across` columns (a power of two) × 256 / across
// rows; grid (row blocks, ⌈larger room / across⌉); partial [row blocks][2][heads].
KERNEL(gates_backward)
(element *da, element *db, float *partial, const float *d_log_decay, const float *d_beta, const element *a,
 const element *b, const float *a_log, const float *dt_bias, float strength, i64 rows, int heads, int a_pitch,
 int b_pitch, int a_room, int b_room, int across, int rows_a_block) {
    __shared__ float sums[2][256];
    int down = 256 / across, x = threadIdx.x % across, y = threadIdx.x / across, head = blockIdx.y * across + x;
    float rate_sum = 0, bias_sum = 0;
    i64 end = min(rows, (i64)(blockIdx.x + 1) * rows_a_block);
    if (head < heads) {
        float rate = expf(a_log[head]), bias = dt_bias[head];
        for (i64 row = (i64)blockIdx.x * rows_a_block + y; row < end; row += down) {
            i64 i = row * heads + head, at_a = row * a_pitch + head, at_b = row * b_pitch + head;
            float step = to_float(a[at_a]) + bias, s = sigmoid(to_float(b[at_b]));
            float dg = d_log_decay ? d_log_decay[i] : 0.0f;
            float d = -dg * rate * sigmoid(step);
            rate_sum -= dg * rate * softplus(step);
            bias_sum += d;
            from_float(&da[at_a], d);
            from_float(&db[at_b], d_beta ? d_beta[i] * strength * s * (1.0f - s) : 0.0f);
        }
    } else {
        for (i64 row = (i64)blockIdx.x * rows_a_block + y; row < end; row += down) {
            if (head < a_room) da[row * a_pitch + head] = 0;
            if (head < b_room) db[row * b_pitch + head] = 0;
        }
    }
    sums[0][threadIdx.x] = rate_sum, sums[1][threadIdx.x] = bias_sum;
    __syncthreads();
    if (y < 2 && head < heads) {
        float sum = 0;
        for (int i = 0; i < down; i++) sum += sums[y][i * across + x];
        partial[((i64)blockIdx.x * 2 + y) * heads + head] = sum;
    }
}
