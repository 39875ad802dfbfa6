// Rows normalised: KIND 0 to Euclidean length 1, 1 to absolute sum 1, 2 by softmax. `factor` keeps 1 / length (or sum).
// Grid: ⌈rows / BLOCK_ROWS⌉.
KERNEL(normalise_rows_forward)(element *y, float *factor, const element *x, float eps, i64 rows) {
    i64 row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP;
    bool active = row < rows;
    RowPart in;
    load_row(in, x + row * WIDTH, active);
    float sum = 0, r;
    if (KIND == 2) {
        float maximum = -INFINITY_F;
        EACH_ELEMENT(i, j) if (i * GROUP + threadIdx.x % GROUP < ROW_VECTORS) maximum = fmaxf(maximum, in.at[i].at[j]);
        maximum = row_max(maximum);
        EACH_ELEMENT(i, j) {
            bool inside = i * GROUP + threadIdx.x % GROUP < ROW_VECTORS;
            in.at[i].at[j] = inside ? expf(in.at[i].at[j] - maximum) : 0.0f;
            sum += in.at[i].at[j];
        }
        r = 1.0f / row_sum(sum);
    } else {
        EACH_ELEMENT(i, j) sum += KIND == 0 ? in.at[i].at[j] * in.at[i].at[j] : fabsf(in.at[i].at[j]);
        sum = row_sum(sum) + eps;
        r = 1.0f / (KIND == 0 ? sqrtf(sum) : sum);
    }
    EACH_ELEMENT(i, j) in.at[i].at[j] *= r;
    store_row(y + row * WIDTH, in, active);
    if (active && threadIdx.x % GROUP == 0) factor[row] = r;
}

// With y the result: L2 dx = r (dy − y (y·dy)); L1 dx = r (dy − sign(x) (y·dy)); softmax dx = y (dy − y·dy).
// `saved` is y, for L1 x.
KERNEL(normalise_rows_backward)
(element *dx, const element *dy, const element *saved, const float *factor, i64 rows) {
    i64 row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP;
    bool active = row < rows;
    RowPart in, out;
    load_row(in, saved + row * WIDTH, active);
    load_row(out, dy + row * WIDTH, active);
    float r = active ? factor[row] : 0.0f, dot = 0;
    EACH_ELEMENT(i, j) dot += out.at[i].at[j] * in.at[i].at[j] * (KIND == 1 ? r : 1.0f);
    dot = row_sum(dot);
    EACH_ELEMENT(i, j) {
        float x = in.at[i].at[j], d = out.at[i].at[j];
        float sign = x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f;
        out.at[i].at[j] = KIND == 0 ? r * (d - x * dot) : KIND == 1 ? r * (d - sign * dot) : x * (d - dot);
    }
    store_row(dx + row * WIDTH, out, active);
}
