"""The table of the pilot, from the run directories: python experiments/dmrg-pilot/table.py [runs/dmrg-pilot]"""

import json
import math
import sys
from pathlib import Path

NAMES = {
    "fixed": "rank 4, Adam alone",
    "fixed-lr3": "rank 4, lr 3e-3",
    "fixed-lr5": "rank 4, lr 5e-3",
    "restart": "rank 4, Adam reset after steps 36, 72, 108",
    "high": "rank 10, untouched",
    "truncated": "rank 10, truncated to 4 at the end",
    "truncated-lr3": "rank 10, lr 3e-3, truncated to 4 at the end",
    "dmrg": "rank 10 to 8, 6, 4 (canonical), moments reset",
    "transport": "rank 10 to 8, 6, 4 (canonical), moments transported",
    "late-steps": "the same after 70, 80 and 90 % of the steps",
    "late": "rank 10 to 4 after 90 % of the steps, moments transported",
    "enrich": "rank 2, grown twice, cut to 3,200 parameters, moments transported",
    "two-site": "rank 2, one two-site sweep, the smallest rank within 0.002 of probe loss",
    "two-site-4": "rank 2, one two-site sweep, rank 4 of each pair",
}


def read(path):
    events = [json.loads(line) for line in open(path / "metrics.jsonl")]
    steps = [e["loss"] for e in events if e["event"] == "step"]
    last = [e for e in events if e["event"] == "eval"][-1]
    return {
        "train": sum(steps[-30:]) / 30 if len(steps) >= 30 else None,
        "loss": last["loss"],
        "accuracy": last["metrics"]["accuracy"],
        "ranks": last.get("ranks"),
        "parameters": json.load(open(path / "summary.json"))["adapter_parameters"],
        "sweeps": [e for e in events if e["event"] == "sweep"],
    }


def mean(values, digits):
    m = sum(values) / len(values)
    s = math.sqrt(sum((v - m) ** 2 for v in values) / max(1, len(values) - 1))
    return f"{m:.{digits}f} ± {s:.{digits}f}"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/dmrg-pilot")
    runs = {name: {} for name in NAMES}
    for path in sorted(root.iterdir()):
        name, _, seed = path.name.rpartition("-s")
        if name in runs and (path / "summary.json").exists():
            runs[name][int(seed)] = read(path)
    print("| | parameters | ranks at the end, by seed | dev loss | against rank 4, paired | dev accuracy | training loss, last 30 steps |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, title in NAMES.items():
        seeds = runs[name]
        if not seeds:
            continue
        fixed = runs["fixed"]
        paired = [seeds[s]["loss"] - fixed[s]["loss"] for s in seeds if s in fixed]
        ranks = "; ".join(" ".join(map(str, seeds[s]["ranks"])) if seeds[s]["ranks"] else "as set" for s in sorted(seeds))
        parameters = sorted({r["parameters"] for r in seeds.values()})
        train = [r["train"] for r in seeds.values() if r["train"] is not None]
        print(
            f"| {title} | {' to '.join(f'{p:,}' for p in ([parameters[0], parameters[-1]] if len(parameters) > 1 else parameters))} | {ranks} "
            f"| {mean([r['loss'] for r in seeds.values()], 4)} | {mean(paired, 4) if paired and name != 'fixed' else ''} "
            f"| {mean([r['accuracy'] for r in seeds.values()], 3)} | {mean(train, 4) if train else ''} |"
        )


if __name__ == "__main__":
    main()
