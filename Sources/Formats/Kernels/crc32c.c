// CRC-32C with the processor's own instruction: eight bytes in a cycle, each result after three of them.
#include "gdn_formats.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#include <string.h>

int gdn_crc32c_has_instruction(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c >> 20 & 1);
}

static inline uint64_t word(const uint8_t *bytes) {
    uint64_t value;
    memcpy(&value, bytes, 8);
    return value;
}

__attribute__((target("sse4.2"))) uint32_t gdn_crc32c(uint32_t sum, const uint8_t *bytes, size_t count) {
    uint64_t wide = sum;
    for (; count >= 8; count -= 8, bytes += 8) wide = _mm_crc32_u64(wide, word(bytes));
    sum = (uint32_t)wide;
    for (; count > 0; count--, bytes++) sum = _mm_crc32_u8(sum, *bytes);
    return sum;
}

// Three sums that do not depend on each other fill the cycles that each waits for itself.
__attribute__((target("sse4.2"))) void gdn_crc32c_thirds(uint32_t sums[3], const uint8_t *bytes, size_t third) {
    uint64_t first = sums[0], second = sums[1], last = sums[2];
    for (size_t i = 0; i < third; i += 8) {
        first = _mm_crc32_u64(first, word(bytes + i));
        second = _mm_crc32_u64(second, word(bytes + third + i));
        last = _mm_crc32_u64(last, word(bytes + 2 * third + i));
    }
    sums[0] = (uint32_t)first, sums[1] = (uint32_t)second, sums[2] = (uint32_t)last;
}
#else
int gdn_crc32c_has_instruction(void) { return 0; }
uint32_t gdn_crc32c(uint32_t sum, const uint8_t *bytes, size_t count) {
    (void)bytes, (void)count;
    return sum;
}
void gdn_crc32c_thirds(uint32_t sums[3], const uint8_t *bytes, size_t third) { (void)sums, (void)bytes, (void)third; }
#endif
