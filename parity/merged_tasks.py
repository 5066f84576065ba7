"""An adapter of two tasks, the second appended to the first: each task merged
into the backbone predicts in transformers what `finetune predict` says.

    python parity/merged_tasks.py --finetune BINARY
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

FIXTURES = Path(__file__).parent.parent / "pkg" / "run"
TOLERANCE = 1e-5  # of a probability
TRAINING = ["adapter.targets=all", "adapter.rank=3", "train.max_steps=12", "train.lr=0.03", "data.max_length=24"]


def finetune(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], cwd=FIXTURES, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"finetune {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def largest_difference(binary, adapter, merged, task, examples, labels):
    finetune(binary, "merge", adapter, merged, "--task", task)
    rows = merged.with_suffix(".jsonl")
    rows.write_text("".join(json.dumps({"first": a, "second": b}) + "\n" for a, b in examples))
    ours = [json.loads(line)["probabilities"] for line in finetune(
        binary, "predict", adapter, "--task", task, "-i", rows, "--text", "first", "--text-pair", "second", "--to", "jsonl").splitlines()]
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(merged).eval(), AutoTokenizer.from_pretrained(merged)
    assert [model.config.id2label[i] for i in range(len(labels))] == labels, model.config.id2label
    largest = 0.0
    for (a, b), row in zip(examples, ours, strict=True):
        with torch.no_grad():
            theirs = model(**tokenizer(a, b, truncation=True, max_length=24, return_tensors="pt")).logits.softmax(-1)[0]
        largest = max(largest, *(abs(row[label] - p) for label, p in zip(labels, theirs.tolist())))
    return largest


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--finetune", required=True)
    binary = Path(arguments.parse_args().finetune).absolute()
    pairs = [("the king", "sees a cat"), ("a river", "the stone often"), ("a red bell", "never"), ("the cat", "a king sees the river")]
    failed = False
    for place in ["in", "layer", "matrix"]:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            own = folder / "own.csv"
            own.write_text("label,text,text_pair\n" + "".join(f"{label},{a},{b}\n" for (a, b), label in zip(pairs, "xyzy")) * 3)
            data = [f"data.{split}={own}" for split in ("train", "dev")] + ["task=custom", "data.glue=", "data.text_pair=text_pair"]
            finetune(binary, "train", "-c", "testdata/tiny.yaml", f"run.dir={folder}/first", f"adapter.task_after={place}", *TRAINING)
            finetune(binary, "train", "-c", "testdata/tiny.yaml", f"run.dir={folder}/second", f"adapter.append.to={folder}/first",
                     "adapter.append.grow=1", *data, *[t for t in TRAINING if not t.startswith("adapter.")])
            for task, labels in [("mrpc", ["0", "1"]), ("custom", ["x", "y", "z"])]:
                largest = largest_difference(binary, folder / "second", folder / f"merged-{task}", task, pairs, labels)
                print(f"{'ok  ' if largest < TOLERANCE else 'FAIL'} task mode behind {place}, {task} merged: {largest:.1e}")
                failed |= largest >= TOLERANCE
    sys.exit(failed)


if __name__ == "__main__":
    main()
