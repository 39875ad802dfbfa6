// RMS normalisation with an output gate. WIDTH is the width of one norm group; blockIdx.y is the group, and row r of it
// lies at (r · groups + group) · WIDTH. A row of the gate (and of its gradient) is `heads` of x and may lie among others,
// `gate_pitch` elements from the next. GATE_FIRST: rms(x a) w, else rms(x) w a, where a = act(gate); SIGMOID: act = σ.
DEVICE float gate_value(float z) { return SIGMOID ? sigmoid(z) : silu(z); }
DEVICE i64 gate_at(i64 row, int heads, int gate_pitch) {
    u32 gate_row = (u32)row / (u32)heads;
    return (i64)gate_row * gate_pitch + (((u32)row - gate_row * heads) * gridDim.y + blockIdx.y) * WIDTH;
}

BOUNDED_KERNEL(gated_rms_norm_forward, BLOCK_THREADS, ELEMENT_BFLOAT16 && BLOCK_THREADS <= 256 ? 4 : 1)
(element *y, float *inverse_rms, const element *x, const element *gate, const float *weight, float eps, i64 rows,
 int heads, int gate_pitch) {
    i64 row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP, at = row * gridDim.y + blockIdx.y;
    bool active = row < rows;
    RowPart in, z, scale;
    load_row(in, x + at * WIDTH, active);
    load_row(z, gate + gate_at(row, heads, gate_pitch), active);
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
// is loaded meanwhile. (Where no blocks a multiprocessor are asked for, their registers would not suffice.)
BOUNDED_KERNEL(gated_rms_norm_backward, BLOCK_THREADS, GATE_FIRST || GROUP > 32 ? 1 : SUMMING_BLOCKS)
(element *dx, element *dgate, float *partial, const element *dy, const element *x, const element *gate,
 const float *inverse_rms, const float *weight, i64 rows, int heads, int gate_pitch) {
    RowPart scale, gathered_dw;
    load_row(scale, weight + blockIdx.y * WIDTH, true);
    EACH_ELEMENT(i, j) gathered_dw.at[i].at[j] = 0;
    i64 stride = (i64)gridDim.x * BLOCK_ROWS, row = (i64)blockIdx.x * BLOCK_ROWS + threadIdx.x / GROUP;
    i64 at = row * gridDim.y + blockIdx.y, jump = stride * gridDim.y;
    i64 next_at_gate = gate_at(row, heads, gate_pitch);
    PackedPart next_x, next_dy, next_gate;
    float next_r = row < rows ? inverse_rms[at] : 0.0f;
    fetch_row(next_x, x + at * WIDTH, row < rows);
    fetch_row(next_dy, dy + at * WIDTH, row < rows);
    fetch_row(next_gate, gate + next_at_gate, row < rows);
    for (i64 first = (i64)blockIdx.x * BLOCK_ROWS; first < rows; first += stride, row += stride, at += jump) {
        bool active = row < rows, more = row + stride < rows;
        PackedPart in = next_x, upstream = next_dy, z = next_gate;
        i64 at_gate = next_at_gate;
        float r = next_r, dot = 0;
        next_r = more ? inverse_rms[at + jump] : 0.0f;
        fetch_row(next_x, x + (at + jump) * WIDTH, more);
        fetch_row(next_dy, dy + (at + jump) * WIDTH, more);
        next_at_gate = gate_at(row + stride, heads, gate_pitch);
        fetch_row(next_gate, gate + next_at_gate, more);
        // y / r without the weight is dy n in either order; its factor r comes after the sums.
        EACH_ELEMENT(i, j) {
            float value = z.at[i].value(j), s = sigmoid(value), a = SIGMOID ? s : value * s;
            float y = upstream.at[i].value(j) * a * in.at[i].value(j);
            gathered_dw.at[i].at[j] += y * r;
            dot += y * scale.at[i].at[j];
        }
        float pull = row_sum(dot) / WIDTH * r * r * r;
        RowPart out, slope;
        EACH_ELEMENT(i, j) {
            float value = z.at[i].value(j), s = sigmoid(value), a = SIGMOID ? s : value * s;
            float b = upstream.at[i].value(j) * scale.at[i].at[j] * r, v = in.at[i].value(j);
            float dm = GATE_FIRST ? b - v * a * pull : b * a - v * pull;
            slope.at[i].at[j] = (SIGMOID ? s - s * s : s + a * (1.0f - s)) * v * (GATE_FIRST ? dm : b);
            out.at[i].at[j] = GATE_FIRST ? dm * a : dm;
        }
        store_row(dx + at * WIDTH, out, active);
        store_row(dgate + at_gate, slope, active);
    }
    store_column_sums(partial + ((i64)blockIdx.x * gridDim.y + blockIdx.y) * WIDTH, gathered_dw);
}
