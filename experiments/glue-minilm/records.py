"""The committed records of the study: an archive of each question, as `finetune experiment --records` writes it but
without predictions (they hold GLUE's labels), and beside it which dev examples each run's best adapter has right."""

import base64
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml

HERE = Path(__file__).parent
PREDICTIONS = "predictions.jsonl"


@dataclass
class Run:
    name: str  # of its folder; those that judged for a choice begin with choose/
    files: dict = field(repr=False)
    right: dict = field(default_factory=dict)  # of each classification, an array of booleans over its dev set

    @cached_property
    def asked(self):
        """What was asked of it: the values of its keys, by their names with dots."""
        def flat(value, prefix=""):
            if isinstance(value, dict) and value:
                for key, part in value.items():
                    yield from flat(part, f"{prefix}.{key}" if prefix else key)
            else:
                yield prefix, number(value)
        return dict(flat(yaml.safe_load(self.files["requested.yaml"])))

    @cached_property
    def summary(self):
        return json.loads(self.files["summary.json"])

    def events(self, kind, file="metrics.jsonl"):
        return [event for event in map(json.loads, self.files[file].splitlines()) if event["event"] == kind]

    def __getitem__(self, key):
        return self.asked[key]

    @property
    def judges(self):
        return self.name.startswith("choose/")

    @property
    def seed(self):
        return self["train.seed"]

    @property
    def lr(self):
        """The rate of what the method trains: of the head alone its own."""
        return self["train.head_lr" if self["adapter.method"] == "head" else "train.lr"]

    @property
    def tasks(self):
        return self["task"] if isinstance(self["task"], list) else [self["task"]]

    @cached_property
    def evaluation(self):
        """The last evaluation of the dev set: the best is the best of more evaluations where ranks stay than where they fall."""
        return self.events("eval")[-1]

    def value(self, task=None):
        """The main metric at the last evaluation; of several tasks the one's, or the mean of all."""
        if len(self.tasks) == 1:
            return undefined(self.evaluation["metrics"].get(MAIN[self.tasks[0]]))
        values = {canonical(t["task"]): undefined(t["metrics"].get(MAIN[canonical(t["task"])])) for t in self.evaluation["tasks"]}
        return values[task] if task else float(np.mean(list(values.values())))

    @property
    def loss(self):
        """Mean loss over the dev set at the last evaluation."""
        return self.evaluation["loss"]

    @property
    def parameters(self):
        return self.summary["adapter_parameters"]


def number(value):
    """YAML 1.2's numbers: PyYAML takes 1e-05 for a text."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+", value):
        return float(value)
    return value


def undefined(value):
    """A correlation with a constant is nothing learned."""
    return 0.0 if value is None else float(value)


def canonical(task):
    return task.lower().replace("-", "")


MAIN = {"stsb": "spearman", "mrpc": "accuracy", "sst2": "accuracy", "qnli": "accuracy", "rte": "accuracy", "cola": "matthews"}
NAMES = {"stsb": "STS-B", "mrpc": "MRPC", "sst2": "SST-2", "qnli": "QNLI", "rte": "RTE", "cola": "CoLA"}


def members(archive):
    """The files of each run in an archive, but for those of runs that have failed."""
    runs = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            folder, _, name = member.name.rpartition("/")
            runs.setdefault(folder, {})[name] = tar.extractfile(member).read().decode()
    return runs


def read(question):
    """The runs of a question that have ended; none where it has no records yet."""
    archive = HERE / "records" / f"{question}.tar.gz"
    if not archive.exists():
        return []
    right = json.loads((HERE / "records" / f"{question}.right.json").read_text())
    runs = []
    for name, files in members(archive.read_bytes()).items():
        if "summary.json" in files:
            runs.append(Run(name, files, {task: unpack(*packed) for task, packed in right.get(key(files), {}).items()}))
    return runs


def unpack(count, text):
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8), count=count).astype(bool)


def right_examples(predictions):
    """Of each classification, how many examples, and the packed bits of those that are right."""
    tasks = {}
    for line in predictions.splitlines():
        p = json.loads(line)
        if "label" in p:
            tasks.setdefault(canonical(p["task"]), []).append(p["label"] == p["predicted"])
    return {task: [len(bits), base64.b64encode(np.packbits(bits).tobytes()).decode()] for task, bits in tasks.items()}


def key(files):
    """A run by what was asked of it: folders are named anew where records are taken elsewhere."""
    return hashlib.sha256(files["requested.yaml"].encode()).hexdigest()[:16]


def keep(finetune, question, drop=False):
    """Writes the records of the question's runs that have ended. Those that were taken from here have no predictions any
    more; what was made of these stays. Runs that are here and are not at hand must be taken first, or be meant to drop."""
    (HERE / "records").mkdir(exist_ok=True)
    archive, beside = HERE / "records" / f"{question}.tar.gz", HERE / "records" / f"{question}.right.json"
    before = json.loads(beside.read_text()) if beside.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "records.tar.gz"
        subprocess.run([finetune, "experiment", "-c", HERE / f"{question}.yaml", "--records", fresh], check=True, stdout=subprocess.DEVNULL)
        runs = {name: files for name, files in members(fresh.read_bytes()).items() if "summary.json" in files}
    if not runs:
        return
    at_hand = {key(files) for files in runs.values()}
    lost = [r.name for r in read(question) if key(r.files) not in at_hand]
    if lost and not drop:
        sys.exit(f"{question}: {len(lost)} runs with records here are none of those at hand, such as {lost[0]}: "
                 f"finetune experiment -c {HERE / question}.yaml --take {archive} brings them; --drop leaves them out")
    right = {}
    for files in runs.values():
        predictions = files.pop(PREDICTIONS, None)
        if predictions is not None:
            right[key(files)] = right_examples(predictions)
        elif key(files) in before:
            right[key(files)] = before[key(files)]
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=9) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name in sorted(runs):
            for file, text in sorted(runs[name].items()):
                info = tarfile.TarInfo(f"{name}/{file}")
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
    replace(beside, (json.dumps(dict(sorted(right.items())), indent=0) + "\n").encode())
    replace(archive, out.getvalue())
    print(f"{question}: {len(runs)} runs, {len(out.getvalue()) / 1e6:.1f} MB")


def replace(path, content):
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)


if __name__ == "__main__":
    arguments = [a for a in sys.argv[2:] if a != "--drop"]
    for name in arguments or sorted(p.stem for p in HERE.glob("*.yaml") if p.stem != "common"):
        keep(sys.argv[1], name, drop="--drop" in sys.argv)
