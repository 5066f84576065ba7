"""Hidden states, logits and every gradient of a full fine-tuning step: ours
against transformers', fp32, without dropout.

    python parity/models.py compare --dump BINARY --model DIR   # MiniLM, a random roberta-base, odd tiny ones
    python parity/models.py fixtures pkg/models/testdata        # what the Go tests replay
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification, RobertaConfig,
    RobertaForSequenceClassification,
)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

STATE_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4

ODD_BERT = dict(
    vocab_size=23, hidden_size=15, num_hidden_layers=2, num_attention_heads=5, intermediate_size=7, max_position_embeddings=19,
    type_vocab_size=3, layer_norm_eps=1e-3, hidden_act="gelu_new", initializer_range=0.4, num_labels=4,
)
ODD_ROBERTA = dict(
    vocab_size=29, hidden_size=10, num_hidden_layers=3, num_attention_heads=2, intermediate_size=21, max_position_embeddings=22,
    type_vocab_size=1, pad_token_id=3, layer_norm_eps=1e-4, hidden_act="relu", initializer_range=0.4, num_labels=3,
)


def randomised(model, seed):
    """The model with biases and norms that are not trivially 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        if p.dim() == 1:
            p.data.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return model


def odd_models():
    torch.manual_seed(11)
    bert = randomised(BertForSequenceClassification(BertConfig(**ODD_BERT)), 1)
    roberta = randomised(RobertaForSequenceClassification(RobertaConfig(**ODD_ROBERTA)), 2)
    return {"bert": bert, "roberta": roberta}


def random_batch(config, lengths, seed):
    """Examples of these lengths; where there is room, one spells out the padding token."""
    generator = torch.Generator().manual_seed(seed)
    examples = []
    for i, n in enumerate(lengths):
        ids = torch.randint(0, config.vocab_size, (n,), generator=generator)
        ids[ids == config.pad_token_id] = config.vocab_size - 1
        if i == 1 and n > 3:
            ids[2] = config.pad_token_id
        types = torch.arange(n) * config.type_vocab_size // n
        label = int(torch.randint(0, config.num_labels, (1,), generator=generator))
        examples.append({"ids": ids.tolist(), "type_ids": types.tolist(), "label": label})
    return {"examples": examples}


def states(model, batch):
    """Hidden states and logits, packed; leaves the loss's gradients in the parameters."""
    model = model.eval()
    model.zero_grad()
    examples = batch["examples"]
    longest = max(len(e["ids"]) for e in examples)
    ids = torch.full((len(examples), longest), model.config.pad_token_id)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for i, e in enumerate(examples):
        n = len(e["ids"])
        ids[i, :n], types[i, :n], mask[i, :n] = torch.tensor(e["ids"]), torch.tensor(e["type_ids"]), 1
    out = model(input_ids=ids, token_type_ids=types, attention_mask=mask, output_hidden_states=True)
    torch.nn.functional.cross_entropy(out.logits, torch.tensor([e["label"] for e in examples])).backward()
    real = mask.bool()
    tensors = {f"hidden.{i}": h[real].detach() for i, h in enumerate(out.hidden_states)}
    tensors["logits"] = out.logits.detach()
    return tensors


def reference(model, batch):
    """transformers' tensors, in the packed layout and under the names of the dump."""
    model.requires_grad_(True)
    tensors = states(model, batch)
    for name, p in model.named_parameters():
        tensors["grad." + name] = torch.zeros_like(p) if p.grad is None else p.grad
    return {name: t.contiguous() for name, t in tensors.items()}


def layer(name):
    """The layer a weight belongs to."""
    parts = name.split(".")
    if "layer" in parts:
        return ".".join(parts[:parts.index("layer") + 2])
    return "embeddings" if "embeddings" in parts else "head"


def differences(ours, theirs):
    """Worst deviation of states and of gradients, each with the tensor it is of; prints the first that is too large."""
    if ours.keys() != theirs.keys():
        raise SystemExit(f"different tensors: {sorted(ours.keys() ^ theirs.keys())}")
    norms = {n: t.norm().item() for n, t in theirs.items() if n.startswith("grad.")}
    largest = {}
    for n, norm in norms.items():
        largest[layer(n)] = max(norm, largest.get(layer(n), 0.0))
    worst, first = {"state": (0.0, ""), "gradient": (0.0, "")}, None
    for name, want in theirs.items():
        error = ours[name] - want
        if name.startswith("grad."):
            kind, tolerance = "gradient", GRADIENT_TOLERANCE
            deviation = error.norm().item() / max(norms[name], 1e-30)
            if deviation > tolerance:  # a gradient that is 0 in exact arithmetic has no scale of its own
                deviation = error.norm().item() / largest[layer(name)]
        else:
            kind, tolerance = "state", STATE_TOLERANCE
            deviation = (error.abs().max() / want.abs().max()).item()
        worst[kind] = max(worst[kind], (deviation, name))
        if deviation > tolerance and first is None:
            first = f"first difference: {name}: {deviation:.2e} (allowed {tolerance:.0e})"
    return worst, first


