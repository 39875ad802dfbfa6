"""Compiles all CUDA sources for all specialisations and reads registers and spills from the assembler's report.

usage: check-kernels.py NVRTC_FOLDER [--quick] [--all]
       --quick: the gated delta rule at one shape only;  --all: print every kernel
"""
import ctypes
import glob
import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor

ROOT = os.path.join(os.path.dirname(__file__), "..")
sys.path.append(os.path.join(ROOT, "Interop", "python"))
from kernel_text import backend_text, operation_text

OPS = os.path.join(ROOT, "Sources", "Ops")
FOLDER = sys.argv[1]

# Bytes of spill stores that are expected, by kernel, dtype, (K, V, value heads a key head). Reasons:
# - scans from K = 192 on: the state alone takes 96 to 128 of 255 registers
# - gradients above K = 128: sums of both roles fill the registers; tens of bytes, outside of the products' loop
# - gradients with several value heads: one more accumulator of 64 registers stays over the loop of heads
# - float32: every product is a call, and what lives over a call is limited; this form is for checking
ALLOWED = [
    ("forward_scan|backward_scan|backward_states|_segments", "bfloat16", lambda K, V, groups: K >= 192, 160),
    ("backward_gradients", "bfloat16", lambda K, V, groups: K > 128, 160),
    ("backward_gradients", "bfloat16", lambda K, V, groups: groups > 1, 640),
    (".*", "float32", lambda K, V, groups: K > 0, 4096),
]


