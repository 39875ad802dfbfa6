// Blocks of threads: a thread is a fiber, the lanes of a warp move in step through warp instructions, warps run one after
// another as far as the next barrier, and blocks are shared out among this machine's processors.
#include "Threads.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "Fiber.h"
#include "Settings.h"

namespace {

constexpr size_t STACK = 192 << 10;

enum class State { ready, in_warp, at_barrier, done };

struct Copy {
    void *to;
    const void *from;
    unsigned bytes, valid;
};

struct Thread {
    emu_place place;
    Fiber fiber;
    State state;
    std::vector<std::vector<Copy>> copies;  // groups; the last one is open
};

struct Warp {
    std::vector<Thread *> lanes;
    char slots[2][32 * 64];
    int generation = 0, arrived = 0, live = 0;
    const char *instruction = nullptr;
};

// One processor of this machine: runs blocks one after another.
struct Worker {
    Fiber scheduler;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    char *stacks = nullptr, *shared = nullptr;
    char *dynamic = nullptr;
    Thread *current = nullptr;
    const Launch *launch = nullptr;
    int at_barrier = 0, live = 0;
    uintptr_t window = 0;

    Worker() {
        stacks = (char *)mmap(nullptr, 1024 * STACK, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        shared = (char *)mmap(nullptr, rounded(SHARED_LIMIT, PAGE) + PAGE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        mprotect(shared + rounded(SHARED_LIMIT, PAGE), PAGE, PROT_NONE);
    }

    void run(const Launch &work, emu_dim block);
    void resume(Thread *next) {
        Thread *from = current;
        current = next;
        fiber_switch(from ? &from->fiber : &scheduler, next ? &next->fiber : &scheduler);
    }
    // To a lane of the same warp that can go on, else to the scheduler.
    void yield() {
        Warp &warp = warps[current->place.lane_of_block / 32];
        unsigned lane = current->place.lane;
        for (size_t i = 1; i <= warp.lanes.size(); i++) {
            Thread *next = warp.lanes[(lane + i) % warp.lanes.size()];
            if (next->state == State::ready && next != current) return resume(next);
        }
        resume(nullptr);
    }
    void release_warp(Warp &warp) {
        warp.generation++, warp.arrived = 0;
        for (Thread *lane : warp.lanes)
            if (lane->state == State::in_warp) lane->state = State::ready;
    }
    void release_barrier() {
        at_barrier = 0;
        for (Thread &thread : threads)
            if (thread.state == State::at_barrier) thread.state = State::ready;
    }
};

thread_local Worker *worker = nullptr;

[[noreturn]] void fail(const char *what) {
    if (worker && worker->current && worker->launch) {
        emu_place &p = worker->current->place;
        fprintf(stderr, "emulated device: %s: block (%u, %u, %u) thread %u: %s\n", worker->launch->kernel->name.c_str(),
                p.block.x, p.block.y, p.block.z, p.thread.x, what);
    } else {
        fprintf(stderr, "emulated device: %s\n", what);
    }
    abort();
}

void fiber_main() {
    Worker *own = worker;
    const Launch &work = *own->launch;
    std::vector<void *> addresses;
    std::vector<uint64_t> values = work.arguments;
    for (uint64_t &value : values) addresses.push_back(&value);
    work.kernel->launch(addresses.data());
    Thread *self = own->current;
    self->state = State::done;
    Warp &warp = own->warps[self->place.lane_of_block / 32];
    warp.live--, own->live--;
    if (warp.live > 0 && warp.arrived == warp.live) own->release_warp(warp);
    if (own->live > 0 && own->at_barrier == own->live) own->release_barrier();
    addresses = {}, values = {};
    own->yield();
    fail("a thread went on after its end");
}

void Worker::run(const Launch &work, emu_dim block) {
    launch = &work;
    unsigned count = work.block.x * work.block.y * work.block.z;
    if (threads.size() != count) threads = std::vector<Thread>(count);
    warps.assign((count + 31) / 32, Warp());
    dynamic = shared + rounded(SHARED_LIMIT, PAGE) - rounded(work.shared, 128);
    memset(shared, 0xff, rounded(SHARED_LIMIT, PAGE));
    for (unsigned i = 0; i < count; i++) {
        Thread &thread = threads[i];
        thread.place = {{i % work.block.x, i / work.block.x % work.block.y, i / work.block.x / work.block.y},
                        block, work.block, work.grid, i % 32, i};
        thread.state = State::ready;
        thread.copies.assign(1, {});
        fiber_make(&thread.fiber, stacks + (size_t)i * STACK, STACK, fiber_main);
        warps[i / 32].lanes.push_back(&thread);
        warps[i / 32].live++;
    }
    live = (int)count, at_barrier = 0;
    while (live > 0) {
        bool moved = false;
        for (size_t i = 0; i < warps.size(); i++) {
            Warp &warp = warps[order() & 1 ? warps.size() - 1 - i : i];
            for (Thread *lane : warp.lanes)
                if (lane->state == State::ready) {
                    moved = true;
                    current = nullptr;
                    resume(lane);
                }
        }
        if (!moved && live > 0) {
            current = nullptr;
            for (Thread &thread : threads)
                if (thread.state != State::done) current = &thread;
            fail("a barrier or warp instruction that some threads never reach");
        }
    }
    current = nullptr;
    launch = nullptr;
}

void *alternative_stack() {
    static thread_local char stack[64 << 10];
    return stack;
}
void on_fault(int, siginfo_t *info, void *) {
    char text[96];
    snprintf(text, sizeof text, "memory that is not its own, at %p", info->si_addr);
    fail(text);
}

void run_blocks(const Launch &work, std::atomic<uint64_t> &next) {
    static thread_local Worker own;
    worker = &own;
    stack_t stack = {alternative_stack(), 0, 64 << 10};
    sigaltstack(&stack, nullptr);
    uint64_t count = (uint64_t)work.grid.x * work.grid.y * work.grid.z;
    for (uint64_t turn; (turn = next++) < count;) {
        uint64_t i = order() & 1 ? count - 1 - turn : turn;
        own.run(work, {(unsigned)(i % work.grid.x), (unsigned)(i / work.grid.x % work.grid.y),
                       (unsigned)(i / work.grid.x / work.grid.y)});
    }
    worker = nullptr;
}

// Threads that stay, since their fibers' stacks do.
struct Pool {
    std::mutex mutex, turns;
    std::condition_variable changed;
    const Launch *work = nullptr;
    std::atomic<uint64_t> next{0};
    int busy = 0, round = 0;
    Pool() {
        for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); i++)
            std::thread([this] { serve(); }).detach();
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, nullptr);
        sigaction(SIGBUS, &action, nullptr);
    }
    void serve() {
        int seen = 0;
        std::unique_lock<std::mutex> lock(mutex);
        while (true) {
            changed.wait(lock, [&] { return round != seen; });
            seen = round;
            lock.unlock();
            run_blocks(*work, next);
            lock.lock();
            if (--busy == 0) changed.notify_all();
        }
    }
    void run(const Launch &launch) {
        // One launch at a time, whatever thread it comes from.
        std::lock_guard<std::mutex> turn(turns);
        std::unique_lock<std::mutex> lock(mutex);
        work = &launch, next = 0, busy = (int)std::max(1u, std::thread::hardware_concurrency()), round++;
        changed.notify_all();
        changed.wait(lock, [&] { return busy == 0; });
    }
};
Pool &pool() {
    static Pool *shared = new Pool();
    return *shared;
}

}  // namespace

