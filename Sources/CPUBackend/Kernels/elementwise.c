// Elementwise passes that belong to no operation: addition and bfloat16 conversion.
#include "gdn_clones.h"
#include "gdn_cpu.h"
#include <string.h>

GDN_CLONES
void gdn_add_f32(float *to, const float *from, long count) {
    for (long i = 0; i < count; i++) to[i] += from[i];
}

GDN_CLONES
void gdn_f32_to_bf16(uint16_t *to, const float *from, long count) {
    for (long i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, 4);
        uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        uint32_t quiet = (bits >> 16) | 0x40;
        to[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
    }
}

GDN_CLONES
void gdn_bf16_to_f32(float *to, const uint16_t *from, long count) {
    for (long i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(to + i, &bits, 4);
    }
}
