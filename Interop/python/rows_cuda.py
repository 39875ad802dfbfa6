"""The bandwidth-bound CUDA kernels: checks against float64, then times at the training shape against bytes / copy bandwidth.

Works from the kernel sources alone. Bytes: each input read once, each output written once (partial sums not counted).
usage: python rows_cuda.py SOURCES/Ops [--variants] [--only PART,PART…]
       --variants: also every setting of the sources' own macros (tiles, stages, blocks a multiprocessor), each checked
       --only: convolution, norms, swiglu, cross-entropy, adamw, embedding, elementwise
A kernel that fails its check is not timed, and the exit status is 1.
"""
import struct
import sys

import cupy
import torch
from triton.testing import do_bench

from kernel_text import backend_text, operation_text

OPS = sys.argv[1]
VARIANTS = "--variants" in sys.argv
ONLY = sys.argv[sys.argv.index("--only") + 1].split(",") if "--only" in sys.argv else []
ROWS, D, F = 32768, 2048, 5632
bf16 = torch.bfloat16
f32, i64, i32 = cupy.float32, cupy.int64, cupy.int32
MULTIPROCESSORS = torch.cuda.get_device_properties(0).multi_processor_count
median = lambda fn: do_bench(fn, warmup=20, rep=60, return_mode="median")
new = lambda *shape, dtype=bf16: torch.randn(*shape, device="cuda", dtype=torch.float32).to(dtype)
poisoned = lambda *shape, dtype=bf16: torch.full(shape, float("nan"), device="cuda", dtype=dtype)
failures = 0


def module(folder, *files, **defines):
    return compiled(operation_text(OPS, [f"{folder}/{file}" for file in files or ["kernel.cu"]]), defines)


def backend_module(name, **defines):
    return compiled(backend_text(OPS, name), defines)


def compiled(source, defines):
    options = ("--std=c++17", "-default-device") + tuple(f"-D{k}={v}" for k, v in defines.items())
    return cupy.RawModule(code=source, options=options, backend="nvrtc")


def launcher(kernels, name, grid, threads, *arguments, shared=0):
    kernel = kernels.get_function(name)
    if shared > 48 << 10:
        kernel.max_dynamic_shared_size_bytes = shared
    values = tuple(cupy.uint64(a.data_ptr()) if torch.is_tensor(a) else cupy.uint64(0) if a is None else a
                   for a in arguments)

    def run():
        with cupy.cuda.Stream.from_external(torch.cuda.current_stream()):
            kernel(grid, (threads,), values, shared_mem=shared)
    run.arguments = arguments  # tensors live as long
    return run


def agrees(name, pairs, budget):
    """Whether every result is within its budget, ‖difference‖ / ‖reference‖; NaN never is."""
    global failures
    worst = max((float((a.double() - b).norm() / b.norm()) for a, b in pairs), key=lambda e: e if e == e else 1e9)
    if worst <= budget:
        return True
    failures += 1
    print(f"{name:36} WRONG: error {worst:.1e}, budget {budget:.1e}", flush=True)
    return False


def rows_defines(width):
    group = 4
    while group < 512 and group * 2 < width // 8:
        group *= 2
    threads = 256 if group <= 32 else group
    return dict(ELEMENT_BFLOAT16=1, WIDTH=width, GROUP=group, BLOCK_THREADS=threads), threads, threads // group


def measure_copy():
    x = torch.randn(1 << 29, device="cuda", dtype=bf16)
    y = torch.empty_like(x)
    return 4 * x.numel() / median(lambda: y.copy_(x)) / 1e9


def report(name, byte_count, run):
    ms = median(run)
    floor = byte_count / rate / 1e9
    print(f"{name:36} {byte_count / 1e6:8.0f} MB  {ms:.4f} ms  {ms / floor:.2f} x its bytes", flush=True)


# --- Short convolution --------------------------------------------------------------------------------------------

PROJECTIONS = 9280  # elements from one token's projections to the next's in the 1.3 B model


