"""Ten steps of `finetune train` against plain PyTorch from the same saved start.

    python parity/train_steps.py --finetune bin/finetune --model DIR --glue DIR [--roberta-tokenizer DIR]
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
    parser.add_argument("--roberta-tokenizer", default="", help="folder of RoBERTa's tokenizer: compare a random RoBERTa too")
    args = parser.parse_args()
    cases = [("mrpc", ["query", "value"], (8, 8, 8), 32), ("stsb", ALL, (5, 7, 6), 9), ("mrpc", ALL, (4, 7, 6, 5), 8)]
    worst = max(compare(args, args.model, *case) for case in cases)
    if args.roberta_tokenizer:
        with tempfile.TemporaryDirectory() as scratch:
            model = random_roberta(Path(scratch) / "roberta", Path(args.roberta_tokenizer))
            worst = max([worst] + [compare(args, model, *case) for case in cases])
    print(f"largest relative difference of a loss: {worst:.2e} (allowed {TOLERANCE:.0e})")
    return 0 if worst <= TOLERANCE else 1


def random_roberta(folder, tokenizer):
    """A small random RoBERTa with the real tokenizer."""
    import shutil

    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(9)
    RobertaForSequenceClassification(RobertaConfig(
        vocab_size=50265, hidden_size=60, num_hidden_layers=4, num_attention_heads=5, intermediate_size=120, max_position_embeddings=200,
        type_vocab_size=1, layer_norm_eps=1e-5, initializer_range=0.1,
    )).save_pretrained(folder)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)
    return folder


def compare(args, model, task, targets, ranks, batch):
    with tempfile.TemporaryDirectory() as scratch:
        adapter, run = Path(scratch) / "start", Path(scratch) / "run"
        reference.start(adapter, model, targets, ranks, alpha=1.5, labels=1 if task == "stsb" else 2, seed=7)
        config = Path(scratch) / "empty.yaml"  # every key has a default
        config.write_text("")
        subprocess.run(
            [args.finetune, "train", "-c", config, f"adapter.init_from={adapter}", f"model.path={model}", f"data.glue={args.glue}",
             f"task={task}", "model.dropout=0", "data.shuffle=false", f"train.max_steps={STEPS}",
             f"train.batch_size={batch}", "train.lr=1e-3", "train.warmup=0.2", "train.checkpoint_every=never",
             f"run.dir={run}", "device=cpu"],
            check=True, stdout=subprocess.DEVNULL,
        )
        events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        ours = [e["loss"] for e in events if e["event"] == "step"]
        theirs, _ = reference.train(model, adapter, args.glue, task, STEPS, batch, 1e-3, 0.2, 128)
    print(f"{Path(model).name}, {task}: targets {','.join(targets)}, ranks {ranks}, batch {batch}")
    print("  step      finetune       PyTorch    relative difference")
    worst = 0.0
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        worst = max(worst, abs(a - b) / abs(b))
        print(f"  {step:4d}  {a:12.8f}  {b:12.8f}    {abs(a - b) / abs(b):.2e}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
