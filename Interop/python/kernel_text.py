"""CUDA sources joined as the package joins them: the backend's prelude, what all operations share, a kernel's own files.

Both functions take the folder Sources/Ops; beside it lies the backend's.
"""
import os

PRELUDE = "../CUDABackend/Kernels/Prelude.cuh"
SHARED = ["Kernels/Elements.cuh", "Kernels/Rows.cuh", "Kernels/Tiles.cuh"]


def operation_text(ops, files):
    """Files of Sources/Ops, e.g. Decoding/chain.cuh, behind what stands before every operation's kernels."""
    return joined(ops, [PRELUDE, *SHARED, *files])


def backend_text(ops, name):
    """A source of the backend, e.g. elementwise, behind the prelude."""
    return joined(ops, [PRELUDE, f"../CUDABackend/Kernels/{name}.cu"])


def joined(ops, paths):
    return "\n".join(open(os.path.join(ops, path), encoding="utf-8").read() for path in paths)
