// What a kernel sees instead of CUDA: included before its text, which `Compiler.cpp` has rewritten. One fiber is one CUDA
// thread; an instruction of a whole warp deposits its operands, waits for the other lanes and reads theirs.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tuple>
#include <utility>

#include "Place.h"

extern "C" {
emu_place *emu_self(void);
// The slots of all lanes, 64 bytes each, once all have come to the same `instruction`.
const char *emu_exchange(const char *instruction, const void *operands, size_t bytes);
void emu_barrier(void);
void *emu_dynamic_shared(void);
void emu_copy_async(void *to, const void *from, unsigned bytes, unsigned valid);
void emu_copy_commit(void);
void emu_copy_wait(int pending);
unsigned emu_shared_address(const void *pointer);
void *emu_shared_pointer(unsigned address);
unsigned emu_matrix_address(unsigned bits);
void emu_fail(const char *what);
}

#define threadIdx (emu_self()->thread)
#define blockIdx (emu_self()->block)
#define blockDim (emu_self()->block_dim)
#define gridDim (emu_self()->grid_dim)
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __shared__ static thread_local
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(8) int2 { int x, y; };
struct __align__(16) int4 { int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

template <class To, class From>
inline To emu_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
inline float __int_as_float(int x) { return emu_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
inline int __float_as_int(float x) { return emu_bits<int>(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
template <class A, class B>
inline auto min(A a, B b) -> decltype(a + b) { return a < b ? a : b; }
template <class A, class B>
inline auto max(A a, B b) -> decltype(a + b) { return a > b ? a : b; }
template <class T>
inline T __ldg(const T *p) { return *p; }
inline size_t __cvta_generic_to_shared(const void *p) { return emu_shared_address(p); }

// --- Barriers and exchanges ---

inline void __syncthreads() { emu_barrier(); }
inline void __threadfence() {}
inline void __syncwarp(unsigned = ~0u) { emu_exchange("syncwarp", "", 0); }

template <class T>
inline T emu_of_lane(const char *slots, unsigned lane) {
    T value;
    memcpy(&value, slots + 64 * (lane & 31), sizeof value);
    return value;
}
inline void emu_full(unsigned mask) {
    if (mask != ~0u) emu_fail("a warp instruction with a partial mask");
}
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    emu_full(mask);
    unsigned lane = emu_self()->lane;
    return emu_of_lane<T>(emu_exchange("shfl", &value, sizeof value), (lane & ~(width - 1)) | (source & (width - 1)));
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    emu_full(mask);
    (void)width;
    unsigned lane = emu_self()->lane;
    return emu_of_lane<T>(emu_exchange("shfl.xor", &value, sizeof value), lane ^ bits);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    emu_full(mask);
    unsigned lane = emu_self()->lane, own = lane & (width - 1);
    const char *slots = emu_exchange("shfl.up", &value, sizeof value);
    return own < delta ? value : emu_of_lane<T>(slots, lane - delta);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    emu_full(mask);
    unsigned lane = emu_self()->lane, own = lane & (width - 1);
    const char *slots = emu_exchange("shfl.down", &value, sizeof value);
    return own + delta >= (unsigned)width ? value : emu_of_lane<T>(slots, lane + delta);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    emu_full(mask);
    const char *slots = emu_exchange("ballot", &predicate, sizeof predicate);
    unsigned result = 0;
    for (unsigned lane = 0; lane < 32; lane++) result |= (emu_of_lane<int>(slots, lane) != 0) << lane;
    return result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == ~0u; }

// --- PTX instructions: `asm` becomes a call of its mnemonic, outputs first ---

inline unsigned short emu_round_bfloat16(float x) {
    unsigned u = emu_bits<unsigned>(x);
    if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (unsigned short)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
inline float emu_bfloat16(unsigned short x) { return emu_bits<float>((unsigned)x << 16); }

inline void emu_cvt_rn_bf16_f32(unsigned short &to, float x) { to = emu_round_bfloat16(x); }
inline void emu_cvt_rn_bf16x2_f32(unsigned &to, float high, float low) {
    to = (unsigned)emu_round_bfloat16(high) << 16 | emu_round_bfloat16(low);
}
inline float emu_flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
inline void emu_ex2_approx_ftz_f32(float &to, float x) { to = emu_flush(exp2f(emu_flush(x))); }
inline void emu_rcp_approx_ftz_f32(float &to, float x) { to = emu_flush(1 / emu_flush(x)); }
inline void emu_rsqrt_approx_ftz_f32(float &to, float x) { to = emu_flush(1 / sqrtf(emu_flush(x))); }
inline void emu_tanh_approx_f32(float &to, float x) { to = tanhf(x); }
inline void emu_bar_sync() { emu_barrier(); }
inline void emu_prefetch_global_L2(const void *) {}
inline void emu_griddepcontrol_wait() {}
inline void emu_griddepcontrol_launch_dependents() {}

inline void emu_ld_global_L1__no_allocate_v4_u32(unsigned &a, unsigned &b, unsigned &c, unsigned &d, const void *from) {
    uint4 v = *(const uint4 *)from;
    a = v.x, b = v.y, c = v.z, d = v.w;
}
inline void emu_ld_global_cg_v4_f32(float &a, float &b, float &c, float &d, const void *from) {
    float4 v = *(const float4 *)from;
    a = v.x, b = v.y, c = v.z, d = v.w;
}
inline void emu_ld_global_cg_f32(float &to, const void *from) { to = *(const float *)from; }
inline void emu_atom_acq_rel_gpu_global_inc_u32(unsigned &old, unsigned *counter, unsigned limit) {
    old = __atomic_load_n(counter, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(
        counter, &old, old >= limit ? 0 : old + 1, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
}
inline void emu_cp_async_cg_shared_global(unsigned to, const void *from, int valid) {
    emu_copy_async(emu_shared_pointer(to), from, 16, valid);
}
inline void emu_cp_async_ca_shared_global(unsigned to, const void *from, int valid, int bytes) {
    emu_copy_async(emu_shared_pointer(to), from, bytes, valid);
}
inline void emu_cp_async_commit_group() { emu_copy_commit(); }
inline void emu_cp_async_wait_group(int pending) { emu_copy_wait(pending); }

// Four 8 × 8 matrices of 16-bit numbers; lane 8 i + r names row r of matrix i.
inline void emu_ldmatrix(unsigned *r, unsigned address, bool transposed) {
    void *row = emu_shared_pointer(address);
    if ((uintptr_t)row % 16 != 0) emu_fail("ldmatrix of a row that is not aligned to 16 bytes");
    unsigned lane = emu_self()->lane, group = lane / 4, pair = lane % 4 * 2;
    const char *slots = emu_exchange(transposed ? "ldmatrix.trans" : "ldmatrix", &row, sizeof row);
    for (int i = 0; i < 4; i++) {
        auto at = [&](unsigned row, unsigned column) {
            return emu_of_lane<const unsigned short *>(slots, 8 * i + row)[column];
        };
        r[i] = transposed ? at(pair, group) | (unsigned)at(pair + 1, group) << 16
                          : at(group, pair) | (unsigned)at(group, pair + 1) << 16;
    }
}
inline void emu_ldmatrix_sync_aligned_m8n8_x4_shared_b16(unsigned &a, unsigned &b, unsigned &c, unsigned &d, unsigned address) {
    unsigned r[4];
    emu_ldmatrix(r, address, false);
    a = r[0], b = r[1], c = r[2], d = r[3];
}
inline void emu_ldmatrix_sync_aligned_m8n8_x4_trans_shared_b16(unsigned &a, unsigned &b, unsigned &c, unsigned &d,
                                                               unsigned address) {
    unsigned r[4];
    emu_ldmatrix(r, address, true);
    a = r[0], b = r[1], c = r[2], d = r[3];
}
inline void emu_movmatrix_sync_aligned_m8n8_trans_b16(unsigned &to, unsigned matrix) {
    unsigned lane = emu_self()->lane, group = lane / 4, pair = lane % 4 * 2;
    const char *slots = emu_exchange("movmatrix", &matrix, sizeof matrix);
    auto at = [&](unsigned row, unsigned column) {
        return emu_of_lane<unsigned>(slots, row * 4 + column / 2) >> 16 * (column % 2) & 0xffff;
    };
    to = at(pair, group) | at(pair + 1, group) << 16;
}
// Products are exact, their sum is rounded once.
inline void emu_mma_sync_aligned_m16n8k16_row_col_f32_bf16_bf16_f32(
    float &c0, float &c1, float &c2, float &c3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
    unsigned b1) {
    unsigned operands[6] = {a0, a1, a2, a3, b0, b1}, lane = emu_self()->lane, group = lane / 4, pair = lane % 4 * 2;
    const char *slots = emu_exchange("mma.m16n8k16", operands, sizeof operands);
    float left[2][16], right[2][16];
    for (int t = 0; t < 4; t++)
        for (int half = 0; half < 2; half++)
            for (int odd = 0; odd < 2; odd++) {
                int k = 2 * t + 8 * half + odd;
                auto operand = [&](unsigned lane, int index) {
                    unsigned word;
                    memcpy(&word, slots + 64 * lane + 4 * index, 4);
                    return emu_bits<float>(odd ? word & 0xffff0000u : word << 16);
                };
                left[0][k] = operand(group * 4 + t, 2 * half);
                left[1][k] = operand(group * 4 + t, 2 * half + 1);
                right[0][k] = operand(pair * 4 + t, 4 + half);
                right[1][k] = operand((pair + 1) * 4 + t, 4 + half);
            }
    float *c[4] = {&c0, &c1, &c2, &c3};
    for (int i = 0; i < 4; i++) {
        double sum = *c[i];
        for (int k = 0; k < 16; k++) sum += (double)left[i / 2][k] * right[i % 2][k];
        *c[i] = (float)sum;
    }
}

// Products of a warpgroup: a warp computes its sixteen rows by itself, at once. B by its descriptor, 128-byte swizzle alone:
// rows of 128 bytes along k, `transposed` along n; the second field leads to the next 64 columns, the third to the next 8 rows.
template <int N, class... Operands>
inline void emu_wgmma(Operands &...operands) {
    auto all = std::tie(operands...);
    constexpr int COUNT = N / 2;
    unsigned long long descriptor = std::get<COUNT + 4>(all);
    bool transposed = std::get<COUNT + 5>(all);
    unsigned own[4] = {std::get<COUNT>(all), std::get<COUNT + 1>(all), std::get<COUNT + 2>(all), std::get<COUNT + 3>(all)};
    unsigned lane = emu_self()->lane, group = lane / 4, pair = lane % 4 * 2;
    const char *slots = emu_exchange("wgmma", own, sizeof own);
    float left[2][16];
    for (int k = 0; k < 16; k++)
        for (int half = 0; half < 2; half++) {
            unsigned word;
            memcpy(&word, slots + 64 * (group * 4 + k % 8 / 2) + 4 * (half + k / 8 * 2), 4);
            left[half][k] = emu_bits<float>(k % 2 ? word & 0xffff0000u : word << 16);
        }
    if (descriptor >> 62 != 1) emu_fail("a matrix descriptor without the 128-byte swizzle");
    unsigned start = emu_matrix_address((descriptor & 0x3fff) << 4), columns = (descriptor >> 16 & 0x3fff) << 4,
             rows = (descriptor >> 32 & 0x3fff) << 4;
    auto right = [&](int n, int k) {
        unsigned at = start + (transposed ? n / 64 * columns + n % 64 * 2 + k / 8 * rows + k % 8 * 128
                                          : n / 8 * rows + n % 8 * 128 + k * 2);
        return emu_bfloat16(*(unsigned short *)emu_shared_pointer(at ^ (at >> 7 & 7) << 4));
    };
    float *sums[COUNT];
    [&]<size_t... I>(std::index_sequence<I...>) { ((sums[I] = &std::get<I>(all)), ...); }(std::make_index_sequence<COUNT>());
    for (int i = 0; i < COUNT; i++) {
        double sum = *sums[i];
        for (int k = 0; k < 16; k++) sum += (double)left[i / 2 % 2][k] * right(i / 4 * 8 + pair + i % 2, k);
        *sums[i] = (float)sum;
    }
}
#define EMU_WGMMA(n)                                                                                          \
    template <class... Operands>                                                                              \
    inline void emu_wgmma_mma_async_sync_aligned_m64n##n##k16_f32_bf16_bf16(Operands &&...operands) {         \
        emu_wgmma<n>(operands...);                                                                            \
    }
EMU_WGMMA(64)
EMU_WGMMA(128)
EMU_WGMMA(256)
inline void emu_wgmma_fence_sync_aligned() {}
inline void emu_wgmma_commit_group_sync_aligned() {}
inline void emu_wgmma_wait_group_sync_aligned(int) {}
inline void emu_fence_proxy_async() {}

// --- Launching: arguments arrive as addresses ---

template <class... A, size_t... I>
inline void emu_call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_cv_t<std::remove_reference_t<A>> *)arguments[I]...);
}
template <class... A>
inline void emu_call(void (*kernel)(A...), void **arguments) {
    emu_call(kernel, arguments, std::index_sequence_for<A...>());
}
template <class... A>
constexpr int emu_count(void (*)(A...)) {
    return sizeof...(A);
}
#define EMU_KERNEL(name)                                                                                     \
    extern "C" void emu_launch_##name(void **arguments) { emu_call(name, arguments); }                        \
    extern "C" int emu_count_##name() { return emu_count(name); }
