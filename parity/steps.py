"""Optimizer steps in plain PyTorch: AdamW with parameter groups, a schedule, clipping, micro-batches of one task or several
in the files' order, and the mean over all examples of a step.
"""

import itertools
import json
import math
import subprocess
from dataclasses import dataclass, field

import torch
from torch.nn.functional import cross_entropy, mse_loss

import reference


@dataclass
class Recipe:
    """What a run is trained with."""

    steps: int = 10
    batch_size: int = 8
    accumulate: int = 1
    lr: float = 1e-3
    head_lr: float | None = None  # of all heads; None: lr
    warmup: float = 0.2
    schedule: str = "linear"
    weight_decay: float = 0.0
    clip: float = 1.0
    max_length: int = 128
    weights: dict = field(default_factory=dict)  # of tasks' losses, where that is not 1
    rates: dict = field(default_factory=dict)  # of tasks' heads, where that is not head_lr

    def arguments(self):
        """The recipe as finetune takes it."""
        keys = {
            "train.max_steps": self.steps, "train.batch_size": self.batch_size, "train.accumulate": self.accumulate, "train.lr": self.lr,
            "train.warmup": self.warmup, "train.schedule": self.schedule, "train.weight_decay": self.weight_decay,
            "train.clip_norm": self.clip, "data.max_length": self.max_length,
        }
        if self.head_lr is not None:
            keys["train.head_lr"] = self.head_lr
        keys |= {f"tasks.{task}.weight": weight for task, weight in self.weights.items()}
        keys |= {f"tasks.{task}.lr": rate for task, rate in self.rates.items()}
        return [f"{key}={value}" for key, value in keys.items()]

    def groups(self, trainable):
        """AdamW's groups: the highest rate of each tensor, and no decay for biases and norms."""
        groups = {}
        for name, p in trainable.items():
            rate = self.lr
            if "classifier." in name:
                task = name.split(".")[1] if name.startswith("heads.") else None
                own = [r for t, r in self.rates.items() if reference.GLUE[t].name == task]
                rate = own[0] if own else self.head_lr or self.lr
            decays = not name.endswith(".bias") and "LayerNorm." not in name
            groups.setdefault((rate, self.weight_decay if decays else 0.0), []).append(p)
        return [{"params": tensors, "lr": rate, "weight_decay": decay} for (rate, decay), tensors in groups.items()]

    def factor(self, step):
        """Of the highest rate, in a step from 0."""
        rise = int(self.warmup * self.steps)
        if step < rise:
            return step / rise
        done = (step - rise) / (self.steps - rise)
        return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[self.schedule]


def in_turn(data, batch_size, accumulate):
    """The steps of a run, each the (task, examples) of its micro-batches: tasks take turns, a task's batches follow its file
    again and again, the last of a file may be short. An epoch has as many batches as all files, and its last step may be short."""
    files = {task: itertools.cycle([rows[i:i + batch_size] for i in range(0, len(rows), batch_size)]) for task, rows in data.items()}
    epoch = sum(math.ceil(len(rows) / batch_size) for rows in data.values())
    while True:
        tasks = list(itertools.islice(itertools.cycle(data), epoch))
        for i in range(0, epoch, accumulate):
            yield [(task, next(files[task])) for task in tasks[i:i + accumulate]]


def losses(task, logits, examples):
    """Of each example."""
    targets = torch.tensor([target for _, _, target in examples])
    if reference.GLUE[task].labels is None:
        return mse_loss(logits.reshape(-1), targets, reduction="none")
    return cross_entropy(logits, targets, reduction="none")


def train(logits, trainable, data, recipe):
    """What finetune writes down of each step: its loss, the mean over its examples, and that of each task. logits computes
    (task, examples, max_length); of data, examples by task, as many steps as the recipe says are made. Also the gradients of
    the first step, before clipping."""
    optimizer = torch.optim.AdamW(recipe.groups(trainable), betas=(0.9, 0.999), eps=1e-8)
    highest = [group["lr"] for group in optimizer.param_groups]
    written, gradients = [], None
    for number, step in enumerate(itertools.islice(in_turn(data, recipe.batch_size, recipe.accumulate), recipe.steps)):
        optimizer.zero_grad(set_to_none=True)  # AdamW leaves alone what has no gradient
        count = sum(len(examples) for _, examples in step)
        of_task = {task: [] for task, _ in step}
        for task, examples in step:
            found = losses(task, logits(task, examples, recipe.max_length), examples)
            (recipe.weights.get(task, 1.0) * found.sum() / count).backward()
            of_task[task].append(found.detach())
        if gradients is None:
            gradients = {n: p.grad.clone() for n, p in trainable.items() if p.grad is not None}
        torch.nn.utils.clip_grad_norm_(trainable.values(), recipe.clip)
        for group, rate in zip(optimizer.param_groups, highest):
            group["lr"] = rate * recipe.factor(number)
        optimizer.step()
        of_task = {task: torch.cat(parts) for task, parts in of_task.items()}
        written.append({
            "loss": torch.cat(list(of_task.values())).mean().item(),
            "losses": {reference.GLUE[task].name: each.mean().item() for task, each in of_task.items()},
        })
    return written, gradients


def finetune(binary, run, model, glue, tasks, recipe, *arguments):
    """The events of the steps of `finetune train` in the folder run, in the files' order."""
    config = run.with_suffix(".yaml")  # every key has a default
    config.write_text("")
    done = subprocess.run(
        [binary, "train", "-c", config, f"run.dir={run}", f"task={','.join(tasks)}", f"model.path={model}", f"data.glue={glue}",
         "model.dropout=0", "data.shuffle=false", "data.cache=false", "train.checkpoint_every=never", "device=cpu", *recipe.arguments(), *arguments],
        capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, done.args))}\n{done.stderr}")
    return [e for e in events(run) if e["event"] == "step"]


def events(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def difference(a, b):
    """Relative to the second."""
    return abs(a - b) / abs(b)


def table(title, ours, theirs):
    """Prints the losses of steps side by side; the largest relative difference, those of single tasks included."""
    print(title)
    print("  step      finetune       PyTorch    relative difference")
    worst = 0.0
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        here = difference(a["loss"], b["loss"])
        worst = max(worst, here)
        print(f"  {number:4d}  {a['loss']:12.8f}  {b['loss']:12.8f}    {here:.2e}", end="")
        if "losses" in a:
            if a["losses"].keys() != b["losses"].keys():
                raise SystemExit(f"step {number} has the tasks {[*a['losses']]}, PyTorch's {[*b['losses']]}")
            apart = {task: difference(a["losses"][task], loss) for task, loss in b["losses"].items()}
            worst = max(worst, *apart.values())
            print("   " + ", ".join(f"{task} {d:.1e}" for task, d in apart.items()), end="")
        print()
    return worst
