"""Reads the TensorBoard events of a run with TensorBoard's own package and prints what it sees.

    pip install tensorboard
    python read_tensorboard.py RUN [--json]

RUN is a folder with events.out.tfevents.* files. Where RUN has a metrics.jsonl, every scalar whose tag is a key of the
line of the same "step" must equal it in single precision; the exit status is 1 when one does not, when nothing could
be compared, or when there are no events at all.
"""
import argparse
import json
import math
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def read(run):
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    texts = {}
    for tag in events.Tags()["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "text":
            values = [(e.step, e.tensor_proto.string_val[0].decode()) for e in events.Tensors(tag)]
            texts[tag.removesuffix("/text_summary")] = values
    return scalars, texts


def compare(scalars, metrics):
    """Returns how many values were compared, and what differs."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines() if line.strip()]
    logged = {}
    for line in lines:
        for key, value in line.items():
            if isinstance(value, (int, float)) and "step" in line:
                logged[line["step"], key] = value
    compared, wrong = 0, []
    for tag, values in scalars.items():
        for step, value in values:
            if (step, tag) in logged:
                compared += 1
                expected = single(logged[step, tag])
                if value != expected and not (math.isnan(value) and math.isnan(expected)):
                    wrong.append(f"{tag} at step {step}: events have {value}, metrics.jsonl has {expected}")
    return compared, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--json", action="store_true", help="print all values as JSON")
    arguments = parser.parse_args()
    scalars, texts = read(arguments.run)
    if arguments.json:
        print(json.dumps({"scalars": scalars, "texts": texts}, ensure_ascii=False))
    else:
        for tag, values in scalars.items():
            print(f"{tag}: {len(values)} values, step {values[0][0]} {values[0][1]:.6g} … {values[-1][0]} {values[-1][1]:.6g}")
        for tag, values in texts.items():
            print(f"{tag}: {len(values)} texts, the last at step {values[-1][0]}, {len(values[-1][1])} characters")
    if not scalars:
        sys.exit(f"{arguments.run}: no scalar events")
    metrics = arguments.run / "metrics.jsonl"
    if metrics.exists():
        compared, wrong = compare(scalars, metrics)
        print(f"{compared} values compared with {metrics}, {len(wrong)} differ", file=sys.stderr)
        if wrong or not compared:
            sys.exit("\n".join(wrong[:10]) or "no tag of the events is a key of metrics.jsonl")


if __name__ == "__main__":
    main()
