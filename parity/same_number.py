"""One number everywhere: the dev figures that training logs are those of `eval`,
of transformers on the merged model and of PEFT on the export, for every method
on a BERT without pooler, on MiniLM and on a RoBERTa; and of a run that starts
from the adapter with another seed and a rate that moves nothing.

    python parity/same_number.py --finetune BINARY --model DIR --glue DIR --roberta-tokenizer DIR
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import peft
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForMaskedLM

import reference
from export import METHODS, REFUSED
from train_steps import random_roberta

warnings.filterwarnings("ignore", module="peft")

TOLERANCE = 1e-5  # of the dev loss, relative; metrics are equal. Where two fp32 are further apart, fp64 says who is off.
TRAIN_ROWS, DEV_ROWS, MAX_LENGTH = 64, 48, 96
NOT_MERGED = ["loretta-adp"]  # it is nonlinear
TRAINING = [
    "task=mrpc", "model.dtype=fp32", "adapter.rank=2", "train.max_steps=6", "train.batch_size=16", "train.warmup=0",
    "data.cache=false", f"data.max_length={MAX_LENGTH}",
]
RATES = {"full": 1e-3, "bitfit": 1e-2}


def small_glue(folder, glue):
    """The first rows of MRPC."""
    out = folder / "glue" / "MRPC"
    out.mkdir(parents=True)
    for split, rows in (("train", TRAIN_ROWS), ("dev", DEV_ROWS)):
        lines = (Path(glue) / "MRPC" / f"{split}.tsv").read_bytes().split(b"\n")[:rows + 1]
        (out / f"{split}.tsv").write_bytes(b"\n".join(lines) + b"\n")
    return folder / "glue"


def bert_without_pooler(folder, tokenizer):
    """A small random BERT as a masked language model is saved."""
    torch.manual_seed(9)
    BertForMaskedLM(BertConfig(
        vocab_size=30522, hidden_size=60, num_hidden_layers=4, num_attention_heads=5, intermediate_size=120, max_position_embeddings=200,
        initializer_range=0.1,
    )).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (Path(tokenizer) / name).exists():
            shutil.copy(Path(tokenizer) / name, folder)
    return folder


class Check:
    def __init__(self, binary, scratch, name, model, glue):
        self.binary, self.scratch, self.name, self.model, self.glue = binary, scratch, name, model, glue
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.rows = reference.rows(glue, "mrpc", split="dev")
        self.failed, self.worst, self.count, self.judged = False, 0.0, 0, 0

    def finetune(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], cwd=self.scratch, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"finetune {' '.join(map(str, arguments))}\n{done.stderr}")
        return done.stdout

    def figures(self, model):
        """Loss and metrics of the dev rows."""
        model.eval()
        logits = []
        with torch.no_grad():
            for first, second, _ in self.rows:
                logits.append(model(**self.tokenizer(first, second, truncation="longest_first", max_length=MAX_LENGTH, return_tensors="pt")).logits[0])
        logits, labels = torch.stack(logits), torch.tensor([int(row[2]) for row in self.rows])
        said = logits.argmax(-1)
        hits = ((said == 1) & (labels == 1)).sum().item()
        return {
            "loss": torch.nn.functional.cross_entropy(logits, labels).item(),
            "metrics": {"accuracy": (said == labels).float().mean().item(), "f1": 2 * hits / max(1, ((said == 1).sum() + (labels == 1).sum()).item())},
        }

    def compare(self, what, got, want, model=None):
        """model: what made got, which may be asked in fp64; it is of no use afterwards."""
        self.count += 1
        error = abs(got.get("loss", want["loss"]) - want["loss"]) / want["loss"]
        self.worst = max(self.worst, error)
        differ = [k for k, v in want["metrics"].items() if abs((got["metrics"][k] or 0) - (v or 0)) > 1e-6]
        right = error <= TOLERANCE
        if not right and model is not None:
            self.judged += 1
            exact = self.figures(model.double())["loss"]
            ours, theirs = (abs(side["loss"] - exact) / exact for side in (want, got))
            right = ours <= max(TOLERANCE, theirs)
            print(f"{self.name}, {what}: {error:.1e} apart; from fp64 training {ours:.1e}, the other {theirs:.1e}")
        if not right or differ:
            self.failed = True
            print(f"{self.name}, {what}: {got}, training logged {want}")

    def method(self, method):
        run, again = self.scratch / "run", self.scratch / "again"
        merged, exported = self.scratch / "merged", self.scratch / "exported"
        for folder in (run, again, merged, exported):
            shutil.rmtree(folder, ignore_errors=True)
        common = [f"model.path={self.model}", f"data.glue={self.glue}", *TRAINING]
        config = self.scratch / "config.yaml"
        config.write_text("task: mrpc\n")
        self.finetune("train", "-c", config, *common, f"adapter.method={method}", f"train.lr={RATES.get(method, 2e-2)}", f"run.dir={run}")
        logged = last_evaluation(run)
        for which in ("last",):
            e = json.loads(self.finetune("eval", run / "adapter" / which, "--glue", self.glue, "--json", "--dtype", "fp32"))
            self.compare(f"{method}: eval", {"metrics": e["splits"][0]["metrics"]}, logged)
        if method not in NOT_MERGED:
            self.finetune("merge", run / "adapter" / "last", merged)
            model = AutoModelForSequenceClassification.from_pretrained(merged, attn_implementation="eager")
            self.compare(f"{method}: merged, in transformers", self.figures(model), logged, model)
        if method in METHODS or method == "dora":
            folder = run / "adapter" / "last"  # which PEFT loads of its own methods as it is
            if method != "dora":
                self.finetune("export", folder, exported)
                folder = exported
            base = AutoModelForSequenceClassification.from_pretrained(self.model, attn_implementation="eager")
            model = peft.PeftModel.from_pretrained(base, folder)
            self.compare(f"{method}: exported, in PEFT", self.figures(model), logged, model)
        if method != "adalora":  # whose ranks fall in a run
            self.finetune("train", "-c", config, *common, f"adapter.init_from={run / 'adapter' / 'last'}", "train.seed=7", "train.lr=1e-12", f"run.dir={again}")
            self.compare(f"{method}: init_from, another seed, lr 1e-12", last_evaluation(again), logged)


def last_evaluation(run):
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [e for e in events if e["event"] == "eval"][-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--model", required=True, help="folder of MiniLM")
    parser.add_argument("--glue", required=True, help="GLUE folder")
    parser.add_argument("--roberta-tokenizer", default="", help="folder of RoBERTa's tokenizer")
    args = parser.parse_args()
    failed, worst, count, judged = False, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        glue = small_glue(scratch, args.glue)
        backbones = {"BERT without pooler": bert_without_pooler(scratch / "bert", args.model), "MiniLM": Path(args.model)}
        if args.roberta_tokenizer:
            backbones["RoBERTa"] = random_roberta(scratch / "roberta", Path(args.roberta_tokenizer))
        for name, model in backbones.items():
            check = Check(Path(args.finetune).absolute(), scratch, name, model, glue)
            for method in METHODS + REFUSED:
                try:
                    check.method(method)
                except (RuntimeError, KeyError, ValueError) as e:
                    check.failed = True
                    print(f"{name}, {method}: {e}")
            failed, worst, count, judged = failed or check.failed, max(worst, check.worst), count + check.count, judged + check.judged
            print(f"{name}: {check.count} comparisons, the dev loss within {check.worst:.1e}", flush=True)
    print(f"one number everywhere: {count} comparisons, metrics equal, the dev loss within {worst:.1e} (allowed {TOLERANCE:.0e}, or that of fp64, or no further from fp64 than the other is: {judged})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
