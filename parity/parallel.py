"""One run of several processes, on MPI and on a real Slurm of one node that is started for it: the loss curve is that of one
process at the same global batch; a process that is asked to stop saves the step of all, one that is killed ends the job and
leaves the last common checkpoint; 1, 2 and 3 processes go on from either to the same curve.

    python parity/parallel.py --finetune bin/finetune [--only WORD] [--seed N]
"""

import argparse
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
from jobs import FIXTURES, Job, Tools, checkpoints, difference, events

TOLERANCE = 1e-5
ROUNDINGS = 1e-2  # of losses in bf16, which has 8 bits: two roundings of what is summed up in another order
LAUNCHERS = [("mpirun", 2), ("mpirun", 3), ("srun", 2)]
SECONDS = 30  # in which a job that has lost a process is to end
EVERY = 20  # steps between checkpoints
LONG = ["train.epochs=30", "train.lr=1e-4", f"train.checkpoint_every={EVERY}", "train.batch_size=7", "model.dropout=0.1"]  # 210 steps

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

    def start(self, launcher, size, name, *keys, **more):
        run = self.scratch / name
        return run, Job(self.tools, launcher, size, "-c", "testdata/tiny.yaml", f"run.dir={run}", "threads=1", *LONG, *keys, **more)

    def saved(self, title, run):
        last, left = events(run)[-1]["step"], checkpoints(run)[-1]
        self.say(f"{title}: saved after step {left} of {last}", abs(last - left), 0)

    def stopped(self):
        """SIGTERM to one process, whichever it is."""
        for launcher, size, rank in [("mpirun", 3, 2), ("srun", 2, 1), ("mpirun", 2, 0)]:
            run, job = self.start(launcher, size, f"stopped-{launcher}-{rank}")
            job.until(random.randint(20, 100))
            os.kill(job.pid(rank), signal.SIGTERM)
            job.wait(130)
            title = f"{launcher} -n {size}, SIGTERM to rank {rank}"
            self.saved(title, run)
            self.go_on(title, run)

    def interrupted(self):
        """Ctrl-C as launchers hand it on: mpirun by SIGTERM to all after a second, scancel by SIGTERM."""
        run, job = self.start("mpirun", 2, "interrupted", "train.epochs=10000")
        job.until(30)
        job.process.send_signal(signal.SIGINT)
        job.wait(None)
        self.saved("mpirun -n 2, Ctrl-C", run)
        run, job = self.start("srun", 2, "cancelled", "train.epochs=10000")
        job.until(30)
        subprocess.run(["scancel", "--signal=TERM", "--user=root"], env=self.tools.environment, check=True)
        job.wait(130)
        self.saved("srun -n 2, scancel --signal=TERM", run)

    def killed(self):
        for launcher, size, rank in [("mpirun", 3, 1), ("mpirun", 2, 0), ("srun", 2, 1), ("srun", 2, 0)]:
            run, job = self.start(launcher, size, f"killed-{launcher}-{rank}")
            job.until(random.randint(EVERY + 5, 100))
            time.sleep(random.random() / 20)
            os.kill(job.pid(rank), signal.SIGKILL)
            began = time.monotonic()
            job.wait(None)
            took, left = time.monotonic() - began, checkpoints(run)
            title = f"{launcher} -n {size}, rank {rank} killed after step {events(run)[-1]['step']}"
            self.say(f"{title}: ended after {took:.1f} s", max(0.0, took - SECONDS), 0)
            self.say(f"{title}: checkpoints of steps {left}", float(any(step % EVERY for step in left)), 0)
            self.go_on(title, run)

    def suspended(self):
        """A job that is stopped as a whole, for longer than its deadline, goes on when it is let."""
        run, job = self.start("mpirun", 2, "suspended", deadline=3)
        job.until(50)
        pids = [job.pid(rank) for rank in range(2)]
        for number, pause in ((signal.SIGSTOP, 6), (signal.SIGCONT, 0)):
            for pid in pids:
                os.kill(pid, number)
            time.sleep(pause)
        job.wait()
        self.compare("mpirun -n 2, all stopped for 6 s and continued", run, self.one, TOLERANCE)

    def hung(self):
        """A process that is stopped gives no sign of life; with the deadline of those who set none."""
        run, job = self.start("srun", 2, "hung", deadline=None)
        job.until(50)
        pid = job.pid(1)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        output = job.wait(None)
        took = time.monotonic() - began
        said = "rank 1 has given no sign of life for" in output
        self.say(f"srun -n 2, rank 1 stopped: ended after {took:.1f} s, {'saying so' if said else 'without a word'}", max(0.0, took - SECONDS) + (not said), 0)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--only", default="", help="one of curves, repeated, stopped, interrupted, killed, suspended, hung")
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
        for part in (parity.curves, parity.repeated, parity.stopped, parity.interrupted, parity.killed, parity.suspended, parity.hung):
            if args.only in part.__name__:
                part()
    print(f"{parity.failed} of all failed, in {time.monotonic() - began:.0f} s")
    return 1 if parity.failed else 0


if __name__ == "__main__":
    sys.exit(main())
