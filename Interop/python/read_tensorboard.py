"""Reads the TensorBoard events of a run with TensorBoard's own package and prints what it sees.

    pip install tensorboard
    python read_tensorboard.py RUN [--json]

RUN is a folder with events.out.tfevents.* files. Where RUN has a metrics.jsonl, every scalar must equal the number logged
there for the same step, in single precision: `train/KEY` the KEY of the line of kind "step", `evaluation/KEY/LENGTH` that
of the line of kind "evaluation" with this length. The exit status is 1 when one differs or is missing there, or when
there are no scalars at all.
"""
import argparse
import json
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


def logged(metrics):
    """The numbers of metrics.jsonl by step and tag; of a step that was repeated after a resume, the last."""
    values = {}
    for line in filter(str.strip, metrics.read_text().splitlines()):
        record = json.loads(line)
        for key, value in record.items():
            if not isinstance(value, (int, float)):
                continue
            if record.get("kind") == "step":
                values[record["step"], f"train/{key}"] = value
            elif record.get("kind") == "evaluation":
                values[record["step"], f"evaluation/{key}/{record['length']}"] = value
    return values


def compare(scalars, metrics):
    """Returns how many values were compared, and what differs."""
    expected = logged(metrics)
    compared, wrong = 0, []
    for tag, values in scalars.items():
        for step, value in values:
            compared += 1
            if (step, tag) not in expected:
                wrong.append(f"{tag} at step {step}: not in {metrics}")
            elif value != single(expected[step, tag]):
                wrong.append(f"{tag} at step {step}: events have {value}, {metrics} has {expected[step, tag]}")
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
        if wrong:
            sys.exit("\n".join(wrong[:10]))


if __name__ == "__main__":
    main()
