"""Speed of PyTorch on this CPU with transformers' chunked gated delta rule: training, forward, decoding.

Training and forward run the model of `gdn bench train`: six layers of the gated delta rule. transformers refuses a
cache for a model without attention, so decoding runs five of them and one layer of full attention; training and
forward of that model are reported too (`hybrid_…`). The better of no_grad and inference_mode counts. Needs torch and
transformers (without triton). Prints one JSON object.

usage: python peer_cpu_pytorch.py [threads]
"""
import json
import sys
import time

import torch
from transformers import Qwen3_5TextConfig
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5ForCausalLM

LAYERS = 6


def median(values):
    return sorted(values)[len(values) // 2]


def clock(body, warmup, runs):
    times = []
    for run in range(warmup + runs):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return median(times[warmup:])


def make(layer_types):
    config = Qwen3_5TextConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4, head_dim=64,
        linear_key_head_dim=64, linear_value_head_dim=128, linear_num_key_heads=4, linear_num_value_heads=4,
        layer_types=layer_types, tie_word_embeddings=True)
    return Qwen3_5ForCausalLM(config).float()


def training_rate(model, tokens):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def train():
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return tokens.numel() / clock(train, 2, 6)


def forward_rate(model, tokens):
    model.eval()
    rates = []
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            rates.append(tokens.numel() / clock(lambda: model(input_ids=tokens, use_cache=False), 1, 5))
    return max(rates)


def decoding_rate(model, tokens):
    model.eval()
    rates = []
    with torch.inference_mode():
        for _ in range(3):
            out = model(input_ids=tokens[:1, :64], use_cache=True)
            start = time.perf_counter()
            for i in range(64):
                out = model(input_ids=tokens[:1, 64 + i:65 + i], past_key_values=out.past_key_values, use_cache=True)
            rates.append(64 / (time.perf_counter() - start))
    return median(rates)


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    tokens = torch.randint(0, 4096, (8, 512))
    model = make(["linear_attention"] * LAYERS)
    result = {"threads": threads, "torch": torch.__version__,
              "parameters": sum(p.numel() for p in model.parameters()),
              "training_tokens_per_second": training_rate(model, tokens),
              "forward_tokens_per_second": forward_rate(model, tokens)}
    hybrid = make(["linear_attention"] * (LAYERS - 1) + ["full_attention"])
    result["hybrid_training_tokens_per_second"] = training_rate(hybrid, tokens)
    result["hybrid_forward_tokens_per_second"] = forward_rate(hybrid, tokens)
    result["decoding_tokens_per_second"] = decoding_rate(hybrid, tokens)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
