// Tokens as a shard stores them, two bytes each.
#include "gdn_formats.h"

static inline __attribute__((always_inline)) uint32_t narrow(const int32_t *tokens, size_t count, uint16_t *output) {
    // As unsigned numbers negative ones are large: one maximum checks both ends.
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t token = (uint32_t)tokens[i];
        largest = token > largest ? token : largest;
        output[i] = (uint16_t)token;
    }
    return largest;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint32_t wide_narrow(const int32_t *tokens, size_t count, uint16_t *output) {
    return narrow(tokens, count, output);
}

uint32_t gdn_narrow(const int32_t *tokens, size_t count, uint16_t *output) {
    return __builtin_cpu_supports("avx2") ? wide_narrow(tokens, count, output) : narrow(tokens, count, output);
}
#else
uint32_t gdn_narrow(const int32_t *tokens, size_t count, uint16_t *output) { return narrow(tokens, count, output); }
#endif
