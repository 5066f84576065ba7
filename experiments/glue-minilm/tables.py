"""The tables of README.md, in Markdown."""

from functools import cache

import numpy as np

import records
from estimates import over_examples, paired, pooled, student
from records import MAIN, NAMES

METHODS = {
    "full": "full fine-tuning", "lora": "LoRA", "adalora": "AdaLoRA", "vera": "VeRA", "lotr": "LoTR", "loretta-rep": "LoRETTA-rep", "fact-tk": "FacT-TK",
    "tenslora": "TensLoRA", "lorta": "CP (LoRTA)", "metatt4d": "MetaTT-4D", "metatt5d": "MetaTT-5D", "head": "head alone",
}
NONE, EMPTY = "–", "No runs yet.\n"
read = cache(records.read)


def markdown(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join(["---"] + ["---:"] * (len(columns) - 1)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def size(run):
    """What is behind the method's name: rank, or the sweeps' start and end."""
    if run["adapter.budget"]:
        return f"≤{run['adapter.budget']:,}"
    if run["adapter.method"] in ("full", "head"):
        return ""
    return f"r{run['adapter.rank']}"


def name(run):
    return f"{METHODS[run['adapter.method']]} {size(run)}".strip()


def groups(runs, key):
    """Runs by what the key makes of them, as dictionaries keep it; those of a group by seed."""
    made = {}
    for run in sorted(runs, key=lambda r: r.seed):
        made.setdefault(key(run), []).append(run)
    return made


def proper(question, **asked):
    """A question's runs that did not judge for a choice, with these values of the keys (dots as double underscores)."""
    want = {key.replace("__", "."): value for key, value in asked.items()}
    return [r for r in read(question) if not r.judges and all(r[key] == value for key, value in want.items())]


def mean(values):
    values = np.asarray(list(values), dtype=float)
    return f"{values.mean():.4f}" + (f" ±{values.std(ddof=1):.4f}" if len(values) > 1 else "")


def short(lr):
    return f"{lr:.0e}".replace("e-0", "e-").replace("e+00", "")


def rate(runs):
    """The chosen rate, which the runs of a row have in common."""
    rates_of = {r.lr for r in runs}
    if len(rates_of) != 1:
        raise ValueError(f"{runs[0].name} and the others of its row have the rates {sorted(rates_of)}: seeds.yaml and usual.yaml chose apart")
    return short(rates_of.pop())


def parameters(runs):
    return f"{np.mean([r.parameters for r in runs]):,.0f}"


def difference(one, other, figure):
    """An estimate; a mark for nothing where there is none, or a group would be compared with itself."""
    return (student(paired(one, other, figure)) if one is not other else None) or NONE


def resolves(estimates):
    """The middle one of the intervals' half widths."""
    halves = [e.half for e in estimates if e is not NONE and not np.isnan(e.half)]
    return float(np.median(halves)) if halves else np.nan


def order(runs):
    return list(METHODS).index(runs[0]["adapter.method"])


LORA, METATT, SWEPT = "LoRA r8", "MetaTT-4D r8", "MetaTT-4D r16, cut to 8 at 90 %"


def methods(task):
    """The runs of every method at its usual size on one task, by their names; with them the sweep that stands beside the
    methods: canonical, near the end, moments taken along."""
    runs = proper("usual", task=task) + proper("seeds", task=task) + proper("dmrg", task=task, dmrg__mode="canonical", dmrg__unit="step")
    by = groups(runs, lambda r: name(r) if r["dmrg.mode"] == "none" else SWEPT)
    return dict(sorted(by.items(), key=lambda item: (order(item[1]), item[0] == SWEPT)))


def usual(task):
    """Every method at its usual size on one task."""
    by = methods(task)
    if not by:
        return EMPTY
    reference, ours = by.get(LORA, []), by.get(METATT, [])
    accurate = MAIN[task] == "accuracy"
    rows, estimates = [], []
    for label, runs in by.items():
        estimates.append(difference(runs, reference, value))
        row = [label, parameters(runs), rate(runs), len(runs), mean(map(value, runs)), mean(map(loss, runs)),
               estimates[-1], difference(runs, ours, value), difference(runs, reference, loss)]
        if accurate:
            row.append(NONE if runs is reference else over_examples(runs, reference, task) or NONE)
        rows.append(row)
    columns = ["", "parameters", "lr", "n", MAIN[task], "dev loss", "− LoRA", "− MetaTT-4D", "loss − LoRA's"] + ["− LoRA, over examples"] * accurate
    return markdown(columns, rows) + middle(estimates)


def middle(estimates):
    return f"\nHalf of the middle interval: {resolves(estimates):.4f}.\n"


def value(run):
    return run.value()


def loss(run):
    return run.loss


def overall():
    """Each method beside LoRA and MetaTT-4D over the tasks, which count alike."""
    by = {task: methods(task) for task in NAMES}
    labels = {label: order(runs) for of in by.values() for label, runs in of.items()}
    rows = []
    for label in sorted(labels, key=lambda label: (labels[label], label == SWEPT)):
        have = [t for t in by if label in by[t]]
        row = [label, ", ".join(NAMES[t] for t in have)]
        for other in LORA, METATT:
            row.append(NONE if label == other else pooled([paired(by[t][label], by[t].get(other, []), value) for t in have]) or NONE)
        rows.append(row)
    return markdown(["", "tasks", "main metric − LoRA's", "− MetaTT-4D's"], rows) if rows else EMPTY


def budgets(task):
    """Methods at equal budgets on one task."""
    by = groups(proper("budgets", task=task), lambda r: (r["adapter.budget"], r["adapter.method"]))
    rows, estimates = [], []
    for (budget, method), runs in sorted(by.items(), key=lambda item: (item[0][0], order(item[1]))):
        ours = by.get((budget, "metatt4d"), [])
        estimates.append(difference(runs, ours, value))
        rows.append([f"≤{budget:,}", METHODS[method], parameters(runs), rate(runs), len(runs), mean(map(value, runs)), mean(map(loss, runs)),
                     estimates[-1], difference(runs, ours, loss)])
    if not rows:
        return EMPTY
    return markdown(["budget", "method", "parameters", "lr", "n", MAIN[task], "dev loss", "− MetaTT-4D", "loss − MetaTT-4D's"], rows) + \
        middle(estimates)


def sweep(run):
    """What a run does to its ranks, in words."""
    if run["dmrg.mode"] == "none":
        return f"rank {run['adapter.rank']}, fixed"
    when = {(3,): "after the last step", (1, 2): "by 12 to 8, after the thirds"}.get(tuple(run["dmrg.at"]), "at 90 % of the steps")
    return f"rank 16 to 8, {run['dmrg.mode']}, {when}"


def sweeps(task):
    by = groups(proper("dmrg", task=task), sweep)
    fixed = by.get("rank 8, fixed", [])
    adalora = groups(proper("usual", task=task, adapter__method="adalora") + proper("seeds", task=task, adapter__method="adalora"), lambda r: "AdaLoRA, 12 to 8 on average")
    rows, estimates = [], []
    for label, runs in {**by, **adalora}.items():
        estimates.append(difference(runs, fixed, value))
        seconds = [sum(e["seconds"] for e in r.events("sweep", "timings.jsonl")) for r in runs]
        rows.append([label, parameters(runs), rate(runs), len(runs), mean(map(value, runs)), mean(map(loss, runs)), estimates[-1],
                     difference(runs, fixed, loss), f"{np.mean(seconds):.2f} s" if any(seconds) else NONE])
    if not by:
        return EMPTY
    return markdown(["", "parameters", "lr", "n", MAIN[task], "dev loss", "− rank 8", "loss − rank 8's", "sweeps take"], rows) + \
        middle(estimates)


def by_rate(question, key):
    """For each label the values at each rate, over seeds."""
    return {label: groups(runs, lambda r: r.lr) for label, runs in groups(proper(question), key).items()}


def rates():
    table = by_rate("rates", lambda r: sweep(r) if r["adapter.method"] == "metatt4d" else name(r))
    if not table:
        return EMPTY
    all_rates = sorted({lr for at in table.values() for lr in at})
    rows = []
    for label, at in table.items():
        means = {lr: np.mean([value(r) for r in runs]) for lr, runs in at.items()}
        within = [lr for lr in all_rates if lr in means and means[lr] > max(means.values()) - 0.02]
        rows.append([label] + [mean(map(value, at[lr])) if lr in at else NONE for lr in all_rates] + [band(within)])
    return markdown([""] + [short(lr) for lr in all_rates] + ["within 0.02 of its best"], rows)


def band(rates_within):
    return " to ".join(dict.fromkeys(short(lr) for lr in (min(rates_within), max(rates_within))))


def starts():
    by = groups(proper("starts"), lambda r: r["adapter.init"])
    if not by:
        return EMPTY
    cells = sorted({(r["adapter.rank"], r.lr) for runs in by.values() for r in runs})
    rows = []
    for init, runs in by.items():
        at = {(r["adapter.rank"], r.lr): value(r) for r in runs}
        rows.append([f"`{init}`"] + [f"{at[c]:.3f}" if c in at else NONE for c in cells])
    return markdown(["start"] + [f"r{rank}, {short(lr)}" for rank, lr in cells], rows)


def alphas():
    by = groups(proper("alpha"), lambda r: r["adapter.alpha"])
    if not by:
        return EMPTY
    all_rates = sorted({r.lr for runs in by.values() for r in runs})
    rows = [[f"{alpha:g}"] + [f"{at[lr]:.3f}" if lr in at else NONE for lr in all_rates] for alpha, runs in by.items() for at in [{r.lr: value(r) for r in runs}]]
    return markdown(["α"] + [short(lr) for lr in all_rates], rows)


def tasks():
    """Three tasks at once, with and without the task mode, beside an adapter for each."""
    joint = groups([r for r in proper("tasks") if len(r.tasks) > 1], lambda r: "at once, with the task mode" if r["adapter.task_after"] else "at once, one update for all")
    names = ["stsb", "mrpc", "sst2"]
    alone = {"an adapter for each, r3": {t: proper("tasks", task=t) for t in names}, "an adapter for each, r8": {t: proper("usual", task=t, adapter__method="metatt4d") for t in names}}
    if not joint:
        return EMPTY
    rows = []
    for label, runs in joint.items():
        rows.append([label, parameters(runs)] + [mean(r.value(t) for r in runs) for t in names] +
                    [pooled([paired(runs, alone["an adapter for each, r3"][t], lambda r, t=t: r.value(t)) for t in names]) or NONE])
    for label, of in alone.items():
        if all(of.values()):
            rows.append([label, f"{sum(runs[0].parameters for runs in of.values()):,}"] + [mean(map(value, of[t])) for t in names] + [NONE])
    return markdown(["", "parameters in all"] + [f"{NAMES[t]} {MAIN[t]}" for t in names] + ["mean − each its own, r3"], rows)


def look():
    """What the backbone makes of tasks that the study leaves out."""
    by = groups(proper("look"), lambda r: (name(r), r.lr))
    names = ["rte", "cola"]
    if not by:
        return EMPTY
    rows = []
    for (label, lr), runs in by.items():
        at = {r.tasks[0]: r for r in runs}
        rows.append([label, short(lr)] + [f"{value(at[t]):.3f}" if t in at else NONE for t in names])
    return markdown(["", "lr"] + [f"{NAMES[t]} {MAIN[t]}" for t in names], rows)


def appended():
    """Tasks one after the other, beside each at once and each alone."""
    first, second, third = (proper(f"append-{i}") for i in (1, 2, 3))
    if not first:
        return EMPTY
    rows = [["STS-B, the first", parameters(first), mean(map(value, [r for r in first if r.seed])), NONE, NONE]]
    for grow, runs in groups(second, lambda r: r["adapter.append.grow"]).items():
        rows.append([f"MRPC appended, grow {grow}", parameters(runs), "as it was", mean(map(value, runs)), NONE])
    for grow, runs in groups(third, lambda r: r["adapter.append.grow"]).items():
        rows.append([f"SST-2 appended behind MRPC's grow 8, grow {grow}", parameters(runs), "as it was", "as it was", mean(map(value, runs))])
    return markdown(["", "trained parameters"] + [f"{NAMES[t]} {MAIN[t]}" for t in ("stsb", "mrpc", "sst2")], rows)


def depth(task):
    """Six layers and twelve."""
    if not proper("depth", task=task):
        return EMPTY
    rows = []
    for layers, by in (6, methods(task)), (12, groups(proper("depth", task=task), name)):
        reference = by.get(LORA, [])
        for label, runs in sorted(by.items(), key=lambda item: order(item[1])):
            if label == SWEPT:
                continue
            if runs[0]["adapter.method"] in ("lora", "metatt4d", "metatt5d", "lorta", "head"):
                rows.append([layers, label, parameters(runs), rate(runs), len(runs), mean(map(value, runs)), mean(map(loss, runs)), difference(runs, reference, value)])
    return markdown(["layers", "method", "parameters", "lr", "n", MAIN[task], "dev loss", "− LoRA"], rows)


def cost():
    """Time and memory of a step, beside LoRA's."""
    by = groups(proper("cost"), name)
    reference = by.get(LORA)
    if not reference:
        return EMPTY
    step = lambda runs: np.median([1000 * sum(e["seconds"] for e in r.events("eval", "timings.jsonl")[1:]) / (r.summary["steps"] - r.events("eval", "timings.jsonl")[0]["step"]) for r in runs])
    rows = [[label, parameters(runs), f"{step(runs):.0f}", f"{step(runs) / step(reference):.2f}", f"{np.median([r.summary['peak_bytes'] for r in runs]) / 2**20:.0f}"]
            for label, runs in sorted(by.items(), key=lambda item: order(item[1]))]
    return markdown(["", "parameters", "ms a step", "of LoRA's", "peak MiB"], rows)


D, H = 384, 12
COUNTS = {  # of so many layers, matrices and tasks, by the equations that `finetune list methods` prints
    "LoRA r8, an adapter for each task": ("lora", lambda n, m, t: t * n * m * 2 * D * 8),
    "VeRA r256, an adapter for each task": ("vera", lambda n, m, t: t * n * m * (D + 256)),
    "LoTR r40, an adapter for each task": ("lotr", lambda n, m, t: t * (2 * D * 40 + n * m * 40**2)),
    "FacT-TK r16, an adapter for each task": ("fact-tk", lambda n, m, t: t * (2 * D * 16 + (16**2 + n * m) * min(16, n * m))),
    "CP (LoRTA) r16, an adapter for each task": ("lorta", lambda n, m, t: t * 16 * (D + D // H + n + m + H)),
    "MetaTT-4D r8, an adapter for each task": ("metatt4d", lambda n, m, t: t * (2 * D * 8 + (n + m) * 8**2)),
    "MetaTT-4D r8, a task mode": ("metatt4d", lambda n, m, t: 2 * D * 8 + (n + m + (t if t > 1 else 0)) * 8**2),
    "MetaTT-5D r16, a task mode": ("metatt5d", lambda n, m, t: (D + D // H) * 16 + (n + m + H + (t if t > 1 else 0)) * 16**2),
}


def counts():
    """Parameters against layers, matrices and tasks; those that runs have must be what their records count."""
    grid = [(6, 2, 1), (12, 2, 1), (24, 2, 1), (6, 4, 1), (24, 4, 1), (6, 2, 3), (24, 4, 8)]
    measured = {(r["adapter.method"], layers, len(r.tasks)): r.parameters
                for question, layers in (("usual", 6), ("depth", 12), ("tasks", 6)) for r in proper(question)
                if len(r.tasks) == 1 and question != "tasks" or r["adapter.task_after"]}
    rows = []
    for label, (method, count) in COUNTS.items():
        row = [label]
        for n, m, t in grid:
            found = measured.get((method, n, t)) if m == 2 and (t == 1 or "mode" in label) else None
            if found not in (None, count(n, m, t)):
                raise ValueError(f"{label}, {n} layers, {t} tasks: {count(n, m, t)} counted, {found} in the records")
            row.append(f"{count(n, m, t):,}" + ("*" if found else ""))
        rows.append(row)
    return markdown(["layers × matrices × tasks"] + [f"{n} × {m} × {t}" for n, m, t in grid], rows) + "\n* as the records of runs have it.\n"


def made():
    """What was run."""
    rows = []
    for path in sorted(records.HERE.glob("*.yaml")):
        runs = read(path.stem)
        if path.stem == "common" or not runs:
            continue
        hours = sum(r.summary["seconds"] for r in runs) / 3600
        rows.append([f"[{path.stem}]({path.name})", path.read_text().splitlines()[0].lstrip("# "), len(runs), f"{hours:.2f}"])
    return markdown(["question", "", "runs", "process-hours"], rows)


def all_tables():
    made_tables = {"made": made(), "overall": overall(), "rates": rates(), "starts": starts(), "alpha": alphas(), "tasks": tasks(), "cost": cost(), "counts": counts(), "look": look(), "appended": appended()}
    for task in "stsb", "mrpc", "sst2", "qnli":
        made_tables[f"usual-{task}"] = usual(task)
    for task in "stsb", "mrpc":
        made_tables[f"budgets-{task}"] = budgets(task)
        made_tables[f"sweeps-{task}"] = sweeps(task)
        made_tables[f"depth-{task}"] = depth(task)
    return made_tables
