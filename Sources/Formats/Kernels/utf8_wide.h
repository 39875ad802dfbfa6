// UTF-8 in wide steps, for processors that have them.
#ifndef UTF8_WIDE_H
#define UTF8_WIDE_H

#include <stddef.h>
#include <stdint.h>

// Goes on from `start`, which is at least 3 and the beginning of a character; everything before it is UTF-8. Returns a
// beginning of a character up to which everything is UTF-8: near the end, or near what is no UTF-8.
size_t gdn_utf8_wide(const uint8_t *text, size_t start, size_t count);

#endif
