"""Ten steps of `finetune train` against plain PyTorch from the same saved start.

    python parity/train_steps.py --finetune bin/finetune --model DIR --glue DIR
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import reference

STEPS, TOLERANCE = 10, 1e-4
ALL = ["query", "key", "value", "output", "ffn_up", "ffn_down"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--model", required=True, help="folder of a BERT checkpoint")
    parser.add_argument("--glue", required=True, help="GLUE folder")
    args = parser.parse_args()
    worst = 0.0
    for task, targets, ranks, batch in [("mrpc", ["query", "value"], (8, 8, 8), 32), ("stsb", ALL, (5, 7, 6), 9)]:
        worst = max(worst, compare(args, task, targets, ranks, batch))
    print(f"largest relative difference of a loss: {worst:.2e} (allowed {TOLERANCE:.0e})")
    return 0 if worst <= TOLERANCE else 1


def compare(args, task, targets, ranks, batch):
    with tempfile.TemporaryDirectory() as scratch:
        adapter, run = Path(scratch) / "start", Path(scratch) / "run"
        reference.start(adapter, args.model, targets, ranks, alpha=1.5, labels=1 if task == "stsb" else 2, seed=7)
        config = Path(scratch) / "empty.yaml"  # every key has a default
        config.write_text("")
        subprocess.run(
            [args.finetune, "train", "-c", config, f"adapter.init_from={adapter}", f"model.path={args.model}", f"data.glue={args.glue}",
             f"task={task}", "model.dropout=0", "data.shuffle=false", f"train.max_steps={STEPS}",
             f"train.batch_size={batch}", "train.lr=1e-3", "train.warmup=0.2", "train.checkpoint_every=never",
             f"run.dir={run}", "device=cpu"],
            check=True, stdout=subprocess.DEVNULL,
        )
        events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        ours = [e["loss"] for e in events if e["event"] == "step"]
        theirs, _ = reference.train(args.model, adapter, args.glue, task, STEPS, batch, 1e-3, 0.2, 128)
    print(f"{task}: targets {','.join(targets)}, ranks {ranks}, batch {batch}")
    print("  step      finetune       PyTorch    relative difference")
    worst = 0.0
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        worst = max(worst, abs(a - b) / abs(b))
        print(f"  {step:4d}  {a:12.8f}  {b:12.8f}    {abs(a - b) / abs(b):.2e}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
