// Sizes of the emulated device, and what the environment asks of it.
#pragma once
#include <stddef.h>
#include <stdlib.h>

namespace {

constexpr size_t PAGE = 4096, SHARED_LIMIT = 232448;
constexpr int SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, NOT_FOUND = 500;

size_t rounded(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }
int setting(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value && *value ? atoi(value) : otherwise;
}
int order() {
    static int value = setting("GDN_EMULATED_ORDER", 0);
    return value;
}

}  // namespace
