"""A plain PyTorch MetaTT-4D and -5D, with or without a task mode, on transformers' BERT and RoBERTa: the reference of the
Go code.

Nothing here is shared with the Go side but the files it reads: the model
folder, the adapter folder and the GLUE folder.
"""

import copy
import json
from collections import namedtuple
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
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

# A task's name in adapters, which is that of its folder, its columns, and its labels in order. A number is the place of a
# column in a file without a header; a task without labels is a regression.
Source = namedtuple("Source", "name text pair label labels")
GLUE = {
    "cola": Source("CoLA", 3, None, 1, ["0", "1"]),
    "mrpc": Source("MRPC", "#1 String", "#2 String", "Quality", ["0", "1"]),
    "rte": Source("RTE", "sentence1", "sentence2", "label", ["entailment", "not_entailment"]),
    "stsb": Source("STS-B", "sentence1", "sentence2", "score", None),
}


class Adapted(torch.nn.Module):
    """A frozen linear layer with y + alpha * x dW, dW the train's entry for its layer and matrix and the task at hand."""

    def __init__(self, linear, network, layer, first, blocks, kind):
        super().__init__()
        self.linear, self.network = linear, [network]  # in a list: it is no part of this module
        self.cores, self.modes, self.alpha = network.cores, network.config["modes"], network.config["alpha"]
        self.layer, self.first, self.blocks, self.kind = layer, first, blocks, kind

    def block(self, matrix):
        """(D, D): the cores from left to right, those of layer, task and matrix each at its index."""
        at = {"layer": self.layer, "task": self.network[0].task, "matrix": matrix}
        product = self.cores[0][0]
        for mode, core in zip(self.modes[1:], self.cores[1:]):
            product = product @ core[:, at[mode]] if mode in at else torch.tensordot(product, core, 1)
        return product.squeeze(-1).flatten(1)  # 5D: the heads' columns side by side

    def forward(self, x):
        parts = [self.block(m) for m in range(self.first, self.first + self.blocks)]
        delta = torch.cat(parts, dim=0 if self.kind == "ffn_down" else 1)
        return self.linear(x) + self.alpha * (x @ delta)


class Network:
    """transformers' model with a saved adapter, and a head for each of its tasks."""

    def __init__(self, model_dir, adapter_dir):
        self.config = json.loads((Path(adapter_dir) / "adapter_config.json").read_text())
        saved = load_file(Path(adapter_dir) / "adapter_model.safetensors")
        self.tokenizer = AutoTokenizer.from_pretrained(model_dir)
        # Dropout is 0: train mode changes nothing.
        self.model = AutoModelForSequenceClassification.from_pretrained(
            model_dir, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager", dtype=torch.float32,
        ).requires_grad_(False).train()
        self.cores = [torch.nn.Parameter(saved[f"cores.{i}"].clone()) for i in range(len(self.config["modes"]))]
        self.trainable = {f"cores.{i}": core for i, core in enumerate(self.cores)}
        self.heads = [self.head(task, saved) for task in self.config["tasks"]]
        self.adapt()
        self.turn_to(self.config["tasks"][0])

    def head(self, task, saved):
        """The task's head, its tensors trainable under their names on disk."""
        head = copy.deepcopy(self.model.classifier)
        prefix = "heads." + task + "." if len(self.config["tasks"]) > 1 or "task" in self.config["modes"] else ""
        for name, p in head.named_parameters(prefix="classifier"):
            p.data = saved[prefix + name].clone()
            self.trainable[prefix + name] = p.requires_grad_(True)
        return head

    def adapt(self):
        width, first = self.model.config.hidden_size, 0
        for kind in self.config["target_modules"]:
            blocks = self.model.config.intermediate_size // width if kind.startswith("ffn") else 1
            for l, layer in enumerate(self.model.base_model.encoder.layer):
                path, _, leaf = PROJECTIONS[kind].rpartition(".")
                parent = layer.get_submodule(path)
                setattr(parent, leaf, Adapted(getattr(parent, leaf), self, l, first, blocks, kind))
            first += blocks

    def turn_to(self, task):
        """The task, by its name in the adapter, that the model computes from here on."""
        self.task = self.config["tasks"].index(task)
        self.model.classifier = self.heads[self.task]

    def logits(self, task, examples, max_length):
        """(examples, outputs) of examples (text, pair, target) of a task of GLUE's."""
        self.turn_to(GLUE[task].name)
        return self.model(**encoded(self.tokenizer, examples, max_length)).logits


