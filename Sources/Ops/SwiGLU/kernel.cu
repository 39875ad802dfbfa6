// y = silu(gate) · up, element by element; `width`, the length of a row, is a multiple of VECTOR, and `count` one of `width`.
// Rows of gate and up (and of their gradients) may lie among others, gate_pitch and up_pitch elements apart.

struct Place {
    i64 row;
    int column;
};
DEVICE Place place_of(i64 vector, int width) {
    u32 vectors = width / VECTOR;
    i64 row = vector >> 32 ? vector / vectors : (i64)((u32)vector / vectors);
    return {row, (int)(vector - row * vectors) * VECTOR};
}

KERNEL(swiglu_forward)
(element *y, const element *gate, const element *up, i64 count, int width, int gate_pitch, int up_pitch) {
    EACH_VECTOR(index, count) {
        Place at = place_of(index, width);
        Floats<VECTOR> g, u;
        load_vector(g, gate + at.row * gate_pitch + at.column);
        load_vector(u, up + at.row * up_pitch + at.column);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) u.at[j] *= silu(g.at[j]);
        store_vector(y + index * VECTOR, u);
    }
}

// dgate = dy up silu'(gate), dup = dy silu(gate)
KERNEL(swiglu_backward)
(element *dgate, element *dup, const element *dy, const element *gate, const element *up, i64 count, int width,
 int gate_pitch, int up_pitch) {
    EACH_VECTOR(index, count) {
        Place at = place_of(index, width);
        i64 at_gate = at.row * gate_pitch + at.column, at_up = at.row * up_pitch + at.column;
        Floats<VECTOR> d, g, u;
        load_vector(d, dy + index * VECTOR);
        load_vector(g, gate + at_gate);
        load_vector(u, up + at_up);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            float s = sigmoid(g.at[j]);
            u.at[j] *= d.at[j] * s * (1.0f + g.at[j] * (1.0f - s));
            d.at[j] *= g.at[j] * s;
        }
        store_vector(dgate + at_gate, u);
        store_vector(dup + at_up, d);
    }
}
