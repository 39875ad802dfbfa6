// A launch of a kernel, and how to run it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "Place.h"

struct Kernel {
    std::string name;
    void (*launch)(void **);
    int arguments;
    size_t shared_limit = 48 << 10;
};

struct Launch {
    const Kernel *kernel;
    emu_dim grid, block;
    size_t shared;
    std::vector<uint64_t> arguments;
};

// Runs all blocks; returns when they are done. Ends the process with a sentence where a kernel does what it must not.
void run(const Launch &work);
