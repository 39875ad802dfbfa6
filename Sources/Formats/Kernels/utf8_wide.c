// UTF-8 in steps of 32 bytes, for processors with AVX2: three table lookups a byte and its predecessor tell every error that
// two bytes can show, a comparison the rest (Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte",
// 2021, arXiv:2010.03090).
#include "utf8_wide.h"

#include "gdn_formats.h"

#if defined(__x86_64__)
#include <immintrin.h>

int gdn_utf8_has_wide(void) { return __builtin_cpu_supports("avx2"); }

// What a pair of bytes can break, a bit each; a pair is wrong when all three lookups agree on a bit.
enum {
    too_short = 1 << 0,        // a lead byte or ASCII where a continuation is due
    too_long = 1 << 1,         // a continuation behind ASCII
    overlong_3 = 1 << 2,       // e0 80 … e0 9f
    too_large = 1 << 3,        // f4 90 … and f5 … ff
    surrogate = 1 << 4,        // ed a0 … ed bf
    overlong_2 = 1 << 5,       // c0, c1
    too_large_1000 = 1 << 6,   // f5 … ff behind which 80 … 8f comes
    overlong_4 = 1 << 6,       // f0 80 … f0 8f
    two_continuations = 1 << 7, // right only as third or fourth byte of a character
    carry = too_short | too_long | two_continuations,
};

#define BOTH(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

__attribute__((target("avx2"))) static inline __m256i high_half(__m256i bytes) {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
}

// The errors of the 32 bytes at `p`, before which three bytes can be read.
__attribute__((target("avx2"))) static inline __m256i errors(const uint8_t *p, __m256i bytes) {
    const __m256i first_high = BOTH(
        too_long, too_long, too_long, too_long, too_long, too_long, too_long, too_long, (char)two_continuations,
        (char)two_continuations, (char)two_continuations, (char)two_continuations, too_short | overlong_2, too_short,
        too_short | overlong_3 | surrogate, too_short | too_large | too_large_1000 | overlong_4);
    const __m256i first_low = BOTH(
        (char)(carry | overlong_3 | overlong_2 | overlong_4), (char)(carry | overlong_2), (char)carry, (char)carry,
        (char)(carry | too_large), (char)(carry | too_large | too_large_1000), (char)(carry | too_large | too_large_1000),
        (char)(carry | too_large | too_large_1000), (char)(carry | too_large | too_large_1000),
        (char)(carry | too_large | too_large_1000), (char)(carry | too_large | too_large_1000),
        (char)(carry | too_large | too_large_1000), (char)(carry | too_large | too_large_1000),
        (char)(carry | too_large | too_large_1000 | surrogate), (char)(carry | too_large | too_large_1000),
        (char)(carry | too_large | too_large_1000));
    const __m256i second_high = BOTH(
        too_short, too_short, too_short, too_short, too_short, too_short, too_short, too_short,
        (char)(too_long | overlong_2 | two_continuations | overlong_3 | too_large_1000 | overlong_4),
        (char)(too_long | overlong_2 | two_continuations | overlong_3 | too_large),
        (char)(too_long | overlong_2 | two_continuations | surrogate | too_large),
        (char)(too_long | overlong_2 | two_continuations | surrogate | too_large), too_short, too_short, too_short,
        too_short);
    __m256i before = _mm256_loadu_si256((const __m256i *)(p - 1));
    __m256i pair = _mm256_and_si256(
        _mm256_and_si256(
            _mm256_shuffle_epi8(first_high, high_half(before)),
            _mm256_shuffle_epi8(first_low, _mm256_and_si256(before, _mm256_set1_epi8(0x0f)))),
        _mm256_shuffle_epi8(second_high, high_half(bytes)));
    // A third or fourth byte is due where the byte two places before is e0 or more, or that three places before f0 or more:
    // there, and nowhere else, two continuations must follow each other.
    __m256i third = _mm256_subs_epu8(_mm256_loadu_si256((const __m256i *)(p - 2)), _mm256_set1_epi8((char)0x60));
    __m256i fourth = _mm256_subs_epu8(_mm256_loadu_si256((const __m256i *)(p - 3)), _mm256_set1_epi8(0x70));
    __m256i due = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(due, pair);
}

__attribute__((target("avx2"))) size_t gdn_utf8_wide(const uint8_t *text, size_t start, size_t count) {
    size_t index = start;
    // Whether the characters of the blocks so far may reach into the next.
    int open = 1;
    for (; index + 64 <= count; index += 64) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(text + index));
        __m256i high = _mm256_loadu_si256((const __m256i *)(text + index + 32));
        int plain = _mm256_movemask_epi8(_mm256_or_si256(low, high)) == 0;
        if (plain && !open) continue;
        __m256i wrong = _mm256_or_si256(errors(text + index, low), errors(text + index + 32, high));
        if (!_mm256_testz_si256(wrong, wrong)) break;
        open = !plain;
    }
    // Back to the beginning of a character that the blocks may have left open.
    for (size_t back = 1; back <= 3 && index - back >= start; back++) {
        if (text[index - back] < 0x80) break;
        if (text[index - back] >= 0xc0) return index - back;
    }
    return index;
}
#else
int gdn_utf8_has_wide(void) { return 0; }
size_t gdn_utf8_wide(const uint8_t *text, size_t start, size_t count) {
    (void)text, (void)count;
    return start;
}
#endif
