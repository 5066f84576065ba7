"""What a step of the project costs as the work grows: one of length, batch, layers and classes at a time, on random models.

    python bench/growth.py --finetune bin/finetune --tokenizer DIR [--only "length batch"] [--precision fp32]

A cost that grows with the work alone has the same time a token all the way down (attention's part grows with the length).
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import models
import sides

# What is usual, and what each is varied through.
USUAL = {"length": 64, "batch": 16, "layers": 6, "classes": 2}
VALUES = {"length": [16, 64, 128, 256, 512], "batch": [1, 4, 16, 64, 256], "layers": [2, 6, 12, 24], "classes": [2, 10, 100, 1000]}
HIDDEN, WARMUP = 256, 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--tokenizer", required=True, help="folder of a BERT's tokenizer")
    parser.add_argument("--only", default="", help="words of length, batch, layers, classes; all without")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--method", default="metatt4d")
    parser.add_argument("--steps", type=int, default=5, help="that count, of each run")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", default="", help="file for every run's record, JSON lines")
    o = parser.parse_args()
    usual = "  ".join(f"{name} {value}" for name, value in USUAL.items())
    print(f"{o.method} r8, {o.precision}, {HIDDEN} wide; where nothing else is said: {usual}\n")
    print(f"{'':16}{'tokens a step':>14}{'ms a step':>12}{'µs a token':>12}{'a layer':>10}{'peak GiB':>10}")
    with open(o.out or os.devnull, "a") as out:
        for name in o.only.split() or VALUES:
            for value in VALUES[name]:
                sizes = USUAL | {name: value}
                record = run(o, **sizes)
                tokens = sizes["batch"] * sizes["length"]
                each = 1e6 * record["step_s"] / tokens
                out.write(json.dumps({"grows": name, "precision": o.precision, "method": o.method} | sizes | record) + "\n")
                print(f"{name:9}{value:7}{tokens:14}{1e3 * record['step_s']:12.1f}{each:12.2f}{each / sizes['layers']:10.3f}"
                      f"{record['peak_bytes'] / 2**30:10.2f}", flush=True)
            print()


def run(o, length, batch, layers, classes):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        models.write(scratch / "model", o.tokenizer, layers=layers, hidden=HIDDEN, heads=4, labels=classes)
        # A word is a token; two more stand around them.
        text = " ".join(["the"] * (length - 2))
        count = max(classes, batch * (WARMUP + o.steps))
        for name, labels in ("train", [i % classes for i in range(count)]), ("dev", [0]):
            (scratch / f"{name}.jsonl").write_text("".join(json.dumps({"text": text, "label": str(label)}) + "\n" for label in labels))
        work = sides.Work(scratch / "model", "", "custom", o.precision, o.method, WARMUP + o.steps, WARMUP, 1, batch, 512, o.threads)
        return sides.project(o.finetune, work, more=[f"data.train={scratch}/train.jsonl", f"data.dev={scratch}/dev.jsonl"])


if __name__ == "__main__":
    main()
