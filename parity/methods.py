"""Every method with shared or tensor-train factors against einsums of its equation:
logits, and the gradients of all factors and of the head, fp32, without dropout.

    python parity/methods.py --dump BINARY
"""

import argparse
import json
import subprocess
import sys
import tempfile
from functools import reduce
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

import models
from reference import HEADS, PROJECTIONS

ALPHA = 1.3
BERT = dict(vocab_size=23, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=24, max_position_embeddings=19,
            type_vocab_size=3, initializer_range=0.4, num_labels=4)
ROBERTA = dict(vocab_size=29, hidden_size=10, num_hidden_layers=3, num_attention_heads=5, intermediate_size=30, max_position_embeddings=22,
               type_vocab_size=1, pad_token_id=3, initializer_range=0.4, num_labels=3)
FACTORS = {10: [2, 5], 12: [2, 2, 3], 24: [2, 3, 4], 30: [2, 3, 5]}
TARGETS = [["query", "value"], ["value", "ffn_down", "query"], ["query", "key", "value", "output", "ffn_up", "ffn_down"]]


class Shape:
    """The sizes that equations speak of, and where each target's blocks stand in the matrix mode."""

    def __init__(self, config, targets):
        self.D, self.L, self.H, self.F = config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size
        self.targets, self.first, self.M = targets, {}, 0
        for t in targets:
            self.first[t] = self.M
            self.M += self.F // self.D if t.startswith("ffn") else 1

    def sides(self, target):
        return self.F if target == "ffn_down" else self.D, self.F if target == "ffn_up" else self.D

    def blocks(self, target, block):
        """dW from its D x D blocks: output blocks of ffn_up side by side, input blocks of ffn_down one below the other."""
        count = self.F // self.D if target.startswith("ffn") else 1
        parts = [block(self.first[target] + b) for b in range(count)]
        return torch.cat(parts, dim=0 if target == "ffn_down" else 1)


def contract(cores):
    """A train's cores (left, n, right) as one tensor with a mode for each."""
    return reduce(lambda left, right: torch.einsum("...a,anb->...nb", left, right), cores).squeeze(0)


# For each method: its tensors' shapes, and dW of a target in a layer.

def metatt4d(s, r):
    sizes, bonds = [s.D, s.L, s.M, s.D], [1, *r, 1]
    shapes = {f"cores.{k}": (bonds[k], n, bonds[k + 1]) for k, n in enumerate(sizes)}
    return shapes, lambda p, t, l: ALPHA * s.blocks(t, lambda m: torch.einsum(
        "xia,ab,bc,coy->io", p["cores.0"], p["cores.1"][:, l], p["cores.2"][:, m], p["cores.3"]))


