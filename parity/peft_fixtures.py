"""Write the committed adapter folders of PEFT's that the Go tests put on the
tiny BERT, with PEFT's logits of four pairs of sentences.

    python parity/peft_fixtures.py pkg/run/testdata
"""

import json
import shutil
import sys
from pathlib import Path

import peft
import torch
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer, BertForSequenceClassification

from peft_files import CASES, change, edit, lora, randomise

NAMES = {
    "layers": "layers_to_transform: a list", "layer-pattern": "layers_pattern", "exclude": "exclude_modules: an expression",
    "scattered": "modules of different layers", "dense": "every dense layer, the pooler's too", "dense-dora": "all-linear, DoRA",
    "dense-adalora": "AdaLoRA with the pooler", "dense-vera": "VeRA with the pooler", "pooler": "modules_to_save: classifier, pooler",
    "norms": "modules_to_save: every LayerNorm", "high-rank": "rank above the smaller side", "lora-bias": "lora_bias, patterns",
    "bias-all": "bias: all, lora_bias", "bias-dora": "bias: all, DoRA", "bias-vera": "bias: vera_only", "dora-rslora": "DoRA with rsLoRA's scale",
    "pattern-order": "the first of several patterns counts", "adalora-empty": "AdaLoRA, rank_pattern {}",
    "vera-drawn": "VeRA, save_projection false, mixed shapes",
}
STORED = {"f16": "F16", "bf16": "BF16", "f64": "F64", "bin": "bin, F16"}
PAIRS = [("the king sees a cat .", "a cat sees the king ."), ("the old ship finds the stone .", "the old ship often finds the stone , never south ."),
         ("a red bell .", "the river"), ("the", "north and not south")]


def main(out):
    base, out = Path(out) / "tiny-bert", Path(out) / "peft"
    shutil.rmtree(out, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(base)
    fresh = lambda kind=BertForSequenceClassification: kind.from_pretrained(base, attn_implementation="eager")
    expected = {}

    def logits(model):
        model.eval()
        with torch.no_grad():
            return [model(**tokenizer(*pair, return_tensors="pt")).logits[0].tolist() for pair in PAIRS]

    def write(name, config, kind=BertForSequenceClassification):
        torch.manual_seed(4)
        model = peft.get_peft_model(fresh(kind), config)
        randomise(model, config)
        model.save_pretrained(out / name)
        (out / name / "README.md").unlink()
        edit(out / name, base_model_name_or_path=None)
        return model

    cases = {title: config for title, config, _ in CASES}
    for name, title in NAMES.items():
        expected[name] = logits(write(name, cases[title]))
    for name, how in STORED.items():
        write(name, lora())
        change(out / name, how)
        expected[name] = logits(peft.PeftModel.from_pretrained(fresh(), out / name))
    # Of other models only the layers are used, under the checkpoint's head.
    for name, kind, task in (("bare", AutoModel, "FEATURE_EXTRACTION"), ("tokens", AutoModelForTokenClassification, "TOKEN_CLS")):
        theirs = write(name, lora(task_type=task), kind)
        layers = {k.replace("model.encoder", "model.bert.encoder"): v for k, v in peft.get_peft_model_state_dict(theirs).items() if "encoder" in k}
        model = peft.get_peft_model(fresh(), lora(task_type=None))
        peft.set_peft_model_state_dict(model, layers)
        expected[name] = logits(model)
    (out / "expected.json").write_text(json.dumps({"pairs": PAIRS, "logits": expected}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
