// Escapes of JSON strings, one by one (RFC 8259, section 7).
#ifndef JSON_ESCAPES_H
#define JSON_ESCAPES_H

#include <stddef.h>
#include <stdint.h>

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

// Writes what the escape at `index` stands for; returns the bytes it takes.
static inline size_t write_escape(uint8_t *text, size_t index, size_t count, size_t *to) {
    uint8_t kind = text[index + 1];
    if (kind != 'u') {
        text[(*to)++] = kind == 'n' ? '\n' : kind == 't' ? '\t' : kind == 'r' ? '\r' : kind == 'b' ? '\b'
                      : kind == 'f' ? '\f' : kind;
        return 2;
    }
    uint32_t character = unit(text + index + 2);
    size_t length = 6;
    if (character >= 0xd800 && character < 0xe000) {
        uint32_t low = 0;
        const uint8_t *behind = text + index + 6;
        if (character < 0xdc00 && count - index >= 12 && behind[0] == '\\' && behind[1] == 'u') low = unit(behind + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
            length = 12;
        } else {
            character = 0xfffd;
        }
    }
    *to += write_utf8(text + *to, character);
    return length;
}

// `gdn_json_string` and `gdn_json_unescape` in wide steps, for processors that have them (`json_wide.c`).
size_t gdn_json_string_wide(const uint8_t *text, size_t count, int *has_escapes);
size_t gdn_json_unescape_wide(uint8_t *text, size_t count);

#endif
