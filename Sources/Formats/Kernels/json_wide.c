// JSON strings in steps of 64 bytes, for processors with AVX-512 VBMI2: escapes of one letter are found, checked and replaced
// without looking at them one by one; only \u is.
#include "gdn_formats.h"
#include "json_escapes.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vbmi2,bmi,bmi2")))

int gdn_json_has_wide(void) {
    return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vbmi")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2");
}

// What the letter behind a backslash stands for; 0 where it is none, and for u.
static const uint8_t letters[128] = {
    ['n'] = '\n', ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['t'] = '\t', ['r'] = '\r', ['b'] = '\b', ['f'] = '\f',
};

// Bytes that an escape's backslash stands before. `*is_open` says whether a backslash that begins an escape is the last byte
// of the block before, and becomes the same of this one. In a row of backslashes every second is escaped: subtracting
// carries through the row from where it begins (simdjson, "find_escaped").
static inline uint64_t escaped_bytes(uint64_t backslashes, uint64_t *is_open) {
    const uint64_t odd = 0xaaaaaaaaaaaaaaaa;
    uint64_t starts = backslashes & ~*is_open;
    uint64_t codes = (((starts << 1) | odd) - starts) ^ odd;
    uint64_t escaped = codes ^ (backslashes | *is_open);
    *is_open = (codes & backslashes) >> 63;
    return escaped;
}

WIDE static inline __m512i load(const uint8_t *text, size_t rest) {
    if (rest >= 64) return _mm512_loadu_si512(text);
    return _mm512_mask_loadu_epi8(_mm512_set1_epi8('a'), _cvtu64_mask64(~0ull >> (64 - rest)), text);
}

WIDE static inline __m512i translated(__m512i bytes) {
    return _mm512_permutex2var_epi8(_mm512_loadu_si512(letters), bytes, _mm512_loadu_si512(letters + 64));
}

WIDE size_t gdn_json_string_wide(const uint8_t *text, size_t count, int *has_escapes) {
    uint64_t open = 0;
    for (size_t start = 0; start < count; start += 64) {
        __m512i bytes = load(text + start, count - start);
        uint64_t quotes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"'));
        uint64_t backslashes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\'));
        uint64_t controls = _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20));
        uint64_t escaped = 0;
        if (backslashes | open) {
            escaped = escaped_bytes(backslashes, &open);
            quotes &= ~escaped;
        }
        // All bits before the first quote.
        uint64_t inside = quotes ? (quotes & -quotes) - 1 : ~0ull;
        if (controls & inside) return count;
        if (backslashes & inside) *has_escapes = 1;
        escaped &= inside;
        if (escaped) {
            uint64_t none = _mm512_mask_testn_epi8_mask(_cvtu64_mask64(escaped), translated(bytes), translated(bytes));
            none |= escaped & _mm512_movepi8_mask(bytes);
            for (; none; none &= none - 1) {
                size_t index = start + (size_t)__builtin_ctzll(none);
                int is_unit = index < count && text[index] == 'u' && count - index >= 5 && unit(text + index + 1) <= 0xffff;
                if (!is_unit) return count;
            }
        }
        if (quotes) {
            size_t end = start + (size_t)__builtin_ctzll(quotes);
            return end < count ? end : count;
        }
    }
    return count;
}

// Writes the first `step` of 64 bytes without the backslashes of their escapes; returns how many that are.
WIDE static inline size_t put(uint8_t *to, __m512i bytes, uint64_t backslashes, uint64_t escaped, size_t step) {
    uint64_t taken = step ? ~0ull >> (64 - step) : 0;
    uint64_t kept = taken & ~(backslashes & ~escaped);
    bytes = _mm512_mask_blend_epi8(_cvtu64_mask64(escaped), bytes, translated(bytes));
    bytes = _mm512_maskz_compress_epi8(_cvtu64_mask64(kept), bytes);
    size_t length = (size_t)__builtin_popcountll(kept);
    // A whole vector only where no byte of it lies behind those that are done with.
    if (step == 64) {
        _mm512_storeu_si512(to, bytes);
    } else if (length > 0) {
        _mm512_mask_storeu_epi8(to, _cvtu64_mask64(~0ull >> (64 - length)), bytes);
    }
    return length;
}

WIDE size_t gdn_json_unescape_wide(uint8_t *text, size_t count) {
    size_t from = 0, to = 0;
    uint64_t open = 0;
    while (from < count) {
        size_t rest = count - from;
        __m512i bytes = load(text + from, rest);
        uint64_t backslashes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\'));
        uint64_t escaped = escaped_bytes(backslashes, &open);
        uint64_t units = escaped & _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('u'));
        if (__builtin_expect(units == 0, 1)) {
            // A step that does not depend on what was found lets the next begin before this one ends.
            size_t step = rest < 64 ? rest : 64;
            to += put(text + to, bytes, backslashes, escaped, step);
            from += step;
            continue;
        }
        size_t step = (size_t)__builtin_ctzll(units);
        to += put(text + to, bytes, backslashes, escaped, step);
        // The backslash before the u is not written; it may even have been in the vector before.
        from += step - 1;
        open = 0;
        do {
            from += write_escape(text, from, count, &to);
        } while (count - from >= 6 && text[from] == '\\' && text[from + 1] == 'u');
    }
    return to;
}
#else
int gdn_json_has_wide(void) { return 0; }
size_t gdn_json_string_wide(const uint8_t *text, size_t count, int *has_escapes) {
    (void)text, (void)has_escapes;
    return count;
}
size_t gdn_json_unescape_wide(uint8_t *text, size_t count) {
    (void)text;
    return count;
}
#endif
