// Thread pool: workers spin for some tens of microseconds after a job and then sleep, so that jobs which follow each
// other closely cost well under a microsecond to start and an idle program costs nothing.
//
// Every thread has a queue, its own share of the job's tasks in order, and helps the others when that is done. Jobs that
// cut the same rows into tasks so meet the same thread again, and what it wrote in its caches: between processors that
// share no cache a line costs many times what it costs there.
//
// A queue's atomic ticket holds the number of the job and the next unclaimed task. A task is claimed by compare-and-swap
// on the whole ticket: that succeeds only while the job it read about is still running, so a worker that wakes late can
// never run a task with another job's arguments, and the caller need not wait for sleepers.
#include "gdn_cpu.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define SPIN_NANOSECONDS 30000
#define TASKS_A_JOB 0x7fffffffL
#define CLOSED 0xffffffffu

typedef struct {
    _Alignas(64) _Atomic uint64_t ticket;  // job number << 32 | next task
} queue;

struct gdn_pool {
    queue *queues;                         // one a thread
    _Alignas(64) _Atomic long finished;    // tasks done of this job
    _Alignas(64) _Atomic(gdn_task) body;   // the job: written only while none runs
    _Atomic(void *) context;
    _Atomic long tasks, first;
    _Atomic int sleepers, caller_sleeps, stops;
    pthread_mutex_t callers;  // held for the length of a job
    pthread_mutex_t lock;     // for the two conditions
    pthread_cond_t work, done;
    int threads;
    pthread_t *workers;
};

typedef struct {
    gdn_pool *pool;
    int thread;
} worker_start;

// Number of this thread in the pool whose task it is running; −1 outside of tasks.
static _Thread_local int running_as = -1;

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Number of the first task of a thread's share; of the thread after the last: all.
static inline long share(long tasks, int thread, int threads) { return tasks * thread / threads; }

static inline uint32_t job_of(uint64_t ticket) { return (uint32_t)(ticket >> 32); }

