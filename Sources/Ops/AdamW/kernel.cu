// One step of AdamW on many tensors in one launch: moments, decoupled decay, update, and the parameter's bfloat16 copy
// where there is one; one pass over memory.
//
// A block takes CHUNK elements of one tensor: the last whose first block is not above its own.
struct Slot {
    float *value, *first, *second;
    const float *gradient;
    bfloat16 *copy;  // or null
    i64 count, first_block;
    float keep, unused;  // keep = 1 − learning rate · decay
};

template <int N>
DEVICE void update(const Slot &slot, i64 at, float rate, float beta1, float rest1, float beta2, float rest2,
                   float inverse_root, float eps, float gradient_scale) {
    Floats<N> p, m, v, g;
    load_vector(p, slot.value + at);
    load_vector(m, slot.first + at);
    load_vector(v, slot.second + at);
    load_vector(g, slot.gradient + at);
#pragma unroll
    for (int j = 0; j < N; j++) {
        float d = g.at[j] * gradient_scale;
        m.at[j] = beta1 * m.at[j] + rest1 * d;
        v.at[j] = beta2 * v.at[j] + rest2 * d * d;
        p.at[j] = slot.keep * p.at[j] - rate * m.at[j] / (sqrtf(v.at[j]) * inverse_root + eps);
    }
    store_vector(slot.value + at, p);
    store_vector(slot.first + at, m);
    store_vector(slot.second + at, v);
    if (slot.copy) store_vector(slot.copy + at, p);
}

KERNEL(adamw_step)
(const Slot *slots, int count, float rate, float beta1, float rest1, float beta2, float rest2, float inverse_root,
 float eps, float gradient_scale) {
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (slots[middle].first_block <= blockIdx.x) low = middle; else high = middle - 1;
    }
    Slot slot = slots[low];
    i64 begin = (blockIdx.x - slot.first_block) * CHUNK, end = min(begin + CHUNK, slot.count);
    i64 whole = begin + (end - begin) / VECTOR * VECTOR;
    for (i64 at = begin + threadIdx.x * VECTOR; at < whole; at += 256 * VECTOR)
        update<VECTOR>(slot, at, rate, beta1, rest1, beta2, rest2, inverse_root, eps, gradient_scale);
    i64 at = whole + threadIdx.x;
    if (at < end) update<1>(slot, at, rate, beta1, rest1, beta2, rest2, inverse_root, eps, gradient_scale);
}
