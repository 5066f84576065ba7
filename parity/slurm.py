"""A real Slurm of one node on this machine, with Debian's packages, in a folder of its own: its daemons are started as root and
stopped again, and nothing outside the folder is touched.

    with slurm.OneNode(cores=4) as cluster:
        subprocess.run(["sbatch", "--array=1-4", "--wait", script], env=cluster.environment)

`python parity/slurm.py COMMAND…` runs a command on such a cluster.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DAEMONS = ["munged", "slurmctld", "slurmd"]
PACKAGES = "slurmctld slurmd slurm-client munge"
PATIENCE = 30  # seconds until a node is ready, or a daemon has ended
# Daemons are where a user's PATH does not look.
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def missing():
    """What a Slurm cannot be started for; empty: nothing."""
    absent = [name for name in [*DAEMONS, "srun", "sinfo"] if not shutil.which(name, path=SEARCH)]
    if absent:
        return f"no {', '.join(absent)}: apt-get install {PACKAGES}"
    if os.getuid() != 0:
        return "a Slurm is started by root alone"
    return ""


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


class OneNode:
    """A cluster of this machine, which Slurm takes to have so many cores, whatever it has."""

    def __init__(self, cores=None):
        self.cores = cores or os.cpu_count()

    def __enter__(self):
        if lacks := missing():
            raise SystemExit(f"slurm: {lacks}")
        # Not below a folder that others may write to, which munged refuses.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/run"))
        self.folder.chmod(0o755)  # which munged asks of a socket's folder
        self.environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": SEARCH}
        self.daemons = []
        try:
            self._configure()
            self._start("munged", "--foreground", f"--key-file={self.folder}/munge.key", f"--socket={self.folder}/munge.socket",
                        f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed")
            self._wait("munged", lambda: (self.folder / "munge.socket").exists())
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D")
            self._wait("a node", lambda: "idle" in self._run("sinfo", "--noheader", "--format=%T").split())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.daemons):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self):
        name = socket.gethostname().split(".")[0]
        controller, daemon = free_ports(2)
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        for folder in ("state", "spool"):
            (self.folder / folder).mkdir()
        (self.folder / "slurm.conf").write_text(f"""\
ClusterName=one
SlurmctldHost={name}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge.socket
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmdParameters=config_overrides
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={name} NodeAddr=127.0.0.1 CPUs={self.cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""")

    def _start(self, *command):
        self.daemons.append(subprocess.Popen(
            [shutil.which(command[0], path=SEARCH), *command[1:]], env=self.environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.folder / f"{command[0]}.stderr").open("w"),
        ))

    def _run(self, *command):
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout

    def _wait(self, what, ready):
        for _ in range(10 * PATIENCE):
            if ready():
                return
            for process in self.daemons:
                if process.poll() is not None:
                    raise SystemExit(f"slurm: {Path(process.args[0]).name} has ended: {self._logs()}")
            time.sleep(0.1)
        raise SystemExit(f"slurm: {what} is not ready after {PATIENCE} s: {self._logs()}")

    def _logs(self):
        return " | ".join(lines[-1] for f in sorted([*self.folder.glob("*.stderr"), *self.folder.glob("*.log")]) if (lines := f.read_text().splitlines()))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with OneNode() as cluster:
        sys.exit(subprocess.run(sys.argv[1:], env=cluster.environment).returncode)