def encoded(tokenizer, examples, max_length):
    """Examples (text, pair, target) as transformers' models take them."""
    texts, pairs = [e[0] for e in examples], [e[1] for e in examples]
    return tokenizer(texts, None if pairs[0] is None else pairs, truncation="longest_first", max_length=max_length, padding="longest",
                     return_tensors="pt")


def rows(glue_dir, task, limit=None, split="train"):
    """The first examples of a split's file: text, pair or None, and the label's index or the score."""
    name, *columns, labels = GLUE[task]
    lines = (Path(glue_dir) / name / f"{split}.tsv").read_bytes().decode("utf-8-sig", "replace").split("\n")
    if isinstance(columns[0], str):
        header = lines.pop(0).rstrip("\r").split("\t")
        columns = [header.index(c) for c in columns]
    text, pair, label = columns
    fields = [line.rstrip("\r").split("\t") for line in lines[:limit] if line]
    return [(f[text], None if pair is None else f[pair], labels.index(f[label]) if labels else float(f[label])) for f in fields]


def cut(folder, glue_dir, sizes):
    """A GLUE folder with the first rows of tasks: of each (train, dev)."""
    for task, (train, dev) in sizes.items():
        name, header = GLUE[task].name, isinstance(GLUE[task].text, str)
        (Path(folder) / name).mkdir(parents=True)
        for split, n in (("train", train), ("dev", dev)):
            lines = (Path(glue_dir) / name / f"{split}.tsv").read_bytes().split(b"\n")[:n + header]
            (Path(folder) / name / f"{split}.tsv").write_bytes(b"\n".join(lines) + b"\n")
    return folder


def start(adapter_dir, model_dir, targets, ranks, alpha, tasks, seed, task_after=None):
    """Write an adapter folder with random cores and heads: a start at which every gradient is alive. Tasks are by their
    names in adapters, each with its number of outputs; 1 is a regression. task_after is the mode that the task mode follows."""
    config = json.loads((Path(model_dir) / "config.json").read_text())
    width, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, scale):
        return torch.randn(*shape, generator=generator) * scale

    slots = sum(config["intermediate_size"] // width if t.startswith("ffn") else 1 for t in targets)
    modes = ["in", "layer", "matrix", "out"]
    if len(ranks) == 4 + (task_after is not None):
        modes.insert(3, "head")
    if task_after is not None:
        modes.insert(modes.index(task_after) + 1, "task")
    sizes = {"in": width, "layer": layers, "task": len(tasks), "matrix": slots, "head": heads, "out": width // heads if "head" in modes else width}
    bonds = [1, *ranks, 1]
    tensors = {
        f"cores.{i}": draw(bonds[i], sizes[mode], bonds[i + 1], scale=0.1 if mode in ("in", "out") else 0.5) for i, mode in enumerate(modes)
    }
    for task, outputs in tasks.items():
        prefix = f"heads.{task}." if len(tasks) > 1 or "task" in modes else ""
        for layer in HEADS[config["model_type"]]:
            out = width if layer.endswith("dense") else outputs
            tensors[f"{prefix}{layer}.weight"] = draw(out, width, scale=0.1)
            tensors[f"{prefix}{layer}.bias"] = draw(out, scale=0.1)
    labels = {source.name: source.labels for source in GLUE.values()}
    Path(adapter_dir).mkdir(parents=True, exist_ok=True)
    save_file(tensors, Path(adapter_dir) / "adapter_model.safetensors", metadata={"format": "pt"})
    (Path(adapter_dir) / "adapter_config.json").write_text(json.dumps({
        "format_version": 1, "peft_type": "METATT", "method": f"metatt{5 if 'head' in modes else 4}d",
        "modes": modes, "ranks": list(ranks), "alpha": alpha, "init": "-".join(["no"] * len(modes)), "target_modules": targets,
        "base_model_name_or_path": "", "model_type": config["model_type"], "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": config["num_attention_heads"], "intermediate_size": config["intermediate_size"],
        "tasks": list(tasks),
        "labels": {task: labels[task] for task, outputs in tasks.items() if outputs > 1},
    }, indent=2) + "\n")
