// Stands in for the CUDA driver: a device whose threads are fibers on this machine's processors. Everything a stream is
// given happens at once, in order. What it does to find errors:
//
// - memory as `Memory.h` says; shared memory holds NaN at first and ends at a page that cannot be touched
// - warps run one after another, each as far as the next barrier, in ascending or descending order, and asynchronous copies
//   arrive as late or as early as they may (GDN_EMULATED_ORDER = 0 … 3): a missing barrier or wait shows as a wrong result
// - lanes of a warp in different warp instructions, barriers that some threads never reach, launches a device would refuse
//
// GDN_EMULATED_MEMORY is the device's memory in MiB (16384); GDN_EMULATED_TRACE=1 prints every launch and which of its
// arguments hold numbers nobody wrote.
#include <dlfcn.h>
#include <sys/time.h>
#include <unistd.h>

#include <functional>

#include "Memory.h"
#include "Threads.h"

namespace {

Memory memory;

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
        run(work);
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

extern "C" {

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