def metatt5d(s, r):
    sizes, bonds = [s.D, s.L, s.M, s.H, s.D // s.H], [1, *r, 1]
    shapes = {f"cores.{k}": (bonds[k], n, bonds[k + 1]) for k, n in enumerate(sizes)}
    return shapes, lambda p, t, l: ALPHA * s.blocks(t, lambda m: torch.einsum(
        "xia,ab,bc,chd,doy->iho", p["cores.0"], p["cores.1"][:, l], p["cores.2"][:, m], p["cores.3"], p["cores.4"]).flatten(1))


def cp4d(s, r):
    shapes = {"factors.in": (s.D, r), "factors.layer": (s.L, r), "factors.matrix": (s.M, r), "factors.out": (s.D, r)}
    return shapes, lambda p, t, l: ALPHA * s.blocks(t, lambda m: torch.einsum(
        "ir,r,r,or->io", p["factors.in"], p["factors.layer"][l], p["factors.matrix"][m], p["factors.out"]))


def cp5d(s, r, scale=ALPHA):
    shapes = {"factors.in": (s.D, r), "factors.layer": (s.L, r), "factors.matrix": (s.M, r), "factors.head": (s.H, r),
              "factors.out": (s.D // s.H, r)}
    return shapes, lambda p, t, l: scale * s.blocks(t, lambda m: torch.einsum(
        "ir,r,r,hr,or->iho", p["factors.in"], p["factors.layer"][l], p["factors.matrix"][m], p["factors.head"],
        p["factors.out"]).flatten(1))


def lorta(s, r):
    return cp5d(s, r, ALPHA / r)


def fact_tt(s, r, scale=ALPHA):
    shapes = {"factors.in": (s.D, r), "core": (s.L, s.M, r, r), "factors.out": (r, s.D)}
    return shapes, lambda p, t, l: scale * s.blocks(t, lambda m: torch.einsum(
        "ia,ab,bo->io", p["factors.in"], p["core"][l, m], p["factors.out"]))


def lotr(s, r):
    return fact_tt(s, r, ALPHA / r)


def fact_tk(s, r):
    shapes = {"factors.in": (s.D, r), "core": (r, r, r), "factors.block": (s.L, s.M, r), "factors.out": (r, s.D)}
    return shapes, lambda p, t, l: ALPHA * s.blocks(t, lambda m: torch.einsum(
        "ia,abk,k,bo->io", p["factors.in"], p["core"], p["factors.block"][l, m], p["factors.out"]))


def tenslora(s, r):
    a, b, i, j = r
    shapes = {"core": (a, b, i, j), "factors.in": (s.D, a), "factors.out": (s.D, b), "factors.matrix": (s.M, i), "factors.layer": (s.L, j)}
    return shapes, lambda p, t, l: ALPHA * s.blocks(t, lambda m: torch.einsum(
        "xa,yb,i,j,abij->xy", p["factors.in"], p["factors.out"], p["factors.matrix"][m], p["factors.layer"][l], p["core"]))


def cores_of(name, layers, modes, rank):
    bonds = [1] + [rank] * (len(modes) - 1) + [1]
    return {f"{name}.cores.{k}": (layers, bonds[k], n, bonds[k + 1]) for k, n in enumerate(modes)}


def train_of(p, name, layer):
    return contract([p[f"{name}.cores.{k}"][layer] for k in range(sum(n.startswith(name + ".cores.") for n in p))])


def loretta_rep(s, r, tt_rank=2):
    shapes = {}
    for t in s.targets:
        wide, tall = s.sides(t)
        shapes |= cores_of(t + ".a", s.L, FACTORS[wide] + [r], tt_rank) | cores_of(t + ".b", s.L, [r] + FACTORS[tall][::-1], tt_rank)

    def delta(p, t, l):
        a, b = train_of(p, t + ".a", l).reshape(-1, r), train_of(p, t + ".b", l).reshape(r, -1)
        return ALPHA / r * torch.einsum("is,so->io", a, b)

    return shapes, delta


def tt_lora(s, r):
    shapes = {}
    for t in s.targets:
        wide, tall = s.sides(t)
        shapes |= cores_of(t, s.L, FACTORS[wide][::-1] + FACTORS[tall], r)
    return shapes, lambda p, t, l: ALPHA * train_of(p, t, l).reshape(s.sides(t))


def halves(n):
    """A bottleneck's modes: two factors as nearly equal as can be, the smaller first."""
    small = max(a for a in range(1, n + 1) if n % a == 0 and a * a <= n)
    return [small, n // small] if small > 1 else [n]


def loretta_adp(s, r, tt_rank=2):
    """No dW: what stands behind the attention and the feed-forward network of a layer, as a function of y."""
    shapes, modes = {}, FACTORS[s.D] + halves(r)
    for t in "output", "ffn_down":
        shapes |= cores_of(t + ".down", s.L, modes, tt_rank) | {t + ".down.bias": (s.L, r)}
        shapes |= cores_of(t + ".up", s.L, modes[::-1], tt_rank) | {t + ".up.bias": (s.L, s.D)}

    def after(p, t, l, y):
        down, up = train_of(p, t + ".down", l).reshape(s.D, r), train_of(p, t + ".up", l).reshape(r, s.D)
        h = torch.relu(torch.einsum("...i,ib->...b", y, down) + p[t + ".down.bias"][l])
        return y + ALPHA * (torch.einsum("...b,bo->...o", h, up) + p[t + ".up.bias"][l])

    return shapes, after


MODES = ["in", "layer", "matrix", "out"]
# The last number is the deviation of random factors that makes dW about half as large as the weights.
METHODS = {  # equation, rank, peft_type, modes, deviation
    "metatt4d": (metatt4d, [5, 3, 4], "METATT", MODES, 0.4),
    "metatt5d": (metatt5d, [3, 5, 4, 2], "METATT", MODES[:3] + ["head", "out"], 0.43),
    "cp4d": (cp4d, 5, "CP", MODES, 0.5),
    "cp5d": (cp5d, 4, "CP", MODES[:3] + ["head", "out"], 0.6),
    "lorta": (lorta, 4, "LORTA", MODES[:3] + ["head", "out"], 0.8),
    "lotr": (lotr, 6, "LOTR", MODES, 0.5),
    "fact-tt": (fact_tt, 5, "FACT_TT", MODES, 0.3),
    "fact-tk": (fact_tk, 3, "FACT_TK", MODES, 0.5),
    "tenslora": (tenslora, [5, 3, 2, 2], "TENSLORA", ["in", "out", "matrix", "layer"], 0.5),
    "loretta-rep": (loretta_rep, 7, "LORETTA_REP", [], 0.7),
    "loretta-adp": (loretta_adp, 6, "LORETTA_ADP", [], 0.7),
    "tt-lora": (tt_lora, 3, "TT_LORA", [], 0.5),
}


def head_of(model):
    return {n: p for n, p in model.named_parameters() if n.rpartition(".")[0] in HEADS[model.config.model_type]}


def write(folder, method, config, targets, tensors):
    _, rank, peft_type, modes, _ = METHODS[method]
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    described = {
        "format_version": 1, "peft_type": peft_type, "method": method, "modes": modes, "ranks": rank if isinstance(rank, list) else [rank], "alpha": ALPHA,
        "target_modules": targets, "base_model_name_or_path": "", "model_type": config.model_type,
        "hidden_size": config.hidden_size, "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads, "intermediate_size": config.intermediate_size,
    }
    if method.startswith("loretta"):
        described["tt_rank"] = 2
    (folder / "adapter_config.json").write_text(json.dumps(described))


def attach(model, method, parameters, targets, delta):
    """Adds x dW to the outputs of the targets' layers, without a change to the names of the model's weights."""
    def hook(target, layer):
        if method == "loretta-adp":
            return lambda module, args, out: delta(parameters, target, layer, out)
        return lambda module, args, out: out + args[0] @ delta(parameters, target, layer)

    if method == "loretta-adp":
        targets = ["output", "ffn_down"]
    return [block.get_submodule(PROJECTIONS[t]).register_forward_hook(hook(t, l))
            for t in targets for l, block in enumerate(model.base_model.encoder.layer)]


def compare(dump, model, folder, method, targets, scratch):
    equation, rank, _, _, deviation = METHODS[method]
    shapes, delta = equation(Shape(model.config, targets), rank)
    generator = torch.Generator().manual_seed(4)
    tensors = {n: torch.randn(*shape, generator=generator) * deviation for n, shape in shapes.items()}
    stored = tensors | {n: p.detach().float().contiguous() for n, p in head_of(model).items()}
    write(scratch / "adapter", method, model.config, targets, stored)
    batch = models.random_batch(model.config, [5, 17, 1, 9], 3)
    (scratch / "batch.json").write_text(json.dumps(batch))
    subprocess.run([dump, "--model", folder, "--batch", scratch / "batch.json", "--adapter", scratch / "adapter",
                    "--out", scratch / "out.safetensors"], check=True)
    parameters = {n: torch.nn.Parameter(t.double()) for n, t in tensors.items()}
    hooks = attach(model, method, parameters, targets, delta)
    theirs = models.reference(model, batch)
    for hook in hooks:
        hook.remove()
    plain = models.reference(model, batch)["logits"]
    if (plain - theirs["logits"]).abs().max() < 0.01:
        raise SystemExit(f"{method}: the adapter does nothing")
    trained = {"grad." + n for n in head_of(model)}
    theirs = {n: t for n, t in theirs.items() if n in trained or not n.startswith("grad.")}
    theirs |= {"grad." + n: p.grad for n, p in parameters.items()}
    return models.differences(load_file(scratch / "out.safetensors"), theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True)
    args = parser.parse_args()
    ok = True
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        torch.manual_seed(11)
        references = {}
        for name, model in {"bert": BertForSequenceClassification(BertConfig(**BERT)),
                            "roberta": RobertaForSequenceClassification(RobertaConfig(**ROBERTA))}.items():
            models.randomised(model, 1).save_pretrained(scratch / name)
            # In fp64: its rounding is not taken for the adapter's.
            references[name] = type(model).from_pretrained(scratch / name, attn_implementation="eager").double()
        for method in METHODS:
            for name, model in references.items():
                worst, problem = {"state": 0.0, "gradient": 0.0}, None
                for targets in TARGETS:
                    found, first = compare(args.dump, model, scratch / name, method, targets, scratch)
                    worst = {kind: max(worst[kind], found[kind][0]) for kind in worst}
                    problem = problem or (first and f"targets {targets}: {first}")
                print(f"{method:12s} on tiny {name:8s} states {worst['state']:.1e}  gradients {worst['gradient']:.1e}")
                if problem:
                    ok = False
                    print("  " + problem)
    print(f"allowed: states {models.STATE_TOLERANCE:.0e} of the tensor's largest element, gradients {models.GRADIENT_TOLERANCE:.0e} of the norm")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
