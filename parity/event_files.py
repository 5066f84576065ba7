"""What `run.tensorboard: true` leaves, read by TensorBoard: every figure of a run's journals
once, the configuration, the hyper-parameters and what came of them; after a run, after a
stop and a resumption, and after kills in the middle of it.

    python parity/event_files.py --finetune BINARY
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams

FIXTURES = Path(__file__).parent.parent / "pkg" / "run"
KEYS = ["run.tensorboard=true", "run.log_every=2", "train.checkpoint_every=3", "train.epochs=6", "threads=1",
        "dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=5,9", "dmrg.maxdim=3,2"]


def start(binary, *arguments):
    return subprocess.Popen([binary, "train", *map(str, arguments)], cwd=FIXTURES, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process, *allowed):
    error = process.communicate()[1]
    if process.returncode not in (0, *allowed):
        sys.exit(f"finetune: exit code {process.returncode}\n{error}")


def journalled(run):
    """Tag to {step: value} of the figures in a run's journals."""
    found = {}

    def put(tag, step, value):
        if value is not None:
            found.setdefault(tag, {})[step] = float(numpy.float32(value))

    for line in (run / "metrics.jsonl").read_text().splitlines():
        e = json.loads(line)
        kind, step = e["event"], e["step"]
        if kind == "step":
            put("train/loss", step, e["loss"]), put("train/lr", step, e["lr"])
        elif kind == "eval":
            put("dev/loss", step, e["loss"])
            for name, value in e["metrics"].items():
                put(f"dev/{name}", step, value)
        else:
            put("ranks/parameters", step, e["parameters"])
        for i, rank in enumerate(e.get("ranks", [])):
            put(f"ranks/bond_{i + 1}", step, rank)
    for line in (run / "timings.jsonl").read_text().splitlines():
        e = json.loads(line)
        if e["event"] == "eval":
            put("speed/samples_per_second", e["step"], e["samples_per_second"])
    return found


def check(run):
    """What differs between a run that has ended and what TensorBoard has of it."""
    files = list(run.glob("*tfevents*"))
    if len(files) != 1:
        return [f"{len(files)} event files"]
    board = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
    board.Reload()
    wrong, want = [], journalled(run)
    summary = json.loads((run / "summary.json").read_text())
    want["best/" + summary["best"]["metric"]] = {summary["steps"]: float(numpy.float32(summary["best"]["value"]))}
    tags = board.Tags()["scalars"]
    if set(tags) != set(want):
        wrong.append(f"tags {sorted(set(tags) ^ set(want))}")
    for tag in set(tags) & set(want):
        events = board.Scalars(tag)
        if [(e.step, e.value) for e in events] != sorted(want[tag].items()):
            wrong.append(f"{tag}: {[(e.step, e.value) for e in events]}, the journal has {sorted(want[tag].items())}")
        if any(abs(e.wall_time - time.time()) > 3600 for e in events) or [e.wall_time for e in events] != sorted(e.wall_time for e in events):
            wrong.append(f"{tag}: times {[e.wall_time for e in events]}")
    text = board.Tensors("config")[0].tensor_proto.string_val[0].decode()
    if text != "```yaml\n" + (run / "config.yaml").read_text() + "```\n":
        wrong.append("the configuration is " + text)
    return wrong + check_hparams(board, tags)


def check_hparams(board, tags):
    wrong = []
    content = lambda tag: board.SummaryMetadata(tag).plugin_data.content
    experiment = hparams.parse_experiment_plugin_data(content(hparams.EXPERIMENT_TAG))
    session = hparams.parse_session_start_info_plugin_data(content(hparams.SESSION_START_INFO_TAG))
    if not hparams.parse_session_end_info_plugin_data(content(hparams.SESSION_END_INFO_TAG)).status:
        wrong.append("the session has no end")
    if {h.name for h in experiment.hparam_infos} != set(session.hparams):
        wrong.append("hyper-parameters without a value or a type")
    for name, value in {"adapter.method": "metatt4d", "dmrg.at": "5, 9"}.items():
        if session.hparams[name].string_value != value:
            wrong.append(f"{name} is {session.hparams[name]}")
    if session.hparams["train.epochs"].number_value != 6 or any(n.startswith(("run", "data.")) for n in session.hparams):
        wrong.append(f"hyper-parameters {session.hparams}")
    results = {m.name.tag for m in experiment.metric_infos}
    if not results or results - set(tags):
        wrong.append(f"results without values: {results - set(tags)}")
    return wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--finetune", required=True)
    binary = Path(arguments.parse_args().finetune).absolute()
    failed = False

    def report(name, run, notes=""):
        nonlocal failed
        wrong = check(run)
        failed |= bool(wrong)
        print(f"event files: {name}: {'; '.join(wrong) or 'ok'}{notes}")

    with tempfile.TemporaryDirectory() as folder:
        fresh, stopped, killed = (Path(folder) / name for name in ("fresh", "stopped", "killed"))
        began = time.time()
        finish(start(binary, "-c", "testdata/tiny.yaml", f"run.dir={fresh}", *KEYS))
        length = time.time() - began
        report("a run", fresh)

        process = start(binary, "-c", "testdata/tiny.yaml", f"run.dir={stopped}", *KEYS)
        while process.poll() is None and not list(stopped.glob("*tfevents*")):
            time.sleep(0.005)
        time.sleep(length / 10)
        process.send_signal(signal.SIGINT)
        finish(process, 130)
        finish(start(binary, "--resume", stopped))
        report("stopped and resumed", stopped)

        random.seed(5)
        process, kills, torn = start(binary, "-c", "testdata/tiny.yaml", f"run.dir={killed}", *KEYS), 0, 0
        for _ in range(6):
            while process.poll() is None and not list(killed.glob("*tfevents*")):
                time.sleep(0.005)
            time.sleep(random.uniform(0, length / 4))
            process.kill()
            process.wait()
            kills += process.returncode == -signal.SIGKILL
            for path in killed.glob("*tfevents*"):  # as if the kill had come in the middle of a record
                content = path.read_bytes()
                path.write_bytes(content[:-random.randrange(1, 20)])
                torn += 1
            process = start(binary, "--resume", killed)
        finish(process)
        report("killed and resumed", killed, f" ({kills} kills, {torn} records torn)")
        lines = [(run / "metrics.jsonl").read_bytes() for run in (fresh, stopped, killed)]
        if any(line != lines[0] for line in lines):
            failed = True
            print("event files: the journals differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
