"""Jobs of several processes that make one run of `finetune train`, with what one can do to them, and their curves."""

import json
import os
import subprocess
import time
from pathlib import Path

FIXTURES = Path(__file__).parent.parent / "pkg" / "run"
DEADLINE = 5  # seconds without a sign of life, so that a test takes no longer than it must; by default 20


class Tools:
    def __init__(self, finetune, cluster):
        self.finetune, self.environment = finetune, cluster.environment
        if os.getuid() == 0:
            self.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


class Job:
    """Processes that make one run, and their launcher."""

    def __init__(self, tools, launcher, size, *arguments, deadline=DEADLINE):
        self.run = next(a.removeprefix("run.dir=").removeprefix("--resume=") for a in arguments if a.startswith(("run.dir=", "--resume=")))
        self.variable = {"mpirun": "OMPI_COMM_WORLD_RANK", "srun": "SLURM_PROCID"}.get(launcher)
        command = {
            "alone": [],
            "mpirun": ["mpirun", "-n", size, "--oversubscribe"],
            "srun": ["srun", "--mpi=pmix", "-n", size, "--kill-on-bad-exit=0"],  # the job is to end by itself
        }[launcher]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(part) for part in [*command, tools.finetune, "train", *arguments]], cwd=FIXTURES,
            env=tools.environment | ({"METATT_MPI_DEADLINE": str(deadline)} if deadline else {}),
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


def checkpoints(run):
    return sorted(int(f.name.removeprefix("step-")) for f in Path(run, "checkpoints").glob("step-*"))
