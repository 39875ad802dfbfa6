// RMS normalisation with an output gate. WIDTH is the width of one norm group; blockIdx.y is the group, and row r of it
// lies at (r · groups + group) · WIDTH. GATE_FIRST: rms(x a) w, else rms(x) w a, where a = act(gate); SIGMOID: act = σ.
DEVICE float gate_value(float z) { return SIGMOID ? sigmoid(z) : silu(z); }

KERNEL(gated_rms_norm_forward)
(element *y, float *inverse_rms, const element *x, const element *gate, const float *weight, float eps, i64 rows) {
    i64 row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP, at = row * gridDim.y + blockIdx.y;
    bool active = row < rows;
    RowPart in, z, scale;
    load_row(in, x + at * WIDTH, active);
    load_row(z, gate + at * WIDTH, active);
    load_row(scale, weight + blockIdx.y * WIDTH, true);
    float squares = 0;
    EACH_ELEMENT(i, j) {
        z.at[i].at[j] = gate_value(z.at[i].at[j]);
        if (GATE_FIRST) in.at[i].at[j] *= z.at[i].at[j];
        squares += in.at[i].at[j] * in.at[i].at[j];
    }
    float r = 1.0f / sqrtf(row_sum(squares) / WIDTH + eps);
    EACH_ELEMENT(i, j) {
        in.at[i].at[j] *= r * scale.at[i].at[j];
        if (!GATE_FIRST) in.at[i].at[j] *= z.at[i].at[j];
    }
    store_row(y + at * WIDTH, in, active);
    if (active && threadIdx.x % GROUP == 0) inverse_rms[at] = r;
}

// With m = x (GATE_FIRST: x a), n = m r and b = dy w (else dy w a):  dm = r (b − n mean(b n)).
// dw = Σ dy n (else dy n a); dgate = act'(gate) times dm x (else dy n w). Block b takes rows b, b + grid, …; the next row
// is loaded meanwhile.
KERNEL(gated_rms_norm_backward)
(element *dx, element *dgate, float *partial, const element *dy, const element *x, const element *gate,
 const float *inverse_rms, const float *weight, i64 rows) {
    RowPart scale, gathered_dw;
    load_row(scale, weight + blockIdx.y * WIDTH, true);
    EACH_ELEMENT(i, j) gathered_dw.at[i].at[j] = 0;
    i64 stride = (i64)gridDim.x * BLOCK_ROWS, row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP;
    i64 at = row * gridDim.y + blockIdx.y, jump = stride * gridDim.y;
    RawPart next_x, next_dy, next_gate;
    float next_r = row < rows ? inverse_rms[at] : 0.0f;
    fetch_row(next_x, x + at * WIDTH, row < rows);
    fetch_row(next_dy, dy + at * WIDTH, row < rows);
    fetch_row(next_gate, gate + at * WIDTH, row < rows);
    for (i64 first = (i64)blockIdx.x * BLOCK_ROWS; first < rows; first += stride, row += stride, at += jump) {
        bool active = row < rows, more = row + stride < rows;
        RowPart in, out, z, gate_input;
        widen_row(in, next_x);
        widen_row(out, next_dy);
        widen_row(z, next_gate);
        float r = next_r, dot = 0;
        next_r = more ? inverse_rms[at + jump] : 0.0f;
        fetch_row(next_x, x + (at + jump) * WIDTH, more);
        fetch_row(next_dy, dy + (at + jump) * WIDTH, more);
        fetch_row(next_gate, gate + (at + jump) * WIDTH, more);
        EACH_ELEMENT(i, j) {
            float value = z.at[i].at[j], s = sigmoid(value), a = SIGMOID ? s : value * s;
            float d = out.at[i].at[j], w = scale.at[i].at[j];
            z.at[i].at[j] = s;
            gate_input.at[i].at[j] = value;
            float n = in.at[i].at[j] * r * (GATE_FIRST ? a : 1.0f);
            gathered_dw.at[i].at[j] += d * n * (GATE_FIRST ? 1.0f : a);
            dot += d * w * n * (GATE_FIRST ? 1.0f : a);
        }
        float mean = row_sum(dot) / WIDTH;
        EACH_ELEMENT(i, j) {
            float value = gate_input.at[i].at[j], s = z.at[i].at[j], a = SIGMOID ? s : value * s;
            float slope = SIGMOID ? s * (1.0f - s) : s * (1.0f + value * (1.0f - s));
            float d = out.at[i].at[j], w = scale.at[i].at[j];
            float n = in.at[i].at[j] * r * (GATE_FIRST ? a : 1.0f);
            float dm = r * (d * w * (GATE_FIRST ? 1.0f : a) - n * mean);
            z.at[i].at[j] = slope * (GATE_FIRST ? dm * in.at[i].at[j] : d * n * w);
            out.at[i].at[j] = GATE_FIRST ? dm * a : dm;
        }
        store_row(dx + at * WIDTH, out, active);
        store_row(dgate + at * WIDTH, z, active);
    }
    store_column_sums(partial + ((i64)blockIdx.x * gridDim.y + blockIdx.y) * WIDTH, gathered_dw);
}
