// The device's memory. Fresh memory holds NaN, ends at a page that cannot be touched, and what lies before it and in the last
// bytes after it is looked at when it is freed.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "Settings.h"

namespace {


struct Memory {
    std::mutex mutex;
    struct Block {
        char *map;
        size_t mapped, size;
    };
    std::map<uint64_t, Block> blocks;
    size_t used = 0, high = 0, total = (size_t)setting("GDN_EMULATED_MEMORY", 16384) << 20;

    int allocate(uint64_t *address, size_t size) {
        std::lock_guard<std::mutex> lock(mutex);
        size_t padded = rounded(size, 256), mapped = rounded(padded, PAGE) + PAGE;
        if (used + mapped > total) return OUT_OF_MEMORY;
        char *map = (char *)mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED) return OUT_OF_MEMORY;
        mprotect(map + mapped - PAGE, PAGE, PROT_NONE);
        memset(map, 0xff, mapped - PAGE);
        *address = (uint64_t)(map + mapped - PAGE - padded);
        blocks[*address] = {map, mapped, size};
        used += mapped;
        high = std::max(high, used);
        return SUCCESS;
    }

    int release(uint64_t address) {
        std::lock_guard<std::mutex> lock(mutex);
        auto found = blocks.find(address);
        if (found == blocks.end()) return INVALID_VALUE;
        Block block = found->second;
        auto untouched = [](const char *from, const char *to) {
            for (; from < to; from++)
                if (*from != (char)0xff) return false;
            return true;
        };
        if (!untouched(block.map, (char *)address) ||
            !untouched((char *)address + block.size, block.map + block.mapped - PAGE)) {
            fprintf(stderr, "emulated device: bytes outside of a tensor of %zu bytes were written\n", block.size);
            abort();
        }
        used -= block.mapped;
        munmap(block.map, block.mapped);
        blocks.erase(found);
        return SUCCESS;
    }
};

}  // namespace
