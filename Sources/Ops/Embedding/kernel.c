// Gradient of an embedding table.
#include "gdn_clones.h"
#include "gdn_ops.h"

// dtable[token_t] += dy_t for channels start..<end, t in order.
GDN_CLONES
void gdn_embedding_backward(float *dtable, const float *dy, const int32_t *tokens, long count, long rows_to_clear,
                            long width, long start, long end) {
    for (long row = 0; row < rows_to_clear; row++)
        for (long i = start; i < end; i++) dtable[row * width + i] = 0;
    for (long t = 0; t < count; t++) {
        float *to = dtable + tokens[t] * width;
        const float *from = dy + t * width;
        for (long i = start; i < end; i++) to[i] += from[i];
    }
}
