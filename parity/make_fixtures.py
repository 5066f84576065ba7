"""Write the committed fixtures of the Go tests: a tiny random BERT with odd
sizes, a GLUE folder in miniature, a start, and what PyTorch computes from it.

    python parity/make_fixtures.py pkg/run/testdata
"""

import json
import math
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

import reference
import steps

WORDS = (
    "the a red blue small old ship cat river stone bell king sees finds sells holds likes never often "
    "and is was not north south ##s ##ed ##ing , ."
).split()
SUBJECTS = ["the king", "a cat", "the old ship", "a red bell", "the small river", "the stone"]
VERBS = ["sees", "finds", "sells", "holds", "likes"]


def sentences(i):
    """The i-th pair: the same words, in the same order or with the roles changed."""
    a, b = SUBJECTS[i % 6], SUBJECTS[(i // 6 + i + 1) % 6]
    verb = VERBS[i % 5]
    same = (i * 7 + i // 3) % 2 == 0
    first = f"{a} {verb} {b} ."
    second = f"{a} often {verb} {b} , never south ." if same else f"{b} {verb} {a} and is not old ."
    return first, second, int(same)


def bare_lora(path):
    """An adapter as microsoft/LoRA stores it, for a RoBERTa of width 10 with 3 layers; element i of tensor n is sin(n + i)."""
    shapes = {}
    for layer in range(3):
        for matrix in ("query", "value"):
            name = f"roberta.encoder.layer.{layer}.attention.self.{matrix}.lora_"
            shapes[name + "A"], shapes[name + "B"] = (2, 10), (10, 2)
    shapes |= {"classifier.dense.weight": (10, 10), "classifier.dense.bias": (10,),
               "classifier.out_proj.weight": (3, 10), "classifier.out_proj.bias": (3,)}
    torch.save({name: torch.sin(n + torch.arange(math.prod(shape)).float()).reshape(shape)
                for n, (name, shape) in enumerate(shapes.items())}, path)


def main(out):
    out = Path(out)
    bare_lora(out / "bare-lora.bin")
    model = out / "tiny-bert"
    model.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=24,
        max_position_embeddings=40, type_vocab_size=2, layer_norm_eps=1e-6, initializer_range=0.3, num_labels=2,
    )
    torch.manual_seed(0)
    bert = BertForSequenceClassification(config)
    for name, p in bert.named_parameters():  # biases and norms that are not trivially 0 and 1
        if p.dim() == 1:
            p.data.add_(torch.randn_like(p) * 0.1)
    bert.save_pretrained(model, safe_serialization=True)
    (model / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (model / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 40}, indent=2) + "\n")

    mrpc = out / "glue" / "MRPC"
    mrpc.mkdir(parents=True, exist_ok=True)
    for split, first, n in (("train", 0, 45), ("dev", 45, 15)):
        lines = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
        for i in range(first, first + n):
            a, b, label = sentences(i)
            lines.append(f"{label}\t{2 * i}\t{2 * i + 1}\t{a}\t{b}")
        (mrpc / f"{split}.tsv").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")

    everything = ["query", "key", "value", "output", "ffn_up", "ffn_down"]
    expected = {}
    for name, targets, ranks in (("query-value", ["query", "value"], (4, 4, 4)), ("all", everything, (3, 5, 4))):
        reference.start(out / f"start-{name}", model, targets, ranks, alpha=1.5, tasks={"MRPC": 2}, seed=3)
        network = reference.Network(model, out / f"start-{name}")
        recipe = steps.Recipe(batch_size=4, lr=1e-2, max_length=24)
        written, gradients = steps.train(network.logits, network.trainable, {"mrpc": reference.rows(out / "glue", "mrpc")}, recipe)
        expected[name] = {"losses": [step["loss"] for step in written], "gradient_norms": {n: g.norm().item() for n, g in gradients.items()}}
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
