"""The CUDA kernels of the gated delta rule against a float64 recurrence, and their times beside flash-linear-attention.

Works from the kernel sources alone, without the Swift package: compiles them with CuPy's NVRTC, launches them on
PyTorch tensors. Needs torch and cupy; the timing part needs flash-linear-attention for the peer.

usage: python gated_delta_rule_cuda.py SOURCES/Ops check|time|peer|once [results.json]
       SHAPES='[[8,4096,16,16,128,128]]' chooses the shapes to time; `once` runs the first of them once, for a profiler
"""
import json
import multiprocessing
import os
import sys
import time

import cupy
import torch

from gated_delta_rule_plain import draw, naive, relative_error, yardstick
from kernel_text import operation_text

C = 64
BLOCKS = torch.cuda.get_device_properties(0).multi_processor_count
OPS = sys.argv[1]


def _architecture(arch=None):
    return "-arch=sm_90a", "cubin"


if torch.cuda.get_device_capability() == (9, 0):  # products of warpgroups are not part of plain sm_90
    cupy.cuda.compiler._get_arch_for_options_for_nvrtc = _architecture


def compiled(files, options):
    source = operation_text(OPS, ["GatedDeltaRule/" + file for file in ("chunk.cuh",) + files])
    return cupy.RawModule(code=source, options=options, backend="nvrtc")


def warm(all_kernels, divided):
    """Compiles on all cores what CuPy will find in its cache then."""
    names = ["chunk_table", "forward_scan", "backward_scan", "backward_gradients"]
    jobs = {k.source_of(name) for k in all_kernels for name in names}
    jobs |= {k.source_of(name) for k in divided for name in ("forward_segments", "backward_segments")}
    with multiprocessing.get_context("spawn").Pool(14) as pool:
        pool.starmap(compile_job, sorted(jobs))


def compile_job(files, options):
    compiled(files, options).compile()


SCANS = ("warpgroup.cuh", "scan.cuh")
BACKWARD = (*SCANS, "backward_pass.cuh", "backward_scan.cu")


