"""Ten steps of `finetune train` with micro-batches, 4 of 8 examples, against 1 of 32 and against plain PyTorch with both:
whole steps, and steps whose last micro-batch, or most, an epoch's end cuts off; with weight decay, a rate of the head's own
and each schedule, for an adapter and for a whole model.

    python parity/accumulate.py --finetune bin/finetune --model DIR --glue DIR [--roberta-tokenizer DIR]
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import reference
import steps
from train_steps import ALL, OUTPUTS, TOLERANCE, random_roberta

ALIKE = 1e-6  # of finetune's own losses: only the order of sums differs
WHOLE, CUT = 320, 3 * 32 + 13  # examples; of CUT, the fourth step of an epoch has 8 + 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--model", required=True, help="folder of a BERT checkpoint")
    parser.add_argument("--glue", required=True, help="GLUE folder")
    parser.add_argument("--roberta-tokenizer", default="", help="folder of RoBERTa's tokenizer: compare a random RoBERTa too")
    args = parser.parse_args()
    groups = dict(weight_decay=3.0, head_lr=4e-3, max_length=32)  # a decay that shows in ten steps
    adapters = [
        ("stsb", CUT, ["query", "ffn_down"], (5, 7, 6), steps.Recipe(schedule="cosine", **groups)),
        ("mrpc", WHOLE, ["query", "value"], (8, 8, 8), steps.Recipe()),
        ("mrpc", CUT, ALL, (4, 7, 6, 5), steps.Recipe(schedule="constant", warmup=0.3, clip=0.5, **groups)),
    ]
    worst, apart = 0.0, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        models = [Path(args.model)]
        if args.roberta_tokenizer:
            models.append(random_roberta(scratch / "roberta", Path(args.roberta_tokenizer)))
        glue = {n: reference.cut(scratch / f"glue-{n}", args.glue, {task: (n, 20) for task in OUTPUTS}) for n in (WHOLE, CUT)}
        for i, model in enumerate(models):
            for j, (task, examples, targets, ranks, recipe) in enumerate(adapters[:1] if i == 0 else adapters):  # MiniLM is slow
                title = f"{model.name}, {task}: targets {','.join(targets)}, ranks {ranks}, {examples} examples"
                start = scratch / f"start-{i}-{j}"
                reference.start(start, model, targets, ranks, alpha=1.5, tasks={reference.GLUE[task].name: OUTPUTS[task]}, seed=7)

                def network():
                    n = reference.Network(model, start)
                    return n.logits, n.trainable

                found = compare(args.finetune, scratch / f"run-{i}-{j}", model, glue[examples], task, recipe, title, network, f"adapter.init_from={start}")
                worst, apart = max(worst, found[0]), max(apart, found[1])
        # The head of a whole model comes from its checkpoint, which MiniLM's lacks.
        model = models[-1]
        if model != Path(args.model):
            recipe = steps.Recipe(lr=1e-4, schedule="cosine", **groups)
            found = compare(args.finetune, scratch / "run-full", model, glue[CUT], "mrpc", recipe, f"{model.name}, mrpc: all of the model, {CUT} examples",
                            lambda: whole(model), "adapter.method=full")
            worst, apart = max(worst, found[0]), max(apart, found[1])
    print(f"largest relative difference of a loss: {worst:.2e} (allowed {TOLERANCE:.0e}); of finetune's 4 x 8 from its 1 x 32: {apart:.2e} (allowed {ALIKE:.0e})")
    return 0 if worst <= TOLERANCE and apart <= ALIKE else 1


def whole(folder):
    """All of transformers' model, and its tensors."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager", dtype=torch.float32,
    ).train()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda task, examples, max_length: model(**reference.encoded(tokenizer, examples, max_length)).logits, dict(model.named_parameters())


def compare(binary, run, model, glue, task, recipe, title, network, *arguments):
    """The largest relative differences: of finetune from PyTorch, and of its micro-batches from one batch."""
    worst, ours = 0.0, []
    for batch_size, accumulate in ((8, 4), (32, 1)):
        recipe = replace(recipe, batch_size=batch_size, accumulate=accumulate)
        ours.append(steps.finetune(binary, run.with_name(f"{run.name}-{accumulate}"), model, glue, [task], recipe, *arguments))
        theirs, _ = steps.train(*network(), {task: reference.rows(glue, task)}, recipe)
        worst = max(worst, steps.table(f"{title}, {accumulate} x {batch_size}", ours[-1], theirs))
    apart = max(steps.difference(a["loss"], b["loss"]) for a, b in zip(*ours, strict=True))
    print(f"  finetune's 4 x 8 from its 1 x 32: {apart:.2e}")
    return worst, apart


if __name__ == "__main__":
    sys.exit(main())
