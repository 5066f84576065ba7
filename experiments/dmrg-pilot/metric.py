"""Does a truncation in the loss's metric lose less than one in the Frobenius norm? Trained adapters, cut in either, and the loss right after.

    .venv/bin/python experiments/dmrg-pilot/metric.py RUN ...      # runs of pilot.sh: runs/dmrg-pilot/high-s1 ...

To second order a change E of the weights of layer l and matrix m costs tr(C_in E C_out Eᵀ)/2, with C_in the second moment of that
matrix's inputs and C_out that of the gradients at its outputs (Martens and Grosse 2015). A train shares its outer cores among all
matrices, so theirs are the averages over layers and matrices; "layers" weighs the inner modes too, with the geometric means of the
traces' products. The train is multiplied by the roots, rounded, and divided by them.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / "parity"))
import reference

DAMPING = 0.1  # of a covariance's mean diagonal; 0.001 and 0.01 give the same to three digits
RANKS = (4, 3, 2, 1)


def batches(glue, split, tokenizer, size=32, limit=None):
    rows = reference.rows(glue, "mrpc", split=split)
    if limit:
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:limit]
        rows = [rows[i] for i in chosen]
    rows.sort(key=lambda r: len(r[0]) + len(r[1]))
    for i in range(0, len(rows), size):
        text, pair, label = zip(*rows[i : i + size])
        encoded = tokenizer(list(text), list(pair), truncation="longest_first", max_length=64, padding="longest", return_tensors="pt")
        yield encoded, torch.tensor([int(y) for y in label])


@torch.no_grad()
def loss(model, data):
    return sum(cross_entropy(model(**x).logits, y, reduction="sum").item() for x, y in data) / sum(len(y) for _, y in data)


def covariances(model, modules, data):
    """Second moments (layers, matrices, D, D) of inputs and of gradients at the outputs, over tokens."""
    shape = (1 + max(m.layer for m in modules), 1 + max(m.first for m in modules), *modules[0].linear.weight.shape)
    inputs, gradients = torch.zeros(shape), torch.zeros(shape)
    mask = None

    def forward(module, x, y):
        tokens = x[0].detach()[mask]
        inputs[module.layer, module.first] += tokens.T @ tokens

        def backward(gradient):
            gradients[module.layer, module.first] += gradient[mask].T @ gradient[mask]

        y.register_hook(backward)

    hooks = [m.register_forward_hook(forward) for m in modules]
    for x, y in data:
        mask = x["attention_mask"].bool()
        cross_entropy(model(**x).logits, y, reduction="sum").backward()
    for h in hooks:
        h.remove()
    return inputs.double(), gradients.double()


def trace(c):
    return c.diagonal(dim1=-2, dim2=-1).mean(-1)


def roots(c):
    """The root of a damped matrix and its inverse."""
    s, u = torch.linalg.eigh(c / trace(c) + DAMPING * torch.eye(len(c), dtype=c.dtype))
    return u * s.sqrt() @ u.T, u / s.sqrt() @ u.T


def rounded(cores, rank):
    """TT rounding (Oseledets 2011, algorithm 2) in fp64."""
    cores = list(cores)
    for k in range(len(cores) - 1, 0, -1):
        q, r = torch.linalg.qr(cores[k].flatten(1).T)
        cores[k], cores[k - 1] = q.T.reshape(-1, *cores[k].shape[1:]), cores[k - 1] @ r.T
    for k in range(len(cores) - 1):
        u, s, vt = torch.linalg.svd(cores[k].flatten(0, 1), full_matrices=False)
        cores[k] = u[:, :rank].reshape(*cores[k].shape[:2], -1)
        cores[k + 1] = torch.tensordot(s[:rank, None] * vt[:rank], cores[k + 1], 1)
    return cores


def times(matrices, cores):
    return [torch.einsum("ij,ajb->aib", m, c) for m, c in zip(matrices, cores)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--glue", type=Path, default=Path("data/glue"))
    parser.add_argument("--finetune", default="bin/finetune")
    args = parser.parse_args()
    folder = subprocess.run([args.finetune, "fetch", "minilm", "--print-path"], check=True, capture_output=True, text=True).stdout.strip()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    train, dev = (list(batches(args.glue, split, tokenizer, limit=n)) for split, n in (("train", 384), ("dev", None)))
    print("| run | rank | " + " | ".join(f"{m}: training, dev loss" for m in ("Frobenius", "inputs and gradients", "and layers")) + " |")
    print("| --- | --- | --- | --- | --- |")
    for run in args.runs:
        network = reference.Network(folder, run / "adapter/last")
        model = network.model
        modules = [m for m in model.modules() if isinstance(m, reference.Adapted)]
        inputs, gradients = covariances(model.eval(), modules, train)
        cores = [core.detach().double() for core in network.cores]
        weights = (trace(inputs) * trace(gradients)).log()
        layer, matrix = ((weights.mean(d) - weights.mean() / 2).exp() for d in (1, 0))
        plain = [(torch.eye(c.shape[1], dtype=c.dtype),) * 2 for c in cores]
        diagonal = lambda v: (torch.diag(v.sqrt()), torch.diag(v.rsqrt()))
        alike = lambda c: (c / trace(c)[..., None, None]).sum((0, 1))  # every layer's weighs the same
        metrics = [
            plain,
            [roots(inputs.sum((0, 1))), *plain[1:-1], roots(gradients.sum((0, 1)))],
            [roots(alike(inputs)), diagonal(layer), diagonal(matrix), roots(alike(gradients))],
        ]
        print(f"| {run.name} | untouched | {loss(model, train):.4f}, {loss(model, dev):.4f} | | |", flush=True)
        for rank in RANKS:
            cells = []
            for metric in metrics:
                forth, back = zip(*metric)
                for m in modules:
                    m.cores = [c.float() for c in times(back, rounded(times(forth, cores), rank))]
                cells.append(f"{loss(model, train):.4f}, {loss(model, dev):.4f}")
            print(f"| {run.name} | {rank} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
