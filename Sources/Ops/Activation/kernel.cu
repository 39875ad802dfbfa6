// ACTIVATION: as `activation_value` counts them; `count` is a multiple of VECTOR.
KERNEL(activation_forward)(element *y, const element *x, i64 count) {
    EACH_VECTOR(index, count) {
        Floats<VECTOR> v;
        load_vector(v, x + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) v.at[j] = activation_value<ACTIVATION>(v.at[j]);
        store_vector(y + index * VECTOR, v);
    }
}

KERNEL(activation_backward)(element *dx, const element *dy, const element *x, i64 count) {
    EACH_VECTOR(index, count) {
        Floats<VECTOR> v, d;
        load_vector(v, x + index * VECTOR);
        load_vector(d, dy + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) d.at[j] *= activation_slope<ACTIVATION>(v.at[j]);
        store_vector(dx + index * VECTOR, d);
    }
}
