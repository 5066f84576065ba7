"""Adapter folders as PEFT writes them with every option that says something:
logits after load, after `finetune merge` and after `finetune export` against
PEFT's own, fp32, and what this build refuses by name.

    python parity/peft_files.py --dump BINARY --finetune BINARY
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
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForTokenClassification, BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

import models
from methods import BERT, ROBERTA

warnings.filterwarnings("ignore", module="peft")
warnings.filterwarnings("ignore", category=FutureWarning)
warnings.filterwarnings("ignore", category=UserWarning)

BERT, ROBERTA = {**BERT, "num_hidden_layers": 3}, {**ROBERTA, "num_hidden_layers": 3}
TOLERANCE = 1e-5  # of the largest logit, or of 1
LORA = dict(task_type="SEQ_CLS", r=3, lora_alpha=5, lora_dropout=0.1)
QUERY = ["query", "value"]
ADALORA = dict(task_type="SEQ_CLS", init_r=4, target_r=2, lora_alpha=5, total_step=10, tinit=1, tfinal=2)
lora = lambda **keys: peft.LoraConfig(**{**LORA, "target_modules": QUERY, **keys})
adalora = lambda **keys: peft.AdaLoraConfig(**{**ADALORA, "target_modules": QUERY, **keys})
vera = lambda **keys: peft.VeraConfig(**{"task_type": "SEQ_CLS", "r": 4, "target_modules": QUERY, **keys})

# A name, the configuration, and the families that it makes sense for.
BOTH = ("bert", "roberta")
CASES = [
    ("plain", lora(), BOTH),
    ("layers_to_transform: a list", lora(layers_to_transform=[1, 2]), BOTH),
    ("layers_to_transform: a number", lora(layers_to_transform=1, target_modules=["query", "output.dense"]), BOTH),
    ("layers_pattern", lora(layers_to_transform=[0], layers_pattern="layer"), BOTH),
    ("exclude_modules: names", lora(exclude_modules=["layer.1.attention.self.query"]), BOTH),
    ("exclude_modules: an expression", lora(exclude_modules=r".*layer\.[02].*value"), BOTH),
    ("modules of different layers", lora(target_modules=r".*(layer\.0\..*query|layer\.1\..*value|layer\.2\.intermediate\.dense)"), BOTH),
    ("every dense layer, the pooler's too", lora(target_modules=["dense"]), BOTH),
    ("all-linear", lora(target_modules="all-linear"), ("bert",)),
    ("all-linear, DoRA", lora(target_modules="all-linear", use_dora=True), ("bert",)),
    ("all-linear, rsLoRA", lora(target_modules="all-linear", use_rslora=True), ("bert",)),
    ("pooler, lora_bias", lora(target_modules=["query", "pooler.dense"], lora_bias=True), ("bert",)),
    ("AdaLoRA with the pooler", adalora(target_modules=["query", "dense"]), ("bert",)),
    ("VeRA with the pooler", vera(target_modules=["query", "dense"]), ("bert",)),
    ("modules_to_save: classifier, pooler", lora(modules_to_save=["classifier", "pooler"]), ("bert",)),
    ("modules_to_save: every LayerNorm", lora(modules_to_save=["classifier", "LayerNorm"]), BOTH),
    ("modules_to_save: a whole layer's output", lora(modules_to_save=["classifier", "layer.1.output"]), BOTH),
    ("rank above the smaller side", lora(r=40), BOTH),
    ("lora_bias", lora(lora_bias=True), BOTH),
    ("lora_bias, patterns", lora(lora_bias=True, rank_pattern={"query": 2}, alpha_pattern={"value": 7}), BOTH),
    ("bias: all", lora(bias="all"), BOTH),
    ("bias: all, no task", lora(bias="all", task_type=None), BOTH),
    ("bias: lora_only", lora(bias="lora_only"), BOTH),
    ("bias: all, lora_bias", lora(bias="all", lora_bias=True), BOTH),
    ("bias: all, DoRA", lora(bias="all", use_dora=True), BOTH),
    ("bias: all, AdaLoRA", adalora(bias="all"), BOTH),
    ("bias: vera_only", vera(bias="vera_only"), BOTH),
    ("bias: all, modules_to_save", lora(bias="all", modules_to_save=["classifier", "pooler", "LayerNorm"]), ("bert",)),
    ("bias: all, VeRA, modules_to_save", vera(bias="all", modules_to_save=["classifier", "pooler"]), ("bert",)),
    ("DoRA with rsLoRA's scale", lora(use_dora=True, use_rslora=True), BOTH),
    ("the first of several patterns counts", lora(alpha_pattern={r".*\.query": 3, "self.query": 9, r"layer.1\..*": 4}, rank_pattern={r"layer.0\..*": 2, "query": 4}), BOTH),
    ("the classifier's own layers", lora(task_type=None, target_modules=r".*(query|classifier|classifier\.dense|classifier\.out_proj)", lora_bias=True), ("bert",)),
    ("the classifier's own layers", lora(task_type=None, target_modules=r".*(query|classifier\.dense|classifier\.out_proj)", lora_bias=True), ("roberta",)),
    ("gaussian start", lora(init_lora_weights="gaussian"), BOTH),
    ("AdaLoRA, rank_pattern {}", adalora(rank_pattern={}), BOTH),
    ("AdaLoRA, other weights", adalora(orth_reg_weight=0.3, beta1=0.7, beta2=0.9), BOTH),
    ("VeRA, save_projection false", vera(save_projection=False, projection_prng_key=7), BOTH),
    ("VeRA, save_projection false, mixed shapes", vera(save_projection=False, projection_prng_key=3, target_modules=["query", "intermediate.dense", "output.dense"]), BOTH),
    ("VeRA, layers_to_transform", vera(layers_to_transform=[0, 2]), BOTH),
    ("feature extraction, but a classifier", lora(task_type="FEATURE_EXTRACTION", modules_to_save=["classifier"]), BOTH),
]

# Written by PEFT, then changed as files in the world differ.
STORED = ["F16", "BF16", "F64", "bin", "bin, F16"]

# What is set in the file, or what PEFT is asked for, and a part of the line that refuses it.
REFUSED = [
    (dict(alora_invocation_tokens=[5, 6]), "alora_invocation_tokens"),
    (dict(trainable_token_indices=[3]), "trainable_token_indices"),
    (dict(init_lora_weights="pissa"), "pissa"),
    (dict(init_lora_weights="olora"), "olora"),
    (dict(kasa_config={"beta": 1e-4, "gamma": 1e-3}), "kasa_config"),
    (dict(use_qalora=True), "use_qalora"),
    (dict(layer_replication=[[0, 2], [1, 3]]), "layer_replication"),
    (dict(target_parameters=["experts.weight"]), "target_parameters"),
    (dict(use_rslora="true"), "use_rslora"),
    (dict(lora_bias=1), "lora_bias"),
    (dict(r="3"), "r is"),
    (dict(bias="some"), "bias"),
    (dict(task_type="SEQ_CLASSIFICATION"), "task_type"),
    (dict(peft_type="IA3"), "IA3"),
    (lora(modules_to_save=["classifier", "embeddings"]), "wraps a module inside another one"),
    (lora(target_modules=["query", "word_embeddings"]), "lora_embedding_A changes the model"),
    (dict(rank_pattern={"query": 2.9}), "not a rank"),
]

# What is set in the file and only noted, and a part of the note.
NOTED = [
    (dict(a_key_of_tomorrow={"x": 1}), "a_key_of_tomorrow"),
    (dict(alpha_pattern={"nothing": 3}), "nothing"),
    (dict(bias="all"), "no bias"),
    (dict(task_type="TOKEN_CLS"), "TOKEN_CLS"),
    (dict(target_modules=["query", "value", "key"]), "attention.self.key"),
]


def trained(model):
    return [p for p in model.parameters() if p.requires_grad]


def randomise(model, config):
    with torch.no_grad():
        for p in trained(model):
            p.add_(torch.randn_like(p) * 0.3)


def change(folder, how):
    tensors = load_file(folder / "adapter_model.safetensors")
    for dtype in {"F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}.items():
        if how.endswith(dtype[0]) and not how.endswith("B" + dtype[0]):
            tensors = {n: t.to(dtype[1]) for n, t in tensors.items()}
    if how.startswith("bin"):
        (folder / "adapter_model.safetensors").unlink()
        torch.save(tensors, folder / "adapter_model.bin")
    else:
        save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})


def edit(folder, **keys):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}, indent=2))


class Comparison:
    def __init__(self, args, scratch, family, model):
        self.args, self.scratch, self.family = args, scratch, family
        self.folder, self.batch_file = scratch / family, scratch / f"{family}.json"
        model.save_pretrained(self.folder)
        self.batch = models.random_batch(model.config, [5, 17, 1, 9], 3)
        self.batch_file.write_text(json.dumps(self.batch))
        write_tokenizer(self.folder)
        self.kind = type(model)
        self.ok, self.worst, self.count = True, 0.0, 0

    def fresh(self, kind=None, **keys):
        kind = kind or self.kind
        return kind.from_pretrained(self.folder, attn_implementation="eager", **keys)

    def logits(self, model):
        model.requires_grad_(True)  # for the loss that states takes along
        return models.states(model, self.batch)["logits"]

    def compare(self, title, got, want):
        error = ((got - want).abs().max() / want.abs().max().clamp(min=1)).item()
        self.worst, self.count = max(self.worst, error), self.count + 1
        if not error <= TOLERANCE:
            self.fail(f"{title}: logits differ by {error:.2g}")

    def fail(self, text):
        self.ok = False
        print(f"{self.family}: {text}")

    def run(self, title, *command):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if done.returncode != 0:
            self.fail(f"{title}: {' '.join(str(c) for c in command[1:3])}: {done.stderr.strip()}")
            return None
        return done.stdout + done.stderr

    def ours(self, title, adapter, *more):
        out = self.scratch / "out.safetensors"
        said = self.run(title, self.args.dump, "--model", self.folder, "--batch", self.batch_file, "--out", out, "--adapter", adapter, *more)
        return (None, said) if said is None else (load_file(out)["logits"], said)

    def everywhere(self, title, adapter, want):
        """Loaded, merged, exported, and stored again."""
        again, merged, exported = (self.scratch / n for n in ("again", "merged", "exported"))
        for folder in (again, merged, exported):
            shutil.rmtree(folder, ignore_errors=True)
        got, _ = self.ours(title, adapter, "--save-adapter", again)
        if got is None:
            return
        self.compare(title, got, want)
        self.compare(f"{title}, stored by us, in PEFT", self.logits(peft.PeftModel.from_pretrained(self.fresh(), again)), want)
        got, _ = self.ours(f"{title}, stored by us", again)
        if got is not None:
            self.compare(f"{title}, stored by us", got, want)
        if self.run(f"{title}, merged", self.args.finetune, "merge", adapter, merged, "--model", self.folder) is not None:
            self.compare(f"{title}, merged", self.logits(self.kind.from_pretrained(merged, attn_implementation="eager")), want)
        if "DoRA" in title:
            return
        if self.run(f"{title}, exported", self.args.finetune, "export", adapter, exported, "--model", self.folder) is not None:
            self.compare(f"{title}, exported", self.logits(peft.PeftModel.from_pretrained(self.fresh(), exported)), want)
            got, _ = self.ours(f"{title}, exported", exported)
            if got is not None:
                self.compare(f"{title}, exported, here", got, want)

    def written(self, config, kind=None):
        """A folder that PEFT wrote, and the model that it is of."""
        adapter = self.scratch / "theirs"
        shutil.rmtree(adapter, ignore_errors=True)
        torch.manual_seed(4)
        model = peft.get_peft_model(self.fresh(kind), config)
        randomise(model, config)
        model.save_pretrained(adapter)
        return adapter, model

    def cases(self):
        for title, config, families in CASES:
            if self.family.split("-")[0] not in families:
                continue
            try:
                adapter, model = self.written(config)
                self.everywhere(title, adapter, self.logits(model))
            except Exception as e:
                self.fail(f"{title}: PEFT: {type(e).__name__}: {e}")

    def stored(self):
        for how in STORED:
            adapter, _ = self.written(lora(lora_bias=True))
            change(adapter, how)
            want = self.logits(peft.PeftModel.from_pretrained(self.fresh(), adapter))
            self.everywhere(f"stored as {how}", adapter, want)

    def heads(self):
        """Another head or none: layers load, the checkpoint's head stays."""
        plain = self.fresh()
        for title, kind, modules in (("a bare encoder's", AutoModel, QUERY), ("a bare encoder's dense layers", AutoModel, ["query", "dense"]),
                                     ("a token classifier's", AutoModelForTokenClassification, QUERY)):
            if modules != QUERY and plain.base_model_prefix == "bert":
                continue  # whose pooler is one of the classifier's
            config = lora(task_type="FEATURE_EXTRACTION" if kind is AutoModel else "TOKEN_CLS", target_modules=modules)
            adapter, _ = self.written(config, kind)
            tensors = load_file(adapter / "adapter_model.safetensors")
            model = peft.get_peft_model(self.fresh(), lora(task_type=None, target_modules=r".*encoder.*(" + "|".join(modules) + ")"))
            prefix = f"base_model.model.{plain.base_model_prefix}."
            layers = {}
            for name, t in tensors.items():
                if "encoder." in name:
                    layers[prefix + "encoder." + name.split("encoder.", 1)[1]] = t
            peft.set_peft_model_state_dict(model, layers)
            got, said = self.ours(title, adapter)
            if got is None:
                continue
            self.compare(title, got, self.logits(model))
            if "classifier" not in said:
                self.fail(f"{title}: nothing says where the head is from: {said}")

    def refusals(self):
        for keys, part in REFUSED:
            adapter, _ = self.written(lora() if isinstance(keys, dict) else keys)
            if isinstance(keys, dict):
                edit(adapter, **keys)
            done = subprocess.run([self.args.finetune, "export", adapter, self.scratch / "none", "--model", self.folder], capture_output=True, text=True)
            if done.returncode != 1 or part not in done.stderr or done.stderr.count("\n") != 1 or (self.scratch / "none").exists():
                self.fail(f"{keys} is not refused in one line: {done.stderr}")
        for keys, part in NOTED:
            adapter, _ = self.written(lora())
            edit(adapter, **keys)
            got, said = self.ours(str(keys), adapter)
            if got is not None and part not in said:
                self.fail(f"{keys}: no note: {said}")


def write_tokenizer(folder):
    """Files that `merge` copies; nothing is tokenized here."""
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True)
    parser.add_argument("--finetune", required=True)
    args = parser.parse_args()
    ok, worst, count = True, 0.0, 0
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(11)
        for family, model in {"bert": BertForSequenceClassification(BertConfig(**BERT)), "roberta": RobertaForSequenceClassification(RobertaConfig(**ROBERTA))}.items():
            c = Comparison(args, Path(scratch), family, models.randomised(model, 1))
            c.cases()
            c.stored()
            c.heads()
            c.refusals()
            ok, worst, count = ok and c.ok, max(worst, c.worst), count + c.count
    print(f"PEFT {peft.__version__}: {len(CASES)} configurations, {len(STORED)} ways to store, heads, {len(REFUSED)} refusals, {len(NOTED)} notes; "
          f"{count} comparisons, logits {worst:.1e} (allowed {TOLERANCE:.0e})")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
