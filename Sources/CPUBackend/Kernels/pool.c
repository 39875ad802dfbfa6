// Thread pool (first form: serial).
#include "gdn_cpu.h"
#include <stdlib.h>

struct gdn_pool {
    int threads;
};

gdn_pool *gdn_pool_create(int threads) {
    gdn_pool *pool = malloc(sizeof *pool);
    pool->threads = threads;
    return pool;
}

void gdn_pool_destroy(gdn_pool *pool) { free(pool); }

void gdn_pool_run(gdn_pool *pool, long tasks, void (*body)(void *, long, int), void *context) {
    for (long task = 0; task < tasks; task++) body(context, task, 0);
}
