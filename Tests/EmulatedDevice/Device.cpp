// Stands in for the CUDA driver: a device whose threads are fibers on this machine's processors. Everything a stream is
// given happens at once, in order. What it does to find errors:
//
// - fresh memory and shared memory hold NaN; memory ends at a page that cannot be touched, and what lies before it and in
//   the last bytes after it is looked at when it is freed
// - warps run one after another, each as far as the next barrier, in ascending or descending order, and asynchronous copies
//   arrive as late or as early as they may (GDN_EMULATED_ORDER = 0 … 3): a missing barrier or wait shows as a wrong result
// - lanes of a warp in different warp instructions, barriers that some threads never reach, launches a device would refuse
//
// GDN_EMULATED_MEMORY is the device's memory in MiB (16384); GDN_EMULATED_TRACE=1 prints every launch and which of its
// arguments hold numbers nobody wrote.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "Fiber.h"

namespace {

constexpr size_t PAGE = 4096, SHARED_LIMIT = 232448, STACK = 192 << 10;
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

// --- Memory -------------------------------------------------------------------------------------------------------------

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
} memory;

// --- Blocks of threads ----------------------------------------------------------------------------------------------------

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
    for (uint64_t i; (i = next++) < count;)
        own.run(work, {(unsigned)(i % work.grid.x), (unsigned)(i / work.grid.x % work.grid.y),
                       (unsigned)(i / work.grid.x / work.grid.y)});
    worker = nullptr;
}

// Threads that stay, since their fibers' stacks do.
struct Pool {
    std::mutex mutex;
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

// --- Streams and graphs ---------------------------------------------------------------------------------------------------

typedef std::function<void()> Work;
std::vector<Work> *recording = nullptr;

void submit(Work work) {
    if (recording) {
        recording->push_back(std::move(work));
    } else {
        work();
    }
}

bool tracing() {
    static bool value = setting("GDN_EMULATED_TRACE", 0);
    return value;
}

// Which arguments hold numbers nobody wrote, after a launch.
void trace(const Launch &work) {
    fprintf(stderr, "%s grid %u %u %u, %u threads, %zu bytes shared:", work.kernel->name.c_str(), work.grid.x, work.grid.y,
            work.grid.z, work.block.x, work.shared);
    std::lock_guard<std::mutex> lock(memory.mutex);
    for (size_t i = 0; i < work.arguments.size(); i++) {
        auto found = memory.blocks.find(work.arguments[i]);
        if (found == memory.blocks.end()) continue;
        size_t words = found->second.size / 4, unwritten = 0;
        for (size_t w = 0; w < words; w++) unwritten += ((const uint32_t *)work.arguments[i])[w] == 0xffffffffu;
        if (unwritten) fprintf(stderr, " argument %zu: %zu of %zu words unwritten;", i, unwritten, words);
    }
    fprintf(stderr, "\n");
}

int launch(Kernel *kernel, emu_dim grid, emu_dim block, size_t shared, void **arguments) {
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu ||
        grid.y > 65535 || grid.z > 65535 || shared > kernel->shared_limit)
        return INVALID_VALUE;
    Launch work = {kernel, grid, block, shared, {}};
    for (int i = 0; i < kernel->arguments; i++) work.arguments.push_back(*(uint64_t *)arguments[i]);
    submit([work] {
        pool().run(work);
        if (tracing()) trace(work);
    });
    return SUCCESS;
}

double now() {
    timeval time;
    gettimeofday(&time, nullptr);
    return time.tv_sec + 1e-6 * time.tv_usec;
}

struct LaunchConfiguration {
    unsigned grid[3], block[3], shared;
    void *stream, *attributes;
    unsigned count;
};

}  // namespace

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

// Dynamic shared memory lies below 4 GiB; other shared variables are this processor's thread-local ones.
void *emu_shared_pointer(unsigned address) {
    uintptr_t low = address, arena = (uintptr_t)worker->shared;
    if (low >= arena && low < arena + rounded(SHARED_LIMIT, PAGE)) return (void *)low;
    return (void *)(((uintptr_t)&worker & ~(uintptr_t)0xffffffff) | low);
}

void emu_fail(const char *what) { fail(what); }

// For the stand-in of cuBLASLt, whose products belong to streams as well.
void emu_submit(std::function<void()> *work) {
    submit(*work);
    delete work;
}

// --- The driver's functions -----------------------------------------------------------------------------------------------

typedef uint64_t Address;
int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuGetErrorName(int error, const char **name) {
    *name = error == OUT_OF_MEMORY  ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE"
            : error == NOT_FOUND     ? "CUDA_ERROR_NOT_FOUND"
                                     : "CUDA_ERROR_UNKNOWN";
    return SUCCESS;
}
int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : error == INVALID_VALUE ? "invalid argument" : "emulated device";
    return SUCCESS;
}
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int index) { return *device = index, index == 0 ? SUCCESS : 101; }
int cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "emulated device"), SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    static const std::map<int, int> values = {{16, 132}, {38, 50 << 20}, {75, 9}, {76, 0}, {97, (int)SHARED_LIMIT}};
    auto found = values.find(attribute);
    return *value = found == values.end() ? 0 : found->second, found == values.end() ? INVALID_VALUE : SUCCESS;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = memory.total, SUCCESS; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &memory, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void *) { return SUCCESS; }
int cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &memory, SUCCESS; }
int cuMemPoolSetAttribute(void *, int attribute, void *value) {
    if (attribute == 6 || attribute == 8) memory.high = *(uint64_t *)value ? memory.high : memory.used;
    return SUCCESS;
}
int cuMemPoolGetAttribute(void *, int, void *value) { return *(uint64_t *)value = memory.high, SUCCESS; }
int cuMemAllocAsync(Address *address, size_t size, void *) { return memory.allocate(address, size); }
int cuMemFreeAsync(Address address, void *) {
    if (recording) return SUCCESS;  // the graph's from now on
    return memory.release(address);
}
int cuMemGetInfo_v2(size_t *free, size_t *total) {
    return *free = memory.total - memory.used, *total = memory.total, SUCCESS;
}
int cuMemsetD8Async(Address to, unsigned char value, size_t size, void *) {
    return submit([=] { memset((void *)to, value, size); }), SUCCESS;
}
int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t size, void *) {
    return submit([=] { memcpy((void *)to, from, size); }), SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t size, void *) {
    return submit([=] { memcpy(to, (void *)from, size); }), SUCCESS;
}
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, void *) {
    return submit([=] { memmove((void *)to, (void *)from, size); }), SUCCESS;
}
int cuStreamCreate(void **stream, unsigned) { return *stream = new int(0), SUCCESS; }
int cuStreamDestroy_v2(void *stream) { return delete (int *)stream, SUCCESS; }
int cuStreamSynchronize(void *) { return SUCCESS; }
int cuStreamBeginCapture_v2(void *, int) { return recording = new std::vector<Work>(), SUCCESS; }
int cuStreamEndCapture(void *, void **graph) {
    *graph = recording;
    recording = nullptr;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
    return *executable = new std::vector<Work>(*(std::vector<Work> *)graph), SUCCESS;
}
int cuGraphLaunch(void *executable, void *) {
    for (const Work &work : *(std::vector<Work> *)executable) submit(work);
    return SUCCESS;
}
int cuGraphDestroy(void *graph) { return delete (std::vector<Work> *)graph, SUCCESS; }
int cuGraphExecDestroy(void *graph) { return delete (std::vector<Work> *)graph, SUCCESS; }
int cuEventCreate(void **event, unsigned) { return *event = new double(0), SUCCESS; }
int cuEventRecord(void *event, void *) {
    return submit([=] { *(double *)event = now(); }), SUCCESS;
}
int cuEventSynchronize(void *) { return SUCCESS; }
int cuEventElapsedTime(float *milliseconds, void *start, void *end) {
    return *milliseconds = (float)(1e3 * (*(double *)end - *(double *)start)), SUCCESS;
}
int cuEventDestroy_v2(void *event) { return delete (double *)event, SUCCESS; }

int cuModuleLoadData(void **module, const void *image) {
    uint64_t head[2];
    memcpy(head, image, sizeof head);
    if (head[0] != 0x554d454e44470001) return INVALID_IMAGE;
    char path[] = "/tmp/gdn-emulated-module-XXXXXX";
    int file = mkstemp(path);
    if (file < 0) return INVALID_IMAGE;
    bool written = write(file, (const char *)image + sizeof head, head[1]) == (ssize_t)head[1];
    close(file);
    *module = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (!*module) fprintf(stderr, "emulated device: %s\n", dlerror());
    unlink(path);
    return *module ? SUCCESS : INVALID_IMAGE;
}
int cuModuleUnload(void *module) { return dlclose(module), SUCCESS; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    void *launch = dlsym(module, ("emu_launch_" + std::string(name)).c_str());
    void *count = dlsym(module, ("emu_count_" + std::string(name)).c_str());
    if (!launch || !count) return NOT_FOUND;
    *function = new Kernel{name, (void (*)(void **))launch, ((int (*)())count)()};
    return SUCCESS;
}
int cuFuncSetAttribute(Kernel *kernel, int attribute, int value) {
    if (attribute == 9) return value >= -1 && value <= 100 ? SUCCESS : INVALID_VALUE; // preferred shared memory
    if (attribute != 8 || value < 0 || (size_t)value > SHARED_LIMIT) return INVALID_VALUE;
    return kernel->shared_limit = value, SUCCESS;
}
int cuLaunchKernel(Kernel *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *, void **arguments, void **) {
    return launch(kernel, {gx, gy, gz}, {bx, by, bz}, shared, arguments);
}
int cuLaunchKernelEx(const LaunchConfiguration *c, Kernel *kernel, void **arguments, void **) {
    return launch(kernel, {c->grid[0], c->grid[1], c->grid[2]}, {c->block[0], c->block[1], c->block[2]}, c->shared, arguments);
}
}
