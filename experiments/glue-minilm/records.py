"""The committed records of the study: an archive of each question, as `finetune experiment --records` writes it but
without predictions (they hold GLUE's labels), and beside it what each dev example adds to the figure of a run's best adapter."""

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
from scipy import stats

HERE = Path(__file__).parent
PREDICTIONS = "predictions.jsonl"


@dataclass
class Run:
    name: str  # of its folder; those that judged for a choice begin with choose/
    files: dict = field(repr=False)
    examples: dict = field(default_factory=dict)  # of each task, what each dev example adds to the best adapter's figure, whose mean they have

    @cached_property
    def asked(self):
        """What was asked of it: the values of its keys, by their names with dots."""
        return flat(self.files["requested.yaml"])

    @cached_property
    def init(self):
        """How its cores began; empty of methods without."""
        return flat(self.files["config.yaml"])["adapter.init"]

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
        if task not in (None, *self.tasks):
            raise ValueError(f"{self.name} has no {task}")
        if len(self.tasks) == 1:
            return undefined(self.evaluation["metrics"].get(MAIN[self.tasks[0]]))
        values = {canonical(t["task"]): undefined(t["metrics"].get(MAIN[canonical(t["task"])])) for t in self.evaluation["tasks"]}
        return values[task] if task else float(np.mean(list(values.values())))

    @property
    def collapsed(self):
        """It ended with next to nothing: one class for all, or a correlation that means nothing."""
        of = self.evaluation.get("tasks", [self.evaluation])
        return any("one_class" in t for t in of) or any(MAIN[t] == "spearman" and self.value(t) < 0.5 for t in self.tasks)

    @property
    def loss(self):
        """Mean loss over the dev set at the last evaluation."""
        return self.evaluation["loss"]

    @property
    def parameters(self):
        return self.summary["adapter_parameters"]


def flat(text):
    def pairs(value, prefix=""):
        if isinstance(value, dict) and value:
            for key, part in value.items():
                yield from pairs(part, f"{prefix}.{key}" if prefix else key)
        else:
            yield prefix, number(value)
    return dict(pairs(yaml.safe_load(text)))


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


def ended(files):
    """Whether a record is of a run that came to its end, and was not interrupted."""
    return "summary.json" in files and not json.loads(files["summary.json"]).get("interrupted", False)


def read(question):
    """The runs of a question that have ended; none where it has no records yet."""
    archive = HERE / "records" / f"{question}.tar.gz"
    if not archive.exists():
        return []
    beside = HERE / "records" / f"{question}.examples.json"
    examples = json.loads(beside.read_text()) if beside.exists() else {}
    runs = []
    for name, files in members(archive.read_bytes()).items():
        if ended(files):
            runs.append(Run(name, files, {task: unpack(*packed) for task, packed in examples.get(key(files), {}).items()}))
    return runs


def unpack(kind, count, text):
    content = base64.b64decode(text)
    if kind == "bits":
        return np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=count).astype(float)
    return np.frombuffer(content, dtype="<f2").astype(float)


def of_examples(predictions):
    """Of each task what its dev examples add: of an accuracy a bit, whether it is right; of a rank correlation the
    jackknife's pseudo-value, n ρ - (n - 1) ρ without it."""
    right, scores = {}, {}
    for line in predictions.splitlines():
        p = json.loads(line)
        if "label" in p:
            right.setdefault(canonical(p["task"]), []).append(p["label"] == p["predicted"])
        else:
            scores.setdefault(canonical(p["task"]), []).append((p["score"], p["predicted_score"]))
    made = {task: ["bits", len(bits), text(np.packbits(bits))] for task, bits in right.items()}
    return made | {task: ["float16", len(pairs), text(pseudo_values(*np.transpose(pairs)).astype("<f2"))] for task, pairs in scores.items()}


def text(array):
    return base64.b64encode(array.tobytes()).decode()


def pseudo_values(one, other):
    """Of Spearman's correlation; zero where there is none."""
    def correlation(keep):
        ranks = stats.rankdata(one[keep]), stats.rankdata(other[keep])
        return np.corrcoef(*ranks)[0, 1] if np.ptp(ranks[0]) > 0 and np.ptp(ranks[1]) > 0 else 0.0
    n, every = len(one), np.ones(len(one), dtype=bool)
    whole, values = correlation(every), np.empty(n)
    for i in range(n):
        every[i] = False
        values[i] = n * whole - (n - 1) * correlation(every)
        every[i] = True
    return values


def key(files):
    """A run by what was asked of it: folders are named anew where records are taken elsewhere."""
    return hashlib.sha256(files["requested.yaml"].encode()).hexdigest()[:16]


def keep(finetune, question, drop=False):
    """Writes the records of the question's runs that have ended. Those that were taken from here have no predictions any
    more; what was made of these stays. Runs that are here and are not at hand must be taken first, or be meant to drop."""
    (HERE / "records").mkdir(exist_ok=True)
    archive, beside = HERE / "records" / f"{question}.tar.gz", HERE / "records" / f"{question}.examples.json"
    before = json.loads(beside.read_text()) if beside.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "records.tar.gz"
        subprocess.run([finetune, "experiment", "-c", HERE / f"{question}.yaml", "--records", fresh], check=True, stdout=subprocess.DEVNULL)
        every = members(fresh.read_bytes())
    runs = {name: files for name, files in every.items() if ended(files)}
    for name in sorted(every.keys() - runs.keys()):
        print(f"{question}: {name} has not ended and is left out: {', '.join(sorted(every[name]))}", file=sys.stderr)
    if not runs:
        return
    at_hand = {key(files) for files in runs.values()}
    lost = [r.name for r in read(question) if key(r.files) not in at_hand]
    if lost and not drop:
        sys.exit(f"{question}: {len(lost)} runs with records here are none of those at hand, such as {lost[0]}: "
                 f"finetune experiment -c {HERE / question}.yaml --take {archive} brings them; --drop leaves them out")
    examples = {}
    for files in runs.values():
        predictions, run = files.pop(PREDICTIONS, None), key(files)
        if run in before:
            examples[run] = before[run]
        elif predictions is not None:
            examples[run] = of_examples(predictions)
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=9) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name in sorted(runs):
            for file, content in sorted(runs[name].items()):
                info = tarfile.TarInfo(f"{name}/{file}")
                info.size = len(content.encode())
                tar.addfile(info, io.BytesIO(content.encode()))
    replace(beside, (json.dumps(dict(sorted(examples.items())), indent=0) + "\n").encode())
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
