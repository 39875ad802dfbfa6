// Elementwise passes that belong to no operation: addition and bfloat16 conversion.
#include "gdn_clones.h"
#include "gdn_cpu.h"
#include "gdn_math.h"
#include <string.h>

GDN_CLONES
void gdn_add_f32(float *to, const float *from, long count) {
    for (long i = 0; i < count; i++) to[i] += from[i];
}

GDN_CLONES
void gdn_scale_f32(float *x, float factor, long count) {
    for (long i = 0; i < count; i++) x[i] *= factor;
}

GDN_CLONES
void gdn_add_bf16(uint16_t *to, const uint16_t *from, long count) {
    for (long i = 0; i < count; i++) to[i] = gdn_bf16(gdn_f32(to[i]) + gdn_f32(from[i]));
}

GDN_CLONES
void gdn_f32_to_bf16(uint16_t *to, const float *from, long count) {
    for (long i = 0; i < count; i++) to[i] = gdn_bf16(from[i]);
}

GDN_CLONES
void gdn_bf16_to_f32(float *to, const uint16_t *from, long count) {
    for (long i = 0; i < count; i++) to[i] = gdn_f32(from[i]);
}
