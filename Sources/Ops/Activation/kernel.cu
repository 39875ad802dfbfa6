// ACTIVATION: 0 none, 1 silu, 2 relu, 3 one plus ELU; `count` is a multiple of VECTOR.
DEVICE float activation_value(float x) {
    return ACTIVATION == 1 ? silu(x) : ACTIVATION == 2 ? fmaxf(x, 0.0f) : ACTIVATION == 3 ? (x > 0 ? 1.0f + x : expf(x)) : x;
}
DEVICE float activation_slope(float x) {
    return ACTIVATION == 1 ? silu_gradient(x)
         : ACTIVATION == 2 ? (x > 0 ? 1.0f : 0.0f)
         : ACTIVATION == 3 ? (x > 0 ? 1.0f : expf(x)) : 1.0f;
}

KERNEL(activation_forward)(element *y, const element *x, i64 count) {
    EACH_VECTOR(index, count) {
        Floats<VECTOR> v;
        load_vector(v, x + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) v.at[j] = activation_value(v.at[j]);
        store_vector(y + index * VECTOR, v);
    }
}

KERNEL(activation_backward)(element *dx, const element *dy, const element *x, i64 count) {
    EACH_VECTOR(index, count) {
        Floats<VECTOR> v, d;
        load_vector(v, x + index * VECTOR);
        load_vector(d, dy + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) d.at[j] *= activation_slope(v.at[j]);
        store_vector(dx + index * VECTOR, d);
    }
}
