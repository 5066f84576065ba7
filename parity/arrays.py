"""An experiment as a job array of a real Slurm of one node that is started for it: its tasks share the runs, one that is cancelled
saves its own, and submitted again the rest is made; the numbers are those of one process.

    python parity/arrays.py --finetune bin/finetune
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import slurm
from jobs import FIXTURES

EXPERIMENT = """\
base: {base}
dir: {runs}
set: {{train.epochs: {epochs}, train.checkpoint_every: 5, threads: 1}}
grid:
  adapter.method: [metatt4d, lora, lotr]
  train.seed: [1, 2, 3]
choose: {{values: {{train.lr: [1e-3, 5e-3]}}, on: {{train.seed: [0]}}}}
slurm:
  tasks: 3
  options: {{time: "5", cpus-per-task: 1}}
  setup: export OMP_NUM_THREADS=1
"""
RUNS, SECONDS = 15, 180


def written(folder, name, epochs):
    file = folder / f"{name}.yaml"
    file.write_text(EXPERIMENT.format(base=Path(FIXTURES) / "testdata/tiny.yaml", runs=folder / name, epochs=epochs))
    return file


def experiment(finetune, file, *more, env=None):
    done = subprocess.run([finetune, "experiment", "-c", file, *more], cwd=FIXTURES, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"arrays: {file.name}: {done.stderr.strip()}")
    return done.stdout


def submitted(finetune, cluster, file):
    said = experiment(finetune, file, "--launcher", "slurm", env=cluster.environment)
    return re.search(r"as job (\d+)", said)[1]


def states(cluster, job):
    """Of the array's tasks that have not ended."""
    out = subprocess.run(["squeue", "--noheader", "--array", "--job", job, "--format=%T"], env=cluster.environment, capture_output=True, text=True)
    return out.stdout.split()


def until(what, ready):
    for _ in range(10 * SECONDS):
        if ready():
            return
        time.sleep(0.1)
    sys.exit(f"arrays: {what} takes more than {SECONDS} s")


def ended(folder):
    return sorted(p.parent for p in folder.rglob("summary.json"))


def compare(title, finetune, file, folder, alone):
    said = experiment(finetune, file)  # makes nothing: all is done
    others = [r.name for r in ended(alone) if (r / "metrics.jsonl").read_bytes() != (folder / r.relative_to(alone) / "metrics.jsonl").read_bytes()]
    good = f"{RUNS} of {RUNS} runs done" in said and len(ended(alone)) == RUNS and not others
    logs = list((folder / "slurm").glob("*_*.log"))
    tasks = sum("began" in log.read_text() for log in logs)
    print(f"{'ok  ' if good else 'FAIL'} {title}: {len(ended(folder))} runs by {tasks} of {len(logs)} tasks, metrics.jsonl as of one process"
          + (f" but for {' '.join(others)}" if others else ""), flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    o = parser.parse_args()
    finetune = Path(o.finetune).absolute()
    with tempfile.TemporaryDirectory() as scratch, slurm.OneNode(cores=3) as cluster:
        scratch = Path(scratch)
        experiment(finetune, written(scratch, "alone", 12))
        file = written(scratch, "array", 12)
        job = submitted(finetune, cluster, file)
        until("the array", lambda: not states(cluster, job))
        good = compare("a job array of 3 tasks", finetune, file, scratch / "array", scratch / "alone")

        file = written(scratch, "cancelled", 12)
        job = submitted(finetune, cluster, file)
        until("the first runs", lambda: len(ended(scratch / "cancelled")) >= 4)
        subprocess.run(["scancel", job], env=cluster.environment, check=True)
        until("the end of the cancelled array", lambda: not states(cluster, job))
        before = len(ended(scratch / "cancelled"))
        job = submitted(finetune, cluster, file)
        until("the second array", lambda: not states(cluster, job))
        good &= compare(f"one that was cancelled after {before} runs, submitted again", finetune, file, scratch / "cancelled", scratch / "alone")
    sys.exit(not good)


if __name__ == "__main__":
    main()
