"""The pictures of README.md."""

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

import records
import tables
from records import HERE, MAIN, NAMES

# Paul Tol's "muted": told apart by colour-blind eyes and in grey.
COLORS = ["#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#777777", "#000000", "#e69f00"]
MARKS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*", "h"]
plt.rcParams.update({"svg.hashsalt": "glue-minilm", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})


def look(label):
    """Of a method's line; MetaTT-4D of the α that was found later is told from its own by its mark."""
    i = list(tables.METHODS.values()).index(label.split(",")[0])
    if label == tables.GENTLY:
        return {"color": COLORS[0], "marker": "*", "ls": "--"}
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


SHOWN = 0.1  # below the best mean; what is lower is named


def parameters(tasks):
    """Metric against parameters, a line for each method through its sizes, and the Pareto front; full fine-tuning and the
    head alone are lines across."""
    figure, axes = plt.subplots(1, len(tasks), figsize=(5 * len(tasks), 4), squeeze=False)
    for axis, task in zip(axes[0], tasks):
        points = {}
        usual = [(tables.METHODS[group[0]["adapter.method"]], group) for label, group in tables.methods(task).items() if label not in tables.LATER]
        known = {records.key(r.files) for _, group in usual for r in group}
        others = [(label, group) for (_, label), group in tables.by_budget(task).items() if not known.issuperset(records.key(r.files) for r in group)]
        for label, group in usual + others:
            values = [r.value() for r in group]
            points.setdefault(label, []).append((np.mean([r.parameters for r in group]), np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0))
        across = {label: points.pop(label)[0][1] for label in (tables.METHODS["full"], tables.METHODS["head"]) if label in points}
        every = [(x, y) for at in points.values() for x, y, _ in at]
        floor = max(y for _, y in every) - SHOWN
        low = [f"{label} {y:.3f} of {x:,.0f}" for label, at in points.items() for x, y, _ in at if y < floor]
        low += [f"{label} {y:.3f}" for label, y in across.items() if y < floor]
        for label, at in points.items():
            if shown := sorted(point for point in at if point[1] >= floor):
                x, y, spread = zip(*shown)
                axis.errorbar(x, y, yerr=spread, capsize=2, lw=1, elinewidth=0.7, ms=5, label=label, **look(label))
        x, y = zip(*front(every))
        axis.step([*x, max(x for x, _ in every)], [*y, y[-1]], where="post", color="#999999", lw=5, alpha=0.3, zorder=0, label="Pareto front")
        for label, level in across.items():
            if level >= floor:
                axis.axhline(level, color="#000000", lw=0.8, ls=":")
                axis.annotate(label, (0.02, level), xycoords=("axes fraction", "data"), textcoords="offset points", xytext=(0, 2), fontsize=8)
        top = max([*across.values(), *(y + s for at in points.values() for _, y, s in at if y >= floor)])
        axis.set(xscale="log", ylim=(floor - 0.005, top + 0.008), xlabel="trained parameters of the adapter", ylabel=f"dev {MAIN[task]}", title=NAMES[task])
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        if low:
            axis.annotate("lower:\n" + ",\n".join(low), (0.3, 0.02), xycoords="axes fraction", fontsize=7)
    handles = {}
    for axis in axes[0]:
        handles.update({label: handle for handle, label in zip(*axis.get_legend_handles_labels())})
    figure.legend(handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=min(5, 2 * len(tasks) + 1), frameon=False, fontsize=8)
    save(figure, "parameters")


def rates():
    """The main metric against the learning rate."""
    table = tables.rate_bands()
    figure, axis = plt.subplots(figsize=(6, 3.6))
    for i, (label, at) in enumerate(table.items()):
        xs = sorted(at)
        values = [[r.value() for r in at[x]] for x in xs]
        axis.plot(xs, [np.mean(v) for v in values], marker=MARKS[i], color=COLORS[2 * i % len(COLORS)], lw=1.2, ms=5, label=label)
        axis.fill_between(xs, [min(v) for v in values], [max(v) for v in values], color=COLORS[2 * i % len(COLORS)], alpha=0.12, lw=0)
    tried = sorted({x for at in table.values() for x in at})
    axis.set(xscale="log", xlabel="learning rate", ylabel="dev spearman", title="STS-B: mean and range of the seeds")
    axis.set_xticks(tried, map(tables.short, tried))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend(frameon=False, fontsize=8)
    save(figure, "rates")


def starts():
    """The starts of MetaTT over rank and rate."""
    panels = [(title, by) for title, by in (("MetaTT-4D", tables.grid("starts-4d")), ("MetaTT-5D", tables.grid("starts"))) if by]
    figure, axes = plt.subplots(1, len(panels), figsize=(1.2 + sum(0.62 * len(by.columns) + 1.4 for _, by in panels), 3.6), squeeze=False,
                                width_ratios=[len(by.columns) for _, by in panels], layout="constrained")
    for axis, (title, by) in zip(axes[0], panels):
        axis.grid(False)
        image = axis.imshow(by.values, cmap="viridis", aspect="auto", vmin=0, vmax=max(np.nanmax(p.values) for _, p in panels))
        for (i, j), x in np.ndenumerate(by.values):
            axis.text(j, i, f"{x:.3f}", ha="center", va="center", fontsize=8, color="white" if x < 0.4 else "black")
        axis.set_xticks(range(len(by.columns)), [f"r {rank}\n{lr:g}" for rank, lr in by.columns])
        axis.set_yticks(range(len(by.rows)), by.rows, family="monospace")
        axis.set(xlabel="rank and learning rate", title=title)
    figure.suptitle("Start of each core: dev spearman on STS-B, one seed", fontsize=9)
    figure.colorbar(image, ax=axes[0, -1])
    save(figure, "starts")


def draw_all():
    tasks = [t for t in ("stsb", "mrpc") if tables.proper("usual", task=t)]
    if tasks:
        parameters(tasks)
    if tables.proper("rates"):
        rates()
    if tables.proper("starts"):
        starts()
