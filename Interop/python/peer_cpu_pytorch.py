"""Speed of PyTorch on this CPU with transformers' chunked gated delta rule: training, forward, decoding.

The shape is that of `gdn bench train`. transformers refuses a cache for a model without attention, so the last layer
is full attention. Needs torch and transformers (without triton). Prints one JSON object.

usage: python peer_cpu_pytorch.py [threads]
"""
import json
import sys
import time

import torch
from transformers import Qwen3_5TextConfig
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5ForCausalLM


def median(values):
    return sorted(values)[len(values) // 2]


def clock(body, warmup, runs):
    times = []
    for run in range(warmup + runs):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return median(times[warmup:])


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = Qwen3_5TextConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=6,
        num_attention_heads=4, num_key_value_heads=4, head_dim=64,
        linear_key_head_dim=64, linear_value_head_dim=128, linear_num_key_heads=4, linear_num_value_heads=4,
        layer_types=["linear_attention"] * 5 + ["full_attention"], tie_word_embeddings=True)
    model = Qwen3_5ForCausalLM(config).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(0, config.vocab_size, (8, 512))

    def train():
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    result = {"threads": threads, "torch": torch.__version__,
              "parameters": sum(p.numel() for p in model.parameters()),
              "training_tokens_per_second": tokens.numel() / clock(train, 2, 6)}
    model.eval()
    with torch.no_grad():
        forward = clock(lambda: model(input_ids=tokens, use_cache=False), 1, 5)
        result["forward_tokens_per_second"] = tokens.numel() / forward
        rates = []
        for _ in range(3):
            out = model(input_ids=tokens[:1, :64], use_cache=True)
            start = time.perf_counter()
            for i in range(64):
                out = model(input_ids=tokens[:1, 64 + i:65 + i], past_key_values=out.past_key_values, use_cache=True)
            rates.append(64 / (time.perf_counter() - start))
        result["decoding_tokens_per_second"] = median(rates)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
