"""Compares `gdn tokenizer` with the Python packages `tokenizers` and `tiktoken`: ids, texts, speed.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers tiktoken
    /tmp/venv/bin/python Interop/python/compare_tokenizers.py --gdn .build/release/gdn --work /tmp/compare \
        --text english.txt --ranks qwen.tiktoken --megabytes 60

Texts: the files given, Python's own sources, and made-up ones: scripts of all kinds, emoji, runs of spaces, random code
points, and damaged bytes. Tokenizers: the golden ones of Tests/Fixtures, ones trained here for each pattern, and a
published rank file in both forms. Ends with status 1 when a single id or text differs.
"""

import argparse
import array
import base64
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]
LEADING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
SYMBOLS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES
LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
TRAILING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {
    "qwen2": LEADING + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + SYMBOLS,
    "qwen3_5": LEADING + r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACES,
    "llama3": LEADING + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + SYMBOLS,
    "o200k": LOWER + TRAILING + "|" + UPPER + TRAILING + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES,
    "tekken": LOWER + "|" + UPPER + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES,
}
TIKTOKEN = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "llama3": PATTERNS["llama3"],
    "o200k": PATTERNS["o200k"],
}
SCRIPTS = [
    (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE80), (0x10A0, 0x1200),
    (0x1E00, 0x2070), (0x2100, 0x2400), (0x3040, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xFB00, 0xFFFE),
    (0x1F300, 0x1FAFF), (0x20000, 0x20100)]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>"]
rng = random.Random(20)


def words(script, count):
    low, high = script
    return "".join(
        "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 12))) + rng.choice([" ", " ", "\n", "", "  "])
        for _ in range(count))


def made_up(size):
    """A text of about `size` characters of one kind."""
    kind = rng.randrange(6)
    if kind == 0:
        parts = [words(rng.choice(SCRIPTS), 20) for _ in range(size // 140)]
    elif kind == 1:
        people = [chr(c) for c in range(0x1F466, 0x1F46A)] + ["\u200d", "\ufe0f", "\U0001f3fd", "\u2764", "a", " "]
        parts = rng.choices(people, k=size)
    elif kind == 2:
        parts = [rng.choice([" ", "\t", "\n", "\r\n", "\u00a0", "\u3000"]) * rng.randrange(1, 80) + words((0x20, 0x7F), 2)
                 for _ in range(size // 50)]
    elif kind == 3:
        parts = [chr(c) for c in rng.choices(range(0x110000), k=size) if not 0xD800 <= c < 0xE000]
    elif kind == 4:
        hard = "aBsStTrReE'  \t\n\r012.,/<|>éÉßªあ漢字ไ\u0301\u0327\u0345\u200d\u00a0\u3000\u2028\u0085😀IÅ\u212b가\u1100\u1161\u11a8ſ"
        parts = rng.choices(hard, k=size)
    else:
        parts = [rng.choice(["a", "=", "ab", "漢", "é"]) * rng.randrange(1, 3000) + " " + rng.choice(SPECIAL) for _ in range(size // 1500)]
    return "".join(parts)


def damaged(data):
    data = bytearray(data)
    for _ in range(len(data) // 50):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def documents(paths, megabytes):
    """Bytes of documents, about half given text, a quarter code, the rest made up; every fifth damaged."""
    given = b"\n".join(Path(path).read_bytes() for path in paths)
    code = b"\n".join(path.read_bytes() for path in sorted(Path(os.__file__).parent.rglob("*.py"))[:4000])
    result, step = [], 1 << 18
    for source, share in [(given, 0.5), (code, 0.25)]:
        for start in range(0, min(len(source), int(megabytes * 1e6 * share)), step):
            result.append(source[start : start + step])
    while sum(map(len, result)) < megabytes * 1e6:
        result.append(made_up(1 << 16).encode())
    return [damaged(text) if index % 5 == 4 else text for index, text in enumerate(result)]


def alphabet():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + index) for index, byte in enumerate(rest)}}


def read_ranks(path):
    lines = Path(path).read_bytes().split(b"\n")
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def from_ranks(path, pattern):
    ranks, letters = read_ranks(path), alphabet()
    text = lambda token: "".join(letters[byte] for byte in token)
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(ranks[a], ranks[b], text(a), text(b)) for a, b in cuts if a in ranks and b in ranks]
        merges += [(rank, *merge[2:]) for merge in sorted(known)]
    merges.sort(key=lambda merge: merge[0])
    model = models.BPE({text(token): rank for token, rank in ranks.items()}, [merge[1:] for merge in merges])
    return add_tokens(finish(Tokenizer(model), pattern))


def finish(tokenizer, pattern):
    if pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif pattern == "digits":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    elif pattern == "prefix":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"),
             pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if pattern.startswith("qwen"):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def add_tokens(tokenizer):
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("qu\u00e9", normalized=True),
                          AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False),
                          AddedToken("import", single_word=True, normalized=False)])
    return tokenizer


