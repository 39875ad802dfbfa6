"""Compares SentencePiece models and trained tokenizers with PyPI `sentencepiece` and `tokenizers`: ids, texts, merges.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install sentencepiece tokenizers
    /tmp/venv/bin/python Interop/python/compare_sentencepiece.py --gdn .build/release/gdn --model M.model --text FILE ...
    /tmp/venv/bin/python Interop/python/compare_sentencepiece.py --gdn .build/release/gdn --train 8000 --text FILE ...
    /tmp/venv/bin/python Interop/python/compare_sentencepiece.py --gdn .build/release/gdn --speed M.model --text FILE

With --model: each file is cut into documents of up to 4 KB, which also are damaged in places; ids and decoded texts must
be those of `sentencepiece`. With --train: merges learnt for each pattern must be those of `tokenizers`, and a trained
`.model` must give the same ids here and in `sentencepiece`. With --speed: MB/s of both on the lines of the first file.
Ends with status 1 when anything differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

LEADING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
ENDING = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
rng = random.Random(17)


def documents(paths):
    """Pieces of the files, every fifth with damaged bytes."""
    result = []
    for path in paths:
        content = Path(path).read_bytes()
        start = 0
        while start < len(content):
            end = start + rng.randrange(1, 4096)
            piece = bytearray(content[start:end])
            if rng.random() < 0.2:
                for _ in range(1 + len(piece) // 100):
                    piece[rng.randrange(len(piece))] = rng.randrange(256)
            result.append(bytes(piece).replace(b"\n", b" ") if rng.random() < 0.1 else bytes(piece))
            start = end
    return result


def encoded(gdn, model, documents, folder):
    """Ids by `gdn`, whose JSON lines carry text: damaged bytes come as U+FFFD, one each, as the library has it."""
    path = Path(folder, "documents.jsonl")
    texts = [document.decode("utf-8", "replace") for document in documents]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    output = subprocess.run(
        [gdn, "tokenizer", "encode", "--tokenizer", model, "--no-special", str(path)], check=True, capture_output=True)
    return texts, [json.loads(line) for line in output.stdout.splitlines()]


def compare_model(gdn, model, paths):
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    with tempfile.TemporaryDirectory() as folder:
        texts, ids = encoded(gdn, model, documents(paths), folder)
        lines = Path(folder, "ids.txt")
        lines.write_text("".join(json.dumps(one) + "\n" for one in ids))
        output = subprocess.run(
            [gdn, "tokenizer", "decode", "--tokenizer", model, "--skip-special", "--json", str(lines)], check=True, capture_output=True)
        decoded = [json.loads(line) for line in output.stdout.splitlines()]
    wrong = sum(one != processor.encode(text) for one, text in zip(ids, texts, strict=True))
    expected = [processor.decode(one) if one else "" for one in ids]
    wrong_texts = sum(one != other for one, other in zip(decoded, expected, strict=True))
    size = sum(len(text.encode()) for text in texts)
    print(f"{model}: {len(ids)} documents, {size / 1e6:.1f} MB, {wrong} with other ids, {wrong_texts} with other texts")
    return wrong + wrong_texts


def library_merges(pattern, size, texts):
    tokenizer = Tokenizer(models.BPE())
    if pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        split = Regex(LEADING + ("{1,3}" if pattern == "llama3" else "") + ENDING)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if pattern == "qwen":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def compare_training(gdn, size, paths):
    wrong = 0
    texts = [Path(path).read_bytes().decode("utf-8", "replace") for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        for pattern in ["gpt2", "llama3", "qwen"]:
            output = Path(folder, pattern + ".json")
            subprocess.run(
                [gdn, "tokenizer", "train", "--kind", "byte-bpe", "--pattern", pattern, "--vocabulary-size", str(size),
                 "--output", str(output), "--input", *paths], check=True, capture_output=True)
            ours, theirs = json.loads(output.read_text())["model"], library_merges(pattern, size, texts)
            Tokenizer.from_file(str(output))
            same = ours["merges"] == theirs["merges"] and ours["vocab"] == theirs["vocab"]
            print(f"{pattern}: {len(ours['merges'])} merges, {'the same' if same else 'others than'} as the library's")
            wrong += not same
        model = str(Path(folder, "tokenizer.model"))
        subprocess.run(
            [gdn, "tokenizer", "train", "--kind", "sentencepiece-bpe", "--vocabulary-size", str(size), "--output", model,
             "--input", *paths], check=True, capture_output=True)
        wrong += compare_model(gdn, model, paths)
    return wrong


def speed(gdn, model, path):
    """MB/s of both, the best of three, taking turns."""
    data = Path(path).read_bytes()
    lines = data.decode("utf-8", "replace").split("\n")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    for threads in [1, os.cpu_count()]:
        own, other = [], []
        for _ in range(3):
            run = subprocess.run(
                [gdn, "tokenizer", "encode", "--tokenizer", model, "--threads", str(threads), "--binary", "--speed",
                 "--output", "/dev/null", "--format", "lines", path], check=True, capture_output=True)
            own.append(float(run.stderr.split()[-2]))
            start = time.perf_counter()
            processor.encode(lines, num_threads=threads)
            other.append(len(data) / 1e6 / (time.perf_counter() - start))
        print(f"speed {model} {threads} threads: gdn {max(own):.1f} MB/s, sentencepiece {max(other):.2f} MB/s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gdn", required=True)
    parser.add_argument("--model")
    parser.add_argument("--train", type=int)
    parser.add_argument("--speed", metavar="M.model")
    parser.add_argument("--text", nargs="+", required=True)
    options = parser.parse_args()
    wrong = 0
    if options.speed:
        return speed(options.gdn, options.speed, options.text[0])
    if options.model:
        wrong += compare_model(options.gdn, options.model, options.text)
    if options.train:
        wrong += compare_training(options.gdn, options.train, options.text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
