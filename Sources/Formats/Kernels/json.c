// JSON strings: where one ends, and what its escapes stand for (RFC 8259, section 7).
#include "gdn_formats.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Values of hexadecimal digits plus one; 0 for other bytes.
static const uint8_t digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

// Number of four hexadecimal digits; above 0xffff when they are none.
static inline uint32_t unit(const uint8_t *p) {
    unsigned a = digits[p[0]], b = digits[p[1]], c = digits[p[2]], d = digits[p[3]];
    if (!a || !b || !c || !d) return 0x10000;
    return ((a << 12) + (b << 8) + (c << 4) + d) - 0x1111;
}

static inline int is_special(uint8_t byte) { return byte == '"' || byte == '\\' || byte < 0x20; }

// A step of several bytes at a time: how many of those at `text` come before the first quote, backslash or control character.
#if defined(__SSE2__)
enum { step = 16 };
typedef __m128i bytes_of_step;

static inline bytes_of_step load(const uint8_t *text) { return _mm_loadu_si128((const __m128i *)text); }
static inline void store(uint8_t *to, bytes_of_step bytes) { _mm_storeu_si128((__m128i *)to, bytes); }
static inline size_t plain_bytes(bytes_of_step bytes) {
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash)));
    return (size_t)__builtin_ctz(found | 1u << step);
}
#else
enum { step = 8 };
typedef uint64_t bytes_of_step;

static inline bytes_of_step load(const uint8_t *text) {
    bytes_of_step bytes;
    memcpy(&bytes, text, step);
    return bytes;
}
static inline void store(uint8_t *to, bytes_of_step bytes) { memcpy(to, &bytes, step); }
static inline size_t plain_bytes(bytes_of_step bytes) {
    const uint8_t *text = (const uint8_t *)&bytes;
    size_t index = 0;
    while (index < step && !is_special(text[index])) index++;
    return index;
}
#endif

// Number of bytes before the first quote, backslash or control character; `count` when there is none.
static inline size_t plain_prefix(const uint8_t *text, size_t count) {
    size_t index = 0;
    while (count - index >= step) {
        size_t plain = plain_bytes(load(text + index));
        index += plain;
        if (plain < step) return index;
    }
    while (index < count && !is_special(text[index])) index++;
    return index;
}

// The same, and moves these bytes down to `to`, which is before `text` or equal. Their number is returned.
static inline size_t move_plain_prefix(uint8_t *to, const uint8_t *text, size_t count) {
    size_t index = 0, gap = (size_t)(text - to);
    if (gap == 0) return plain_prefix(text, count);
    while (count - index >= step) {
        bytes_of_step bytes = load(text + index);
        size_t plain = plain_bytes(bytes);
        // A whole step may be stored while it reaches over bytes that were loaded already, and no others.
        if (plain == step || gap >= step) {
            store(to + index, bytes);
        } else {
            for (size_t i = 0; i < plain; i++) to[index + i] = text[index + i];
        }
        index += plain;
        if (plain < step) return index;
    }
    for (; index < count && !is_special(text[index]); index++) to[index] = text[index];
    return index;
}

size_t gdn_json_string(const uint8_t *text, size_t count, int *has_escapes) {
    size_t index = 0;
    for (;;) {
        index += plain_prefix(text + index, count - index);
        if (index == count) return count;
        if (text[index] == '"') return index;
        if (text[index] < 0x20) return count;
        *has_escapes = 1;
        // Escapes often follow one another: text of another script is written with nothing else.
        while (index < count && text[index] == '\\') {
            if (count - index < 2) return count;
            switch (text[index + 1]) {
            case 'n': case '"': case '\\': case '/': case 't': case 'r': case 'b': case 'f':
                index += 2;
                break;
            case 'u':
                if (count - index < 6 || unit(text + index + 2) > 0xffff) return count;
                index += 6;
                break;
            default: return count;
            }
        }
    }
}

static inline size_t write_utf8(uint8_t *to, uint32_t character) {
    if (character < 0x80) {
        to[0] = (uint8_t)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (uint8_t)(0xc0 | character >> 6);
        to[1] = (uint8_t)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        to[0] = (uint8_t)(0xe0 | character >> 12);
        to[1] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (character & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | character >> 18);
    to[1] = (uint8_t)(0x80 | (character >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (character & 0x3f));
    return 4;
}

size_t gdn_json_unescape(uint8_t *text, size_t count) {
    size_t from = 0, to = 0;
    while (from < count) {
        size_t run = move_plain_prefix(text + to, text + from, count - from);
        from += run;
        to += run;
        while (from < count && text[from] == '\\') {
            uint8_t kind = text[from + 1];
            if (kind != 'u') {
                text[to++] = kind == 'n' ? '\n' : kind == 't' ? '\t' : kind == 'r' ? '\r' : kind == 'b' ? '\b'
                           : kind == 'f' ? '\f' : kind;
                from += 2;
                continue;
            }
            uint32_t character = unit(text + from + 2);
            from += 6;
            if (character >= 0xd800 && character < 0xe000) {
                uint32_t low = 0;
                if (character < 0xdc00 && count - from >= 6 && text[from] == '\\' && text[from + 1] == 'u') {
                    low = unit(text + from + 2);
                }
                if (low >= 0xdc00 && low < 0xe000) {
                    character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
                    from += 6;
                } else {
                    character = 0xfffd;
                }
            }
            to += write_utf8(text + to, character);
        }
    }
    return to;
}
