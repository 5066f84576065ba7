"""Ten steps of `finetune train` against plain PyTorch from the same saved start.

    python parity/train_steps.py --finetune bin/finetune --model DIR --glue DIR [--roberta-tokenizer DIR]
"""

import argparse
import sys
import tempfile
from pathlib import Path

import reference
import steps

TOLERANCE = 1e-4
ALL = ["query", "key", "value", "output", "ffn_up", "ffn_down"]
OUTPUTS = {"mrpc": 2, "stsb": 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--model", required=True, help="folder of a BERT checkpoint")
    parser.add_argument("--glue", required=True, help="GLUE folder")
    parser.add_argument("--roberta-tokenizer", default="", help="folder of RoBERTa's tokenizer: compare a random RoBERTa too")
    args = parser.parse_args()
    cases = [("mrpc", ["query", "value"], (8, 8, 8), 32), ("stsb", ALL, (5, 7, 6), 9), ("mrpc", ALL, (4, 7, 6, 5), 8)]
    with tempfile.TemporaryDirectory() as scratch:
        models = [args.model]
        if args.roberta_tokenizer:
            models.append(random_roberta(Path(scratch) / "roberta", Path(args.roberta_tokenizer)))
        glue = reference.cut(Path(scratch) / "glue", args.glue, {task: (330, 40) for task in OUTPUTS})  # ten steps of 32 and more
        worst = max(compare(args.finetune, model, glue, *case) for model in models for case in cases)
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


def compare(binary, model, glue, task, targets, ranks, batch):
    recipe = steps.Recipe(batch_size=batch)
    with tempfile.TemporaryDirectory() as scratch:
        adapter = Path(scratch) / "start"
        reference.start(adapter, model, targets, ranks, alpha=1.5, tasks={reference.GLUE[task].name: OUTPUTS[task]}, seed=7)
        ours = steps.finetune(binary, Path(scratch) / "run", model, glue, [task], recipe, f"adapter.init_from={adapter}")
        network = reference.Network(model, adapter)
        theirs, _ = steps.train(network.logits, network.trainable, {task: reference.rows(glue, task)}, recipe)
    return steps.table(f"{Path(model).name}, {task}: targets {','.join(targets)}, ranks {ranks}, batch {batch}", ours, theirs)


if __name__ == "__main__":
    sys.exit(main())
