"""The project against its peer on this machine, in turn, on the same rows: a table of ratios.

    python bench/compare.py --finetune bin/finetune --glue DIR --minilm DIR [--only "minilm mrpc fp32 lora"]

The peer is transformers + PEFT (bench/peer.py). PEFT has no MetaTT: its LoRA of the same rank on the same matrices stands
for it. In bf16 the peer may use autocast or weights in bf16; the faster in the first round is what the project is
compared with. Ratios are the project's figure over the peer's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import models
import products
import rows
import sides

PRECISIONS, METHODS = ["fp32", "bf16"], ["lora", "metatt4d"]
# Of a model: rounds, steps that count after the warm-up, warm-up steps, dev rows (None: all).
SIZES = {"minilm": (3, 10, 3, None), "base": (2, 3, 1, 64)}
QUICK = {"minilm": (1, 6, 2, 128), "base": (1, 2, 1, 16)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True, help="the project's binary")
    parser.add_argument("--glue", required=True, help="GLUE folder with MRPC and CoLA")
    parser.add_argument("--minilm", required=True, help="folder of MiniLM")
    parser.add_argument("--roberta-tokenizer", default="", help="folder of RoBERTa's tokenizer for the base shape; without it MiniLM's")
    parser.add_argument("--only", default="", help="words of minilm, base, mrpc, cola, fp32, bf16, lora, metatt4d: of each kind those named, all where none is")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0, help="that count, of each run")
    parser.add_argument("--quick", action="store_true", help="one round of few steps")
    parser.add_argument("--compile", action="store_true", help="the peer under torch.compile too, which takes minutes a run")
    parser.add_argument("--threads", type=int, default=0, help="of both sides; 0: libtorch's choice")
    parser.add_argument("--out", default="", help="file for every run's record, JSON lines")
    o = parser.parse_args()
    wanted = chosen(o.only)
    began = time.time()
    with tempfile.TemporaryDirectory() as scratch, open(o.out or os.devnull, "a") as out:
        table = Table()
        for name in wanted["model"]:
            model = o.minilm if name == "minilm" else base(Path(scratch) / "base", o)
            for task in wanted["task"]:
                Case(o, Path(scratch), name, model, task, out).run(wanted, table)
        table.print(o, time.time() - began)


def chosen(only):
    """Of each kind of choice those that are named."""
    kinds = {"model": list(SIZES), "task": list(rows.TASKS), "precision": PRECISIONS, "method": METHODS}
    unknown = set(only.split()) - {word for words in kinds.values() for word in words}
    if unknown:
        sys.exit(f"compare: {' '.join(sorted(unknown))}: none of {' '.join(word for words in kinds.values() for word in words)}")
    return {kind: [w for w in words if w in only.split()] or words for kind, words in kinds.items()}


def base(folder, o):
    models.write(folder, o.roberta_tokenizer or o.minilm, kind="roberta")
    return str(folder)


class Case:
    """One model on one task: both sides in turn, in each precision."""

    def __init__(self, o, scratch, name, model, task, out):
        self.o, self.name, self.model, self.task, self.out = o, name, model, task, out
        rounds, steps, self.warmup, dev = (QUICK if o.quick else SIZES)[name]
        self.rounds, self.steps = o.rounds or rounds, o.steps or steps
        self.glue = scratch / f"{name}-{task}"
        self.dev = rows.write(self.glue, o.glue, task, dev)

    def run(self, wanted, table):
        for precision in wanted["precision"]:
            theirs = ["fp32"] if precision == "fp32" else ["autocast", "bf16"]
            runs = []
            for turn in range(self.rounds):
                peers = [self.peer(precision, how) for how in theirs]
                best = max(peers, key=lambda r: r["samples_s"])
                theirs = [best["precision"]]
                runs.append((best, {method: self.project(precision, method) for method in wanted["method"]}))
                progress(f"{self.name} {self.task} {precision}, round {turn + 1} of {self.rounds}")
            compiled = self.peer(precision, theirs[0], compiled="default") if self.o.compile else None
            table.add(self, precision, runs, compiled, self.products(precision, runs[0][0]["tokens"]))

    def work(self, precision, method):
        return sides.Work(self.model, self.glue, self.task, precision, method, self.warmup + self.steps, self.warmup, self.dev, threads=self.o.threads)

    def project(self, precision, method):
        return self.keep(sides.project(self.o.finetune, self.work(precision, method)), precision, method)

    def peer(self, precision, how, compiled=""):
        return self.keep(sides.peer(sys.executable, self.work(precision, "lora"), how, compiled), precision, "lora")

    def keep(self, record, precision, method):
        self.out.write(json.dumps(dict(model=self.name, task=self.task, dtype=precision, method=method) | record) + "\n")
        self.out.flush()
        return record

    def products(self, precision, tokens):
        """FLOPs of a step's products, FLOP/s of the machine for them; in a process of their own."""
        tokens = round(tokens / self.steps)
        found = subprocess.run(
            [sys.executable, Path(__file__).parent / "products.py", "--model", self.model, "--tokens", str(tokens), "--precision", precision,
             "--threads", str(self.o.threads)], check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(found.stdout)


class Table:
    """Lines of ratios, and below them what products reach."""

    def __init__(self):
        self.lines, self.notes = [], []

    def add(self, case, precision, runs, compiled, machine):
        for method in runs[0][1]:
            pairs = [(mine[method], theirs) for theirs, mine in runs]
            figures = [
                ratio(pairs, "samples_s", "{:.1f}"), ratio(pairs, "eval_samples_s", "{:.1f}"),
                ratio(pairs, "peak_bytes", "{:.2f}", 1 / 2**30), ratio(pairs, "start_s", "{:.1f}"),
            ]
            # The product's share is of the mean step: its tokens are the mean's.
            seconds = statistics.median(mine["window_s"] for mine, _ in pairs) / case.steps
            theirs = statistics.median(peer["window_s"] for _, peer in pairs) / case.steps
            reached, allowed = machine["flops"] / seconds, machine["flop_s"]
            figures.append(f"{reached / 1e9:.0f} of {allowed / 1e9:.0f} GFLOP/s = {100 * reached / allowed:.0f} % (peer {100 * machine['flops'] / theirs / allowed:.0f} %)")
            self.lines.append([case.name, case.task, precision, method, *figures])
        how = runs[0][0]["precision"]
        note = f"{case.name} {case.task} {precision}: the peer's best is {how}"
        if compiled:
            note += f"; compiled {compiled['samples_s']:.1f} samples/s, first step after {compiled['start_s']:.0f} s"
        self.notes.append(note)

    def print(self, o, seconds):
        head = ["model", "task", "dtype", "method", "training, samples/s", "evaluation, samples/s", "peak memory, GiB", "first step after, s", "products"]
        widths = [max(map(len, column)) for column in zip(head, *self.lines)]
        for line in [head, ["─" * width for width in widths], *self.lines]:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
        print("\nproject / peer = ratio (smallest–largest of the rounds). Peer: transformers + PEFT, LoRA r8 on query and value,")
        print("standing for MetaTT-4D too." + ("" if o.compile else " It is not compiled (--compile, COMPILE=1)."))
        print("products: the matrix products that a step needs, per second of the step, of what the machine makes of them alone.")
        for note in self.notes:
            print(note)
        print(f"{os.cpu_count()} CPUs, {cpu()}; {seconds:.0f} s")


def ratio(pairs, figure, form, scale=1):
    """Medians of both sides, and of their ratio in each round the median and the spread."""
    each = sorted(mine[figure] / theirs[figure] for mine, theirs in pairs)
    mine, theirs = (form.format(scale * statistics.median(pair[i][figure] for pair in pairs)) for i in (0, 1))
    spread = f" ({each[0]:.2f}–{each[-1]:.2f})" if len(each) > 1 else ""
    return f"{mine} / {theirs} = {statistics.median(each):.2f}{spread}"


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return "unknown CPU"


def progress(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except sides.Failed as failure:
        sys.exit(f"compare: {failure}")
