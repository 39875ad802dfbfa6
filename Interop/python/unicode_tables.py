"""Writes Sources/Tokenizers/Text/UnicodeTables.swift: what the tokenizers must know about characters.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers unicodedata2==16.0.0
    /tmp/venv/bin/python Interop/python/unicode_tables.py

Two versions of Unicode meet there, because the Python package `tokenizers` has two: its regular expressions know
Unicode 16.0, its NFC normalizer Unicode 9.0. The classes are taken from 16.0 as they are; of the normalization data
only what the normalizer knows is kept, and the script asks it, character by character. (Data of assigned characters
never change from version to version, so this is exact.)
"""

from pathlib import Path

import unicodedata2 as unicode
from tokenizers import normalizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)
WHITE = [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
TARGET = Path(__file__).resolve().parents[2] / "Sources/Tokenizers/Text/UnicodeTables.swift"
nfc = normalizers.NFC().normalize_str

assert unicode.unidata_version == "16.0.0", unicode.unidata_version


def character_class(code):
    if code in WHITE:
        return 6
    category = unicode.category(chr(code))
    return {"Lu": 1, "Lt": 1, "Ll": 2, "Lm": 3, "Lo": 3}.get(category) or {"M": 4, "N": 5}.get(category[0], 0)


def combining(code):
    """The canonical combining class, 0 for characters that the normalizer does not know."""
    own = unicode.combining(chr(code))
    if own == 0:
        return 0
    texts = [f"a{mark}{chr(code)}" for mark in "\u0301\u0334\u0345"] + [f"a{chr(code)}{mark}" for mark in "\u0301\u0334\u0345"]
    return own if all(nfc(text) == unicode.normalize("NFC", text) for text in texts) else 0


def decomposition(code):
    """One step of canonical decomposition: one or two characters, or nothing."""
    fields = unicode.decomposition(chr(code)).split()
    if not fields or fields[0].startswith("<") or code in HANGUL:
        return []
    return [int(field, 16) for field in fields]


def digits(value):
    """Five bits a character, the lowest first, the sixth says that more follow."""
    text = ""
    while True:
        digit, value = value & 31, value >> 5
        digit += 32 if value else 0
        text += chr(digit + (0x23 if digit < 57 else 0x24))
        if not value:
            return text


def class_runs():
    classes = [0 if 0xD800 <= code < 0xE000 else character_class(code) for code in range(0x110000)]
    text, start = "", 0
    for code in range(1, 0x110001):
        if code == 0x110000 or classes[code] != classes[start]:
            text += digits(classes[start]) + digits(code - start)
            start = code
    return text


def combining_runs():
    text, last, code = "", 0, 0
    values = {code: combining(code) for code in SCALARS if unicode.combining(chr(code))}
    while code < 0x110000:
        own = values.get(code, 0)
        if own == 0:
            code += 1
            continue
        end = code
        while values.get(end, 0) == own:
            end += 1
        text += digits(code - last) + digits(end - code) + digits(own)
        last, code = code, end
    return text


def decompositions():
    text, last = "", 0
    for code in SCALARS:
        parts = decomposition(code)
        if not parts:
            continue
        decomposed = unicode.normalize("NFD", chr(code))
        if nfc(decomposed) != unicode.normalize("NFC", decomposed):
            continue  # younger than the normalizer
        composes = len(parts) == 2 and unicode.normalize("NFC", "".join(map(chr, parts))) == chr(code)
        text += digits(code - last) + digits(2 if composes else len(parts) - 1) + "".join(map(digits, parts))
        last = code
    return text


def literal(name, comment, text):
    lines = [text[start : start + 112] for start in range(0, len(text), 112)]
    body = "\\\n".join("        " + line for line in lines)
    return f'    /// {comment}\n    static let {name}: StaticString = """\n{body}\n        """\n'


def main():
    TARGET.write_text(
        "/// What the tokenizers must know about characters; written by `Interop/python/unicode_tables.py`, which says why\n"
        "/// there are two versions of Unicode. Numbers are written with five bits a digit (`UnicodeTables+Reading.swift`).\n"
        "enum UnicodeTables {\n"
        + literal("classes", "Unicode 16.0: class and length of each run of code points, from 0 on.", class_runs())
        + "\n"
        + literal(
            "combiningClasses",
            "Unicode 9.0: gap, length and canonical combining class of the runs where it is not 0.",
            combining_runs())
        + "\n"
        + literal(
            "decompositions",
            "Unicode 9.0: gap, kind (0 one part; 1 two parts that stay apart; 2 two parts that compose), parts.",
            decompositions())
        + "}\n")
    print(TARGET, TARGET.stat().st_size, "bytes")


main()