def jobs(quick):
    """Name, files (none: the backend's source of that name), options, (K, V, groups) of every specialisation."""
    for out in ("float", "bfloat16"):
        for other in ("float", "bfloat16"):
            yield "elementwise", [], [f"-DOUT={out}", f"-DA={out}", f"-DB={other}"], None
        for rows in (1, 4):
            yield "small_product", [], [f"-DOUT={out}", f"-DROWS={rows}"], None
    yield "random", [], ["-DCHUNK=4096"], None
    for bf16 in (1, 0):
        element = [f"-DELEMENT_BFLOAT16={bf16}"]
        per = 8 if bf16 else 4
        yield from decoding_jobs(element, quick)
        for vector in (per, 1):
            v = element + [f"-DVECTOR={vector}"]
            for width, group in ((64, 4), (512, 32), (2048, 128 if bf16 else 256)):
                rows = v + [f"-DWIDTH={width}", f"-DGROUP={group}", f"-DBLOCK_THREADS={max(256, group) if group <= 32 else group}"]
                if vector == 1 and width > 512:
                    continue
                yield "RMSNorm", ["RMSNorm/kernel.cu"], rows, None
                for gate in ((0, 0), (1, 0), (0, 1)):
                    yield "GatedRMSNorm", ["GatedRMSNorm/kernel.cu"], rows + [f"-DSIGMOID={gate[0]}", f"-DGATE_FIRST={gate[1]}"], None
                if width <= 256:
                    for kind in range(3):
                        yield "L2Norm", ["L2Norm/kernel.cu"], rows + [f"-DKIND={kind}"], None
            yield "SwiGLU", ["SwiGLU/kernel.cu"], v, None
            for activation in range(4):
                yield "Activation", ["Activation/kernel.cu"], v + [f"-DACTIVATION={activation}"], None
            for taps in (1, 2, 3, 4, 8):
                w = element + [f"-DVECTOR={4 if vector > 1 and (bf16 or taps <= 4) else 1}"]
                for bias in (0, 1):
                    lean = bf16 and taps <= 4
                    convolution = w + [f"-DTAPS={taps}", "-DACTIVATION=1", f"-DBIAS={bias}"]
                    yield ("ShortConvolution", ["ShortConvolution/convolution.cuh", "ShortConvolution/backward.cu"],
                           convolution + [f"-DBLOCKS={2 if taps > 4 else 5 if lean and not bias else 4}"], None)
                    # Channels a thread, heads and blocks of the forms that normalise.
                    forms = [(None, 0, 8 if lean else 4)]
                    if taps == 4 and vector > 1 and not bias:
                        forms += [(4, 64, 7), (4, 128, 7), (8, 256, 4)] if bf16 else [(4, 64, 4), (4, 128, 4)]
                    for own, head, blocks in forms:
                        own = convolution if own is None else element + [f"-DVECTOR={own}"] + convolution[len(w):]
                        yield ("ShortConvolution", ["ShortConvolution/convolution.cuh", "ShortConvolution/forward.cu"],
                               own + [f"-DHEAD_DIM={head}", f"-DBLOCKS={blocks}"], None)
            if not bf16:
                yield "AdamW", ["AdamW/kernel.cu"], v + ["-DCHUNK=16384"], None
                yield "GradientClipping", ["GradientClipping/kernel.cu"], v + ["-DCHUNK=65536"], None
        yield "Gates", ["Gates/kernel.cu"], element, None
        for other in ("float", "bfloat16"):
            for vector in (per, 1):
                yield "Embedding", ["Embedding/kernel.cu"], element + [f"-DTABLE={other}", f"-DVECTOR={vector}"], None
            yield "CrossEntropy", ["CrossEntropy/kernel.cu"], element + [f"-DLOGIT={other}"], None
            yield "CrossEntropy", ["CrossEntropy/kernel.cu"], element + [f"-DLOGIT={other}", "-DWORDS=32000"], None
        shapes = [(64, 64), (96, 192), (128, 128), (128, 256), (192, 384), (200, 400), (256, 512), (512, 512)]
        if not bf16:
            shapes = [(64, 64), (128, 128), (256, 512), (512, 512)]
        for K, V in [(128, 128)] if quick else shapes:
            for groups in (1, 2) if bf16 and K <= 128 else (1,):
                for warps in (4, 8) if bf16 and 64 < V and K <= 128 else (4,):
                    delta = element + [
                        f"-DKEY_DIM={K}", f"-DVALUE_DIM={V}", f"-DGROUPS={groups}", f"-DVALUE_WARPS={warps}",
                        f"-DSTAGES={2 if bf16 and K <= 256 else 1}", f"-DONE_KEY_TILE={int(K > 256 and not bf16)}"]
                    for erases in (1, 0) if K <= 128 else (1,):
                        scans = [("warpgroup.cuh", "scan.cuh", *own) for own in (
                            ("forward_pass.cuh", "forward_scan.cu"), ("backward_pass.cuh", "backward_scan.cu"),
                            ("forward_pass.cuh", "backward_pass.cuh", "segments.cu"))]
                        for files in ("prepare.cu",), *scans, ("gradients.cu",), ("step.cu",):
                            # Warps that multiply together: on sm_90a alone.
                            together = len(files) > 1 and bf16 and K in (64, 128, 256)
                            for warpgroups in (0, 1) if together else (0,):
                                yield (f"GatedDeltaRule {K}/{V} x{groups} w{warps}",
                                       [f"GatedDeltaRule/{file}" for file in ("chunk.cuh", *files)],
                                       delta + [f"-DERASES={erases}", f"-DWARPGROUPS={warpgroups}"], (K, V, groups))


