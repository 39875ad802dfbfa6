"""Checks and times the kernels of one token (Sources/Ops/Decoding) of the 21 x 2048 model in bfloat16, in variants.

Works from the kernel sources alone. Every kernel is compared with float64 in poisoned memory, then the whole chain of 21
blocks and the head is timed as a graph, with and without early starts, whose logits must be the same bytes. Floor: weights
and states at the rate of a device copy in the same run.
usage: python decoding_cuda.py SOURCES/Ops [SECONDS]
"""
import ctypes
import sys
import time

import cupy
import torch

from kernel_text import operation_text

OPS, LIMIT = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 70
STARTED = time.time()
D, H, K, V, F, W, LAYERS = 2048, 6, 256, 512, 5632, 32000, 21
ROWS = [H * K, H * K, H * V, H * V, H, H]
COLUMNS, STRIDE = sum(ROWS), (sum(ROWS) + 15) // 16 * 16
INPUTS = dict(project=D, output=H * V, gate_up=D, down=F, head=D)
UNITS = dict(project=sum((r + 7) // 8 for r in ROWS), output=D // 8, gate_up=F // 4, down=D // 8, head=W // 8)
SMS = torch.cuda.get_device_properties(0).multi_processor_count
# Name: batch, warps, portions of the ring, blocks a multiprocessor, columns and warps of the step.
CHAINS = [
    ("as in Decoding+Plan.swift", 1, 8, 6, 1, 16, 4),
    ("shorter ring", 1, 8, 4, 1, 16, 4),
    ("longer ring", 1, 8, 10, 1, 16, 4),
    ("16 warps", 1, 16, 3, 1, 16, 4),
    ("two blocks", 1, 8, 3, 2, 16, 4),
    ("two blocks of 4 warps", 1, 4, 6, 2, 16, 4),
    ("step of 32 columns", 1, 8, 6, 1, 32, 4),
    ("step of 8 warps", 1, 8, 6, 1, 16, 8),
    ("batch 2", 2, 8, 6, 1, 16, 4),
    ("batch 4", 4, 8, 5, 1, 32, 4),
    ("batch 8", 8, 8, 4, 1, 32, 4),
]
# Wide products: kernel, columns and rows of weights; rows a block, columns of a slice, stages: first as Decoding+Plan.swift.
WIDE = [
    ("project", D, STRIDE, [(72, D, 2), (72, D, 3), (40, D, 4)]),
    ("part", H * V, D, [(64, 768, 2), (64, 768, 3), (32, 1536, 4)]),
    ("gate_up", D, 2 * F, [(88, D, 2), (88, D, 1), (48, D, 4)]),
    ("part", F, D, [(80, 1152, 2), (64, 1408, 2), (64, 1408, 3)]),
]
STEPS = [(16, 4), (32, 4), (32, 8), (64, 4), (64, 8), (128, 8)]
bf16, NAN = torch.bfloat16, float("nan")
driver = ctypes.CDLL("libcuda.so.1")


class Attribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("unused", ctypes.c_int), ("value", ctypes.c_int * 16)]


class Configuration(ctypes.Structure):
    _fields_ = [("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint),
                ("stream", ctypes.c_void_p), ("attributes", ctypes.POINTER(Attribute)), ("count", ctypes.c_uint)]


early_start = Attribute(6)
early_start.value[0] = 1


def check(status, what):
    if status:
        raise RuntimeError(f"{what}: error {status}")


class Kernel:
    def __init__(self, name, files, grid, threads, shared=0, **defines):
        text = operation_text(OPS, files)
        options = ["--std=c++17", "-default-device", "-DELEMENT_BFLOAT16=1"] + [f"-D{k}={v}" for k, v in defines.items()]
        self.module = cupy.RawModule(code=text, options=tuple(options), backend="nvrtc")
        self.function = ctypes.c_void_p(self.module.get_function(f"decoding_{name}_bfloat16").kernel.ptr)
        self.grid, self.threads, self.shared, self.name = grid, threads, shared, name
        if shared > 48 << 10:
            check(driver.cuFuncSetAttribute(self.function, 8, shared), "shared memory")
        check(driver.cuFuncSetAttribute(self.function, 9, 100), "carveout")

    def __call__(self, early, *arguments):
        values = [ctypes.c_uint64(a.data_ptr()) if torch.is_tensor(a) else
                  ctypes.c_float(a) if isinstance(a, float) else ctypes.c_int(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        c = Configuration()
        c.grid[:], c.block[:], c.shared = (self.grid, 1, 1), (self.threads, 1, 1), self.shared
        c.stream = torch.cuda.current_stream().cuda_stream
        c.attributes, c.count = ctypes.pointer(early_start), 1 if early else 0
        check(driver.cuLaunchKernelEx(ctypes.byref(c), self.function, pointers, None), self.name)


def product(name, batch, warps, ring, blocks, **defines):
    grid = min(UNITS[name], SMS * blocks)
    units = -(-UNITS[name] // grid)
    units = -(-units // -(-units // min(12, 8 * warps // batch)))
    portion, portions = 4 * warps * 512, -(-INPUTS[name] // 128)
    fixed = batch * (portions * 4 | 1) * 64 + 4 * units * warps * batch * 8
    while fixed + ring * portion > 226 << 10:
        ring -= 1
    return Kernel(name, ["Decoding/chain.cuh", "Decoding/product.cuh", f"Decoding/{name}.cu"], grid, 32 * warps,
                  fixed + ring * portion, INPUTS=INPUTS[name], BATCH=batch, BLOCK_WARPS=warps, RING_PORTIONS=ring,
                  UNITS=units, **defines)


def wide(name, batch, inputs, rows, block_rows, slice, stages):
    tiles, slices = -(-batch // 16), -(-inputs // slice)
    pitch = block_rows + (8 if block_rows % 16 == 0 else 0)
    shared = max(stages * 4096 * (block_rows // 8 + 2 * tiles), 512 * tiles * pitch)
    return Kernel(f"wide_{name}", ["Decoding/chain.cuh", "Decoding/wide.cuh", f"Decoding/wide_{name}.cu"],
                  -(-rows // block_rows) * slices, 256, shared, INPUTS=inputs, SLICE=slice, SLICES=slices,
                  WEIGHT_ROWS=block_rows, TILES=tiles, STAGES=stages)


def step(batch, columns, warps):
    return Kernel("step", ["Decoding/chain.cuh", "Decoding/step.cu"], batch * H * V // columns, 32 * warps, KEY_DIM=K,
                  VALUE_DIM=V, GROUPS=1, TILE_COLUMNS=columns, BLOCK_WARPS=warps, HAS_DECAY=1, HAS_BETA=1, NORMALISES=1,
                  ERASES=1)


random = lambda *shape: torch.randn(*shape, device="cuda")
weight = lambda rows, columns: torch.randn(rows, columns, device="cuda", dtype=bf16) * columns ** -0.5
BLOCKS = [dict(
    norm=1 + 0.1 * random(D), w=[weight(r, D) for r in ROWS], filters=[0.5 * random(c, 4) for c in ROWS[:3]],
    rate=torch.log(16 * torch.rand(H, device="cuda").clamp(1e-3)), bias=random(H) - 4.6, o_norm=1 + 0.1 * random(V),
    o=weight(D, H * V), mlp_norm=1 + 0.1 * random(D), gate=weight(F, D), up=weight(F, D), down=weight(D, F))
    for _ in range(LAYERS)]
FINAL_NORM, HEAD = 1 + 0.1 * random(D), weight(W, D)
WEIGHT_BYTES = 2 * LAYERS * (COLUMNS * D + H * V * D + 3 * F * D) + 2 * W * D


class Chain:
    def __init__(self, batch, warps, ring, blocks, columns, step_warps):
        make = lambda name, **defines: product(name, batch, warps, ring, blocks, **defines)
        self.kernels = dict(
            project=make("project", TAPS=4, ACTIVATION=1), step=step(batch, columns, step_warps),
            output=make("output", VALUE_DIM=V, HAS_NORM=1, HAS_GATE=1), gate_up=make("gate_up"), down=make("down"),
            head=make("head"))
        empty = lambda *shape, dtype=torch.float32: torch.full(shape, NAN, device="cuda", dtype=dtype)
        self.batch = batch
        self.stream, self.mixed, self.o = empty(batch, D), empty(batch, STRIDE), empty(batch, H * V)
        self.hidden, self.logits = empty(batch, F, dtype=bf16), empty(batch, W)

    def run(self, name, p=None, s=None, early=False):
        arguments = dict(
            project=lambda: [self.mixed, self.stream, p["norm"], 1e-6, *p["w"], *ROWS, STRIDE, *s["windows"], *p["filters"]],
            step=lambda: [self.o, s["memory"], self.mixed, p["rate"], p["bias"], STRIDE, H, H, COLUMNS - 2 * H,
                          COLUMNS - H, 1.0, K ** -0.5],
            output=lambda: [self.stream, self.o, self.mixed.view(-1)[2 * H * K + H * V:], STRIDE, p["o_norm"], 1e-6,
                            p["o"], D],
            gate_up=lambda: [self.hidden, self.stream, p["mlp_norm"], 1e-6, p["gate"], p["up"], F],
            down=lambda: [self.stream, self.hidden, p["down"], D],
            head=lambda: [self.logits, self.stream, FINAL_NORM, 1e-6, HEAD, W])
        self.kernels[name](early, *arguments[name]())

    def token(self, x, states, early, without=None):
        self.stream.copy_(x)
        first = True
        for p, s in zip(BLOCKS, states):
            for name in ("project", "step", "output", "gate_up", "down"):
                if name != without:
                    self.run(name, p, s, early and not first)
                    first = False
        if without != "head":
            self.run("head", early=early)


def states(batch):
    return [dict(memory=0.1 * random(batch, H, K, V), windows=[random(batch, c, 3) for c in ROWS[:3]])
            for _ in range(LAYERS)]


error = lambda a, b: float((a.double() - b.double()).norm() / b.double().norm())
rounded = lambda x: x.to(bf16).double()
silu = lambda x: x * torch.sigmoid(x)
rms = lambda x, w: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * w.double()


def check_kernels(c):
    """Largest error of each kernel's outputs, from the inputs it had, in units of what is allowed."""
    p, s, x, errors = BLOCKS[3], states(c.batch)[0], random(c.batch, D), {}
    c.stream.copy_(x)
    before, memory = [w.double() for w in s["windows"]], s["memory"].double()
    c.run("project", p, s)
    outputs = [rounded(rms(x.double(), p["norm"])) @ w.double().T for w in p["w"]]
    for i in range(3):
        window = torch.cat([before[i], outputs[i][..., None]], -1)
        errors[f"window {i}"] = error(s["windows"][i], window[..., 1:]) / 1e-4
        outputs[i] = silu((window * p["filters"][i].double()).sum(-1))
    parts = c.mixed[:, :COLUMNS].split(ROWS, -1)
    errors["project"] = max(error(a, b) for a, b in zip(parts, outputs)) / 1e-3
    q, k, v, g, a, b = [t.double() for t in parts]
    c.run("step", p, s)
    q, k, v = q.view(-1, H, K), k.view(-1, H, K), v.view(-1, H, V)
    q, k = [t / torch.sqrt((t * t).sum(-1, keepdim=True) + 1e-6) for t in (q, k)]
    decay = torch.exp(-torch.exp(p["rate"].double()) * torch.nn.functional.softplus(a + p["bias"].double()))
    memory = memory * decay[..., None, None]
    u = torch.sigmoid(b)[..., None] * (v - torch.einsum("bhkv,bhk->bhv", memory, k))
    memory = memory + k[..., None] * u[:, :, None]
    errors["memory"] = error(s["memory"], memory) / 1e-5
    errors["step"] = error(c.o.view(-1, H, V), K ** -0.5 * torch.einsum("bhkv,bhk->bhv", memory, q)) / 1e-5
    c.run("output", p, s)
    y = rounded((rms(c.o.double().view(-1, H, V), p["o_norm"]) * silu(g.view(-1, H, V))).view(-1, H * V))
    errors["output"] = error(c.stream - x, y @ p["o"].double().T) / 1e-3
    x = c.stream.clone()
    c.run("gate_up", p, s)
    n = rounded(rms(x.double(), p["mlp_norm"]))
    errors["gate_up"] = error(c.hidden, silu(n @ p["gate"].double().T) * (n @ p["up"].double().T)) / 3e-3
    c.run("down", p, s)
    errors["down"] = error(c.stream - x, c.hidden.double() @ p["down"].double().T) / 1e-5
    c.run("head")
    errors["head"] = error(c.logits, rounded(rms(c.stream.double(), FINAL_NORM)) @ HEAD.double().T) / 1e-3
    return {name: value for name, value in errors.items() if not value <= 1}


def graph(body):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        body()
        stream.synchronize()
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded, stream=stream):
            body()
    return recorded


def milliseconds(recorded, count=40):
    for _ in range(5):
        recorded.replay()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        recorded.replay()
        event.record()
    torch.cuda.synchronize()
    return sorted(a.elapsed_time(b) for a, b in zip(events, events[1:]))[count // 2]


def time_chain(label, batch, *shape):
    c = Chain(batch, *shape)
    wrong = check_kernels(c)
    if wrong:
        print(f"{label}: WRONG {wrong}", flush=True)
        return
    x, own, logits, text = random(batch, D), states(batch), [], ""
    saved = [[t.clone() for t in (s["memory"], *s["windows"])] for s in own]
    floor = (WEIGHT_BYTES + sum(8 * s["memory"].numel() for s in own)) / rate / 1e9
    for early in (False, True):
        recorded = graph(lambda: c.token(x, own, early))
        for _ in range(2):
            for s, copies in zip(own, saved):
                for t, copy in zip((s["memory"], *s["windows"]), copies):
                    t.copy_(copy)
            for _ in range(3):
                recorded.replay()
            torch.cuda.synchronize()
            logits.append(c.logits.clone())
        ms = milliseconds(recorded)
        text += f"  {'early' if early else 'plain'} {ms:.4f} ms {100 * floor / ms:.0f} %"
    same = all(torch.equal(logits[0], other) for other in logits[1:])
    print(f"{label:26} {'same bytes' if same else 'DIFFERENT BYTES'}{text}", flush=True)


a = torch.randn(1 << 29, device="cuda")
b = torch.empty_like(a)
# An elementwise kernel: a graph would leave a copy to the copy engines, at two thirds of the rate.
rate = 8 * a.numel() / milliseconds(graph(lambda: torch.neg(a, out=b)), 15) / 1e9
del a, b
print(f"copy {rate:.3f} TB/s; floor at batch 1 {(WEIGHT_BYTES + 8 * LAYERS * H * K * V) / rate / 1e9:.4f} ms", flush=True)
for chain in CHAINS:
    if time.time() - STARTED < 0.7 * LIMIT:
        time_chain(*chain)

c, x, own = Chain(*CHAINS[0][1:]), random(1, D), states(1)
whole = milliseconds(graph(lambda: c.token(x, own, True)), 20)
for name in c.kernels:
    saved = whole - milliseconds(graph(lambda: c.token(x, own, True, name)), 20)
    print(f"a token without {name:8} takes {1e3 * saved / (1 if name == 'head' else LAYERS):6.2f} us a kernel less")

own, c = states(64), Chain(8, *CHAINS[-1][2:])
c.mixed, c.o = random(64, STRIDE), torch.empty(64, H * V, device="cuda")
for columns, warps in STEPS:
    if time.time() - STARTED < 0.9 * LIMIT:
        c.kernels["step"] = step(64, columns, warps)
        us = 1e3 * milliseconds(graph(lambda: [c.run("step", p, s) for p, s in zip(BLOCKS, own)]), 8) / LAYERS
        print(f"step at batch 64, {columns} columns, {warps} warps: {us:.1f} us, "
              f"{100 * 8 * 64 * H * K * V / rate / 1e6 / us:.0f} % of a copy's rate", flush=True)
for name, inputs, rows, shapes in WIDE:
    matrices = [weight(rows, inputs) for _ in range(8)]
    x = random(64, inputs).to(bf16)
    for shape in shapes:
        if time.time() - STARTED > LIMIT:
            continue
        kernel, slices = wide(name, 64, inputs, rows, *shape), -(-inputs // shape[1])
        y = torch.full((64, F) if name == "gate_up" else (slices, 64, rows), NAN, device="cuda",
                       dtype=bf16 if name == "gate_up" else torch.float32)

        def launch(w, early=False):
            if name == "gate_up":
                kernel(early, y, x, w[:F], w[F:], F, 64)
            elif name == "project":
                kernel(early, y, x, w, rows, 64, rows)
            else:
                kernel(early, y, x, w, rows, 64)
        launch(matrices[0])
        expected = x.double() @ matrices[0].double().T
        if name == "gate_up":
            expected = silu(expected[:, :F]) * expected[:, F:]
        wrong = error(y if name == "gate_up" else y.double().sum(0), expected)
        budget = 3e-3 if name == "gate_up" else 1e-5
        us = [1e3 * milliseconds(graph(lambda: [launch(w, early and i > 0) for i, w in enumerate(matrices)]), 10) / 8
              for early in (False, True)]
        print(f"wide product {name} {inputs}, 64 rows, {shape}: {us[0]:.2f} us, early {us[1]:.2f} us, "
              f"{100 * 2 * rows * inputs / rate / 1e6 / us[0]:.0f} % of a copy's rate" if wrong <= budget else
              f"wide product {name} {inputs} {shape} WRONG: {wrong:.1e}", flush=True)
for name, rows, inputs in (("q, k, v, gate, a, b", STRIDE, D), ("output", D, H * V), ("gate", F, D), ("down", D, F)):
    if time.time() - STARTED < LIMIT:
        matrices = [weight(rows, inputs) for _ in range(8)]
        x, y = random(64, inputs).to(bf16), torch.empty(64, rows, device="cuda", dtype=bf16)
        us = 1e3 * milliseconds(graph(lambda: [torch.matmul(x, w.T, out=y) for w in matrices]), 10) / 8
        print(f"library's product {name}, 64 rows: {us:.2f} us, {100 * 2 * rows * inputs / rate / 1e6 / us:.0f} % of a copy's rate")
