"""Ten steps of `finetune train` on three tasks at once, one adapter and a head for each, against plain PyTorch from the same
saved start; and what the run saved, in use: each task's dev figures in `eval` are those of the run, merged it is one number
with PyTorch in transformers, and exported in PEFT.

    python parity/multi_task.py --finetune bin/finetune --model DIR --glue DIR [--roberta-tokenizer DIR]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import peft
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

import reference
import steps
from train_steps import ALL, TOLERANCE, random_roberta

# PEFT warns of our own keys in adapter_config.json.
warnings.filterwarnings("ignore", module="peft")
warnings.filterwarnings("ignore", category=FutureWarning)

SERVED = 1e-5  # of logits, of the largest
OUTPUTS = {"mrpc": 2, "rte": 2, "cola": 2, "stsb": 1}
SIZES = {"mrpc": (22, 30), "rte": (13, 30), "cola": (17, 30), "stsb": (9, 30)}  # train, dev; no multiples of a batch


@dataclass
class Case:
    saved: list  # the tasks in the order of the adapter, which is that of the task mode
    run: list  # in the order of the run
    task_after: str | None
    targets: list
    ranks: tuple
    recipe: steps.Recipe = field(default_factory=steps.Recipe)

    def __str__(self):
        r, mode = self.recipe, f"task mode behind {self.task_after}" if self.task_after else "no task mode"
        own = "".join(f", {task} weighs {w}" for task, w in r.weights.items()) + "".join(f", {task}'s head at {lr}" for task, lr in r.rates.items())
        return f"{','.join(self.run)}: {mode}, targets {','.join(self.targets)}, ranks {self.ranks}, {r.accumulate} x {r.batch_size}{own}"


QV = ["query", "value"]
MINILM = [
    Case(["mrpc", "rte", "cola"], ["mrpc", "rte", "cola"], "layer", QV, (8, 8, 8, 8), steps.Recipe(batch_size=4, max_length=64)),
    Case(["mrpc", "rte", "stsb"], ["mrpc", "rte", "stsb"], None, QV, (5, 7, 6),
         steps.Recipe(batch_size=4, accumulate=2, max_length=64, weights={"stsb": 0.5}, rates={"rte": 5e-3})),
]
ROBERTA = [
    *MINILM,
    Case(["mrpc", "rte", "stsb"], ["mrpc", "rte", "stsb"], "layer", ["query", "ffn_down"], (5, 3, 7, 6),
         steps.Recipe(batch_size=4, accumulate=2, weights={"stsb": 0.5}, rates={"rte": 5e-3}, schedule="cosine", weight_decay=3.0)),
    Case(["rte", "stsb", "cola"], ["stsb", "cola", "rte"], "in", ALL, (4, 5, 3, 6, 7),
         steps.Recipe(batch_size=3, accumulate=5, head_lr=4e-3, weights={"cola": 2.5, "rte": 0.3}, weight_decay=3.0)),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--model", required=True, help="folder of a BERT checkpoint")
    parser.add_argument("--glue", required=True, help="GLUE folder")
    parser.add_argument("--roberta-tokenizer", default="", help="folder of RoBERTa's tokenizer: compare a random RoBERTa too")
    args = parser.parse_args()
    worst, served = 0.0, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        glue = reference.cut(scratch / "glue", args.glue, SIZES)
        models = [(Path(args.model), MINILM)]
        if args.roberta_tokenizer:
            models.append((random_roberta(scratch / "roberta", Path(args.roberta_tokenizer)), ROBERTA))
        for model, cases in models:
            for i, case in enumerate(cases):
                run = scratch / f"{model.name}-{i}"
                worst = max(worst, compare(Path(args.finetune).absolute(), run, model, glue, case))
                served = max(served, serve(Path(args.finetune).absolute(), run, model, glue, case))
    print(f"largest relative difference of a loss: {worst:.2e} (allowed {TOLERANCE:.0e}); of logits in use, of the largest: {served:.2e} (allowed {SERVED:.0e})")
    return 0 if worst <= TOLERANCE and served <= SERVED else 1


def compare(binary, run, model, glue, case):
    """The largest relative difference of a loss."""
    start = run.with_name(run.name + "-start")
    reference.start(start, model, case.targets, case.ranks, 1.5, {reference.GLUE[t].name: OUTPUTS[t] for t in case.saved}, 7, case.task_after)
    ours = steps.finetune(binary, run, model, glue, case.run, case.recipe, f"adapter.init_from={start}", "train.mixture=round-robin")
    network = reference.Network(model, start)
    before = {name: p.detach().clone() for name, p in network.trainable.items()}
    theirs, _ = steps.train(network.logits, network.trainable, {task: reference.rows(glue, task) for task in case.run}, case.recipe)
    worst = steps.table(f"{model.name}, {case}", ours, theirs)
    saved = load_file(run / "adapter" / "last" / "adapter_model.safetensors")
    if saved.keys() != before.keys():
        raise SystemExit(f"saved {sorted(saved)}, trained {sorted(before)}")
    moved = {name: ((saved[name] - p).norm() / (p - before[name]).norm()).item() for name, p in network.trainable.items()}
    name = max(moved, key=moved.get)
    print(f"  of what ten steps changed a tensor by, {moved[name]:.1e} is different in {name}")
    return worst


def serve(binary, run, model, glue, case):
    """The run's last adapter in eval, merged and exported, task by task; the largest difference of logits."""
    adapter, worst = run / "adapter" / "last", 0.0
    network = reference.Network(model, adapter)
    evaluated = {e["task"]: e["metrics"] for e in [e for e in steps.events(run) if e["event"] == "eval"][-1]["tasks"]}

    def finetune(*arguments):
        done = subprocess.run([binary, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, done.args))}\n{done.stderr}")
        return done.stdout

    for task in case.run:
        name, rows = reference.GLUE[task].name, reference.rows(glue, task, split="dev")[:16]
        judged = json.loads(finetune("eval", adapter, "--task", task, "--glue", glue, "--json"))["splits"][0]["metrics"]
        if judged != evaluated[name]:
            raise SystemExit(f"{run.name}, {name}: eval finds {judged}, the run found {evaluated[name]}")
        merged, exported = run / f"merged-{task}", run / f"exported-{task}"
        finetune("merge", adapter, merged, "--task", task)
        finetune("export", adapter, exported, "--task", task)
        base = AutoModelForSequenceClassification.from_pretrained(model, num_labels=OUTPUTS[task], ignore_mismatched_sizes=True, dtype=torch.float32)
        apart = {}
        with torch.no_grad():
            want = network.logits(task, rows, 64)
            encoded = reference.encoded(network.tokenizer, rows, 64)
            for what, served in (
                ("merged", AutoModelForSequenceClassification.from_pretrained(merged)), ("exported", peft.PeftModel.from_pretrained(base, exported)),
            ):
                apart[what] = ((served.eval()(**encoded).logits - want).abs().max() / want.abs().max()).item()
        worst = max(worst, *apart.values())
        print(f"  {name}: eval as the run, {judged}; logits " + ", ".join(f"{what} {d:.1e}" for what, d in apart.items()))
    return worst


if __name__ == "__main__":
    sys.exit(main())
