// RMS normalisation of rows, with the residual addition before it where `residual` is given. A row is read once and
// stays in registers. Grid forward: ⌈rows / BLOCK_ROWS⌉.
KERNEL(rms_norm_forward)
(element *y, element *sum, float *inverse_rms, const element *x, const element *residual, const float *weight,
 float offset, float eps, i64 rows) {
    i64 row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP;
    bool active = row < rows;
    RowPart in, scale;
    load_row(in, x + row * WIDTH, active);
    load_row(scale, weight, true);
    if (residual) {
        RowPart stream;
        load_row(stream, residual + row * WIDTH, active);
        EACH_ELEMENT(i, j) in.at[i].at[j] = rounded(in.at[i].at[j] + stream.at[i].at[j]);
        store_row(sum + row * WIDTH, in, active);
    }
    float squares = 0;
    EACH_ELEMENT(i, j) squares += in.at[i].at[j] * in.at[i].at[j];
    float r = 1.0f / sqrtf(row_sum(squares) / WIDTH + eps);
    EACH_ELEMENT(i, j) in.at[i].at[j] *= r * (offset + scale.at[i].at[j]);
    store_row(y + row * WIDTH, in, active);
    if (active && threadIdx.x % GROUP == 0) inverse_rms[row] = r;
}

// With n = x r and a = dy (offset + w):  dx = r (a − n mean(a n)) + dsum,  dw = Σ dy n over the block's rows.
// Grid: any number of blocks; block b takes rows b, b + grid, …, and writes partial b. The next row is loaded meanwhile.
BOUNDED_KERNEL(rms_norm_backward, BLOCK_THREADS, SUMMING_BLOCKS)
(element *dx, float *partial, const element *dy, const element *dsum, const element *x, const float *inverse_rms,
 const float *weight, float offset, i64 rows) {
    RowPart scale, gathered_dw;
    load_row(scale, weight, true);
    EACH_ELEMENT(i, j) {
        scale.at[i].at[j] += offset;
        gathered_dw.at[i].at[j] = 0;
    }
    i64 stride = (i64)gridDim.x * BLOCK_ROWS, row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP;
    PackedPart next_x, next_dy, next_dsum;
    float next_r = row < rows ? inverse_rms[row] : 0.0f;
    fetch_row(next_x, x + row * WIDTH, row < rows);
    fetch_row(next_dy, dy + row * WIDTH, row < rows);
    if (dsum) fetch_row(next_dsum, dsum + row * WIDTH, row < rows);
    for (i64 first = (i64)blockIdx.x * BLOCK_ROWS; first < rows; first += stride, row += stride) {
        bool active = row < rows, more = row + stride < rows;
        RowPart in, out, direct;
        widen_row(in, next_x);
        widen_row(out, next_dy);
        if (dsum) widen_row(direct, next_dsum);
        float r = next_r, dot = 0;
        next_r = more ? inverse_rms[row + stride] : 0.0f;
        fetch_row(next_x, x + (row + stride) * WIDTH, more);
        fetch_row(next_dy, dy + (row + stride) * WIDTH, more);
        if (dsum) fetch_row(next_dsum, dsum + (row + stride) * WIDTH, more);
        EACH_ELEMENT(i, j) {
            in.at[i].at[j] *= r;
            gathered_dw.at[i].at[j] += out.at[i].at[j] * in.at[i].at[j];
            out.at[i].at[j] *= scale.at[i].at[j];
            dot += out.at[i].at[j] * in.at[i].at[j];
        }
        float mean = row_sum(dot) / WIDTH;
        EACH_ELEMENT(i, j) {
            out.at[i].at[j] = r * (out.at[i].at[j] - in.at[i].at[j] * mean);
            if (dsum) out.at[i].at[j] += direct.at[i].at[j];
        }
        store_row(dx + row * WIDTH, out, active);
    }
    store_column_sums(partial + (i64)blockIdx.x * WIDTH, gathered_dw);
}
