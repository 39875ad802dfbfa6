// Products of a warpgroup (four warps, sm_90a): C (64 × N) += A (64 × 16) B (16 × N), B read from shared memory by the matrix
// units themselves. Each warp holds sixteen rows of A and C, in the same places as for one warp's products.
//
// B lies in shared memory in blocks of 64 columns: rows of 128 bytes, the eight pieces of 16 bytes of row r exchanged by XOR with
// r % 8 (the matrix units' 128-byte swizzle), so that neither rows nor columns of pieces share banks. A block begins at a
// multiple of 1024 bytes. Stored [n][k], or TRANSPOSED [k][n].

#if WARPGROUPS

typedef unsigned long long u64;
#define TILE_ALIGNED alignas(1024)

// Element of a tile of ROWS rows at (row, column); columns of a piece follow one another.
template <int ROWS>
DEVICE int swizzled(int row, int column) {
    return (column / 64 * ROWS + row) * 64 + ((column / 8 ^ row) & 7) * 8 + column % 8;
}

// What the matrix units need to know of sixteen rows (TRANSPOSED) or columns of a tile of ROWS rows, counted by `step`: where they
// begin, how far the next 64 columns and the next 8 rows are in units of 16 bytes, and the swizzle (PTX ISA, "matrix
// descriptor").
template <bool TRANSPOSED, int ROWS>
DEVICE u64 describe_tile(const element *tile, int step) {
    const element *from = tile + (TRANSPOSED ? step * 16 * 64 : step / 4 * ROWS * 64 + step % 4 * 16);
    u64 next_columns = ROWS * 128 / 16, next_rows = 1024 / 16, swizzle = 1;
    return (shared_address(from) >> 4 & 0x3fff) | next_columns << 16 | next_rows << 32 | swizzle << 62;
}

// Products are under way from the first to `wait_products`; `begin_products` before them, and nothing else touches their
// registers meanwhile. A group ends with `commit_products`.
DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most so many groups are under way.
template <int PENDING>
DEVICE void wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}
// What this thread has copied to shared memory, and has arrived, can be read by the matrix units behind the next barrier.
DEVICE void show_copies() { asm volatile("fence.proxy.async;" ::: "memory"); }