class Kernels:
    """One specialisation of all sources."""

    cache = {}

    def __init__(self, dtype, K, V, groups, sequences, heads, capacity, warps=None, stages=None, most=None,
                 segment_warps=4, erases=True, warpgroups=None, backward_warpgroups=False):
        self.most, self.segment_warps = most, segment_warps
        self.dtype, self.K, self.V, self.groups = dtype, K, V, groups
        bf16 = dtype == torch.bfloat16
        self.size = 2 if bf16 else 4
        self.pad = 16 // self.size
        splits = 2 if K > 256 else 1  # warps that share a state
        part = -(-K // (16 * splits)) * 16
        self.key_tile = part * splits
        keys = 1 if splits > 1 and not bf16 else 2  # tiles of keys at a time
        tiles = -(-V // 128)
        parts = max(sequences, capacity // 16) if BLOCKS // (heads * tiles) >= 4 * sequences else sequences
        wide = bf16 and V > 64 and K <= 128 and parts * heads * tiles * 2 > BLOCKS
        self.warps = warps or (8 if wide else 4)
        self.stages = stages or (2 if bf16 and K <= 256 else 1)
        self.gradient_stages = 2 if bf16 else 1
        self.suffix = "_bfloat16" if bf16 else "_float32"
        self.modules = {}
        self.options = (
            "--std=c++17", "-default-device", f"-DELEMENT_BFLOAT16={int(bf16)}", f"-DKEY_DIM={K}", f"-DVALUE_DIM={V}",
            f"-DGROUPS={groups}", f"-DERASES={int(erases)}",
            f"-DONE_KEY_TILE={int(keys == 1)}")
        # Four warps multiply together (sm_90a); tiles of keys are swizzled then, and stages begin at multiples of 1024 bytes.
        fits = bf16 and K in (64, 128, 256) and torch.cuda.get_device_capability() == (9, 0)
        self.warpgroups = fits if warpgroups is None else bool(warpgroups)
        self.backward_warpgroups = bool(backward_warpgroups)
        def stages_of(warpgroups, size, stages=self.stages):  # `size` of the pitch of the keys
            pitch = K if warpgroups else self.key_tile + self.pad
            return stages * (-(-size(pitch) // 1024) * 1024 if warpgroups else size(pitch))
        self.value_tile, self.segment_tile = 16 * self.warps // splits, 16 * segment_warps // splits
        values, chunk = self.value_tile + self.pad, C + self.pad
        spare = (self.pad * self.size if keys == 1 else 0) + 4 * (self.warps * 1024 if splits > 1 else self.pad)
        def scan(pitch):
            return (keys * C * pitch + C * values + 2 * C * chunk) * self.size + spare + 5 * C * 4
        self.scan_bytes = stages_of(self.warpgroups, scan)
        self.backward_bytes = stages_of(self.backward_warpgroups, scan)
        self.state_bytes = stages_of(
            self.backward_warpgroups, lambda pitch: (C * pitch + C * values) * self.size + 5 * C * 4,
            1 if part > 128 else self.stages)
        self.segment_bytes = stages_of(
            self.warpgroups, lambda pitch: (C * pitch + C * (self.segment_tile + self.pad) + C * chunk + 2 * self.pad) * self.size
            + 4 * (segment_warps * 1024 if splits > 1 else self.pad) + 5 * C * 4)
        self.segment_tiles = -(-V // self.segment_tile) + -(-K // self.segment_tile)
        self.prepare_bytes = max(2 * C * (part + self.pad) * self.size, (2 * C + C) * (C + 4) * (4 if bf16 else 8))
        tiles = (self.key_tile + 127) // 128
        tile = (self.key_tile // 16 + tiles - 1) // tiles * 16
        self.key_tiles = tiles
        self.value_tiles = -(-V // self.value_tile)
        stage = (3 * C * chunk + 2 * 64 * (tile + self.pad)) * self.size
        self.gradient_bytes = self.gradient_stages * (2 * C * (tile + self.pad) * self.size + stage) + (5 * C + 8 * C + 4) * 4

    def __getitem__(self, name):
        files, options = self.source_of(name)
        if (files, options) not in Kernels.cache:
            Kernels.cache[files, options] = compiled(files, options)
        return Kernels.cache[files, options].get_function("gated_delta_rule_" + name + self.suffix)

    def source_of(self, name):
        files = {"chunk_table": ("prepare.cu",), "forward_prepare": ("prepare.cu",),
                 "forward_scan": (*SCANS, "forward_pass.cuh", "forward_scan.cu"),
                 "backward_scan": BACKWARD, "backward_states": BACKWARD,
                 "backward_gradients": ("gradients.cu",),
                 "backward_decay": ("gradients.cu",), "step": ("step.cu",)}.get(
                     name, (*SCANS, "forward_pass.cuh", "backward_pass.cuh", "segments.cu"))
        stages = self.gradient_stages if files == ("gradients.cu",) else self.stages
        warps = self.segment_warps if name == "forward_segments" else self.warps
        together = self.backward_warpgroups if "backward_scan.cu" in files else self.warpgroups
        form = (f"-DWARPGROUPS={int(together)}",) if files[0] == "warpgroup.cuh" else ()
        return files, self.options + (f"-DVALUE_WARPS={warps}", f"-DSTAGES={stages}") + form

    def launch(self, name, blocks, threads, shared, *arguments):
        kernel = self[name]
        if shared > 48 << 10:
            kernel.max_dynamic_shared_size_bytes = shared
        values = []
        for a in arguments:
            if a is None:
                values.append(cupy.uint64(0))
            elif torch.is_tensor(a):
                values.append(cupy.uint64(a.data_ptr()))
            elif isinstance(a, int):
                values.append(cupy.int32(a))
            else:
                values.append(a)
        with cupy.cuda.Stream.from_external(torch.cuda.current_stream()):
            kernel((blocks,), (threads,), tuple(values), shared_mem=shared)


def kernels_of(dtype, B, T, H, HV, K, V, bounds=None, **options):
    """The kernels of a shape, chosen as GatedDeltaRule+Plan.swift does."""
    sequences = len(bounds) - 1 if bounds else B
    capacity = -(-T // C) + sequences if bounds else B * -(-T // C)
    return Kernels(dtype, K, V, HV // H, sequences, HV, capacity, **options)


def poison(*shape, dtype=torch.float32):
    return torch.full(shape, float("nan"), device="cuda", dtype=dtype)


class Run:
    """Forward and backward on [B, T, H, K] tensors, as the package does them."""

    def __init__(self, kernels, q, k, v, g, beta, h0=None, cu=None, scale=None):
        self.kernels, self.q, self.k, self.v, self.g, self.beta, self.h0, self.cu = kernels, q, k, v, g, beta, h0, cu
        self.B, self.T, self.H, self.K = q.shape
        self.HV, self.V = v.shape[2:]
        self.N = len(cu) - 1 if cu is not None else self.B
        self.tokens = self.B * self.T
        self.capacity = self.B * ((self.T + C - 1) // C) if cu is None else (self.T + C - 1) // C + self.N
        self.scale = cupy.float32(scale or self.K ** -0.5)
        slots = self.capacity * self.HV
        dtype = q.dtype
        # Chunks a segment: as many segments as it takes to fill the device, where that is four times the sequences or more.
        tiles = kernels.value_tiles
        wanted = BLOCKS // (self.HV * tiles)
        self.most = kernels.most or (max(16, -(-self.capacity // wanted)) if wanted >= 4 * self.N else self.capacity)
        self.divided = self.capacity > self.most
        self.segment_count = self.N + (self.capacity // self.most if self.divided else 0)
        self.chunks = torch.empty(self.capacity, 4, device="cuda", dtype=torch.int32)
        self.first = torch.empty(self.N + 1, device="cuda", dtype=torch.int32)
        self.segments = torch.empty(self.segment_count, 4, device="cuda", dtype=torch.int32)
        self.first_segment = torch.empty(self.N + 1, device="cuda", dtype=torch.int32)
        self.starts = self.h0
        if self.divided:
            self.changes = poison(self.segment_count, self.HV, self.K, self.V)
            self.transitions = poison(self.segment_count, self.HV, self.K, self.K)
            self.starts = poison(self.segment_count, self.HV, self.K, self.V)
            self.ends = poison(self.segment_count, self.HV, self.K, self.V)
        self.inverse = poison(slots, C, C, dtype=dtype)
        self.scores = poison(slots, C, C, dtype=dtype)
        self.gates = poison(slots, 5, C)
        self.o = poison(*v.shape, dtype=dtype)
        self.u = poison(*v.shape, dtype=dtype)
        self.ht = poison(self.N, self.HV, self.K, self.V)

    def forward(self, training=True, parts=("prepare", "segments", "scan")):
        n = self.kernels
        if "prepare" in parts:
            n.launch("chunk_table", 1, 256, 0, self.chunks, self.first, self.segments, self.first_segment, self.cu, self.N,
                     self.T, self.capacity, self.segment_count, self.most)
            n.launch("forward_prepare", self.capacity * self.HV, 128, n.prepare_bytes, self.inverse, self.scores,
                     self.gates, self.q, self.k, self.g, self.beta, self.chunks, self.HV, self.scale)
        if self.divided and "segments" in parts:
            n.launch("forward_segments", self.segment_count * self.HV * n.segment_tiles, 32 * n.segment_warps,
                     n.segment_bytes, self.changes, self.transitions, self.k, self.v, self.inverse, self.gates, self.h0,
                     self.chunks, self.segments, self.HV)
        if self.divided and ("segments" in parts or "join" in parts):
            n.launch("join_forward", self.N * self.HV * -(-self.V // 16), 256, 0, self.starts, self.changes,
                     self.transitions, self.h0, self.first_segment, self.HV)
        if "scan" in parts:
            n.launch("forward_scan", self.segment_count * self.HV * n.value_tiles, 32 * n.warps, n.scan_bytes, self.o,
                     self.u if training else None, self.ht, self.q, self.k, self.v, self.inverse, self.scores, self.gates,
                     self.starts, self.chunks, self.segments, self.HV, self.scale)

    def prepare_backward(self):
        slots = self.capacity * self.HV
        dtype = self.q.dtype
        self.states = poison(slots, self.V, self.K, dtype=dtype)
        self.dstates = poison(slots, self.V, self.K, dtype=dtype)
        self.dq, self.dk = torch.full_like(self.q, float("nan")), torch.full_like(self.k, float("nan"))
        self.dv = torch.full_like(self.v, float("nan"))
        self.dbeta = poison(*self.beta.shape)
        self.db = poison(self.kernels.key_tiles, *self.beta.shape)
        self.dg = poison(*self.beta.shape)
        self.dh0 = poison(self.N, self.HV, self.K, self.V)

    def backward(self, do, dht=None, parts=("states", "segments", "scan", "gradients", "decay")):
        n = self.kernels
        grid = self.segment_count * self.HV * n.value_tiles
        if "states" in parts:
            n.launch("backward_states", grid, 32 * n.warps, n.state_bytes, self.states, self.k, self.u, self.gates,
                     self.starts, self.chunks, self.segments, self.HV)
        ends = dht
        if self.divided:
            ends = self.ends
            if "segments" in parts:
                n.launch("backward_segments", grid, 32 * n.warps, n.scan_bytes, self.changes, self.q, self.k, do,
                         self.inverse, self.scores, self.gates, dht, self.chunks, self.segments, self.HV, self.scale)
                n.launch("join_backward", self.N * self.HV * -(-self.V // 16), 256, 0, self.ends, self.changes,
                         self.transitions, dht, self.first_segment, self.HV)
        if "scan" in parts:
            n.launch("backward_scan", grid, 32 * n.warps, n.backward_bytes, self.dv, self.dstates, self.dh0, self.q, self.k,
                     do, self.inverse, self.scores, self.gates, ends, self.chunks, self.segments, self.HV, self.scale)
        tokens = cupy.int64(self.tokens)
        if "gradients" in parts:
            items = self.capacity * self.H * n.key_tiles
            n.launch("backward_gradients", min(items, BLOCKS), 256, n.gradient_bytes, self.dq, self.dk,
                     self.dbeta, self.db, self.q, self.k, self.u, do, self.dv, self.states, self.dstates, self.gates,
                     self.chunks, self.H, tokens, self.scale, items)
        if "decay" in parts:
            n.launch("backward_decay", self.capacity * self.HV, 64, 0, self.dg, self.db, self.chunks, self.HV, tokens)


usual = dict(decay="usual", beta=1, bounds=None, erases=True)
case = lambda B, T, H, HV, K, V, **options: (B, T, H, HV, K, V, {**usual, **options})
CASES = [
    case(2, 100, 2, 2, 16, 32), case(1, 1, 2, 2, 64, 64), case(1, 63, 1, 3, 64, 64),
    case(3, 64, 1, 1, 64, 64, decay="strong"), case(1, 65, 2, 4, 128, 128, beta=2),
    case(2, 257, 1, 1, 128, 128, decay="none"), case(1, 200, 1, 2, 96, 192), case(1, 130, 1, 1, 200, 400),
    case(1, 257, 1, 1, 256, 512), case(1, 130, 1, 1, 192, 384, decay="strong"), case(1, 100, 1, 2, 128, 256),
    case(1, 300, 2, 2, 128, 128, bounds=[0, 5, 5, 69, 197, 300]), case(1, 70, 2, 2, 24, 40), case(1, 70, 1, 3, 5, 7), case(1, 100, 1, 1, 512, 512), case(1, 130, 1, 2, 300, 40),
    case(2, 130, 1, 2, 128, 128, erases=False), case(1, 200, 2, 2, 64, 64, erases=False, decay="strong"),
    # Long ones, divided into segments; weak writes and no decay, so that what is before a segment matters in it.
    case(1, 4400, 1, 1, 128, 128, decay="none", beta=0.03), case(1, 2100, 1, 1, 256, 512, decay="none", beta=0.1),
    case(1, 4500, 1, 2, 64, 64, bounds=[0, 100, 4100, 4100, 4500]), case(1, 4200, 1, 2, 24, 40, decay="none", beta=0.02),
    case(1, 130, 1, 1, 32, 32, decay="correlated"), case(1, 130, 1, 1, 128, 128, decay="correlated"),
]


def check():
    """Whether every case is within its budgets, and the same on a second run."""
    worst, good = 0.0, True
    f32, bf16 = torch.float32, torch.bfloat16
    cases = [(dtype, *shape) for dtype in (f32, bf16) for shape in CASES]
    only = os.environ.get("CASES")
    for number, (dtype, B, T, H, HV, K, V, options) in enumerate(cases):
        decay, bounds, erases = options["decay"], options["bounds"], options["erases"]
        if only and str(number) not in only.split(","):
            continue
        N = len(bounds) - 1 if bounds else B
        cu = torch.tensor(bounds, device="cuda", dtype=torch.int32) if bounds else None
        ins = draw(B, T, H, HV, K, V, dtype, decay, options["beta"], N)
        if number % 3 == 0 and decay != "correlated":
            ins[4][0, T // 2, 0] = 0.0
        double = [x.double().requires_grad_() for x in ins]
        o, ht = naive(*double, cu, K ** -0.5, erases)
        do = torch.randn_like(o).to(dtype)
        dht = torch.randn_like(ht).float()
        if decay == "correlated":  # as in the package's cases, whose rule the yardstick is: no gates, no states
            ins[5].zero_(), dht.zero_()
            double[5].data.zero_()
            o, ht = naive(*double, cu, K ** -0.5, erases)
        grads = torch.autograd.grad((o * do.double()).sum() + (ht * dht.double()).sum(), double)
        started = time.time()
        run = Run(kernels_of(dtype, B, T, H, HV, K, V, bounds, erases=erases), *ins[:5], ins[5], cu)
        run.forward()
        run.prepare_backward()
        run.backward(do, dht)
        torch.cuda.synchronize()
        pairs = dict(o=(run.o, o), ht=(run.ht, ht), dq=(run.dq, grads[0]), dk=(run.dk, grads[1]), dv=(run.dv, grads[2]),
                     dg=(run.dg, grads[3]), dbeta=(run.dbeta, grads[4]), dh0=(run.dh0, grads[5]))
        budgets = dict(o=5e-3, ht=5e-3, dq=8e-3, dk=8e-3, dv=8e-3, dg=2e-2, dbeta=2e-2, dh0=8e-3)
        floats = dict(o=1e-5, ht=1e-5, dq=1e-5, dk=1e-5, dv=1e-5, dg=3e-5, dbeta=3e-5, dh0=1e-5)
        if decay == "correlated" and dtype == bf16:
            budgets = yardstick(ins, do, dht, K ** -0.5, [exact for _, exact in pairs.values()])
            for name in ("ht", "dg", "dh0"):
                budgets[name] = float("inf")
        line, bad = [], False
        for name, (ours, exact) in pairs.items():
            error = relative_error(ours, exact)
            budget = (budgets if dtype == bf16 else floats)[name]
            share = error / budget
            bad |= not share <= 1
            worst = max(worst, share)
            line.append(f"{name} {error:.1e}{'' if share <= 1 else '!'}")
            good &= share <= 1
        first = [x.clone() for x, _ in pairs.values()]
        run.forward()
        run.backward(do, dht)
        same = all(torch.equal(a, b) for a, (b, _) in zip(first, pairs.values()))
        good &= same
        print(f"{number:2} {'ok ' if not bad and same else 'BAD'} {str(dtype)[6:]:8} {B}x{T} {H}/{HV} {K}/{V} {decay:6}",
              f"{run.segment_count} segments" if run.divided else "", "" if erases else "no erase",
              " ".join(line), "" if same else "NOT DETERMINISTIC", f"{time.time() - started:.1f}s", flush=True)
        if bounds is None and T == 1:
            ht = torch.full_like(run.ht, float("nan"))
            out = torch.full_like(run.o, float("nan"))
            run.kernels.launch("step", B * HV * ((V + 31) // 32), 128, 0, out, ht, *ins, HV, run.scale)
            print("   step o", ((out.double() - o).norm() / o.norm()).item(), "ht",
                  ((ht.double() - run.ht.double()).norm() / ht.double().norm()).item())
    print(f"{'all within their budgets' if good else 'FAILED'}; most used {100 * worst:.0f} %")
    return good


SHAPES = [(8, 4096, 16, 16, 128, 128), (1, 32768, 16, 16, 128, 128), (8, 4096, 16, 32, 128, 128),
          (8, 4096, 8, 8, 128, 256), (8, 4096, 6, 6, 256, 512), (1, 8192, 8, 8, 128, 128)]

SHAPES = [tuple(shape) for shape in json.loads(os.environ.get("SHAPES", "null")) or SHAPES]


def once():
    B, T, H, HV, K, V = SHAPES[0]
    ins = draw(B, T, H, HV, K, V, torch.bfloat16)
    run = Run(kernels_of(torch.bfloat16, *SHAPES[0]), *ins[:5], None)
    run.forward()
    run.prepare_backward()
    run.backward(torch.randn_like(ins[2]))
    torch.cuda.synchronize()


def timing(variants):
    from triton.testing import do_bench
    median = lambda fn: do_bench(fn, warmup=50, rep=150, return_mode="median")
    x = torch.randn(1 << 29, device="cuda", dtype=torch.bfloat16)
    y = torch.empty_like(x)
    print(f"copy {4 * x.numel() / median(lambda: y.copy_(x)) / 1e9:.2f} TB/s", flush=True)
    del x, y
    results = []
    all_kernels = [kernels_of(torch.bfloat16, *shape, **variant) for shape in SHAPES for variant in variants]
    warm(all_kernels, all_kernels)
    for shape in SHAPES:
        B, T, H, HV, K, V = shape
        ins = draw(B, T, H, HV, K, V, torch.bfloat16)
        do = torch.randn_like(ins[2])
        for variant in variants:
            try:
                run = Run(kernels_of(torch.bfloat16, *shape, **variant), *ins[:5], None)
                run.forward()
                run.prepare_backward()
                run.backward(do)
                row = dict(shape=shape, variant=variant, forward=median(lambda: run.forward(False)),
                           forward_training=median(lambda: run.forward(True)), backward=median(lambda: run.backward(do)))
                for part in ("prepare", "segments", "join", "scan"):
                    row["forward_" + part] = median(lambda: run.forward(parts=(part,)))
                for part in ("states", "segments", "scan", "gradients", "decay"):
                    row["backward_" + part] = median(lambda: run.backward(do, parts=(part,)))
                results.append(row)
                print(shape, variant, " ".join(f"{k} {v:.3f}" for k, v in row.items() if isinstance(v, float)),
                      f"{run.segment_count} segments", flush=True)
                del run
            except Exception as error:
                print(shape, variant, "FAIL", repr(error)[:300], flush=True)
        del ins, do
        torch.cuda.empty_cache()
    return results


def peer():
    os.environ["FLA_FLASH_QLA"] = "0"
    from triton.testing import do_bench
    from fla.ops.common import chunk_o
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    # flash-linear-attention refuses its backward under Triton 3.4–3.7.0 on Hopper, where its gradients come out wrong.
    # Times only are taken here.
    chunk_o.TRITON_ABOVE_3_7_1 = True
    from peer_tuning import compile_candidates_together
    compile_candidates_together()
    median = lambda fn: do_bench(fn, warmup=50, rep=150, return_mode="median")
    results = []
    for shape in SHAPES:
        B, T, H, HV, K, V = shape
        ins = draw(B, T, H, HV, K, V, torch.bfloat16)
        leaves = [x.detach().requires_grad_() for x in ins[:5]]
        do = torch.randn_like(ins[2])
        run = Run(kernels_of(torch.bfloat16, *shape), *ins[:5], None)
        run.forward()
        with torch.no_grad():
            o = chunk_gated_delta_rule(*leaves)[0]
            forward = median(lambda: chunk_gated_delta_rule(*leaves))
        o2 = chunk_gated_delta_rule(*leaves)[0]
        backward = median(lambda: torch.autograd.grad(o2, leaves, do, retain_graph=True))
        difference = ((o.float() - run.o.float()).norm() / o.float().norm()).item()
        results.append(dict(shape=shape, forward=forward, backward=backward, difference=difference))
        print("FLA", shape, f"forward {forward:.3f} backward {backward:.3f} difference to ours {difference:.1e}", flush=True)
        del ins, leaves, do, run, o, o2
        torch.cuda.empty_cache()
    return results


if __name__ == "__main__":
    print(torch.cuda.get_device_name(), torch.__version__, "NVRTC", cupy.cuda.nvrtc.getVersion(), flush=True)
    out = {}
    if "check" in sys.argv[2]:
        started = time.time()
        kernels = [kernels_of(dtype, B, T, H, HV, K, V, o["bounds"], erases=o["erases"])
                   for B, T, H, HV, K, V, o in CASES for dtype in (torch.float32, torch.bfloat16)]
        warm(kernels, [k for k, (_, T, *_) in zip(kernels, [c for c in CASES for _ in range(2)]) if T > 2000])
        print(f"compiled in {time.time() - started:.0f} s", flush=True)
        if not check():
            sys.exit(1)
    if "once" in sys.argv[2]:
        once()
    if "time" in sys.argv[2]:
        out["ours"] = timing(json.loads(os.environ.get("VARIANTS", "[{}]")))
    if "peer" in sys.argv[2]:
        out["fla"] = peer()
    if len(sys.argv) > 3:
        json.dump(out, open(sys.argv[3], "w"))
