"""The tables of README.md, in Markdown."""

import json
from dataclasses import dataclass
from functools import cache

import numpy as np

import records
from estimates import apart, by_seed, over_examples, paired, pooled, student, unpaired
from records import MAIN, NAMES

METHODS = {
    "full": "full fine-tuning", "lora": "LoRA", "adalora": "AdaLoRA", "vera": "VeRA", "lotr": "LoTR", "loretta-rep": "LoRETTA-rep", "fact-tk": "FacT-TK",
    "tenslora": "TensLoRA", "lorta": "CP (LoRTA)", "cp4d": "CP of MetaTT-4D's modes", "metatt4d": "MetaTT-4D", "metatt5d": "MetaTT-5D", "head": "head alone",
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


def metric(runs, task=None):
    """Mean and deviation of the main metric; where runs ended with next to nothing, how many, and the mean of the others."""
    lost = [r for r in runs if r.collapsed]
    text = mean(r.value(task) for r in runs)
    if not lost:
        return text
    text += f"; {len(lost)} of {len(runs)} collapsed"
    return text + (f", else {mean(r.value(task) for r in runs if not r.collapsed)}" if len(lost) < len(runs) else "")


def short(lr):
    return f"{lr:.0e}".replace("e-0", "e-").replace("e+00", "")


def rate(runs):
    """The chosen rate, which the runs of a row have in common; * where nothing beyond it was tried on one side."""
    rates_of = {r.lr for r in runs}
    if len(rates_of) != 1:
        raise ValueError(f"{runs[0].name} and the others of its row have the rates {sorted(rates_of)}: two questions have chosen apart")
    lr = rates_of.pop()
    tried = judged().get(alike(runs[0]), [])
    return short(lr) + ("*" if tried and lr in (min(tried), max(tried)) else "")


def alike(run):
    """What runs of a choice have in common."""
    kept = {key: value for key, value in run.asked.items() if key not in ("train.seed", "train.lr", "train.head_lr", "adapter.init") and not key.startswith(("run.", "device"))}
    return json.dumps([kept, run.init], sort_keys=True)


@cache
def judged():
    """The rates that were tried, of all questions, by what the runs of a choice have in common."""
    tried = {}
    for path in records.HERE.glob("*.yaml"):
        for run in read(path.stem):
            if run.judges:
                tried.setdefault(alike(run), []).append(run.lr)
    return tried


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


LORA, METATT, METATT5, SWEPT = "LoRA r8", "MetaTT-4D r8", "MetaTT-5D r16", "MetaTT-4D r16, cut to 8 at 90 %"
STARTED, STARTED5 = f"{METATT}, or-id-id-ze", f"{METATT5}, or-id-id-id-ze"
STEADY, STEADY5 = f"{METATT} at 3e-3", f"{STARTED5} at 3e-3"  # on STS-B, where the rates that were chosen lose seeds
FOUND = 0.5  # the α that was found later
GENTLE = {alpha: f"{METATT}, α {alpha:g}" for alpha in (FOUND, 1)}
LATER = {STEADY: 1, **dict.fromkeys(GENTLE.values(), 2), SWEPT: 3, STARTED: 4, STARTED5: 4, STEADY5: 5}  # behind the method's own row


def methods(task):
    """The runs of every method at its usual size on one task, by their names; with them MetaTT with the start of
    start.yaml, with the α of alpha-seeds.yaml and alpha-tasks.yaml, and with the sweep that is canonical, near the end, its
    moments taken along."""
    runs = [r for question in ("usual", "qnli", "seeds", "start") for r in proper(question, task=task)] + proper("dmrg", task=task, dmrg__mode="canonical", dmrg__unit="step")
    by = groups(once(runs), lambda r: SWEPT if r["dmrg.mode"] != "none" else f"{name(r)}, {r.init}" if r.init.startswith("or") else name(r))
    for method, runs in groups(proper("steady", task=task), lambda r: r["adapter.method"]).items():
        by[STEADY if method == "metatt4d" else STEADY5] = runs
    for alpha, runs in groups(proper("alpha-seeds", task=task) + proper("alpha-tasks", task=task), lambda r: r["adapter.alpha"]).items():
        by[GENTLE[alpha]] = runs
    return ranked(by)


def ranked(by):
    """Rows of methods in the order of their tables."""
    return dict(sorted(by.items(), key=lambda item: (order(item[1]), LATER.get(item[0], 0))))


def once(runs):
    """Without those that two questions share."""
    return list({records.key(r.files): r for r in runs}.values())


def usual(task):
    """Every method at its usual size on one task."""
    by = methods(task)
    if not by:
        return EMPTY
    reference, ours = by.get(LORA, []), by.get(METATT, [])
    rows, compared = [], {"− LoRA": reference, "− MetaTT-4D": ours}
    estimates = {heading: [difference(runs, other, value) for runs in by.values()] for heading, other in compared.items()}
    for i, (label, runs) in enumerate(by.items()):
        row = [label, parameters(runs), rate(runs), len(runs), metric(runs), mean(map(loss, runs))] + [column[i] for column in estimates.values()]
        rows.append(row + [NONE if runs is other else over_examples(runs, other, task) or NONE for other in compared.values()])
    headings = ["", "parameters", "lr", "n", MAIN[task], "dev loss", *compared, *(f"{heading}, over examples" for heading in compared)]
    return markdown(headings, rows) + middle(estimates)


def middle(differences):
    """What a table can resolve: the median half-width of the intervals of each of its columns of differences."""
    halves = {heading: resolves(estimates) for heading, estimates in differences.items()}
    known = [f"±{half:.4f} of “{heading}”" for heading, half in halves.items() if not np.isnan(half)]
    return f"\nHalf of the intervals are narrower than {', '.join(known)}; most of what differs by less is not told apart.\n" if known else ""


def last(headings, rows):
    """The last columns of rows, by their headings."""
    return {heading: [row[i - len(headings)] for row in rows] for i, heading in enumerate(headings)}


def spread(cells):
    """What a table of means can resolve, by the deviation within its cells; those with a collapsed run do not count."""
    if not cells:
        return ""
    freedom = sum(len(runs) - 1 for runs in cells)
    deviation = np.sqrt(sum(np.var([value(r) for r in runs], ddof=1) * (len(runs) - 1) for runs in cells) / freedom)
    seeds = min(map(len, cells))
    return f"\nBy the deviation over seeds, {deviation:.4f} where none collapsed, what differs by less than {apart(deviation, freedom, seeds):.3f} is not told apart.\n"


def single(label):
    """What a table of one run each can resolve, by the deviation over seeds of one row of STS-B's methods."""
    runs = methods("stsb").get(label, [])
    if len(runs) < 2:
        return ""
    deviation = np.std([value(r) for r in runs], ddof=1)
    return f"\nOne seed each. By the deviation of {label} over {len(runs)} seeds, {deviation:.4f}, of which other starts and rates may have more, what differs by less than {apart(deviation, len(runs) - 1, 1):.3f} is not told apart.\n"


def value(run):
    return run.value()


def loss(run):
    return run.loss


def named(tasks):
    return ", ".join(NAMES[t] for t in tasks)


def judged_tasks():
    """The tasks on which MetaTT-4D and LoRA have two seeds in common, of which there is an interval."""
    return [t for t in ("stsb", "mrpc", "sst2", "qnli") if len(paired(methods(t).get(METATT, []), methods(t).get(LORA, []), value)) > 1]


def overall():
    """Each method beside LoRA, task by task, and over the tasks, which count alike."""
    by = {task: methods(task) for task in judged_tasks()}
    rows = []
    for label, runs in ranked({label: of[label] for of in by.values() for label in of}).items():
        have = [t for t in by if label in by[t]]
        row = [label, parameters(runs)] + [difference(by[t].get(label, []), by[t][LORA], value) for t in by]
        for other in LORA, METATT:
            row.append(NONE if label == other or len(have) < len(by) else pooled([paired(by[t][label], by[t][other], value) for t in have]) or NONE)
        rows.append(row)
    headings = [f"{NAMES[t]} − LoRA" for t in by] + ["all − LoRA", "all − MetaTT-4D"]
    return markdown(["", "parameters", *headings], rows) + middle(last(headings, rows)) if rows else EMPTY


def results():
    """The main figures at a glance, for the project's README.md: of MetaTT on STS-B at the rate that loses no seed."""
    by = {task: methods(task) for task in judged_tasks()}
    for of in by.values():
        for own, steady in (METATT, STEADY), (STARTED5, STEADY5):
            if steady in of:
                of[own] = of[steady]
    labels = {label: of[label] for of in by.values() for label in of if "," not in label and " at " not in label or label in (STARTED5, GENTLE[FOUND])}
    labels.pop(METATT5, None)  # from the paper's start
    rows = []
    for label, runs in ranked(labels).items():
        cells = [mean(r.value() for r in by[t][label]) if label in by[t] else NONE for t in by]
        both = all(label in by[t] for t in by) and label != LORA
        rows.append([label, parameters(runs)] + cells + [pooled([paired(by[t][label], by[t][LORA], value) for t in by]) if both else NONE])
    return markdown(["", "parameters"] + [f"{NAMES[t]} {MAIN[t]}" for t in by] + ["mean − LoRA"], rows) if rows else EMPTY


BUDGETS = (2000, 7000, 10000, 20000)


def budget(run):
    return next(b for b in BUDGETS if run.parameters <= b)


GENTLY = f"{METHODS['metatt4d']}, α {FOUND:g}"


def by_budget(task):
    """The runs at equal budgets on one task by budget and method; with them MetaTT-4D of the α that was found later."""
    gentle = [r for question in ("alpha-budgets", "alpha-seeds") for r in proper(question, task=task, adapter__alpha=FOUND)]
    by = groups(proper("budgets", task=task), lambda r: (budget(r), METHODS[r["adapter.method"]])) | groups(gentle, lambda r: (budget(r), GENTLY))
    return dict(sorted(by.items(), key=lambda item: (item[0][0], order(item[1]), item[0][1])))


def budgets(task):
    """Methods at equal budgets on one task, beside the largest MetaTT-4D within each."""
    by = by_budget(task)
    sizes = [within for within, label in by if label == METHODS["metatt4d"]]
    if not sizes:
        return EMPTY
    rows, estimates = [], []
    for (within, label), runs in by.items():
        ours = by[max(size for size in sizes if size <= within), METHODS["metatt4d"]]
        estimates.append(difference(runs, ours, value))
        rows.append([f"≤{within:,}", label, parameters(runs), rate(runs), len(runs), metric(runs), mean(map(loss, runs)),
                     estimates[-1], NONE if runs is ours else over_examples(runs, ours, task) or NONE])
    return markdown(["budget", "method", "parameters", "lr", "n", MAIN[task], "dev loss", "− MetaTT-4D", "over examples"], rows) + middle({"− MetaTT-4D": estimates})


def sweep(run):
    """What a run does to its ranks, in words."""
    if run["dmrg.mode"] == "none":
        return f"rank {run['adapter.rank']}, fixed"
    when = {(3,): "after the last step", (1, 2): "by 12 to 8, after the thirds"}.get(tuple(run["dmrg.at"]), "at 90 % of the steps")
    return f"rank 16 to 8, {run['dmrg.mode']}, {when}"


FIXED, FIXED_STEADY, HIGH, CUT, ADALORA = "rank 8, fixed", "rank 8, fixed, at 3e-3", "rank 16, fixed", "rank 16 to 8, canonical, at 90 % of the steps", "AdaLoRA, 12 to 8 on average"


def swept(task):
    """The runs of (d) on one task."""
    by = groups(proper("dmrg", task=task), sweep)
    adalora = once(proper("usual", task=task, adapter__method="adalora") + proper("seeds", task=task, adapter__method="adalora"))
    if by and adalora:
        by[ADALORA] = sorted(adalora, key=lambda r: r.seed)
    if by and (steady := proper("steady", task=task, adapter__method="metatt4d")):
        by[FIXED_STEADY] = sorted(steady, key=lambda r: r.seed)
    first = [FIXED, FIXED_STEADY, HIGH]
    return dict(sorted(by.items(), key=lambda item: first.index(item[0]) if item[0] in first else len(first) + (item[0] == ADALORA)))


def sweeps(task):
    by = swept(task)
    if not by:
        return EMPTY
    fixed, rows, estimates = by.get(FIXED, []), [], []
    steady = by.get(FIXED_STEADY, fixed)
    for label, runs in by.items():
        estimates.append(difference(runs, steady, value))
        seconds = [sum(e["seconds"] for e in r.events("sweep", "timings.jsonl")) for r in runs]
        rows.append([label, parameters(runs), rate(runs), len(runs), metric(runs), mean(map(loss, runs)), difference(runs, fixed, value)]
                    + ([estimates[-1]] if steady is not fixed else []) +
                    [difference(runs, by.get(HIGH, []), value), NONE if runs is steady else over_examples(runs, steady, task) or NONE, f"{np.mean(seconds):.2f} s" if any(seconds) else NONE])
    against = "− rank 8 at 3e-3" if steady is not fixed else "− rank 8"
    headings = ["", "parameters at the end", "lr", "n", MAIN[task], "dev loss", "− rank 8"] + [against] * (steady is not fixed) + ["− rank 16", f"{against}, over examples", "sweeps take"]
    return markdown(headings, rows) + middle({against: estimates})


def rate_bands():
    """The runs of rates.yaml by method or sweep, and by rate; LoRA last."""
    by = groups(proper("rates"), lambda r: sweep(r) if r["adapter.method"] == "metatt4d" else name(r))
    first = [FIXED, HIGH]
    return {label: groups(by[label], lambda r: r.lr) for label in sorted(by, key=lambda label: (label == LORA, first.index(label) if label in first else len(first), label))}


def rates():
    table = rate_bands()
    if not table:
        return EMPTY
    all_rates = sorted({lr for at in table.values() for lr in at})
    rows = []
    for label, at in table.items():
        rows.append([label] + [metric(at[lr]) if lr in at else NONE for lr in all_rates] + [band({lr: np.mean([value(r) for r in runs]) for lr, runs in at.items()})])
    cells = [runs for at in table.values() for runs in at.values() if len(runs) > 1 and not any(r.collapsed for r in runs)]
    return markdown([""] + [short(lr) for lr in all_rates] + [f"within {WITHIN} of its best"], rows) + spread(cells)


WITHIN = 0.02


def band(means):
    """The stretch of tried rates around the best one whose means are that near to it; ≤ and ≥ where it goes on beyond."""
    tried = sorted(means)
    near = [means[lr] > max(means.values()) - WITHIN for lr in tried]
    low = high = tried.index(max(means, key=means.get))
    while low > 0 and near[low - 1]:
        low -= 1
    while high < len(tried) - 1 and near[high + 1]:
        high += 1
    return ("≤ " if low == 0 else "") + short(tried[low]) + (f" to {short(tried[high])}" if high > low else "") + (" or more" if high == len(tried) - 1 else "")


@dataclass
class Grid:
    rows: list
    columns: list
    values: np.ndarray


def grid(question):
    """The main metric by start, and by rank and rate."""
    by = groups(proper(question), lambda r: r.init)
    if not by:
        return None
    columns = sorted({(r["adapter.rank"], r.lr) for runs in by.values() for r in runs})
    return Grid(list(by), columns, np.array([[{(r["adapter.rank"], r.lr): value(r) for r in runs}.get(c, np.nan) for c in columns] for runs in by.values()]))


def starts(question):
    by = grid(question)
    if not by:
        return EMPTY
    rows = [[f"`{init}`"] + [NONE if np.isnan(x) else f"{x:.3f}" for x in at] + [f"{np.nanmax(at):.3f}"] for init, at in zip(by.rows, by.values)]
    return markdown(["start"] + [f"r{rank}, {short(lr)}" for rank, lr in by.columns] + ["best"], rows) + single(STEADY if question == "starts-4d" else STEADY5)


def alphas():
    by = dict(sorted(groups(proper("alpha"), lambda r: r["adapter.alpha"]).items()))
    if not by:
        return EMPTY
    all_rates = sorted({r.lr for runs in by.values() for r in runs})
    rows = [[f"{alpha:g}"] + [f"{at[lr]:.3f}" if lr in at else NONE for lr in all_rates] for alpha, runs in by.items() for at in [{r.lr: value(r) for r in runs}]]
    return markdown(["α"] + [short(lr) for lr in all_rates], rows) + single(STEADY)


JOINT, SHARED, ALONE3, ALONE8 = "at once, with the task mode, r8", "at once, one update for all, r8", "an adapter for each, r3", "an adapter for each, r8"
JOINT_LORA, LORAS = "LoRA at once, one update for all, r8", "a LoRA for each, r8"
THREE = ["stsb", "mrpc", "sst2"]


def several():
    """The runs of (e): those of all tasks, and of those of one the sides by task."""
    joint = groups([r for r in proper("tasks") if len(r.tasks) > 1], lambda r: JOINT_LORA if r["adapter.method"] == "lora" else JOINT if r["adapter.task_after"] else SHARED)
    alone = {ALONE3: [proper("tasks", task=t) for t in THREE], ALONE8: [once(proper("usual", task=t, adapter__method="metatt4d")) for t in THREE],
             LORAS: [once(proper("usual", task=t, adapter__method="lora")) for t in THREE]}
    return joint, {label: sides for label, sides in alone.items() if all(sides)}


def tasks():
    """Three tasks at once, with and without the task mode, beside an adapter for each."""
    joint, alone = several()
    if not joint:
        return EMPTY
    rows = []
    for label in JOINT, SHARED, JOINT_LORA:
        runs = joint.get(label, [])
        if not runs:
            continue
        others = [alone.get(ALONE3) if label != JOINT_LORA else None, [joint.get(SHARED, [])] * 3 if label == JOINT else None, alone.get(LORAS if label == JOINT_LORA else ALONE8)]
        rows.append([label, parameters(runs), rate(runs)] + [metric(runs, t) for t in THREE] + [student(by_seed(runs, other, THREE)) or NONE if other else NONE for other in others])
    for label, sides in alone.items():
        chosen = "/".join(rate(side) for side in sides)
        rows.append([label, f"{sum(runs[0].parameters for runs in sides):,}", chosen] + [metric(side) for side in sides] + [NONE] * 3)
    headings = ["mean − each its own, r3", "− one update for all", "− each its own, r8"]
    return markdown(["", "parameters in all", "lr"] + [f"{NAMES[t]} {MAIN[t]}" for t in THREE] + headings, rows) + middle(last(headings, rows))


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
    """Tasks one after the other, beside the same adapter of its own for each."""
    first, second, third = (proper(f"append-{i}") for i in (1, 2, 3))
    if not first:
        return EMPTY
    rows = []
    sides = [("STS-B, the first", "stsb", [r for r in first if r.seed])]
    sides += [(f"MRPC appended, grow {grow}", "mrpc", runs) for grow, runs in groups(second, lambda r: r["adapter.append.grow"]).items()]
    sides += [(f"SST-2 appended behind MRPC's grow 8, grow {grow}", "sst2", runs) for grow, runs in groups(third, lambda r: r["adapter.append.grow"]).items()]
    for label, task, runs in sides:
        own = [r for r in methods(task).get(METATT, [])]
        rows.append([label, parameters(runs), len(runs), MAIN[task], metric(runs), difference(runs, own, value)])
    headings = ["− an adapter of its own, r8"]
    return markdown(["", "trained parameters", "n", "metric", "value", *headings], rows) + middle(last(headings, rows))


def longer():
    """Three epochs and ten, at the same rates and seeds."""
    by = groups(proper("longer"), lambda r: (r.tasks[0], name(r)))
    if not by:
        return EMPTY
    rows = []
    for (task, label), runs in by.items():
        of_three = [r for of in methods(task).values() for r in of if r.seed in {r.seed for r in runs}]
        short_ones = [r for r in of_three if (name(r), r.lr, r.init, r["dmrg.mode"]) == (label, runs[0].lr, runs[0].init, "none")]
        lora = by.get((task, LORA), [])
        short_lora = [r for r in of_three if name(r) == LORA]
        best = mean(max(e["metrics"].get(MAIN[task]) or 0 for e in r.events("eval")) for r in runs)
        rows.append([NAMES[task], label, rate(runs), len(runs), metric(short_ones), metric(runs), best, NONE if label == LORA else student(paired(short_ones, short_lora, value)) or NONE, difference(runs, lora, value)])
    headings = ["− LoRA, 3", "− LoRA, 10"]
    return markdown(["", "", "lr", "n", "after 3 epochs", "after 10", "best of 10", *headings], rows) + middle(last(headings, rows))


def depth(task):
    """Six layers and twelve; the last column is what depth changes of the difference to LoRA."""
    if not proper("depth", task=task):
        return EMPTY
    six, twelve = dict(methods(task)), groups(proper("depth", task=task), name)
    six[METATT] = six.get(STEADY, six.get(METATT, []))  # at the rate that loses no seed
    rows = []
    for layers, by in (6, six), (12, twelve):
        for label, runs in sorted(by.items(), key=lambda item: order(item[1])):
            if label not in twelve:
                continue
            gain = NONE
            if layers == 12 and label != LORA and label in six:
                gain = unpaired(paired(runs, by.get(LORA, []), value), paired(six[label], six.get(LORA, []), value)) or NONE
            rows.append([layers, label, parameters(runs), f"{runs[0].summary['head_parameters']:,}", rate(runs), len(runs), metric(runs), mean(map(loss, runs)),
                         difference(runs, by.get(LORA, []), value), gain])
    headings = ["− LoRA", "less that of six layers"]
    return markdown(["layers", "method", "parameters", "head", "lr", "n", MAIN[task], "dev loss", *headings], rows) + middle(last(headings, rows))


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
    "CP of MetaTT-4D's modes r8, an adapter for each task": ("cp4d", lambda n, m, t: t * 8 * (2 * D + n + m)),
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
    """What was run; a run that two questions share is the first one's."""
    rows, seen = [], set()
    for path in sorted(records.HERE.glob("*.yaml"), key=lambda path: (path.stem != "usual", path.stem)):
        runs = read(path.stem)
        if path.stem == "common" or not runs:
            continue
        own = [r for r in runs if records.key(r.files) not in seen]
        seen |= {records.key(r.files) for r in runs}
        commits = sorted({json.loads(r.files["environment.json"])["build"]["commit"][:7] for r in own})
        rows.append([f"[{path.stem}]({path.name})", path.read_text().splitlines()[0].lstrip("# "), len(runs), len(own), f"{sum(r.summary['seconds'] for r in own) / 3600:.2f}", ", ".join(commits)])
    rows.append(["", "", "", sum(row[3] for row in rows), f"{sum(float(row[4]) for row in rows):.1f}", ""])
    return markdown(["question", "", "runs", "of its own", "process-hours", "commits"], rows)


def all_tables():
    made_tables = {"made": made(), "overall": overall(), "rates": rates(), "starts": starts("starts"), "starts-4d": starts("starts-4d"), "longer": longer(), "alpha": alphas(), "tasks": tasks(), "cost": cost(), "counts": counts(), "look": look(), "appended": appended()}
    for task in "stsb", "mrpc", "sst2", "qnli":
        made_tables[f"usual-{task}"] = usual(task)
    for task in "stsb", "mrpc":
        made_tables[f"budgets-{task}"] = budgets(task)
        made_tables[f"sweeps-{task}"] = sweeps(task)
    made_tables["depth"] = depth("stsb")
    return made_tables