template <bool TRANSPOSED>
DEVICE void multiply_group(Accumulator (&c)[8], const FragmentA &a, u64 tile) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,"
                 "%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
                 "{%32,%33,%34,%35}, %36, 1, 1, 1, %37;"
                 : "+f"(c[0].at[0]), "+f"(c[0].at[1]), "+f"(c[0].at[2]), "+f"(c[0].at[3]),
                   "+f"(c[1].at[0]), "+f"(c[1].at[1]), "+f"(c[1].at[2]), "+f"(c[1].at[3]),
                   "+f"(c[2].at[0]), "+f"(c[2].at[1]), "+f"(c[2].at[2]), "+f"(c[2].at[3]),
                   "+f"(c[3].at[0]), "+f"(c[3].at[1]), "+f"(c[3].at[2]), "+f"(c[3].at[3]),
                   "+f"(c[4].at[0]), "+f"(c[4].at[1]), "+f"(c[4].at[2]), "+f"(c[4].at[3]),
                   "+f"(c[5].at[0]), "+f"(c[5].at[1]), "+f"(c[5].at[2]), "+f"(c[5].at[3]),
                   "+f"(c[6].at[0]), "+f"(c[6].at[1]), "+f"(c[6].at[2]), "+f"(c[6].at[3]),
                   "+f"(c[7].at[0]), "+f"(c[7].at[1]), "+f"(c[7].at[2]), "+f"(c[7].at[3])
                 : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "l"(tile), "n"(TRANSPOSED ? 1 : 0));
}
template <bool TRANSPOSED>
DEVICE void multiply_group(Accumulator (&c)[16], const FragmentA &a, u64 tile) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,"
                 "%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,"
                 "%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
                 "{%64,%65,%66,%67}, %68, 1, 1, 1, %69;"
                 : "+f"(c[0].at[0]), "+f"(c[0].at[1]), "+f"(c[0].at[2]), "+f"(c[0].at[3]),
                   "+f"(c[1].at[0]), "+f"(c[1].at[1]), "+f"(c[1].at[2]), "+f"(c[1].at[3]),
                   "+f"(c[2].at[0]), "+f"(c[2].at[1]), "+f"(c[2].at[2]), "+f"(c[2].at[3]),
                   "+f"(c[3].at[0]), "+f"(c[3].at[1]), "+f"(c[3].at[2]), "+f"(c[3].at[3]),
                   "+f"(c[4].at[0]), "+f"(c[4].at[1]), "+f"(c[4].at[2]), "+f"(c[4].at[3]),
                   "+f"(c[5].at[0]), "+f"(c[5].at[1]), "+f"(c[5].at[2]), "+f"(c[5].at[3]),
                   "+f"(c[6].at[0]), "+f"(c[6].at[1]), "+f"(c[6].at[2]), "+f"(c[6].at[3]),
                   "+f"(c[7].at[0]), "+f"(c[7].at[1]), "+f"(c[7].at[2]), "+f"(c[7].at[3]),
                   "+f"(c[8].at[0]), "+f"(c[8].at[1]), "+f"(c[8].at[2]), "+f"(c[8].at[3]),
                   "+f"(c[9].at[0]), "+f"(c[9].at[1]), "+f"(c[9].at[2]), "+f"(c[9].at[3]),
                   "+f"(c[10].at[0]), "+f"(c[10].at[1]), "+f"(c[10].at[2]), "+f"(c[10].at[3]),
                   "+f"(c[11].at[0]), "+f"(c[11].at[1]), "+f"(c[11].at[2]), "+f"(c[11].at[3]),
                   "+f"(c[12].at[0]), "+f"(c[12].at[1]), "+f"(c[12].at[2]), "+f"(c[12].at[3]),
                   "+f"(c[13].at[0]), "+f"(c[13].at[1]), "+f"(c[13].at[2]), "+f"(c[13].at[3]),
                   "+f"(c[14].at[0]), "+f"(c[14].at[1]), "+f"(c[14].at[2]), "+f"(c[14].at[3]),
                   "+f"(c[15].at[0]), "+f"(c[15].at[1]), "+f"(c[15].at[2]), "+f"(c[15].at[3])
                 : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "l"(tile), "n"(TRANSPOSED ? 1 : 0));
}
template <bool TRANSPOSED>
DEVICE void multiply_group(Accumulator (&c)[32], const FragmentA &a, u64 tile) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,"
                 "%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,"
                 "%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,%64,"
                 "%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,"
                 "%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,"
                 "%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,"
                 "%121,%122,%123,%124,%125,%126,%127}, "
                 "{%128,%129,%130,%131}, %132, 1, 1, 1, %133;"
                 : "+f"(c[0].at[0]), "+f"(c[0].at[1]), "+f"(c[0].at[2]), "+f"(c[0].at[3]),
                   "+f"(c[1].at[0]), "+f"(c[1].at[1]), "+f"(c[1].at[2]), "+f"(c[1].at[3]),
                   "+f"(c[2].at[0]), "+f"(c[2].at[1]), "+f"(c[2].at[2]), "+f"(c[2].at[3]),
                   "+f"(c[3].at[0]), "+f"(c[3].at[1]), "+f"(c[3].at[2]), "+f"(c[3].at[3]),
                   "+f"(c[4].at[0]), "+f"(c[4].at[1]), "+f"(c[4].at[2]), "+f"(c[4].at[3]),
                   "+f"(c[5].at[0]), "+f"(c[5].at[1]), "+f"(c[5].at[2]), "+f"(c[5].at[3]),
                   "+f"(c[6].at[0]), "+f"(c[6].at[1]), "+f"(c[6].at[2]), "+f"(c[6].at[3]),
                   "+f"(c[7].at[0]), "+f"(c[7].at[1]), "+f"(c[7].at[2]), "+f"(c[7].at[3]),
                   "+f"(c[8].at[0]), "+f"(c[8].at[1]), "+f"(c[8].at[2]), "+f"(c[8].at[3]),
                   "+f"(c[9].at[0]), "+f"(c[9].at[1]), "+f"(c[9].at[2]), "+f"(c[9].at[3]),
                   "+f"(c[10].at[0]), "+f"(c[10].at[1]), "+f"(c[10].at[2]), "+f"(c[10].at[3]),
                   "+f"(c[11].at[0]), "+f"(c[11].at[1]), "+f"(c[11].at[2]), "+f"(c[11].at[3]),
                   "+f"(c[12].at[0]), "+f"(c[12].at[1]), "+f"(c[12].at[2]), "+f"(c[12].at[3]),
                   "+f"(c[13].at[0]), "+f"(c[13].at[1]), "+f"(c[13].at[2]), "+f"(c[13].at[3]),
                   "+f"(c[14].at[0]), "+f"(c[14].at[1]), "+f"(c[14].at[2]), "+f"(c[14].at[3]),
                   "+f"(c[15].at[0]), "+f"(c[15].at[1]), "+f"(c[15].at[2]), "+f"(c[15].at[3]),
                   "+f"(c[16].at[0]), "+f"(c[16].at[1]), "+f"(c[16].at[2]), "+f"(c[16].at[3]),
                   "+f"(c[17].at[0]), "+f"(c[17].at[1]), "+f"(c[17].at[2]), "+f"(c[17].at[3]),
                   "+f"(c[18].at[0]), "+f"(c[18].at[1]), "+f"(c[18].at[2]), "+f"(c[18].at[3]),
                   "+f"(c[19].at[0]), "+f"(c[19].at[1]), "+f"(c[19].at[2]), "+f"(c[19].at[3]),
                   "+f"(c[20].at[0]), "+f"(c[20].at[1]), "+f"(c[20].at[2]), "+f"(c[20].at[3]),
                   "+f"(c[21].at[0]), "+f"(c[21].at[1]), "+f"(c[21].at[2]), "+f"(c[21].at[3]),
                   "+f"(c[22].at[0]), "+f"(c[22].at[1]), "+f"(c[22].at[2]), "+f"(c[22].at[3]),
                   "+f"(c[23].at[0]), "+f"(c[23].at[1]), "+f"(c[23].at[2]), "+f"(c[23].at[3]),
                   "+f"(c[24].at[0]), "+f"(c[24].at[1]), "+f"(c[24].at[2]), "+f"(c[24].at[3]),
                   "+f"(c[25].at[0]), "+f"(c[25].at[1]), "+f"(c[25].at[2]), "+f"(c[25].at[3]),
                   "+f"(c[26].at[0]), "+f"(c[26].at[1]), "+f"(c[26].at[2]), "+f"(c[26].at[3]),
                   "+f"(c[27].at[0]), "+f"(c[27].at[1]), "+f"(c[27].at[2]), "+f"(c[27].at[3]),
                   "+f"(c[28].at[0]), "+f"(c[28].at[1]), "+f"(c[28].at[2]), "+f"(c[28].at[3]),
                   "+f"(c[29].at[0]), "+f"(c[29].at[1]), "+f"(c[29].at[2]), "+f"(c[29].at[3]),
                   "+f"(c[30].at[0]), "+f"(c[30].at[1]), "+f"(c[30].at[2]), "+f"(c[30].at[3]),
                   "+f"(c[31].at[0]), "+f"(c[31].at[1]), "+f"(c[31].at[2]), "+f"(c[31].at[3])
                 : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "l"(tile), "n"(TRANSPOSED ? 1 : 0));
}

#else
#define TILE_ALIGNED
DEVICE void begin_products() {}
DEVICE void commit_products() {}
template <int PENDING>
DEVICE void wait_products() {}
DEVICE void show_copies() {}
#endif
