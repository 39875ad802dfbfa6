// y = silu(gate) · up, element by element; `count` is a multiple of VECTOR.
KERNEL(swiglu_forward)(element *y, const element *gate, const element *up, i64 count) {
    EACH_VECTOR(index, count) {
        Floats<VECTOR> g, u;
        load_vector(g, gate + index * VECTOR);
        load_vector(u, up + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) u.at[j] *= silu(g.at[j]);
        store_vector(y + index * VECTOR, u);
    }
}

// dgate = dy up silu'(gate), dup = dy silu(gate)
KERNEL(swiglu_backward)
(element *dgate, element *dup, const element *dy, const element *gate, const element *up, i64 count) {
    EACH_VECTOR(index, count) {
        Floats<VECTOR> d, g, u;
        load_vector(d, dy + index * VECTOR);
        load_vector(g, gate + index * VECTOR);
        load_vector(u, up + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            float s = sigmoid(g.at[j]);
            u.at[j] *= d.at[j] * s * (1.0f + g.at[j] * (1.0f - s));
            d.at[j] *= g.at[j] * s;
        }
        store_vector(dgate + index * VECTOR, u);
        store_vector(dup + index * VECTOR, d);
    }
}