void run(const Launch &work) { pool().run(work); }

// --- What kernels call ----------------------------------------------------------------------------------------------------

extern "C" {


emu_place *emu_self() { return &worker->current->place; }

const char *emu_exchange(const char *instruction, const void *operands, size_t bytes) {
    Worker *own = worker;
    Thread *self = own->current;
    Warp &warp = own->warps[self->place.lane_of_block / 32];
    if (warp.arrived == 0) {
        warp.instruction = instruction;
    } else if (strcmp(warp.instruction, instruction) != 0) {
        fail(("lanes of a warp in different instructions: " + std::string(warp.instruction) + " and " + instruction).c_str());
    }
    char *slots = warp.slots[warp.generation & 1];
    memcpy(slots + 64 * self->place.lane, operands, bytes);
    if (++warp.arrived == warp.live) {
        own->release_warp(warp);
    } else {
        self->state = State::in_warp;
        own->yield();
    }
    return slots;
}

void emu_barrier() {
    Worker *own = worker;
    if (++own->at_barrier == own->live) return own->release_barrier();
    own->current->state = State::at_barrier;
    own->yield();
}

void *emu_dynamic_shared() { return worker->dynamic; }

static void perform(const Copy &copy) {
    memcpy(copy.to, copy.from, copy.valid);
    memset((char *)copy.to + copy.valid, 0, copy.bytes - copy.valid);
}
void emu_copy_async(void *to, const void *from, unsigned bytes, unsigned valid) {
    if ((uintptr_t)to % bytes != 0 || (valid > 0 && (uintptr_t)from % bytes != 0)) fail("cp.async of a misaligned address");
    Copy copy = {to, from, bytes, valid};
    if (order() & 2) return perform(copy);
    worker->current->copies.back().push_back(copy);
}
void emu_copy_commit() { worker->current->copies.emplace_back(); }
void emu_copy_wait(int pending) {
    auto &groups = worker->current->copies;
    while ((int)groups.size() - 1 > pending) {
        for (const Copy &copy : groups.front()) perform(copy);
        groups.erase(groups.begin());
    }
}

// Dynamic shared memory lies below 4 GiB; other shared variables are thread-local ones of the kernel's library, anywhere: the
// upper half of their addresses is that of the last one that became a shared address.
unsigned emu_shared_address(const void *pointer) {
    if ((uintptr_t)pointer >> 32) worker->window = (uintptr_t)pointer & ~(uintptr_t)0xffffffff;
    return (unsigned)(uintptr_t)pointer;
}
// Descriptors of matrices hold 18 bits of an address in dynamic shared memory.
unsigned emu_matrix_address(unsigned bits) {
    unsigned arena = (unsigned)(uintptr_t)worker->shared;
    return arena + ((bits - arena) & 0x3ffff);
}
void *emu_shared_pointer(unsigned address) {
    uintptr_t low = address, arena = (uintptr_t)worker->shared;
    if (low >= arena && low < arena + rounded(SHARED_LIMIT, PAGE)) return (void *)low;
    return (void *)(worker->window | low);
}

void emu_fail(const char *what) { fail(what); }
}
