"""The pictures of README.md."""

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

import tables
from records import HERE, MAIN, NAMES

# Paul Tol's "muted": told apart by colour-blind eyes and in grey.
COLORS = ["#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#777777", "#000000", "#e69f00"]
MARKS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*", "h"]
plt.rcParams.update({"svg.hashsalt": "glue-minilm", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})


def look(method):
    i = list(tables.METHODS).index(method)
    return {"color": COLORS[i % len(COLORS)], "marker": MARKS[i % len(MARKS)]}


def save(figure, name):
    figure.savefig(HERE / f"{name}.svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def front(points):
    """Of (parameters, value) those that none with as few parameters is better than, by rising parameters."""
    best, kept = -np.inf, []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if y > best:
            best = y
            kept.append((x, y))
    return kept


def parameters(tasks):
    """Metric against parameters, a line for each method through its sizes, and the Pareto front."""
    figure, axes = plt.subplots(1, len(tasks), figsize=(5 * len(tasks), 4), squeeze=False)
    for axis, task in zip(axes[0], tasks):
        runs = tables.proper("usual", task=task) + tables.proper("seeds", task=task) + tables.proper("budgets", task=task)
        by = tables.groups(runs, lambda r: (r["adapter.method"], r["adapter.budget"] or 0, r["adapter.rank"]))
        lines, points = {}, []
        for (method, _, _), group in by.items():
            if method != "head":
                at = np.mean([r.parameters for r in group]), [r.value() for r in group]
                lines.setdefault(method, []).append(at)
                points.append((at[0], np.mean(at[1])))
        for method, at in lines.items():
            at.sort(key=lambda a: a[0])
            x, means = [a[0] for a in at], [np.mean(a[1]) for a in at]
            spread = [np.std(a[1], ddof=1) if len(a[1]) > 1 else 0 for a in at]
            axis.errorbar(x, means, yerr=spread, capsize=2, lw=1, elinewidth=0.7, ms=5, label=tables.METHODS[method], **look(method))
        x, y = zip(*front(points))
        axis.step(x, y, where="post", color="#999999", lw=4, alpha=0.35, zorder=0, label="Pareto front")
        for run in tables.proper("usual", task=task, adapter__method="head")[:1]:
            alone = np.mean([r.value() for r in tables.proper("usual", task=task, adapter__method="head")])
            axis.axhline(alone, color="#000000", lw=0.8, ls=":")
            axis.annotate("head alone", (x[0], alone), textcoords="offset points", xytext=(0, 3), fontsize=8)
        axis.set(xscale="log", xlabel="trained parameters of the adapter", ylabel=f"best dev {MAIN[task]}", title=NAMES[task])
    handles = {}
    for axis in axes[0]:
        handles.update({label: handle for handle, label in zip(*axis.get_legend_handles_labels())})
    figure.legend(handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=min(5, 2 * len(tasks) + 1), frameon=False, fontsize=8)
    save(figure, "parameters")


def rates():
    """The main metric against the learning rate."""
    table = tables.by_rate("rates", lambda r: tables.sweep(r) if r["adapter.method"] == "metatt4d" else tables.name(r))
    figure, axis = plt.subplots(figsize=(6, 3.6))
    for i, (label, at) in enumerate(table.items()):
        xs = sorted(at)
        values = [[r.value() for r in at[x]] for x in xs]
        axis.plot(xs, [np.mean(v) for v in values], marker=MARKS[i], color=COLORS[2 * i % len(COLORS)], lw=1.2, ms=5, label=label)
        axis.fill_between(xs, [min(v) for v in values], [max(v) for v in values], color=COLORS[2 * i % len(COLORS)], alpha=0.12, lw=0)
    axis.set(xscale="log", xlabel="learning rate", ylabel="best dev spearman", title="STS-B: mean and range of the seeds")
    axis.legend(frameon=False, fontsize=8)
    save(figure, "rates")


def starts():
    """The starts of MetaTT-5D over rank and rate."""
    by = tables.groups(tables.proper("starts"), lambda r: r["adapter.init"])
    cells = sorted({(r["adapter.rank"], r.lr) for runs in by.values() for r in runs})
    at = np.array([[{(r["adapter.rank"], r.lr): r.value() for r in runs}.get(c, np.nan) for c in cells] for runs in by.values()])
    figure, axis = plt.subplots(figsize=(6.4, 0.36 * len(by) + 1.4))
    axis.grid(False)
    image = axis.imshow(at, cmap="viridis", aspect="auto", vmin=max(0, np.nanmin(at)))
    for (i, j), x in np.ndenumerate(at):
        axis.text(j, i, f"{x:.3f}", ha="center", va="center", fontsize=8, color="white" if x < (np.nanmin(at) + np.nanmax(at)) / 2 else "black")
    axis.set_xticks(range(len(cells)), [f"r {rank}\n{lr:g}" for rank, lr in cells])
    axis.set_yticks(range(len(by)), by.keys(), family="monospace")
    axis.set_xlabel("rank and learning rate")
    axis.set_title("MetaTT-5D on STS-B: best dev spearman by start", fontsize=9)
    figure.colorbar(image)
    save(figure, "starts")


def draw_all():
    tasks = [t for t in ("stsb", "mrpc") if tables.proper("usual", task=t)]
    if tasks:
        parameters(tasks)
    if tables.proper("rates"):
        rates()
    if tables.proper("starts"):
        starts()
