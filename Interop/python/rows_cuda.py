"""Times of the bandwidth-bound CUDA kernels at the training shape, against bytes / measured copy bandwidth.

Works from the kernel sources alone. Bytes: each input read once, each output written once (partial sums not counted).
usage: python rows_cuda.py SOURCES/Ops
"""
import os
import struct
import sys

import cupy
import torch
from triton.testing import do_bench

OPS = sys.argv[1]
ROWS, D, F, C = 32768, 2048, 5632, 3072
bf16 = torch.bfloat16
median = lambda fn: do_bench(fn, warmup=30, rep=100, return_mode="median")


def module(folder, **defines):
    source = "".join(open(os.path.join(OPS, p)).read() for p in ("Kernels/Prelude.cuh", f"{folder}/kernel.cu"))
    options = ("--std=c++17", "-default-device") + tuple(f"-D{k}={v}" for k, v in defines.items())
    return cupy.RawModule(code=source, options=options, backend="nvrtc")


def launcher(kernels, name, grid, threads, *arguments, shared=0):
    kernel = kernels.get_function(name)
    values = tuple(cupy.uint64(a.data_ptr()) if torch.is_tensor(a) else cupy.uint64(0) if a is None else a
                   for a in arguments)

    def run():
        with cupy.cuda.Stream.from_external(torch.cuda.current_stream()):
            kernel(grid, (threads,), values, shared_mem=shared)
    return run


def rows_defines(width):
    group = 4
    while group < 512 and group * 2 < width // 8:
        group *= 2
    threads = 256 if group <= 32 else group
    return dict(ELEMENT_BFLOAT16=1, WIDTH=width, GROUP=group, BLOCK_THREADS=threads), threads, threads // group


x = torch.randn(1 << 29, device="cuda", dtype=bf16)
y = torch.empty_like(x)
rate = 4 * x.numel() / median(lambda: y.copy_(x)) / 1e9
print(f"copy {rate:.2f} TB/s")
del x, y


def report(name, byte_count, run):
    ms = median(run)
    floor = byte_count / rate / 1e9
    print(f"{name:36} {byte_count / 1e6:8.0f} MB  {ms:.4f} ms  {ms / floor:.2f} x its bytes", flush=True)


new = lambda *shape, dtype=bf16: torch.randn(*shape, device="cuda", dtype=torch.float32).to(dtype)
f32, i64, i32 = cupy.float32, cupy.int64, cupy.int32

defines, threads, per_block = rows_defines(D)
m = module("RMSNorm", **defines)
a, b, c, d, w = new(ROWS, D), new(ROWS, D), new(ROWS, D), new(ROWS, D), new(D, dtype=torch.float32)
inverse = torch.rand(ROWS, device="cuda") + 0.5
partial = torch.empty(1056, D, device="cuda")
size = 2 * ROWS * D
report("add + RMSNorm forward", 4 * size, launcher(
    m, "rms_norm_forward_bfloat16", (ROWS // per_block,), threads, a, b, inverse, c, d, w, f32(0), f32(1e-6), i64(ROWS)))
report("add + RMSNorm backward", 4 * size, launcher(
    m, "rms_norm_backward_bfloat16", (1056,), threads, a, partial, b, c, d, inverse, w, f32(0), i64(ROWS),
    shared=4 * D * per_block if per_block > 1 else 0))

V, HV = 512, 6
defines, threads, per_block = rows_defines(V)
m = module("GatedRMSNorm", SIGMOID=0, GATE_FIRST=0, **defines)
n = ROWS * HV
a, b, c, d, e = (new(n, V) for _ in range(5))
inverse = torch.rand(n, device="cuda") + 0.5
w = new(V, dtype=torch.float32)
partial = torch.empty(528, V, device="cuda")
size = 2 * n * V
report("gated RMSNorm forward", 3 * size, launcher(
    m, "gated_rms_norm_forward_bfloat16", (n // per_block,), threads, a, inverse, b, c, w, f32(1e-6), i64(n)))
report("gated RMSNorm backward", 5 * size, launcher(
    m, "gated_rms_norm_backward_bfloat16", (528,), threads, a, b, partial, c, d, e, inverse, w, i64(n),
    shared=4 * V * per_block))

K = 256
defines, threads, per_block = rows_defines(K)
m = module("L2Norm", KIND=0, **defines)
a, b, c = (new(n, K) for _ in range(3))
size = 2 * n * K
report("L2 norm forward", 2 * size, launcher(
    m, "normalise_rows_forward_bfloat16", (n // per_block,), threads, a, inverse, b, f32(1e-6), i64(n)))
report("L2 norm backward", 3 * size, launcher(
    m, "normalise_rows_backward_bfloat16", (n // per_block,), threads, a, b, c, inverse, i64(n)))

m = module("SwiGLU", ELEMENT_BFLOAT16=1)
a, b, c, d, e = (new(ROWS, F) for _ in range(5))
size = 2 * ROWS * F
report("SwiGLU forward", 3 * size, launcher(m, "swiglu_forward_bfloat16", (132 * 32,), 256, a, b, c, i64(ROWS * F)))
report("SwiGLU backward", 5 * size, launcher(
    m, "swiglu_backward_bfloat16", (132 * 32,), 256, a, b, c, d, e, i64(ROWS * F)))

m = module("ShortConvolution", ELEMENT_BFLOAT16=1, VECTOR=4, FORWARD_VECTOR=8, TAPS=4, ACTIVATION=1)
a, b, c = (new(ROWS, C) for _ in range(3))
w = new(C, 4, dtype=torch.float32)
partial = torch.empty(ROWS // 64, 5 * C, device="cuda")
grid = ((C // 4 + 127) // 128, ROWS // 64)
forward_grid = ((C // 8 + 127) // 128, ROWS // 64)
size = 2 * ROWS * C
report("short convolution forward", 2 * size, launcher(
    m, "short_convolution_forward_bfloat16", forward_grid, 128, a, b, w, None, None, None, i32(8), i32(4096), i32(C), i64(ROWS)))
report("short convolution backward", 3 * size, launcher(
    m, "short_convolution_backward_bfloat16", grid, 128, a, partial, None, b, c, w, None, None, None, i32(8), i32(4096),
    i32(C), i64(ROWS)))

W = 32000
m = module("CrossEntropy", ELEMENT_BFLOAT16=1, LOGIT="float", WORDS=W)
r = 2048
logits, gradient = new(r, W, dtype=torch.float32), new(r, W)
targets = torch.randint(0, W, (r,), device="cuda", dtype=torch.int32)
losses, kept = torch.empty(r, device="cuda"), torch.ones(2, device="cuda")
report("cross-entropy rows", 6 * r * W, launcher(
    m, "cross_entropy_short_rows_bfloat16", (r,), 1024, losses, gradient, logits, targets, kept, i32(-100), i32(W)))

CHUNK = 16384
m = module("AdamW", ELEMENT_BFLOAT16=0, VECTOR=4, CHUNK=CHUNK)
n = 1 << 27
p, mo, v, g = (torch.rand(n, device="cuda") for _ in range(4))
copy = torch.empty(n, device="cuda", dtype=bf16)
keep = struct.unpack("q", struct.pack("fi", 0.99, 0))[0]
table = torch.tensor([t.data_ptr() for t in (p, mo, v, g, copy)] + [n, 0, keep], dtype=torch.int64, device="cuda")
report("AdamW with bfloat16 copy", 30 * n, launcher(
    m, "adamw_step_float32", (n // CHUNK,), 256, table, i32(1), *(f32(z) for z in (1e-3, .9, .1, .95, .05, 1, 1e-8, 1))))
