"""Lets Triton's autotuner compile all candidates of a kernel on all cores before it times them, one after the other as
always. What it chooses does not change; a peer that tunes itself for ten minutes does so in two."""
import os
from concurrent.futures import ThreadPoolExecutor

from triton.runtime._async_compile import AsyncCompileMode, active_mode
from triton.runtime.autotuner import Autotuner


def compile_candidates_together():
    candidates = Autotuner.prune_configs

    def prune_configs(self, kwargs):
        configs = candidates(self, kwargs)
        if active_mode.get() is None and self.nargs is not None:
            arguments = list(self.nargs.values())
            with ThreadPoolExecutor(os.cpu_count()) as pool, AsyncCompileMode(pool, ignore_errors=True):
                for config in configs:
                    try:
                        self.fn.run(*arguments, **{**kwargs, "warmup": True, **config.all_kwargs()})
                    except Exception:
                        pass  # The autotuner meets it again, and leaves the candidate out.
        return configs

    Autotuner.prune_configs = prune_configs