def convolution_reference(x, w, bounds, state, dy):
    x, w = x.double().requires_grad_(), w.double().requires_grad_()
    state = None if state is None else state.double().requires_grad_()
    outputs = []
    for n, (start, end) in enumerate(zip(bounds, bounds[1:])):
        before = x.new_zeros(3, x.shape[1]) if state is None else state[n].T
        padded = torch.cat([before, x[start:end]])
        pre = sum(w[:, k] * padded[k:k + end - start] for k in range(4))
        outputs.append(pre * torch.sigmoid(pre))
    y = torch.cat(outputs)
    y.backward(dy.double())
    return y.detach(), x.grad, w.grad, None if state is None else state.grad


class Convolution:
    """Launches for parts of so many channels each, which lie side by side in rows of `pitch` elements (None: of their own
    width); `head`: channels of a head in the parts that are normalised, all but the last."""

    def __init__(self, channels, pitch=None, head=0, vector=4, blocks=None, stages=None, tile=None, limit=None):
        self.channels, self.pitch, self.head, self.tile = channels, pitch or sum(channels), head, tile
        self.vector = {"forward": vector, "backward": 4}
        self.blocks = {"forward": 4 if vector == 8 else 7 if head else 8, "backward": 5, **(blocks or {})}
        self.limit = {"forward": 24, "backward": 160, **(limit or {})}
        self.modules = {}
        for direction in ("forward", "backward"):
            extra = {"STAGES_WANTED": stages[direction]} if direction in (stages or {}) else {}
            self.modules[direction] = module(
                "ShortConvolution", "convolution.cuh", f"{direction}.cu", ELEMENT_BFLOAT16=1, TAPS=4, ACTIVATION=1, BIAS=0,
                VECTOR=self.vector[direction], BLOCKS=self.blocks[direction], HEAD_DIM=head, **extra)

    def among(self, tokens):
        return new(tokens, self.pitch).split(self.channels + ([self.pitch - sum(self.channels)] if
                                                              self.pitch > sum(self.channels) else []), 1)[:len(self.channels)]

    def grid(self, direction, tokens):
        """Tokens a tile and the grid, as ShortConvolution+CUDA.swift chooses them: whole waves of blocks."""
        columns = sum(-(-each // (32 * self.vector[direction])) for each in self.channels)
        warps = 4 * max(1, MULTIPROCESSORS * self.blocks[direction] // columns)
        waves = -(-tokens // (self.limit[direction] * warps))
        tile = self.tile or max(16, (-(-tokens // (waves * warps)) + 3) // 4 * 4)
        return tile, (columns, -(-tokens // (4 * tile)))

    def launch(self, direction, tensors, bounds, sequences, length, partial=None):
        """tensors: one list a parameter of the kernel, in its order, an entry a part."""
        pad = lambda entries, nothing: [*entries, *[nothing] * (3 - len(entries))]
        tokens = tensors[0][0].shape[0]
        tile, grid = self.grid(direction, tokens)
        last = [f32(1e-6)] if direction == "forward" else []
        return launcher(
            self.modules[direction], f"short_convolution_{direction}_bfloat16", grid, 128,
            *[entry for entries in tensors for entry in pad(entries, None)], *pad([i32(c) for c in self.channels], i32(0)),
            *([] if partial is None else [partial]), None, bounds, i32(sequences), i32(length), i32(self.pitch), i32(tokens),
            i32(tile), *last)

    def tensors(self, tokens, sequences=None):
        w = [0.5 * new(c, 4, dtype=torch.float32) for c in self.channels]
        state = [new(sequences, c, 3, dtype=torch.float32) if sequences else None for c in self.channels]
        normalised = self.channels[:-1] if self.head else []
        factor = [poisoned(tokens, c // self.head, dtype=torch.float32) for c in normalised]
        y = [poisoned(tokens, c) for c in self.channels]
        dy = [new(tokens, c) for c in self.channels]
        dx = self.among(tokens)
        for each in dx:
            each.fill_(float("nan"))
        partial = poisoned(self.grid("backward", tokens)[1][1], 4, sum(self.channels), dtype=torch.float32)
        return self.among(tokens), dx, y, dy, w, state, factor + [None] * (len(w) - len(factor)), partial

    def agrees(self, name):
        ok = True
        for bounds, packed, with_state in (([0, 513, 1026], False, False), ([0, 512, 1024], False, True),
                                           ([0, 2, 2, 256, 258, 300, 301, 704, 771], True, True)):
            tokens, sequences = bounds[-1], len(bounds) - 1
            x, dx, y, dy, w, state, factor, partial = self.tensors(tokens, sequences if with_state else None)
            table = torch.tensor(bounds, device="cuda", dtype=torch.int32) if packed else None
            dstate = [torch.zeros_like(each) if with_state else None for each in state]
            common = (table, sequences, bounds[1])
            self.launch("forward", (y, factor, x, w, state), *common)()
            self.launch("backward", (dx, dstate, dy, x, w, state), *common, partial=partial)()
            first, pairs = 0, []
            for i, c in enumerate(self.channels):
                expected = list(convolution_reference(x[i], w[i], bounds, state[i], dy[i]))
                if factor[i] is not None:
                    heads = expected[0].unflatten(1, (-1, self.head))
                    r = 1 / (heads.square().sum(-1, keepdim=True) + 1e-6).sqrt()
                    expected[0] = (heads * r).flatten(1)
                    pairs.append((factor[i], r.squeeze(-1)))
                sums = partial.double().sum(0)[:, first:first + c].T
                pairs += [(y[i], expected[0]), (dx[i], expected[1]), (sums, expected[2])]
                pairs += [(dstate[i], expected[3])] if with_state else []
                first += c
            ok &= agrees(name, pairs, 5e-3)
        return ok

    def time(self, name, sequences=16):
        if not self.agrees(name):
            return
        x, dx, y, dy, w, state, factor, partial = self.tensors(ROWS)
        size, common = 2 * ROWS * sum(self.channels), (None, sequences, ROWS // sequences)
        report(f"{name} forward", 2 * size, self.launch("forward", (y, factor, x, w, state), *common))
        report(f"{name} backward", 3 * size, self.launch(
            "backward", (dx, [None] * len(x), dy, x, w, state), *common, partial=partial))


# --- Norms --------------------------------------------------------------------------------------------------------

def time_rms_norm():
    defines, threads, per_block = rows_defines(D)
    m = module("RMSNorm", **defines)
    a, b, c, d, w = new(ROWS, D), new(ROWS, D), new(ROWS, D), new(ROWS, D), new(D, dtype=torch.float32)
    inverse, partial = torch.rand(ROWS, device="cuda") + 0.5, poisoned(1056, D, dtype=torch.float32)
    shared, size = 4 * D * per_block if per_block > 1 else 0, 2 * ROWS * D
    report("add + RMSNorm forward", 4 * size, launcher(
        m, "rms_norm_forward_bfloat16", (ROWS // per_block,), threads, a, b, inverse, c, d, w, f32(0), f32(1e-6),
        i64(ROWS)))
    run = launcher(m, "rms_norm_backward_bfloat16", (1056,), threads, a, partial, b, c, d, inverse, w, f32(0), i64(ROWS),
                   shared=shared)
    a.fill_(float("nan"))
    run()
    n, dy = d.double() * inverse.double()[:, None], b.double()
    gradient = dy * w.double()
    expected = inverse.double()[:, None] * (gradient - n * (gradient * n).mean(-1, keepdim=True)) + c.double()
    if agrees("add + RMSNorm backward", [(a, expected), (partial.double().sum(0), (dy * n).sum(0))], 5e-3):
        del expected, gradient, n, dy
        report("add + RMSNorm backward", 4 * size, run)


def time_gated_norm(V=512, heads=6, pitch=None):
    """With a pitch the gate of a token's heads lies among other columns, its gradient too."""
    defines, threads, per_block = rows_defines(V)
    m = module("GatedRMSNorm", SIGMOID=0, GATE_FIRST=0, **defines)
    n = ROWS * heads
    dx, dy, x = (new(n, V) for _ in range(3))
    joined = [new(ROWS, pitch or heads * V)[:, :heads * V] for _ in range(2)]
    dgate, gate = (each.unflatten(1, (heads, V)) for each in joined)
    among, label = (i32(heads), i32(joined[0].stride(0))), "gated RMSNorm" + (" among others" if pitch else "")
    w, inverse = new(V, dtype=torch.float32), torch.rand(n, device="cuda") + 0.5
    partial, size = poisoned(528, V, dtype=torch.float32), 2 * n * V
    run = launcher(m, "gated_rms_norm_backward_bfloat16", (528,), threads, dx, dgate, partial, dy, x, gate, inverse, w,
                   i64(n), *among, shared=4 * V * per_block)
    dx.fill_(float("nan")), dgate.fill_(float("nan"))
    run()
    pairs, sums = [], 0
    for block in range(0, n, n // 8):
        part, tokens = slice(block, block + n // 8), slice(block // heads, (block + n // 8) // heads)
        r, z, d = inverse[part].double()[:, None], gate[tokens].reshape(-1, V).double(), dy[part].double()
        s, normed = torch.sigmoid(z), x[part].double() * inverse[part].double()[:, None]
        b = d * w.double() * z * s
        pairs += [(dx[part], r * (b - normed * (b * normed).mean(-1, keepdim=True))),
                  (dgate[tokens].reshape(-1, V), s * (1 + z * (1 - s)) * d * normed * w.double())]
        sums = sums + (d * normed * z * s).sum(0)
    good = agrees(f"{label} backward", pairs + [(partial.double().sum(0), sums)], 5e-3)
    del pairs
    report(f"{label} forward", 3 * size, launcher(
        m, "gated_rms_norm_forward_bfloat16", (n // per_block,), threads, dx, inverse, x, gate, w, f32(1e-6), i64(n),
        *among))
    if good:
        report(f"{label} backward", 5 * size, run)


def time_l2_norm(K=256, heads=6):
    defines, threads, per_block = rows_defines(K)
    m, n = module("L2Norm", KIND=0, **defines), ROWS * heads
    a, b, c = (new(n, K) for _ in range(3))
    inverse, size = torch.rand(n, device="cuda") + 0.5, 2 * n * K
    report("L2 norm forward", 2 * size, launcher(
        m, "normalise_rows_forward_bfloat16", (n // per_block,), threads, a, inverse, b, f32(1e-6), i64(n)))
    report("L2 norm backward", 3 * size, launcher(
        m, "normalise_rows_backward_bfloat16", (n // per_block,), threads, a, b, c, inverse, i64(n)))


# --- Embedding ----------------------------------------------------------------------------------------------------

WORDS = 32000


def time_embedding_forward(table):
    m = module("Embedding", ELEMENT_BFLOAT16=1, TABLE="bfloat16" if table == bf16 else "float", VECTOR=8)
    tokens = torch.randint(0, WORDS, (ROWS,), device="cuda", dtype=torch.int32)
    values, y = new(WORDS, D, dtype=table), poisoned(ROWS, D)
    run = launcher(m, "embedding_forward_bfloat16", (ROWS // 8,), 256, y, tokens, values, i32(ROWS), i32(WORDS), i32(D))
    run()
    name = f"embedding forward, {values.element_size()} byte table"
    if agrees(name, [(y, values[tokens.long()].double())], 5e-3):
        report(name, ROWS * D * (values.element_size() + 2), run)


def time_embedding_backward(name, tokens, stretch=1024, threads=128):
    """stretch: tokens a round that a warp sorts; threads: of a block that adds up a piece of 32 positions. The forward sorts
    (time apart), the backward adds up; it may run again with the same sorted tokens."""
    m = module("Embedding", ELEMENT_BFLOAT16=1, TABLE="float", VECTOR=8)
    dy, dtable, pieces, slices = new(ROWS, D), poisoned(WORDS, D, dtype=torch.float32), ROWS // 32, D // (4 * threads)
    positions, words, edges, starts, counts, arrivals = (
        torch.full((n,), -2, device="cuda", dtype=torch.int32)
        for n in (ROWS, ROWS, pieces, WORDS, WORDS, 3 * pieces * slices))
    partial = poisoned(pieces, 2, D, dtype=torch.float32)
    order = torch.sort(tokens.long(), stable=True).indices
    one = torch.ones((), device="cuda", dtype=torch.float64)
    sort = launcher(m, "embedding_backward_sort_bfloat16", (-(-WORDS // 256),), 1024, positions, words, edges, starts, counts,
                    arrivals, tokens, i32(ROWS), i32(WORDS), i32(arrivals.numel()), i32(stretch), shared=32 * stretch * 4)
    for overwrite in (1, 0):
        run = launcher(m, f"embedding_backward_{'write' if overwrite else 'add'}_bfloat16",
                       (-(-(max(ROWS, WORDS) if overwrite else ROWS) // 32) * slices,), threads, dtable, partial, arrivals,
                       dy, positions, words, edges, starts, counts, i32(ROWS), i32(WORDS), i32(D))
        label = f"embedding backward, {name}" + ("" if overwrite else ", added")
        sort()
        results = []
        for _ in range(4):
            dtable.fill_(float("nan") if overwrite else 1)
            run()
            results.append(dtable.clone())
        expected = torch.full((WORDS, D), 1.0 - overwrite, device="cuda", dtype=torch.float64)
        expected.index_add_(0, tokens.long(), dy.double())
        # One more than the positions, elements of later runs, or counters that are not what they must be.
        misplaced, left = (positions.long() != order).sum() + 1, (arrivals != 0).sum() + 1
        changed = sum((result != results[0]).sum() for result in results[1:]) + 1
        good = agrees(label, [(results[0], expected), (misplaced, one), (changed, one), (left, one)], 1e-5)
        del expected, results
        if good:
            rows = WORDS if overwrite else 2 * tokens.unique().numel()
            report(label, 2 * ROWS * D + 4 * rows * D, run)
            if overwrite:
                print(f"    {'sort':32} {median(sort):.4f} ms", flush=True)


def time_embedding():
    """Words drawn evenly, as often as in a text (the k-th most frequent 1 / k), one word only."""
    for table in (torch.float32, bf16):
        time_embedding_forward(table)
    even = torch.randint(0, WORDS, (ROWS,), device="cuda", dtype=torch.int32)
    share = 1 / torch.arange(1, WORDS + 1, device="cuda", dtype=torch.float64)
    time_embedding_backward("even", even)
    time_embedding_backward("zipf", torch.multinomial(share, ROWS, replacement=True).int())
    time_embedding_backward("one word", torch.full_like(even, 777))


# --- Elementwise --------------------------------------------------------------------------------------------------

def time_elementwise():
    n, half, single = ROWS * D, "bfloat16", "float"
    sizes, types = {half: 2, single: 4}, {half: bf16, single: torch.float32}
    for out, a, b in ((half, half, half), (single, single, single), (single, single, half)):
        m = backend_module("elementwise", OUT=out, A=a, B=b)
        x, y = new(n + 3, dtype=types[a]), new(n + 3, dtype=types[b])
        z = poisoned(n + 3, dtype=types[out])
        vectors = (n + 3) // (8 if half in (out, a, b) else 4)
        run = launcher(m, "add", (132 * 32,), 256, z, x, y, i64(n + 3), i64(vectors))
        run()
        label = f"add {sizes[a]} + {sizes[b]} bytes"
        if agrees(label, [(z, x.double() + y.double())], 5e-3):
            report(label, n * (sizes[out] + sizes[a] + sizes[b]), run)
    for out, a in ((half, single), (single, half)):
        m = backend_module("elementwise", OUT=out, A=a, B=a)
        x, z = new(n + 3, dtype=types[a]), poisoned(n + 3, dtype=types[out])
        run = launcher(m, "convert", (132 * 32,), 256, z, x, i64(n + 3), i64((n + 3) // 8))
        run()
        if agrees("convert", [(z, x.double())], 5e-3):
            report(f"convert {sizes[a]} to {sizes[out]} bytes", n * (sizes[out] + sizes[a]), run)
    m = module("CrossEntropy", ELEMENT_BFLOAT16=1, LOGIT="float")
    factor = torch.tensor([0.5], device="cuda")
    for name, dtype, vector in (("float32", torch.float32, 4), ("bfloat16", bf16, 8)):
        for add in (0, 1):
            x, z = new(n + 3, dtype=dtype), new(n + 3, dtype=dtype)
            expected = 0.5 * x.double() + (z.double() if add else 0)
            run = launcher(m, f"cross_entropy_scale_{name}", (132 * 32,), 256, z, x, factor, i32(add), i64(n + 3),
                           i64((n + 3) // vector))
            if not add:
                z.fill_(float("nan"))
            run()
            label = f"cross-entropy scale {name}" + (", added" if add else "")
            if agrees(label, [(z, expected)], 5e-3):
                report(label, n * x.element_size() * (3 if add else 2), run)
    m = backend_module("elementwise", OUT="float", A="float", B="float")
    for rows, columns in ((1056, 2048), (528, 512), (55, 6144), (512, 12), (16, 32768)):
        x, z = new(rows, columns, dtype=torch.float32), poisoned(columns, dtype=torch.float32)
        lanes = 4
        while lanes < 128 and lanes * 4 <= rows:
            lanes *= 2
        blocks = -(-columns // (1024 // lanes))
        run = launcher(m, "sum_rows", (blocks,), 1024, z, x, i32(rows), i32(columns), i32(lanes))
        run()
        if agrees("sum_rows", [(z, x.double().sum(0))], 1e-5):
            report(f"sum_rows {rows} x {columns}", 4 * rows * columns, run)


# --- The rest -----------------------------------------------------------------------------------------------------

def time_swiglu(pitch=None):
    """With a pitch gate and up lie beside each other, their gradients too."""
    m, size = module("SwiGLU", ELEMENT_BFLOAT16=1), 2 * ROWS * F
    y, dy = poisoned(ROWS, F), new(ROWS, F)
    values, slopes = (new(ROWS, pitch or 2 * F) for _ in range(2))
    (gate, up), (dgate, dup) = (
        (rows[:, :F], rows[:, F:2 * F]) if pitch else (rows.view(2, ROWS, F)) for rows in (values, slopes))
    slopes.fill_(float("nan"))
    extents, label = (i64(ROWS * F), i32(F), i32(gate.stride(0)), i32(up.stride(0))), "SwiGLU" + (" side by side" if pitch else "")
    forward = launcher(m, "swiglu_forward_bfloat16", (132 * 32,), 256, y, gate, up, *extents)
    backward = launcher(m, "swiglu_backward_bfloat16", (132 * 32,), 256, dgate, dup, dy, gate, up, *extents)
    forward(), backward()
    pairs = []
    for block in range(0, ROWS, ROWS // 8):
        part = slice(block, block + ROWS // 8)
        g, u, d = gate[part].double(), up[part].double(), dy[part].double()
        s = torch.sigmoid(g)
        pairs += [(y[part], g * s * u), (dgate[part], d * u * s * (1 + g * (1 - s))), (dup[part], d * g * s)]
    if agrees(label, pairs, 5e-3):
        del pairs
        report(f"{label} forward", 3 * size, forward)
        report(f"{label} backward", 5 * size, backward)


def time_cross_entropy(words=32000, rows=4096, threads=1024):
    name = f"cross-entropy rows, {threads} threads"
    m = module("CrossEntropy", ELEMENT_BFLOAT16=1, LOGIT="float", WORDS=words, ROW_THREADS=threads)
    logits, gradient = new(rows, words, dtype=torch.float32), poisoned(rows, words)
    targets = torch.randint(0, words, (rows,), device="cuda", dtype=torch.int32)
    targets[5], targets[6], targets[7] = -100, 0, words - 1
    losses, kept = poisoned(rows, dtype=torch.float32), torch.tensor([rows - 1.0, 1 / (rows - 1.0)], device="cuda")
    run = launcher(m, "cross_entropy_short_rows_bfloat16", (min(rows, MULTIPROCESSORS),), threads, losses, gradient, logits,
                   targets, kept, i32(-100), i32(rows), shared=4 * words)
    run()
    pairs = []
    for block in range(0, rows, 512):
        part = slice(block, block + 512)
        target, keep = targets[part].long(), targets[part] != -100
        logs = torch.log_softmax(logits[part].double(), -1)
        index = target.clamp(min=0)[:, None]
        expected = torch.where(keep, -logs.gather(1, index).squeeze(1), 0.0)
        slope = logs.exp().scatter_add(1, index, torch.full_like(logs[:, :1], -1.0)) * keep[:, None] / (rows - 1.0)
        pairs += [(losses[part], expected), (gradient[part], slope)]
    if agrees(name, pairs, 5e-3):
        report(name, 6 * rows * words, run)


def time_adamw(n=1 << 27, chunk=16384):
    m = module("AdamW", ELEMENT_BFLOAT16=0, VECTOR=4, CHUNK=chunk)
    p, mo, v, g = (torch.rand(n, device="cuda") for _ in range(4))
    copy = torch.empty(n, device="cuda", dtype=bf16)
    keep = struct.unpack("q", struct.pack("fi", 0.99, 0))[0]
    table = torch.tensor([t.data_ptr() for t in (p, mo, v, g, copy)] + [n, 0, keep], dtype=torch.int64, device="cuda")
    report("AdamW with bfloat16 copy", 30 * n, launcher(
        m, "adamw_step_float32", (n // chunk,), 256, table, i32(1), *(f32(z) for z in (1e-3, .9, .1, .95, .05, 1, 1e-8, 1))))


# --- Parts --------------------------------------------------------------------------------------------------------

def labelled(settings):
    return " ".join(f"{key}={value}" for key, value in settings.items())


def convolution():
    for channels in (1536, 3072):
        Convolution([channels]).time(f"short convolution {channels}")
    mixer = dict(pitch=PROJECTIONS, head=256, vector=8)
    Convolution([1536, 1536, 3072], **mixer).time("q, k and v, heads normalised")
    if VARIANTS:
        for limit in (dict(forward=48, backward=320), dict(forward=20, backward=100)):
            for channels in (1536, 3072):
                Convolution([channels], limit=limit).time(f"{channels} {labelled(limit)}")
            Convolution([1536, 1536, 3072], limit=limit, **mixer).time(labelled(limit))
        Convolution([2048, 2048, 2048], pitch=PROJECTIONS, head=128).time("heads of 128 normalised")


def norms():
    time_rms_norm()
    time_gated_norm()
    time_gated_norm(pitch=PROJECTIONS)
    time_l2_norm()


def swiglu():
    time_swiglu()
    time_swiglu(pitch=2 * F)


def cross_entropy():
    for threads in (1024, 800, 512) if VARIANTS else (1024,):
        time_cross_entropy(threads=threads)


PARTS = {"convolution": convolution, "norms": norms, "swiglu": swiglu, "cross-entropy": cross_entropy,
         "adamw": time_adamw, "embedding": time_embedding, "elementwise": time_elementwise}
unknown = [name for name in ONLY if name not in PARTS]
if unknown:
    sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
rate = measure_copy()
print(f"copy {rate:.2f} TB/s")
for name in ONLY or PARTS:
    PARTS[name]()
sys.exit(failures > 0)
