"""One run of several processes, on MPI and on a real Slurm of one node that is started for it: the loss curve is that of one
process at the same global batch; a process that is asked to stop saves the step of all, one that is killed ends the job and
leaves the last common checkpoint; 1, 2 and 3 processes go on from either to the same curve.

    python parity/parallel.py --finetune bin/finetune [--only WORD] [--seed N]
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import slurm

FIXTURES = Path(__file__).parent.parent / "pkg" / "run"
TOLERANCE = 1e-5
ROUNDINGS = 1e-2  # of losses in bf16, which has 8 bits: two roundings of what is summed up in another order
LAUNCHERS = [("mpirun", 2), ("mpirun", 3), ("srun", 2)]
SECONDS = 30  # in which a job that has lost a process is to end
DEADLINE = 5  # without a sign of life, so that this takes no longer than it must; by default 20
LONG = ["train.epochs=60", "train.lr=1e-4", "train.checkpoint_every=40", "train.batch_size=7", "model.dropout=0.1"]
STEPS = 420

DROPOUT = "model.dropout=0.1"
SWEEP = ["dmrg.unit=step", "train.lr=1e-3"]
CASES = {
    "fixed ranks": ["train.batch_size=7", "model.dropout=0"],
    "dropout": ["train.batch_size=5", DROPOUT],
    "batches of one": ["train.batch_size=1", "train.epochs=1", "train.lr=1e-3", DROPOUT],
    "accumulated": ["train.batch_size=3", "train.accumulate=3", DROPOUT],
    "DMRG, canonical": ["adapter.rank=5", "dmrg.mode=canonical", "dmrg.at=5,9", "dmrg.maxdim=4,2", *SWEEP],
    "DMRG, two-site": ["adapter.rank=3", "dmrg.mode=two-site", "dmrg.at=3", "dmrg.pair_steps=2", "dmrg.maxdim=2", *SWEEP],
    "AdaLoRA": ["adapter.method=adalora", "adapter.rank=2", "train.lr=1e-3", DROPOUT],
    "the whole model": ["adapter.method=full", "train.lr=1e-4", DROPOUT],
    "three tasks": ["task=mrpc,rte,stsb", "data.glue=TASKS", "adapter.task_after=layer", "train.accumulate=2", "train.mixture=sqrt", "train.lr=1e-3",
                    "train.eval_every=3", "tasks.rte.weight=0.5", DROPOUT],
    "bf16": ["model.dtype=bf16", "train.max_steps=6", "train.lr=1e-3", DROPOUT],
}


class Job:
    """Processes that make one run, and their launcher."""

    def __init__(self, tools, launcher, size, *arguments):
        self.run = next(a.removeprefix("run.dir=").removeprefix("--resume=") for a in arguments if a.startswith(("run.dir=", "--resume=")))
        self.variable = {"mpirun": "OMPI_COMM_WORLD_RANK", "srun": "SLURM_PROCID"}.get(launcher)
        command = {
            "alone": [],
            "mpirun": ["mpirun", "-n", size, "--oversubscribe", "--mca", "odls_base_sigkill_timeout", 20],
            "srun": ["srun", "--mpi=pmix", "-n", size, "--kill-on-bad-exit=0"],  # the job is to end by itself
        }[launcher]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(part) for part in [*command, tools.finetune, "train", *arguments]], cwd=FIXTURES, env=tools.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    def wait(self, want=0):
        """Waits for the end, which is to be with an exit code, or none of 0 and 130 with want None."""
        output, _ = self.process.communicate(timeout=120)
        code = self.process.returncode
        if code in (0, 130) if want is None else code != want:
            raise SystemExit(f"{' '.join(self.process.args)}\n{output}\nexit code {code}, want {'a failure' if want is None else want}")
        return output

    def pid(self, rank):
        """Of the process of that rank."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.run in (folder / "cmdline").read_text() and f"\0{self.variable}={rank}\0" in "\0" + (folder / "environ").read_text():
                    return int(folder.name)
            except OSError:
                pass  # it has ended
        raise SystemExit(f"no process of rank {rank} trains in {self.run}")

    def until(self, step):
        """Waits until that step is recorded."""
        file = Path(self.run, "metrics.jsonl")
        while not (file.exists() and any(e["event"] == "step" and e["step"] >= step for e in events(self.run))):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.run} has ended before step {step}: {self.process.stdout.read()}")
            time.sleep(0.002)