def compare_model(dump, title, model, folder, batch, scratch):
    path, out, saved = scratch / "batch.json", scratch / "out.safetensors", scratch / "saved"
    path.write_text(json.dumps(batch))
    subprocess.run([dump, "--model", folder, "--batch", path, "--out", out, "--save", saved], check=True)
    theirs = reference(model, batch)
    worst, first = differences(load_file(out), theirs)
    again = AutoModelForSequenceClassification.from_pretrained(saved, attn_implementation="eager")
    if again.dtype != torch.float32:
        first = f"saved model loads as {again.dtype}"
    back = (reference(again, batch)["logits"] - theirs["logits"]).abs().max().item()
    if back != 0:
        first = f"logits of the saved model differ by {back:.2e}"
    (s, s_name), (g, g_name) = worst["state"], worst["gradient"]
    print(f"{title:28s} states {s:.1e} ({s_name})  gradients {g:.1e} ({g_name})  saved and loaded by transformers: {back:.0e}")
    if first:
        print("  " + first)
    return first is None


def compare(dump, minilm):
    ok = True
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name, model in odd_models().items():
            model.save_pretrained(scratch / name)
            model = type(model).from_pretrained(scratch / name, attn_implementation="eager")
            ok &= compare_model(dump, f"tiny {name}", model, scratch / name, random_batch(model.config, [5, 17, 1, 9], 3), scratch)

        tokenizer = AutoTokenizer.from_pretrained(minilm)
        texts = [("A cat sat on the mat.", None), ("Nobody knew why it rained all summer; the harvest failed.", "It rained a lot."),
                 ("x", None), ("Tensor trains are matrix product states with open boundaries. " * 9, "Yes.")]
        examples = []
        for i, (a, b) in enumerate(texts):
            e = tokenizer(a, b)
            examples.append({"ids": e["input_ids"], "type_ids": e["token_type_ids"], "label": i % 2})
        torch.manual_seed(5)
        model = BertForSequenceClassification.from_pretrained(minilm, num_labels=2, attn_implementation="eager", dtype=torch.float32)
        model.save_pretrained(scratch / "minilm")  # with its new head
        ok &= compare_model(dump, "MiniLM, real weights", model, scratch / "minilm", {"examples": examples}, scratch)

        torch.manual_seed(6)
        config = RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, num_labels=3,
                               bos_token_id=0, eos_token_id=2, attn_implementation="eager")
        model = randomised(RobertaForSequenceClassification(config), 7)
        model.save_pretrained(scratch / "roberta-base")
        ok &= compare_model(dump, "random roberta-base", model, scratch / "roberta-base", random_batch(config, [12, 70, 1, 33], 8), scratch)
    print(f"allowed: states {STATE_TOLERANCE:.0e} of the tensor's largest element, gradients {GRADIENT_TOLERANCE:.0e} of the norm")
    return 0 if ok else 1


def fixtures(out):
    """The odd models, each in other files: safetensors, shards, and a checkpoint as the first BERTs were stored."""
    for name, model in odd_models().items():
        folder = out / name
        model.save_pretrained(folder, max_shard_size="8KB" if name == "roberta" else "1GB")
        batch = random_batch(model.config, [5, 17, 1, 9], 3)
        (folder / "batch.json").write_text(json.dumps(batch) + "\n")
        model = type(model).from_pretrained(folder, attn_implementation="eager")
        save_file(reference(model, batch), folder / "expected.safetensors")
        if name == "bert":
            old = out / "bert-2018"
            old.mkdir(parents=True, exist_ok=True)
            state = {}
            for key, t in model.state_dict().items():
                state[key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")] = t
            # The word embeddings only under the name of the layer tied to them.
            state["cls.predictions.decoder.weight"] = state.pop("bert.embeddings.word_embeddings.weight")
            state["bert.embeddings.position_ids"] = torch.arange(19)
            torch.save(state, old / "pytorch_model.bin")
            (old / "config.json").write_text((folder / "config.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("compare")
    one.add_argument("--dump", required=True)
    one.add_argument("--model", required=True, help="MiniLM's folder")
    commands.add_parser("fixtures").add_argument("out", type=Path)
    args = parser.parse_args()
    if args.command == "fixtures":
        fixtures(args.out)
        return 0
    return compare(args.dump, args.model)


if __name__ == "__main__":
    sys.exit(main())
