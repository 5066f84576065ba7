"""One run of the project or of the peer, in a process of its own, and what it took.

A record has samples_s and step_s (median) of the steps that count, eval_samples_s, peak_bytes of the whole process (and
device_peak_bytes on a GPU) and start_s from the process's start to the end of its first step; the peer's also the tokens
of the steps that count.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).parent

# What is run: task and model (a folder), the GLUE folder with the rows, precision (fp32, bf16, tf32) and method, steps of
# which the first warmup do not count, examples of the dev set, and how many threads (0: libtorch's choice).
Work = namedtuple("Work", "model glue task precision method steps warmup dev batch max_length threads device", defaults=[32, 128, 0, "cpu"])


class Failed(Exception):
    """A side's process failed; the text is the last that it said."""


def project(finetune, work, limit=None, more=()):
    """One run of `finetune train`: the end of each step is when its line is printed. On a GPU lines come late; there the
    run's own timings count, which have an evaluation every work.warmup steps. More than limit seconds is a failure; more are further keys."""
    cuda = work.device != "cpu"
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        config = Path(scratch) / "run.yaml"
        config.write_text(f"task: {work.task}\n")
        command = [
            finetune, "train", "-c", config, f"model.path={work.model}", f"model.dtype={work.precision}", f"data.glue={work.glue}",
            "data.shuffle=false", f"data.max_length={work.max_length}", f"adapter.method={work.method}", "adapter.rank=8",
            f"train.max_steps={work.steps}", f"train.batch_size={work.batch}", "train.checkpoint_every=never",
            f"train.eval_every={work.warmup if cuda else work.steps}", f"run.dir={run}", "run.log_every=1",
            f"threads={work.threads}", f"device={work.device}", *(["adapter.alpha=8"] if work.method == "lora" else []), *more,
        ]
        began = time.perf_counter()
        ends, said = watch(command, r"step +(\d+)/", limit)
        if len(ends) != work.steps:
            raise Failed(f"{len(ends)} lines of {work.steps} steps; the last line was {said[-1:]}")
        summary = json.loads((run / "summary.json").read_text())
        laps = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
        laps = [lap for lap in laps if lap["event"] == "eval"]
    window = ends[-1] - ends[work.warmup - 1]
    record = {
        "side": "project", "start_s": ends[0] - began, "peak_bytes": summary["peak_bytes"], "eval_samples_s": work.dev / laps[-1]["eval_seconds"],
        "window_s": laps[-1]["seconds"] if cuda else window,
        "samples_s": laps[-1]["samples_per_second"] if cuda else work.batch * (work.steps - work.warmup) / window,
    }
    if cuda:
        record["first_samples_s"] = laps[0]["samples_per_second"]
    else:
        record["step_s"] = statistics.median(b - a for a, b in zip(ends[work.warmup - 1:], ends[work.warmup:]))
    return record


def peer(python, work, precision, compiled="", evaluations=1, limit=None):
    """One run of bench/peer.py; compiled is a mode of torch.compile."""
    command = [
        python, HERE / "peer.py", "--model", work.model, "--glue", work.glue, "--task", work.task, "--precision", precision,
        "--steps", work.steps, "--warmup", work.warmup, "--batch", work.batch, "--max-length", work.max_length,
        "--threads", work.threads, "--device", work.device, "--evaluations", evaluations, "--compile", compiled,
    ]
    began = time.perf_counter()
    ends, said = watch(command, r"step 1$", limit)
    record = json.loads(next(line for line in reversed(said) if line.startswith("{")))
    record.update(
        side="peer", precision=precision, compiled=compiled, start_s=ends[0] - began, tokens=sum(record["lengths"]),
        samples_s=len(record["lengths"]) / record["window_s"], first_samples_s=work.batch * work.warmup / record["first_steps_s"],
        step_s=statistics.median(record["step_s"]) if record["step_s"] else None,
        eval_samples_s=record["eval_examples"] / record["eval_s"] if record["eval_s"] else None,
    )
    for name in "lengths", "first_steps_s", "eval_s", "eval_examples":
        del record[name]
    return record


def watch(command, pattern, limit):
    """When lines that begin with pattern came, and all lines."""
    ends, lines = [], []
    name = " ".join(Path(str(word)).name for word in command[:2])
    process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        env={**os.environ, "TERM": "dumb", "PYTHONWARNINGS": "ignore"})
    timer = threading.Timer(limit, process.kill) if limit else None
    try:
        if timer:
            timer.start()
        for line in process.stdout:
            if re.match(pattern, line):
                ends.append(time.perf_counter())
            lines.append(line.rstrip("\n"))
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
        if timer:
            late = not timer.is_alive() and process.returncode < 0
            timer.cancel()
    if timer and late:
        raise Failed(f"{name}: not done after {limit:.0f} s; the last line was {lines[-1:]}")
    if process.returncode:
        raise Failed(f"{name}: exit code {process.returncode}: {' '.join(lines[-1:])[:300]}")
    return ends, lines
