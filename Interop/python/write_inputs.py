"""Writes text inputs in many settings with pyarrow, DuckDB, gzip and zstandard, and what should be read from each.

    python3 -m venv venv && venv/bin/pip install pyarrow duckdb zstandard
    venv/bin/python Interop/python/write_inputs.py FOLDER [--rows 3000] [--seed 1]
    GDN_INTEROP_INPUTS=FOLDER swift test --filter InteropInputTests

Beside every file NAME goes NAME.expected: `refused`, or the number of rows, the number of texts that are not empty, and
SHA-256 over all of these, each with its length in eight bytes before it. With --fixtures it writes the few small files of
Tests/Fixtures/parquet and Tests/Fixtures/compressed; FOLDER is then Tests/Fixtures.
"""

import argparse
import gzip
import hashlib
import itertools
import json
import os
import random
import zlib

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

WORDS = "the of delta rule gate state recurrent attention naïve Größe 日本語 текст 🙂 \t \n \\ \" a".split(" ")


def texts(kind, rows, rng):
    """Rows of one kind; None stands for null."""
    if kind == "long":
        return [" ".join(rng.choices(WORDS, k=rng.randrange(0, 400))) for _ in range(rows)]
    if kind == "repeated":
        few = [" ".join(rng.choices(WORDS, k=9)) for _ in range(17)]
        return [rng.choice(few) for _ in range(rows)]
    if kind == "nulls":
        return [None if rng.random() < 0.3 else "x" * rng.randrange(0, 40) for _ in range(rows)]
    if kind == "runs":
        return [None if i // 97 % 2 else f"row {i // 31}" for i in range(rows)]
    if kind == "void":
        return [None] * rows
    if kind == "prefixes":
        return sorted("/".join(rng.choices(["a", "bc", "def", "ghij"], k=rng.randrange(1, 9))) for _ in range(rows))
    if kind == "distinct":
        return [f"{i}-{rng.getrandbits(64):x}" for i in range(rows)]
    if kind == "one":
        return ["same"] * rows
    raise ValueError(kind)


def expect(path, rows):
    """Writes what should be read; rows None: the file should be refused."""
    if rows is None:
        line = "refused"
    else:
        digest, count = hashlib.sha256(), 0
        for row in rows:
            data = row.encode() if isinstance(row, str) else row
            if data:
                digest.update(len(data).to_bytes(8, "little") + data)
                count += 1
        line = f"{len(rows)} {count} {digest.hexdigest()}"
    with open(path + ".expected", "w") as file:
        file.write(line + "\n")


def table(rows, layout, nullable=True, kind=pa.string()):
    """A table with the text column where the layout has it."""
    n = len(rows)
    text = pa.array(rows, kind)
    columns = {"text": (text, nullable)}
    if layout == "fineweb":
        columns = {
            "text": (text, nullable),
            "id": (pa.array([f"<urn:uuid:{i}>" for i in range(n)]), True),
            "dump": (pa.array(["CC-MAIN-2013-20"] * n), True),
            "url": (pa.array([f"http://example.org/{i}" for i in range(n)]), True),
            "language_score": (pa.array([i / (n + 1) for i in range(n)], pa.float64()), True),
            "token_count": (pa.array(range(n), pa.int64()), True),
        }
    elif layout == "nested":
        columns = {
            "tags": (pa.array([["a", "text"]] * n, pa.list_(pa.string())), True),
            "meta": (pa.array([{"text": "no", "n": {"text": "no"}}] * n), True),
            "map": (pa.array([[("text", "no")]] * n, pa.map_(pa.string(), pa.string())), True),
            "text": (text, nullable),
            "score": (pa.array([1.5] * n, pa.float32()), False),
        }
    schema = pa.schema([pa.field(k, v.type, nullable=may) for k, (v, may) in columns.items()])
    return pa.table([v for v, _ in columns.values()], schema=schema)


def write_pyarrow(path, rows, *, layout="bare", nullable=True, kind=pa.string(), **settings):
    pq.write_table(table(rows, layout, nullable, kind), path, **settings)
    expect(path, rows)


def pyarrow_files(folder, rows, rng):
    name = lambda *parts: os.path.join(folder, "pyarrow-" + "-".join(map(str, parts)) + ".parquet")
    kinds = ["long", "repeated", "nulls", "runs", "void", "prefixes", "distinct", "one"]
    codecs = ["NONE", "SNAPPY", "GZIP", "ZSTD"]
    for kind, codec, version in itertools.product(kinds, codecs, ["1.0", "2.0"]):
        data = texts(kind, rows, rng)
        for encoding in ["dictionary", "PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]:
            settings = {"use_dictionary": True}
            if encoding != "dictionary":
                settings = {"use_dictionary": False, "column_encoding": {"text": encoding}}
            write_pyarrow(
                name(kind, codec, "v" + version[0], encoding), data, compression=codec, data_page_version=version,
                data_page_size=rng.choice([100, 4096, 1 << 20]), row_group_size=rng.choice([100, 999, 1 << 20]),
                write_page_checksum=rng.random() < 0.5, **settings)
    for layout, nullable, codec in itertools.product(["fineweb", "nested"], [True, False], codecs):
        write_pyarrow(
            name(layout, "optional" if nullable else "required", codec), texts("long", rows, rng), layout=layout,
            nullable=nullable, compression=codec, row_group_size=500, write_page_checksum=True,
            write_page_index=True)
    # A dictionary that grows too large gives plain pages behind dictionary ones.
    for version in ["1.0", "2.0"]:
        write_pyarrow(
            name("fallback", "v" + version[0]), texts("distinct", rows, rng), data_page_version=version,
            dictionary_pagesize_limit=2000, data_page_size=500, write_page_checksum=True)
    write_pyarrow(name("binary"), [s.encode() for s in texts("long", rows, rng)], kind=pa.binary())
    write_pyarrow(name("large"), texts("long", rows, rng), kind=pa.large_string())
    write_pyarrow(name("view"), texts("long", rows, rng), kind=pa.string_view())
    write_pyarrow(name("parquet1"), texts("long", rows, rng), version="1.0", store_schema=False, write_statistics=False)
    write_pyarrow(name("huge-statistics"), ["é" * 40000, "z" * 70000, "a" * 9], compression="NONE")
    for codec in ["BROTLI", "LZ4"]:
        pq.write_table(table(texts("long", rows, rng), "bare"), name("refused", codec), compression=codec)
        expect(name("refused", codec), None)
    pq.write_table(pa.table({"other": ["x"]}), name("refused-column"))
    expect(name("refused-column"), None)
    pq.write_table(pa.table({"text": [["x"], []]}), name("refused-nested"))
    expect(name("refused-nested"), None)
    pq.write_table(pa.table({"text": [1, 2]}), name("refused-type"))
    expect(name("refused-type"), None)


def duckdb_files(folder, rows, rng):
    for kind, codec, version in itertools.product(
        ["long", "repeated", "nulls", "runs", "prefixes", "distinct", "one"],
        ["uncompressed", "snappy", "gzip", "zstd", "lz4_raw", "brotli"], ["V1", "V2"]):
        path = os.path.join(folder, f"duckdb-{kind}-{codec}-{version}.parquet")
        data = texts(kind, rows, rng)
        source = table(data, rng.choice(["bare", "fineweb", "nested"]))
        connection = duckdb.connect()
        connection.register("source", source)
        connection.execute(
            f"COPY source TO '{path}' (FORMAT parquet, COMPRESSION {codec}, PARQUET_VERSION {version}, "
            f"ROW_GROUP_SIZE {rng.choice([2048, 100000])})")
        read = [row[0] for row in connection.execute(f"SELECT text FROM '{path}'").fetchall()]
        assert read == data, path
        expect(path, None if codec in ("lz4_raw", "brotli") else data)


def jsonl_files(folder, rows, rng):
    data = [s for s in texts("long", rows, rng)]
    lines = []
    for index, text in enumerate(data):
        record = {"id": index, "text": text, "meta": {"text": "no", "list": [1, 2.5e-3, None, True]}}
        if index % 3 == 0:
            record = {"meta": record["meta"], "text": text}
        lines.append(json.dumps(record, ensure_ascii=index % 2 == 0, indent=None).encode() + b"\n")
    parts = [b"".join(lines[i::4]) for i in range(4)]
    order = [text for i in range(4) for text in data[i::4]]
    skippable = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    streaming = zstandard.ZstdCompressor(level=1).compressobj()
    variants = {
        "plain.jsonl": b"".join(parts),
        "one.jsonl.gz": gzip.compress(b"".join(parts)),
        "members.json.gz": b"".join(gzip.compress(p, level) for p, level in zip(parts, [0, 1, 6, 9])),
        "padded.jsonl.gz": gzip.compress(b"".join(parts)) + bytes(100),
        "one.jsonl.zst": compressor.compress(b"".join(parts)),
        "frames.ndjson.zst": skippable + b"".join(compressor.compress(p) + skippable for p in parts),
        "streamed.jsonl.zst": streaming.compress(b"".join(parts)) + streaming.flush(),
    }
    for name, content in variants.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(content)
        expect(path, order)
    whole = "\n".join(data).encode()
    for name, content in {"a.txt.gz": gzip.compress(whole), "a.txt.zst": compressor.compress(whole)}.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
        expect(os.path.join(folder, name), [whole])
    deflated = zlib.compressobj(wbits=31)
    content = deflated.compress(b"".join(parts)) + deflated.flush()
    for name, cut in {"broken.jsonl.gz": content[:-9], "broken.jsonl.zst": variants["one.jsonl.zst"][:-1]}.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(cut)
        expect(os.path.join(folder, name), None)


def compressed_fixtures(folder):
    """Sixty lines in several gzip members and Zstandard frames, a frame that would need 256 MiB of memory, and a line of a
    gibibyte, which is left out."""
    os.makedirs(folder, exist_ok=True)
    rows = [f"document {i} " + "again and " * (i % 7) for i in range(60)]
    lines = [json.dumps({"text": row}).encode() + b"\n" for row in rows]
    parts = [b"".join(lines[a:b]) for a, b in [(0, 7), (7, 7), (7, 41), (41, 60)]]
    compressor = zstandard.ZstdCompressor(level=19, write_checksum=True)
    skippable = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    long = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=28)).compressobj()
    huge = zstandard.ZstdCompressor(level=1).compressobj()
    gigabyte = huge.compress(b'{"text": "one"}\n{"text": "')
    for _ in range(1 << 10):
        gigabyte += huge.compress(b"a" * (1 << 20))
    gigabyte += huge.compress(b'"}\n{"text": "two"}\n') + huge.flush()
    for name, content, read in [
        ("members.jsonl.gz", b"".join(gzip.compress(p, 9, mtime=0) for p in parts) + bytes(9), rows),
        ("frames.jsonl.zst", skippable + b"".join(compressor.compress(p) for p in parts) + skippable, rows),
        ("gigabyte.jsonl.zst", gigabyte, ["one", None, "two"]),
        ("window.jsonl.zst", long.compress(parts[0]) + long.flush(), None),
    ]:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
        expect(os.path.join(folder, name), read)


