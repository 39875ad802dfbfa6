// One step of AdamW on one tensor: moments, decoupled decay, update; one pass over memory.
KERNEL(adamw_step)
(float *value, float *first, float *second, const float *gradient, float keep, float rate, float beta1, float rest1,
 float beta2, float rest2, float inverse_root, float eps, float gradient_scale, i64 count) {
    EACH_VECTOR(index, count) {
        Floats<VECTOR> p, m, v, g;
        load_vector(p, value + index * VECTOR);
        load_vector(m, first + index * VECTOR);
        load_vector(v, second + index * VECTOR);
        load_vector(g, gradient + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            float d = g.at[j] * gradient_scale;
            m.at[j] = beta1 * m.at[j] + rest1 * d;
            v.at[j] = beta2 * v.at[j] + rest2 * d * d;
            p.at[j] = keep * p.at[j] - rate * m.at[j] / (sqrtf(v.at[j]) * inverse_root + eps);
        }
        store_vector(value + index * VECTOR, p);
        store_vector(first + index * VECTOR, m);
        store_vector(second + index * VECTOR, v);
    }
}
