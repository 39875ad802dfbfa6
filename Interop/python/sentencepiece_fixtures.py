"""Makes Tests/Fixtures/sentencepiece: small models by PyPI `sentencepiece`, and what it says about hard texts.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install sentencepiece
    /tmp/venv/bin/python Interop/python/sentencepiece_fixtures.py

The training text is the texts of the golden cases; the character rules are a handful of NFKC's, so that the models stay small.
"""

import json
import random
import re
import tempfile
from pathlib import Path

import sentencepiece

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "Tests/Fixtures/sentencepiece"
GOLDEN = ROOT / "Tests/Fixtures/golden/tokenizers"
RULES = {"ﬁ": "fi", "Ａ": "A", "①": "1", "ﷺ": "صلى الله", "\u3000": " ", "\t": " ", "\u200b": "", "e\u0301": "é", "½": "1/2", "ß": "ss"}
MODELS = {
    "unigram_rules": dict(model_type="unigram", rules=True),
    "unigram_bytes": dict(model_type="unigram", byte_fallback=True, remove_extra_whitespaces=False, vocab_size=560),
    "unigram_defined": dict(model_type="unigram", rules=True, user_defined_symbols=["<mask>", "the", "  ", "..."]),
    "bpe_rules": dict(model_type="bpe", rules=True, byte_fallback=True, vocab_size=560, control_symbols=["<sep>"]),
    "bpe_defined": dict(model_type="bpe", user_defined_symbols=["<mask>", "the", "ing", "\n"]),
    "bpe_suffix": dict(model_type="bpe", treat_whitespace_as_suffix=True, rules=True),
    "bpe_across": dict(model_type="bpe", split_by_whitespace=False, add_dummy_prefix=False, remove_extra_whitespaces=False),
}


def cases(texts):
    """Golden texts, and seeded mixtures of them with everything awkward."""
    rng = random.Random(7)
    odd = list(RULES) + ["<mask>", "<sep>", "<s>", "▁", "▁▁", "  ", "\n", "\r\n", "\x00", "😀", "漢字", "the", "ing", "...", "....", " ", "0" * 9]
    words = [word for text in texts for word in re.findall(r"\S+", text)]
    result = [text.encode() for text in texts[::3]]
    for _ in range(40):
        parts = [rng.choice(odd if rng.random() < 0.4 else words) + rng.choice(["", " ", " ", "  "]) for _ in range(rng.randrange(1, 14))]
        result.append("".join(parts).encode())
    for _ in range(15):
        damaged = bytearray(rng.choice(result[-40:]))
        for _ in range(3):
            damaged.insert(rng.randrange(len(damaged) + 1), rng.randrange(0x80, 0x100))
        result.append(bytes(damaged))
    return result


def main():
    OUTPUT.mkdir(parents=True, exist_ok=True)
    texts = [case["text"] for case in json.loads((GOLDEN / "spm_bpe.json").read_text())["cases"]]
    hard = cases(texts)
    with tempfile.TemporaryDirectory() as folder:
        corpus, rules = Path(folder, "corpus.txt"), Path(folder, "rules.tsv")
        corpus.write_text("\n".join(texts * 3))
        code = lambda text: " ".join(f"{ord(character):X}" for character in text)
        rules.write_text("".join(f"{code(source)}\t{code(target)}\n" for source, target in RULES.items()))
        for name, options in MODELS.items():
            options = {"vocab_size": 300, "character_coverage": 0.98, "hard_vocab_limit": False, "minloglevel": 2} | options
            if options.pop("rules", False):
                options["normalization_rule_tsv"] = str(rules)
            else:
                options["normalization_rule_name"] = "identity"
            sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=str(Path(folder, name)), num_threads=1, **options)
            content = Path(folder, name + ".model").read_bytes()
            (OUTPUT / f"{name}.model").write_bytes(content)
            processor = sentencepiece.SentencePieceProcessor(model_proto=content)
            lines = []
            for text in hard:
                ids = processor.encode(text)
                lines.append(json.dumps({"bytes": text.hex(), "ids": ids, "decoded": processor.decode(ids) if ids else ""}))
            (OUTPUT / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
            print(name, len(content), "bytes,", processor.get_piece_size(), "pieces,", len(lines), "cases")


if __name__ == "__main__":
    main()
