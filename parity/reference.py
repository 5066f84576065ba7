"""A plain PyTorch MetaTT-4D and -5D on transformers' BERT and RoBERTa: the reference of the Go code.

Nothing here is shared with the Go side but the files it reads: the model
folder, the adapter folder and the GLUE folder.
"""

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy, mse_loss
from transformers import AutoModelForSequenceClassification, AutoTokenizer

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PROJECTIONS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
}


HEADS = {"bert": ["classifier"], "roberta": ["classifier.dense", "classifier.out_proj"]}


class Adapted(torch.nn.Module):
    """A frozen linear layer with y + alpha * x dW, dW from the equation."""

    def __init__(self, linear, cores, alpha, layer, first, blocks, kind):
        super().__init__()
        self.linear, self.cores, self.alpha = linear, cores, alpha
        self.layer, self.first, self.blocks, self.kind = layer, first, blocks, kind

    def forward(self, x):
        g1, g2, g3, *heads, last = self.cores
        if heads:  # 5D: the heads' columns side by side
            last = torch.einsum("rhs,so->rho", heads[0], last[:, :, 0]).flatten(1)
        else:
            last = last[:, :, 0]
        parts = [
            torch.einsum("ip,pq,qr,ro->io", g1[0], g2[:, self.layer], g3[:, m], last)
            for m in range(self.first, self.first + self.blocks)
        ]
        delta = torch.cat(parts, dim=0 if self.kind == "ffn_down" else 1)
        return self.linear(x) + self.alpha * (x @ delta)


def build(model_dir, adapter_dir, labels):
    """transformers' model with the saved adapter and head; its trainable tensors by name."""
    model = AutoModelForSequenceClassification.from_pretrained(
        model_dir, num_labels=labels, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        attn_implementation="eager", dtype=torch.float32, ignore_mismatched_sizes=True,
    )
    config = json.loads((Path(adapter_dir) / "adapter_config.json").read_text())
    saved = load_file(Path(adapter_dir) / "adapter_model.safetensors")
    for p in model.parameters():
        p.requires_grad_(False)
    trainable = {f"cores.{i}": torch.nn.Parameter(saved[f"cores.{i}"].clone()) for i in range(len(config["modes"]))}
    cores = list(trainable.values())
    width = model.config.hidden_size
    first = 0
    for kind in config["target_modules"]:
        blocks = model.config.intermediate_size // width if kind.startswith("ffn") else 1
        for l, layer in enumerate(model.base_model.encoder.layer):
            path, _, leaf = PROJECTIONS[kind].rpartition(".")
            parent = layer.get_submodule(path)
            setattr(parent, leaf, Adapted(getattr(parent, leaf), cores, config["alpha"], l, first, blocks, kind))
        first += blocks
    for layer in HEADS[model.config.model_type]:
        for name, p in model.get_submodule(layer).named_parameters(prefix=layer):
            p.data.copy_(saved[name])
            trainable[name] = p.requires_grad_(True)
    return model.train(), trainable  # dropout is 0: train mode changes nothing


def rows(glue_dir, task, limit=None, split="train"):
    """The first rows of a split's file: text, pair, label."""
    columns = {
        "mrpc": ("MRPC", "#1 String", "#2 String", "Quality"),
        "stsb": ("STS-B", "sentence1", "sentence2", "score"),
    }
    folder, text, pair, label = columns[task]
    lines = (Path(glue_dir) / folder / f"{split}.tsv").read_bytes().decode("utf-8-sig", "replace").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    at = [header.index(c) for c in (text, pair, label)]
    fields = [line.rstrip("\r").split("\t") for line in lines[1:][:limit] if line]
    return [[f[i] for i in at] for f in fields]


def train(model_dir, adapter_dir, glue_dir, task, steps, batch_size, lr, warmup, max_length, clip=1.0):
    """Losses of the first steps: AdamW, linear schedule, clipping, the file's order."""
    regression = task == "stsb"
    model, trainable = build(model_dir, adapter_dir, 1 if regression else 2)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    data = rows(glue_dir, task, steps * batch_size)
    optimizer = torch.optim.AdamW(trainable.values(), lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    rise = int(warmup * steps)
    losses, gradients = [], None
    for step in range(steps):
        batch = data[step * batch_size:(step + 1) * batch_size]
        encoded = tokenizer([b[0] for b in batch], [b[1] for b in batch], truncation="longest_first",
                            max_length=max_length, padding="longest", return_tensors="pt")
        logits = model(**encoded).logits
        if regression:
            loss = mse_loss(logits.reshape(-1), torch.tensor([float(b[2]) for b in batch]))
        else:
            loss = cross_entropy(logits, torch.tensor([int(b[2]) for b in batch]))
        optimizer.zero_grad()
        loss.backward()
        if gradients is None:
            gradients = {n: p.grad.clone() for n, p in trainable.items()}
        torch.nn.utils.clip_grad_norm_(trainable.values(), clip)
        rate = lr * step / rise if step < rise else lr * (steps - step) / (steps - rise)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        losses.append(loss.item())
    return losses, gradients


def start(adapter_dir, model_dir, targets, ranks, alpha, labels, seed):
    """Write an adapter folder with random cores and head: a start at which every gradient is alive."""
    from safetensors.torch import save_file

    config = json.loads((Path(model_dir) / "config.json").read_text())
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, scale):
        return torch.randn(*shape, generator=generator) * scale

    slots = sum(config["intermediate_size"] // width if t.startswith("ffn") else 1 for t in targets)
    heads = config["num_attention_heads"]
    sizes = {3: [width, layers, slots, width], 4: [width, layers, slots, heads, width // heads]}[len(ranks)]
    bonds = [1, *ranks, 1]
    tensors = {
        f"cores.{i}": draw(bonds[i], n, bonds[i + 1], scale=0.1 if i in (0, len(sizes) - 1) else 0.5) for i, n in enumerate(sizes)
    }
    for layer in HEADS[config["model_type"]]:
        out = width if layer.endswith("dense") else labels
        tensors[f"{layer}.weight"] = draw(out, width, scale=0.1)
        tensors[f"{layer}.bias"] = draw(out, scale=0.1)
    Path(adapter_dir).mkdir(parents=True, exist_ok=True)
    save_file(tensors, Path(adapter_dir) / "adapter_model.safetensors", metadata={"format": "pt"})
    (Path(adapter_dir) / "adapter_config.json").write_text(json.dumps({
        "format_version": 1, "peft_type": "METATT", "method": f"metatt{len(sizes)}d",
        "modes": ["in", "layer", "matrix", *["head"][:len(ranks) - 3], "out"],
        "ranks": list(ranks), "alpha": alpha, "init": "-".join(["no"] * len(sizes)), "target_modules": targets,
        "base_model_name_or_path": "", "model_type": config["model_type"], "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": config["num_attention_heads"], "intermediate_size": config["intermediate_size"],
        "tasks": ["STS-B" if labels == 1 else "MRPC"],
        "labels": {} if labels == 1 else {"MRPC": ["0", "1"]},
    }, indent=2) + "\n")
