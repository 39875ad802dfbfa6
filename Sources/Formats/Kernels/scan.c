// Text in blocks: where it stops being UTF-8, where a JSON string needs a closer look. Blocks of 32 bytes are reduced to one
// flag in loops that vectorise at the baseline; only the block that has the flag is looked at byte by byte.
#include "gdn_formats.h"
#include "utf8_wide.h"

enum { block = 32 };

static inline int is_continuation(uint8_t byte) { return (byte & 0xc0) == 0x80; }

// Length of the character at `p`, of which `rest` bytes are there; 0 when there is no whole one.
static inline size_t character(const uint8_t *p, size_t rest) {
    uint8_t lead = p[0];
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || rest < 2) return 0;
    uint8_t second = p[1];
    if (lead < 0xe0) return is_continuation(second) ? 2 : 0;
    if (rest < 3) return 0;
    if (lead < 0xf0) {
        uint8_t low = lead == 0xe0 ? 0xa0 : 0x80, high = lead == 0xed ? 0x9f : 0xbf;
        return second >= low && second <= high && is_continuation(p[2]) ? 3 : 0;
    }
    if (lead > 0xf4 || rest < 4) return 0;
    uint8_t low = lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high && is_continuation(p[2]) && is_continuation(p[3]) ? 4 : 0;
}

size_t gdn_utf8_prefix(const uint8_t *text, size_t count, int use_wide) {
    size_t index = 0;
    // Wide steps look at three bytes before theirs.
    int is_wide = use_wide && count >= 128;
    while (index < count) {
        if (is_wide && index >= 3) {
            index = gdn_utf8_wide(text, index, count);
            is_wide = 0;
        }
        if (index + block <= count) {
            uint8_t high = 0;
            for (int i = 0; i < block; i++) high |= text[index + i];
            if (high < 0x80) {
                index += block;
                continue;
            }
        }
        size_t end = index + block < count ? index + block : count;
        while (index < end) {
            size_t length = character(text + index, count - index);
            if (length == 0) return index;
            index += length;
        }
    }
    return index;
}

size_t gdn_count_newlines(const uint8_t *text, size_t count) {
    size_t newlines = 0;
    for (size_t i = 0; i < count; i++) newlines += text[i] == '\n';
    return newlines;
}
