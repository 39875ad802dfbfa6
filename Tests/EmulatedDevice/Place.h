// Where a thread is; shared by the device and the kernels.
#pragma once

struct emu_dim {
    unsigned x, y, z;
};
struct emu_place {
    emu_dim thread, block, block_dim, grid_dim;
    unsigned lane, lane_of_block;
};
