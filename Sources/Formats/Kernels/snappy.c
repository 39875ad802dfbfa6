// The decoder of raw Snappy blocks, after the format's public description: the length of the output as a base-128 number,
// then literals and copies from what has been written.
#include "gdn_formats.h"

#include <string.h>

const char *gdn_snappy_decode(const uint8_t *in, size_t count, uint8_t *out, size_t size) {
    const uint8_t *const in_end = in + count;
    uint64_t length = 0;
    for (int shift = 0;; shift += 7) {
        if (in == in_end) return "the block ends inside its length";
        if (shift > 28) return "the block's length is longer than 32 bits";
        length |= (uint64_t)(*in & 0x7f) << shift;
        if (*in++ < 0x80) break;
    }
    if (length != size) return "the block gives another number of bytes than announced";
    size_t done = 0;
    while (in < in_end) {
        uint8_t tag = *in++;
        size_t run, distance;
        if ((tag & 3) == 0) {
            run = (tag >> 2) + 1u;
            if (run > 60) {
                size_t width = run - 60;
                if ((size_t)(in_end - in) < width) return "the block ends inside the length of a literal";
                run = 0;
                for (size_t i = 0; i < width; i++) run |= (size_t)in[i] << (8 * i);
                run += 1;
                in += width;
            }
            if ((size_t)(in_end - in) < run) return "the block ends inside a literal";
            if (size - done < run) return "a literal goes past the end of the output";
            memcpy(out + done, in, run);
            in += run;
            done += run;
            continue;
        }
        size_t width = (tag & 3) == 1 ? 1 : (tag & 3) == 2 ? 2 : 4;
        if ((size_t)(in_end - in) < width) return "the block ends inside a copy";
        if (width == 1) {
            run = 4 + (tag >> 2 & 7);
            distance = (size_t)(tag >> 5) << 8 | in[0];
        } else {
            run = (tag >> 2) + 1u;
            distance = 0;
            for (size_t i = 0; i < width; i++) distance |= (size_t)in[i] << (8 * i);
        }
        in += width;
        if (distance == 0 || distance > done) return "a copy begins before the output";
        if (size - done < run) return "a copy goes past the end of the output";
        const uint8_t *from = out + done - distance;
        if (distance >= 16 && size - done >= 64) {
            // A run has at most 64 bytes; what is written behind it is written over later.
            for (size_t i = 0; i < run; i += 16) memcpy(out + done + i, from + i, 16);
        } else if (distance >= run) {
            memcpy(out + done, from, run);
        } else {
            for (size_t i = 0; i < run; i++) out[done + i] = from[i];
        }
        done += run;
    }
    return done == size ? NULL : "the block ends before the output is complete";
}
