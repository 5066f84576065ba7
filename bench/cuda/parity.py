"""The losses of every method and of every sweep mode on two devices, dropout 0, fp32: they must be the same.

    python3 parity.py --finetune ./finetune --model DIR --glue DIR [--device cuda] [--jobs 8]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# What is relatively more than this is marked; what is more than BROKEN fails.
WANTED, BROKEN = 1e-6, 1e-4
SWEEPS = {
    mode: ["adapter.method=metatt4d", f"dmrg.mode={mode}", "dmrg.unit=step", "dmrg.at=[3,6]", "dmrg.rewarm=2", *more]
    for mode, more in {
        "paper": ["dmrg.maxdim=6"], "canonical": ["dmrg.maxdim=6"], "enrich": ["dmrg.maxdim=6", "dmrg.grow=1", "dmrg.gradient_batches=1"],
        "two-site": ["dmrg.maxdim=6", "dmrg.pair_steps=1", "dmrg.probe_batches=1"], "restart": [],
    }.items()
}
MORE = {"loretta-adp": ["adapter.rank=64"], "adalora": ["adapter.adalora.hold=0.2", "adapter.adalora.settle=0.3", "adapter.adalora.every=2"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--glue", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--only", nargs="*", help="methods, or sweep: MODE; all without")
    o = parser.parse_args()
    runs = {name: [f"adapter.method={name}", *MORE.get(name, [])] for name in methods(o.finetune)}
    runs |= {f"sweep: {mode}": keys for mode, keys in SWEEPS.items()}
    runs = {name: keys for name, keys in runs.items() if not o.only or name in o.only}
    with ThreadPoolExecutor(o.jobs) as pool:
        found = {name: (pool.submit(losses, o, keys, "cpu"), pool.submit(losses, o, keys, o.device)) for name, keys in runs.items()}
        failed = sum(not report(name, *pair) for name, pair in found.items())
    print(f"parity: {len(runs) - failed} of {len(runs)} are the same")
    return 1 if failed else 0


def methods(finetune):
    listed = subprocess.run([finetune, "list", "methods"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.findall(r"^([\w-]+)(?: \(.*)?$", listed, re.MULTILINE)


def losses(o, keys, device):
    with tempfile.TemporaryDirectory() as scratch:
        config, run = Path(scratch) / "run.yaml", Path(scratch) / "run"
        config.write_text("task: mrpc\n")
        done = subprocess.run(
            [o.finetune, "train", "-c", str(config), f"model.path={o.model}", f"data.glue={o.glue}", "data.shuffle=false", "model.dropout=0",
             "train.batch_size=16", "train.lr=5e-3", "train.warmup=0", f"train.max_steps={o.steps}", "train.checkpoint_every=never", "threads=1", f"device={device}",
             f"run.dir={run}", *keys], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise RuntimeError(f"{device}: exit code {done.returncode}: " + " ".join(done.stdout.splitlines()[-1:])[:300])
        events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [e["loss"] for e in events if e["event"] == "step"]


def report(name, here, there):
    try:
        here, there = here.result(), there.result()
    except RuntimeError as failure:
        print(f"{name:18} FAILED  {failure}", flush=True)
        return False
    if len(here) != len(there):
        print(f"{name:18} FAILED  {len(here)} and {len(there)} steps", flush=True)
        return False
    each = [abs(a - b) / abs(a) for a, b in zip(here, there)]
    worst = max(each)
    verdict = "FAILED" if worst > BROKEN else "above" if worst > WANTED else "ok"
    print(f"{name:18} {verdict:6}  {worst:.1e}  (step 1 {each[0]:.1e}; loss {here[0]:.4f} to {here[-1]:.4f})", flush=True)
    return verdict != "FAILED"


if __name__ == "__main__":
    sys.exit(main())