def fixtures(folder, rng):
    """Small files for the tests that run everywhere; as few bytes as show every page kind and codec."""
    compressed_fixtures(os.path.join(folder, "compressed"))
    folder = os.path.join(folder, "parquet")
    os.makedirs(folder, exist_ok=True)
    data = ["first", None, "", "Größe 日本語", "second " * 5, "first", "first", None, "third", "third"] * 3
    full = [row or "" for row in data]
    name = lambda *parts: os.path.join(folder, "-".join(parts) + ".parquet")
    small = {"write_statistics": False, "store_schema": False, "row_group_size": 20}
    for codec, version in itertools.product(["NONE", "SNAPPY", "GZIP", "ZSTD"], ["1.0", "2.0"]):
        write_pyarrow(
            name("dictionary", codec.lower(), "v" + version[0]), data, compression=codec, data_page_version=version,
            write_page_checksum=True, layout="nested" if codec == "ZSTD" else "bare", **small)
    for encoding, version in itertools.product(
        ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"], ["1.0", "2.0"]):
        for rows, nullable in [(data, True), (full, False)]:
            write_pyarrow(
                name(encoding.lower(), "v" + version[0], "optional" if nullable else "required"), rows,
                nullable=nullable, use_dictionary=False, column_encoding={"text": encoding}, data_page_version=version,
                compression="SNAPPY", data_page_size=40, write_batch_size=5, **small)
    pq.write_table(table(full, "bare"), name("refused-brotli"), compression="BROTLI", **small)
    expect(name("refused-brotli"), None)
    connection = duckdb.connect()
    connection.register("source", table(data, "bare"))
    for version in ["V1", "V2"]:
        path = name("duckdb", version.lower())
        connection.execute(f"COPY source TO '{path}' (FORMAT parquet, COMPRESSION snappy, PARQUET_VERSION {version})")
        expect(path, data)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fixtures", action="store_true")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    rng = random.Random(options.seed)
    if options.fixtures:
        fixtures(options.folder, rng)
        return
    pyarrow_files(options.folder, options.rows, rng)
    duckdb_files(options.folder, options.rows, rng)
    jsonl_files(options.folder, options.rows, rng)
    print(len([f for f in os.listdir(options.folder) if not f.endswith(".expected")]), "files")


main()
