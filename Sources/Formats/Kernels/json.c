// JSON strings: where one ends, and what its escapes stand for (RFC 8259, section 7).
#include "gdn_formats.h"
#include "json_escapes.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Blocks of 64 bytes are looked at as a whole and give a bit a byte: going from bit to bit, the processor has to guess far less
// often than when it goes from run to run of plain bytes.
enum { block = 64 };

#if defined(__SSE2__)
static inline uint64_t bits_of_16(const uint8_t *text, int all) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)text);
    __m128i found = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    if (all) {
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes));
    }
    return (uint64_t)(unsigned)_mm_movemask_epi8(found);
}
static inline uint64_t bits_of_block(const uint8_t *text, int all) {
    return bits_of_16(text, all) | bits_of_16(text + 16, all) << 16 | bits_of_16(text + 32, all) << 32
         | bits_of_16(text + 48, all) << 48;
}
#else
static inline uint64_t bits_of_block(const uint8_t *text, int all) {
    uint64_t bits = 0;
    for (int i = 0; i < block; i++) {
        int found = text[i] == '\\' || (all && (text[i] == '"' || text[i] < 0x20));
        bits |= (uint64_t)found << i;
    }
    return bits;
}
#endif

// The backslashes, with `all` also quotes and control characters, of the block at `text`, of which `rest` bytes are there.
static inline uint64_t special_bits(const uint8_t *text, size_t rest, int all) {
    if (rest >= block) return bits_of_block(text, all);
    uint8_t padded[block];
    memset(padded, 'a', block);
    memcpy(padded, text, rest);
    return bits_of_block(padded, all);
}

// Clears the bits before byte `end`, counted from the block's first, which it may be before or behind.
static inline uint64_t from_byte(uint64_t bits, size_t start, size_t end) {
    if (end <= start) return bits;
    return end - start >= block ? 0 : bits & ~0ull << (end - start);
}

// Bytes of the escape at `text`; 0 when it is none.
static inline size_t escape_length(const uint8_t *text, size_t rest) {
    if (rest < 2) return 0;
    switch (text[1]) {
    case 'n': case '"': case '\\': case '/': case 't': case 'r': case 'b': case 'f': return 2;
    case 'u': return rest >= 6 && unit(text + 2) <= 0xffff ? 6 : 0;
    default: return 0;
    }
}

size_t gdn_json_string(const uint8_t *text, size_t count, int *has_escapes, int use_wide) {
    if (use_wide) return gdn_json_string_wide(text, count, has_escapes);
    size_t next = 0;
    for (size_t start = 0; start < count; start += block) {
        uint64_t bits = from_byte(special_bits(text + start, count - start, 1), start, next);
        while (bits) {
            size_t index = start + (size_t)__builtin_ctzll(bits);
            if (text[index] == '"') return index;
            size_t length = text[index] == '\\' ? escape_length(text + index, count - index) : 0;
            if (length == 0) return count;
            *has_escapes = 1;
            next = index + length;
            bits = from_byte(bits, start, next);
        }
    }
    return count;
}

// Moves bytes from `from` down to `to`. What is between the two may be written over; `end` is where reading must end.
static inline void move_down(uint8_t *to, const uint8_t *from, size_t count, const uint8_t *end) {
    size_t gap = (size_t)(from - to);
    if (gap == 0) return;
    size_t index = 0;
    // A whole step may be stored where it reaches over bytes that were loaded already, and no others.
    for (; index < count; index += 16) {
        if ((count - index < 16 && gap < 16) || end - (from + index) < 16) break;
        uint64_t step[2];
        memcpy(step, from + index, 16);
        memcpy(to + index, step, 16);
    }
    for (; index < count; index++) to[index] = from[index];
}

size_t gdn_json_unescape(uint8_t *text, size_t count, int use_wide) {
    if (use_wide) return gdn_json_unescape_wide(text, count);
    size_t from = 0, to = 0;
    for (size_t start = 0; start < count; start += block) {
        uint64_t bits = from_byte(special_bits(text + start, count - start, 0), start, from);
        while (bits) {
            size_t index = start + (size_t)__builtin_ctzll(bits);
            move_down(text + to, text + from, index - from, text + count);
            to += index - from;
            from = index + write_escape(text, index, count, &to);
            bits = from_byte(bits, start, from);
        }
    }
    move_down(text + to, text + from, count - from, text + count);
    return to + count - from;
}
