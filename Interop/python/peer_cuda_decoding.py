"""Decoding speed of flash-linear-attention's Gated DeltaNet (1.387 B parameters, bfloat16) on this GPU: milliseconds a token.

Greedy, after 512 tokens of context. A token is the difference of generating 128 and 64 of them, so the context does not count;
median of three. Two ways: `generate`, and a loop around its forward that leaves out masks, stopping and the logits of the context.
The faster one is the peer. The first calls tune its kernels. Needs torch and flash-linear-attention. Prints one JSON object a batch.

usage: python peer_cuda_decoding.py [SECONDS]      nothing is begun after so many seconds (default 300)
"""
import json
import sys
import time

import torch
from peer_tuning import compile_candidates_together
from fla.models import GatedDeltaNetConfig, GatedDeltaNetForCausalLM

STARTED, LIMIT = time.time(), float(sys.argv[1]) if len(sys.argv) > 1 else 300
CONTEXT, SHORT, LONG = 512, 64, 128

compile_candidates_together()


def by_generate(model, tokens, count):
    result = model.generate(tokens, max_new_tokens=count, min_new_tokens=count, do_sample=False, use_cache=True, pad_token_id=0)
    assert result.shape[1] == CONTEXT + count, f"{result.shape[1] - CONTEXT} tokens instead of {count}"


def by_loop(model, tokens, count):
    cache = None
    for _ in range(count):
        output = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        tokens, cache = output.logits[:, -1:].argmax(-1), output.past_key_values
    assert tokens.shape[1] == 1


def seconds(function, *arguments):
    torch.cuda.synchronize()
    start = time.perf_counter()
    function(*arguments)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def milliseconds_a_token(way, model, tokens):
    """None where the way fails or there is no time left for it."""
    times = []
    try:
        warm_up = seconds(way, model, tokens, SHORT)
        print(f"{way.__name__}, batch {tokens.shape[0]}: warm-up {warm_up:.1f} s", file=sys.stderr, flush=True)
        for _ in range(3):
            if time.time() - STARTED > LIMIT:
                break
            short, long = (seconds(way, model, tokens, count) for count in (SHORT, LONG))
            times.append(1e3 * (long - short) / (LONG - SHORT))
    except Exception as error:
        print(f"{way.__name__}, batch {tokens.shape[0]}: {error!r}", file=sys.stderr, flush=True)
    return sorted(times)[len(times) // 2] if times else None


torch.manual_seed(0)
with torch.device("cuda"):
    model = GatedDeltaNetForCausalLM(GatedDeltaNetConfig(
        hidden_size=2048, num_hidden_layers=21, num_heads=6, head_dim=256, expand_v=2, vocab_size=32000, use_cache=True))
model = model.to("cuda", torch.bfloat16).eval()
# No word ends a text, so nothing looks for one.
model.generation_config.eos_token_id = None
failures = 0
with torch.inference_mode():
    for batch in (1, 64):
        tokens = torch.randint(3, 32000, (batch, CONTEXT), device="cuda")
        ways = {way.__name__: milliseconds_a_token(way, model, tokens) for way in (by_loop, by_generate)
                if time.time() - STARTED < LIMIT}
        measured = [ms for ms in ways.values() if ms is not None]
        failures += not measured
        print(json.dumps({"parameters": sum(p.numel() for p in model.parameters()), "batch": batch, "context": CONTEXT,
                          "milliseconds_a_token": min(measured, default=None), **ways}), flush=True)
        torch.cuda.empty_cache()
sys.exit(failures > 0)