def events(run):
    lines = Path(run, "metrics.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last is empty, or being written


def difference(a, b):
    """The largest relative one of two JSON values' numbers, those near zero compared with 1e-3; 1 where they differ elsewhere."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((difference(a[k], b[k]) for k in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((difference(*pair) for pair in zip(a, b)), default=0.0)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and not isinstance(a, bool):
        return abs(a - b) / max(abs(b), 1e-3)
    return 0.0 if a == b else 1.0


class Parity:
    def __init__(self, tools, scratch):
        self.tools, self.scratch, self.failed = tools, scratch, 0

    def say(self, title, apart, allowed, more=""):
        good = apart <= allowed
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {title}: {apart:.1e} (allowed {allowed:.0e}){more}", flush=True)

    def compare(self, title, run, one, allowed, steps_alone=False, more=""):
        ours, theirs = ([e for e in events(r) if e["event"] == "step" or not steps_alone] for r in (run, one))
        self.say(title, difference(ours, theirs), allowed, more)

    def train(self, launcher, size, run, keys, want=0):
        return Job(self.tools, launcher, size, "-c", "testdata/tiny.yaml", f"run.dir={run}", *keys).wait(want)

    def resume(self, launcher, size, run):
        return Job(self.tools, launcher, size, f"--resume={run}").wait()

    def curves(self):
        for i, (name, keys) in enumerate(CASES.items()):
            keys = [k.replace("TASKS", str(three_tasks(self.scratch))) for k in keys]
            one = self.scratch / f"case-{i}"
            self.train("alone", 1, one, ["threads=1", *keys])
            for launcher, size in LAUNCHERS:
                run = self.scratch / f"case-{i}-{launcher}-{size}"
                self.train(launcher, size, run, ["threads=1", *keys])
                bf16 = name == "bf16"
                self.compare(f"{name}, {launcher} -n {size}", run, one, ROUNDINGS if bf16 else TOLERANCE, steps_alone=bf16)

    def repeated(self):
        """A run is the same bits each time, and over an interruption."""
        runs = [self.scratch / f"again-{i}" for i in range(2)]
        for run in runs:
            self.train("mpirun", 3, run, ["threads=1", *CASES["dropout"]])
        self.say("the same run again, mpirun -n 3, bit for bit", difference(*map(events, runs)), 0)

    def long(self):
        self.one = self.scratch / "long"
        self.train("alone", 1, self.one, ["threads=1", *LONG])

    def go_on(self, title, stopped):
        for next in (1, 2, 3):
            run = stopped.with_name(f"{stopped.name}-then-{next}")
            shutil.copytree(stopped, run)
            self.resume("alone" if next == 1 else "mpirun", next, run)
            self.compare(f"{title}, resumed with {next}", run, self.one, TOLERANCE)

    def start(self, launcher, size, name):
        run = self.scratch / name
        return run, Job(self.tools, launcher, size, "-c", "testdata/tiny.yaml", f"run.dir={run}", "threads=1", *LONG)

    def stopped(self):
        """SIGTERM to one process, whichever it is."""
        for launcher, size, rank in [("mpirun", 3, 2), ("srun", 2, 1), ("mpirun", 2, 0)]:
            run, job = self.start(launcher, size, f"stopped-{launcher}-{rank}")
            job.until(random.randint(30, 150))
            os.kill(job.pid(rank), signal.SIGTERM)
            job.wait(130)
            last = events(run)[-1]["step"]
            title = f"{launcher} -n {size}, SIGTERM to rank {rank}, saved after step {last}"
            if checkpoints(run)[-1] != last:
                self.say(title, 1.0, 0, f": the newest checkpoint is of step {checkpoints(run)[-1]}")
            self.go_on(title, run)

    def interrupted(self):
        """Ctrl-C as mpirun hands it on: SIGTERM to all."""
        run, job = self.start("mpirun", 2, "interrupted")
        job.until(random.randint(30, 150))
        job.process.send_signal(signal.SIGINT)
        job.wait(None)
        self.go_on(f"mpirun -n 2, SIGINT to mpirun, saved after step {checkpoints(run)[-1]}", run)

    def killed(self):
        for launcher, size, rank in [("mpirun", 3, 1), ("mpirun", 2, 0), ("srun", 2, 1), ("srun", 2, 0)]:
            run, job = self.start(launcher, size, f"killed-{launcher}-{rank}")
            job.until(random.randint(45, 150))
            time.sleep(random.random() / 20)
            os.kill(job.pid(rank), signal.SIGKILL)
            began = time.monotonic()
            job.wait(None)
            took, left = time.monotonic() - began, checkpoints(run)
            title = f"{launcher} -n {size}, rank {rank} killed in step {events(run)[-1]['step']}, newest checkpoint {left[-1]}"
            self.say(f"{title}: ended after {took:.1f} s", max(0.0, took - SECONDS), 0)
            if any(step % 40 for step in left):
                self.say(f"{title}: a checkpoint that is not all processes'", 1.0, 0)
            self.go_on(title, run)

    def hung(self):
        """A process that is stopped gives no sign of life, with the deadline that nobody has set."""
        run, job = self.start("srun", 2, "hung")
        job.until(50)
        pid = job.pid(1)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        output = job.wait(None)
        took = time.monotonic() - began
        said = "rank 1 has given no sign of life for" in output
        self.say(f"srun -n 2, rank 1 stopped: ended after {took:.1f} s, {'saying so' if said else 'without a word'}", max(0.0, took - SECONDS) + (not said), 0)


def checkpoints(run):
    return sorted(int(f.name.removeprefix("step-")) for f in Path(run, "checkpoints").glob("step-*"))


def three_tasks(scratch):
    """A GLUE folder of three tasks, no multiples of a batch."""
    glue = scratch / "glue"
    if glue.exists():
        return glue
    shutil.copytree(FIXTURES / "testdata" / "glue", glue)
    rte, stsb = ["index\tsentence1\tsentence2\tlabel"], ["index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"]
    for i in range(17):
        first, second = "the king sees" + " a cat" * (i % 4), "a king" + " never" * (i % 3)
        if i < 11:
            rte.append(f"{i}\t{first}\t{second}\t{['entailment', 'not_entailment'][i % 2]}")
        stsb.append(f"{i}\tg\tf\ty\to\ts\ts\t{first}\t{second}\t{i % 6 * 0.9:.2f}")
    for name, rows in (("RTE", rte), ("STS-B", stsb)):
        (glue / name).mkdir()
        for split in ("train", "dev"):
            (glue / name / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    return glue


class Tools:
    def __init__(self, finetune, cluster):
        self.finetune, self.environment = finetune, cluster.environment | {"METATT_MPI_DEADLINE": str(DEADLINE)}
        if os.getuid() == 0:
            self.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--only", default="", help="one of curves, repeated, stopped, interrupted, killed, hung")
    parser.add_argument("--seed", type=int, default=random.randrange(1000), help="of the moments")
    args = parser.parse_args()
    finetune = Path(args.finetune).absolute()
    mpi = next(line for line in subprocess.run([finetune, "env"], capture_output=True, text=True).stdout.splitlines() if line.startswith("MPI"))
    if "none:" in mpi or not shutil.which("mpirun"):
        raise SystemExit(f"parity-cluster: {' '.join(mpi.split())}")
    if lacks := slurm.missing():
        raise SystemExit(f"parity-cluster: {lacks}")
    random.seed(args.seed)
    print(f"{' '.join(mpi.split())}; seed {args.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, slurm.OneNode(cores=4) as cluster:
        parity = Parity(Tools(finetune, cluster), Path(scratch))
        parity.long()
        for part in (parity.curves, parity.repeated, parity.stopped, parity.interrupted, parity.killed, parity.hung):
            if args.only in part.__name__:
                part()
    print(f"{parity.failed} of all failed, in {time.monotonic() - began:.0f} s")
    return 1 if parity.failed else 0


if __name__ == "__main__":
    sys.exit(main())
