"""Training speed of flash-linear-attention's Gated DeltaNet (1.387 B parameters) on this GPU: whole optimiser steps.

float32 parameters, bfloat16 autocast, fused AdamW, fused linear cross-entropy, clipping: its best setting. The first steps tune
its kernels for minutes; a line a step says that it lives. Needs torch and flash-linear-attention. Prints one JSON object a shape.

usage: python peer_cuda_training.py SEQUENCESxTOKENS …        e.g. 4x4096 (32,768 tokens a step do not fit in 80 GB)
"""
import json
import sys
import time

import torch
from peer_tuning import compile_candidates_together
from fla.models import GatedDeltaNetConfig, GatedDeltaNetForCausalLM

try:  # The backward of its output kernel refuses Triton versions that miscompile it on Hopper; only times are taken here.
    from fla.ops.common import chunk_o
    chunk_o.TRITON_ABOVE_3_7_1 = True
except ImportError:
    pass


compile_candidates_together()


def measure(batch, length, warmup=3, steps=5):
    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats()
    model = GatedDeltaNetForCausalLM(GatedDeltaNetConfig(
        hidden_size=2048, num_hidden_layers=21, num_heads=6, head_dim=256, expand_v=2, vocab_size=32000,
        fuse_linear_cross_entropy=True, fuse_cross_entropy=False, use_cache=False)).cuda().float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens = torch.randint(0, 32000, (batch, length), device="cuda")
    times = []
    for number in range(warmup + steps):
        start = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        print(f"step {number}: {times[-1]:.2f} s", file=sys.stderr, flush=True)
    median = sorted(times[warmup:])[steps // 2]
    return {"parameters": sum(p.numel() for p in model.parameters()), "batch": batch, "length": length,
            "step_seconds": median, "tokens_per_second": batch * length / median,
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


for shape in sys.argv[1:]:
    print(json.dumps(measure(*map(int, shape.split("x")))), flush=True)
    torch.cuda.empty_cache()
