// The prelude and the backend's CUDA sources, embedded as text; NVRTC compiles them on the machine that runs them.
#include "gdn_cuda_kernel_text.h"
#include <stddef.h>
#include <string.h>

static const char prelude[] = {
#embed "Prelude.cuh"
    , 0};
static const char elementwise[] = {
#embed "elementwise.cu"
    , 0};
static const char small_product[] = {
#embed "small_product.cu"
    , 0};
static const char random[] = {
#embed "random.cu"
    , 0};

static const struct {
    const char *file, *text;
} sources[] = {
    {"Prelude.cuh", prelude},
    {"elementwise.cu", elementwise},
    {"small_product.cu", small_product},
    {"random.cu", random},
};

const char *gdn_cuda_kernel_text(const char *file) {
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (strcmp(sources[i].file, file) == 0) return sources[i].text;
    return NULL;
}