def of_pieces(texts, size):
    """In the manner of Llama-2 and Mistral: characters, bytes where those are unknown, U+2581 for spaces, nothing cut."""
    space = "\u2581"
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", space)
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trained.train_from_iterator((line for text in texts for line in text.split("\n")), trainers.BpeTrainer(
        vocab_size=size - 259, special_tokens=["<unk>"], limit_alphabet=size // 5, show_progress=False))
    learnt = json.loads(trained.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += [piece for piece in sorted(learnt["vocab"], key=learnt["vocab"].get) if piece not in pieces]
    model = models.BPE({piece: token for token, piece in enumerate(pieces)}, [tuple(merge) for merge in learnt["merges"]],
                       unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(space), normalizers.Replace(" ", space)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ["<unk>", "<s>", "</s>"]])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def write_pieces(texts):
    """The fixtures of CharacterPiecesTests: a small tokenizer, and texts with what the package makes of them."""
    folder = ROOT / "Tests/Fixtures/sentencepiece"
    tokenizer = of_pieces(texts, 900)
    tokenizer.save(str(folder / "pieces.json"), pretty=False)
    cases = ["", " ", "  a", "Hello world", "<s>a</s> b", "a <s>", "\u2581a \u2581", "\n\n a\tb", "<0x41>", "漢字😀é\u0301"]
    cases += [made_up(3000)[: rng.randrange(1, 60)] for _ in range(300)]
    cases += [text[start : start + 80] for text in texts[:40] for start in [0, 1000]]
    rows = []
    for text in cases:
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        rows.append({"text": text, "ids": ids, "plain": plain, "decoded": tokenizer.decode(plain)})
    (folder / "pieces_cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def trained(pattern, texts, size):
    if pattern == "pieces":
        return of_pieces(texts, size)
    tokenizer = finish(Tokenizer(models.BPE(ignore_merges=pattern == "llama3")), pattern)
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    add_tokens(tokenizer)
    if pattern == "llama3":
        begin = tokenizer.token_to_id("<|begin_of_text|>")
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", begin)])
    return tokenizer


def gdn(arguments, *options):
    run = subprocess.run([arguments.gdn, "tokenizer", *options], capture_output=True)
    if run.returncode:
        sys.exit(run.stderr.decode())
    return run


def lists(data):
    numbers, result, place = array.array("i", data), [], 0
    while place < len(numbers):
        result.append(numbers[place + 1 : place + 1 + numbers[place]].tolist())
        place += 1 + numbers[place]
    return result


def report(name, texts, own, other):
    wrong = [index for index, pair in enumerate(zip(own, other)) if pair[0] != pair[1]]
    wrong += [] if len(own) == len(other) == len(texts) else ["count"]
    print(f"{name}: {len(texts)} texts, {sum(map(len, other))} items, {len(wrong)} differ", flush=True)
    for index in wrong[:3]:
        if index != "count":
            place = next((i for i, pair in enumerate(zip(own[index], other[index])) if pair[0] != pair[1]), "end")
            print(f"  text {index}: {ascii(texts[index][:60])} differs at {place}")
    return len(wrong)


def compare(arguments, name, path, encode, files, texts, options=()):
    own = lists(gdn(arguments, "encode", "--tokenizer", str(path), "--binary", "--format", "text", *options, *files).stdout)
    return report(f"{name} {' '.join(options)}", texts, own, encode(texts))


def compare_json(arguments, name, tokenizer, path, files, texts, short):
    def encode(special, frame):
        def run(texts):
            tokenizer.encode_special_tokens = not special
            return [item.ids for item in tokenizer.encode_batch_fast(texts, add_special_tokens=frame)]
        return run

    wrong = compare(arguments, name, path, encode(True, True), files, texts, ["--frame"])
    wrong += compare(arguments, name, path, encode(False, False), files, texts, ["--no-special"])
    own = lists(gdn(arguments, "encode", "--tokenizer", str(path), "--binary", "--threads", "1", str(arguments.work / "short.jsonl")).stdout)
    wrong += report(f"{name} short texts", short, own, encode(True, False)(short))
    listing = arguments.work / "ids.jsonl"
    listing.write_text("".join(json.dumps(ids) + "\n" for ids in own))
    decoded = gdn(arguments, "decode", "--tokenizer", str(path), "--json", str(listing)).stdout.decode()
    own_texts = [json.loads(line) for line in decoded.split("\n")[:-1]]
    return wrong + report(f"{name} decoded", short, own_texts, tokenizer.decode_batch(own, skip_special_tokens=False))


def speed(arguments, path, file):
    """MB/s of both, the best of three, taking turns."""
    for threads in [1, os.cpu_count()]:
        own, other = [], []
        for _ in range(3):
            run = gdn(arguments, "encode", "--tokenizer", str(path), "--threads", str(threads), "--binary", "--speed",
                      "--output", "/dev/null", "--format", "lines", file)
            own.append(float(run.stderr.split()[-2]))
            environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}
            child = subprocess.run([sys.executable, __file__, "--child", str(path), file], env=environment, capture_output=True)
            other.append(float(child.stdout))
        print(f"speed {path} {threads} threads: gdn {max(own):.1f} MB/s, tokenizers {max(other):.2f} MB/s", flush=True)


def child(path, file):
    tokenizer = Tokenizer.from_file(path)
    data = Path(file).read_bytes()
    texts = data.decode(errors="replace").split("\n")
    start = time.perf_counter()
    tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    print(len(data) / 1e6 / (time.perf_counter() - start))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gdn", default=".build/release/gdn")
    parser.add_argument("--work", type=Path, default="/tmp/compare")
    parser.add_argument("--text", nargs="*", default=[])
    parser.add_argument("--ranks")
    parser.add_argument("--megabytes", type=float, default=60)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--speed", metavar="TOKENIZER.json", help="only compare speed, on the lines of the first --text")
    parser.add_argument("--write-pieces", action="store_true", help="only write the fixtures of CharacterPiecesTests")
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child:
        return child(*arguments.child)
    if arguments.speed:
        return speed(arguments, arguments.speed, arguments.text[0])
    arguments.work.mkdir(parents=True, exist_ok=True)
    data = documents(arguments.text, arguments.megabytes)
    files = []
    for index, text in enumerate(data):
        files.append(str(arguments.work / f"{index:04}.txt"))
        Path(files[-1]).write_bytes(text)
    texts = [text.decode(errors="replace") for text in data]
    if arguments.write_pieces:
        return write_pieces(texts)
    short = [made_up(3000)[: rng.randrange(1, 40)] or "x" for _ in range(20000)]
    (arguments.work / "short.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in short))
    print(f"{len(data)} documents, {sum(map(len, data)) / 1e6:.1f} MB; {len(short)} short texts")
    wanted = lambda name: not arguments.only or name in arguments.only

    wrong = 0
    for name in ["bpe_gpt2", "bpe_qwen"]:
        path = ROOT / f"Tests/Fixtures/golden/tokenizers/{name}.json"
        if wanted(name):
            wrong += compare_json(arguments, name, Tokenizer.from_file(str(path)), path, files, texts, short)
    for name in ["gpt2", *PATTERNS, "digits", "prefix", "pieces"]:
        path = arguments.work / f"{name}.json"
        if wanted(name):
            if not path.exists():
                trained(name, texts[:: max(1, len(texts) // 60)], arguments.vocabulary).save(str(path))
            wrong += compare_json(arguments, name, Tokenizer.from_file(str(path)), path, files, texts, short)
    if arguments.ranks:
        path = arguments.work / "ranks.json"
        if wanted("ranks"):
            from_ranks(arguments.ranks, "qwen2").save(str(path))
            wrong += compare_json(arguments, "ranks", Tokenizer.from_file(str(path)), path, files, texts, short)
            if arguments.text:
                speed(arguments, path, arguments.text[0])
        for name, pattern in TIKTOKEN.items():
            if wanted("tiktoken-" + name):
                encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=read_ranks(arguments.ranks), special_tokens={})
                encode = lambda texts: [encoding.encode_ordinary(text) for text in texts]
                wrong += compare(arguments, "tiktoken-" + name, arguments.ranks, encode, files, texts, ["--pattern", name])
    print("differences:", wrong)
    sys.exit(1 if wrong else 0)


main()