def decoding_jobs(element, quick):
    """One token of the 21 x 2048 model, and shapes that leave a portion of the weights incomplete."""
    chain, D, H, K, V, F = "Decoding/chain.cuh", 2048, 6, 256, 512, 5632
    for batch in (1, 8) if quick else (1, 2, 4, 8):
        # Kernel, columns of the weights, units a round, switches.
        for name, inputs, units, more in (
                ("project", D, 9, ["-DTAPS=4", "-DACTIVATION=1"]), ("project", 264, 2, ["-DTAPS=0", "-DACTIVATION=2"]),
                ("output", H * V, 2, [f"-DVALUE_DIM={V}", "-DHAS_NORM=1", "-DHAS_GATE=1"]),
                ("output", 144, 2, ["-DVALUE_DIM=36", "-DHAS_NORM=0", "-DHAS_GATE=0"]),
                ("gate_up", D, 11, []), ("down", F, 2, []), ("down", 296, 2, []), ("head", D, 11, [])):
            yield f"Decoding batch {batch}", [chain, "Decoding/product.cuh", f"Decoding/{name}.cu"], element + [
                f"-DINPUTS={inputs}", f"-DBATCH={batch}", "-DBLOCK_WARPS=8", "-DRING_PORTIONS=6",
                f"-DUNITS={min(units, 64 // batch)}"] + more, None
    if "-DELEMENT_BFLOAT16=1" in element:
        # Kernel, columns of the weights, of a slice, rows of weights a block, stages with four tiles of sequences.
        for name, inputs, slice, rows, stages in (
                ("project", D, D, 72, 3), ("project", 264, 288, 8, 2), ("gate_up", D, D, 88, 2), ("part", F, 1408, 64, 3),
                ("part", H * V, 640, 80, 3), ("part", 96, 32, 16, 1)):
            for tiles in (1, 4) if quick else (1, 2, 3, 4):
                yield f"Decoding {tiles} tiles", [chain, "Decoding/wide.cuh", f"Decoding/wide_{name}.cu"], element + [
                    f"-DINPUTS={inputs}", f"-DSLICE={slice}", f"-DSLICES={-(-inputs // slice)}", f"-DWEIGHT_ROWS={rows}",
                    f"-DTILES={tiles}", f"-DSTAGES={stages}"], None
    for K, V, columns in ((256, 512, 16), (256, 512, 32), (256, 512, 64), (200, 400, 32), (200, 400, 64), (64, 64, 16)):
        yield "Decoding step", [chain, "Decoding/step.cu"], element + [
            f"-DKEY_DIM={K}", f"-DVALUE_DIM={V}", "-DGROUPS=1", f"-DTILE_COLUMNS={columns}", "-DBLOCK_WARPS=4",
            "-DHAS_DECAY=1", "-DHAS_BETA=1", "-DNORMALISES=1", "-DERASES=1"], None
    for taps, table in ((4, "float"), (0, "bfloat16")):
        yield "Decoding rows", [chain, "Decoding/rows.cu"], element + [
            f"-DTAPS={taps}", "-DACTIVATION=1", "-DHAS_NORM=1", "-DHAS_GATE=1", f"-DTABLE={table}"], None


def compile(job):
    name, files, options, dims, architecture = job
    library = compile.library = getattr(compile, "library", None) or open_library()
    text = operation_text(OPS, files) if files else backend_text(OPS, name)
    arguments = [f"--gpu-architecture={architecture}", "--std=c++17", "-default-device", "--ptxas-options=-v"] + options
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    array = (ctypes.c_char_p * len(arguments))(*[argument.encode() for argument in arguments])
    status = library.nvrtcCompileProgram(program, len(arguments), array)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return job, status, log.value.decode()


def open_library():
    for builtins in glob.glob(f"{FOLDER}/nvidia/*/lib/libnvrtc-builtins.so.*"):
        if ".alt." not in builtins:
            ctypes.CDLL(builtins, ctypes.RTLD_GLOBAL)
    return ctypes.CDLL([p for p in glob.glob(f"{FOLDER}/nvidia/*/lib/libnvrtc.so.*") if ".alt." not in p][0])


def allowed(kernel, dtype, dims):
    if dims is None:
        return 0
    return max([limit for pattern, own, applies, limit in ALLOWED
                if re.search(pattern, kernel) and own == dtype and applies(*dims)], default=0)


def main():
    started = time.time()
    work = [(*job, architecture) for architecture in ("sm_80", "sm_90a") for job in jobs("--quick" in sys.argv)
            if architecture == "sm_90a" or "-DWARPGROUPS=1" not in job[2]]
    failures = kernels = 0
    with ProcessPoolExecutor() as pool:
        for (name, files, options, dims, architecture), status, log in pool.map(compile, work):
            where = f"{architecture} {name} {' '.join(options)}"
            if status != 0:
                failures += 1
                print(f"FAILED {where}\n{log}")
                continue
            report = re.findall(
                r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", log, re.S)
            for kernel, spills, registers in report:
                kernels += 1
                dtype = kernel.rsplit("_", 1)[-1]
                bad = int(spills) > allowed(kernel, dtype, dims)
                failures += bad
                if bad or "--all" in sys.argv:
                    print(f"{'FAILED ' if bad else ''}{where}: {kernel} {registers} registers, {spills} bytes spilled")
            if not report:
                failures += 1
                print(f"FAILED {where}: the assembler reported nothing")
    print(f"{kernels} kernels in {len(work)} specialisations, {failures} failures, {time.time() - started:.0f} s")
    sys.exit(failures > 0)


main()