// Claims and runs tasks of job `job` from one queue until none is left in it.
static void empty_queue(gdn_pool *pool, int number, uint32_t job, int thread) {
    _Atomic uint64_t *queue_ticket = &pool->queues[number].ticket;
    for (;;) {
        uint64_t ticket = atomic_load(queue_ticket);
        gdn_task body = atomic_load_explicit(&pool->body, memory_order_acquire);
        void *context = atomic_load_explicit(&pool->context, memory_order_acquire);
        long tasks = atomic_load_explicit(&pool->tasks, memory_order_acquire);
        long first = atomic_load_explicit(&pool->first, memory_order_acquire);
        long task = (long)(ticket & 0xffffffffu);
        if (job_of(ticket) != job || task >= share(tasks, number + 1, pool->threads)) return;
        if (!atomic_compare_exchange_weak(queue_ticket, &ticket, ticket + 1)) continue;
        body(context, first + task, thread);
        if (atomic_fetch_add(&pool->finished, 1) + 1 == tasks && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

// The thread's own share of job `job` first, then what the others have left of theirs.
static void take_part(gdn_pool *pool, uint32_t job, int thread) {
    for (int i = 0; i < pool->threads; i++) empty_queue(pool, (thread + i) % pool->threads, job, thread);
}

// Waits for a job other than `seen`; false when the pool ends.
static int wait_for_job(gdn_pool *pool, int thread, uint32_t seen) {
    _Atomic uint64_t *ticket = &pool->queues[thread].ticket;
    uint64_t limit = now() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 64; i++) {
            if (job_of(atomic_load(ticket)) != seen) return 1;
            relax();
        }
    } while (now() < limit && !atomic_load(&pool->stops));
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (job_of(atomic_load(ticket)) == seen && !atomic_load(&pool->stops))
        pthread_cond_wait(&pool->work, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return !atomic_load(&pool->stops);
}

static void *work(void *argument) {
    worker_start start = *(worker_start *)argument;
    free(argument);
    running_as = start.thread;
    uint32_t seen = 0;
    while (wait_for_job(start.pool, start.thread, seen)) {
        seen = job_of(atomic_load(&start.pool->queues[start.thread].ticket));
        take_part(start.pool, seen, start.thread);
    }
    return NULL;
}

gdn_pool *gdn_pool_create(int threads) {
    gdn_pool *pool = aligned_alloc(64, (sizeof(gdn_pool) + 63) / 64 * 64);
    if (!pool) return NULL;
    *pool = (gdn_pool){.threads = 1};
    pthread_mutex_init(&pool->callers, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = calloc((size_t)(threads > 1 ? threads : 1), sizeof(pthread_t));
    pool->queues = aligned_alloc(64, sizeof(queue) * (size_t)(threads > 1 ? threads : 1));
    for (int i = 0; pool->queues && i < threads; i++) atomic_init(&pool->queues[i].ticket, 0);
    while (pool->workers && pool->queues && pool->threads < threads) {
        worker_start *start = malloc(sizeof *start);
        if (!start) break;
        *start = (worker_start){pool, pool->threads};
        if (pthread_create(&pool->workers[pool->threads - 1], NULL, work, start) != 0) {
            free(start);
            break;
        }
        pool->threads++;
    }
    return pool;
}

int gdn_pool_threads(const gdn_pool *pool) { return pool ? pool->threads : 1; }

void gdn_pool_destroy(gdn_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stops, 1);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i + 1 < pool->threads; i++) pthread_join(pool->workers[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->callers);
    free(pool->queues);
    free(pool->workers);
    free(pool);
}

// Waits until every claimed task of the running job is finished.
static void wait_until_finished(gdn_pool *pool, long tasks) {
    uint64_t limit = now() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load(&pool->finished) == tasks) return;
            relax();
        }
    } while (now() < limit);
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, 1);
    while (atomic_load(&pool->finished) != tasks) pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->caller_sleeps, 0);
    pthread_mutex_unlock(&pool->lock);
}

static void run_job(gdn_pool *pool, long first, long tasks, gdn_task body, void *context) {
    // Close the last job before its fields change: a worker that sees a new field can then claim nothing with it.
    uint32_t last = job_of(atomic_load(&pool->queues[0].ticket)), job = last + 1;
    for (int i = 0; i < pool->threads; i++) atomic_store(&pool->queues[i].ticket, (uint64_t)last << 32 | CLOSED);
    atomic_store_explicit(&pool->body, body, memory_order_release);
    atomic_store_explicit(&pool->context, context, memory_order_release);
    atomic_store_explicit(&pool->tasks, tasks, memory_order_release);
    atomic_store_explicit(&pool->first, first, memory_order_release);
    atomic_store_explicit(&pool->finished, 0, memory_order_release);
    for (int i = pool->threads - 1; i >= 0; i--)
        atomic_store(&pool->queues[i].ticket, (uint64_t)job << 32 | (uint64_t)share(tasks, i, pool->threads));
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
    }
    take_part(pool, job, 0);
    wait_until_finished(pool, tasks);
}

int gdn_pool_in_task(void) { return running_as >= 0; }

void gdn_pool_run(gdn_pool *pool, long tasks, gdn_task body, void *context) {
    if (running_as >= 0 || tasks <= 1 || gdn_pool_threads(pool) == 1) {
        for (long task = 0; task < tasks; task++) body(context, task, running_as >= 0 ? running_as : 0);
        return;
    }
    pthread_mutex_lock(&pool->callers);
    running_as = 0;
    for (long first = 0; first < tasks; first += TASKS_A_JOB) {
        long rest = tasks - first;
        run_job(pool, first, rest < TASKS_A_JOB ? rest : TASKS_A_JOB, body, context);
    }
    running_as = -1;
    pthread_mutex_unlock(&pool->callers);
}
