"""What `finetune export` writes against PEFT: every convertible method's adapter,
exported, is a LoRA that PEFT loads on transformers' model with equal states and
logits, fp32, without dropout.

    python parity/export.py --dump BINARY --finetune BINARY
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
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

import models
import reference
from methods import BERT, ROBERTA
from peft_adapters import CONFIGS, TARGETS, prune, regex, trained

# PEFT warns of our own keys in adapter_config.json, and of its own pruned AdaLoRAs.
warnings.filterwarnings("ignore", module="peft")
warnings.filterwarnings("ignore", category=FutureWarning)

METHODS = ["metatt4d", "metatt5d", "lora", "rslora", "vera", "adalora", "cp4d", "cp5d", "lorta", "lotr", "fact-tt", "fact-tk", "loretta-rep", "tt-lora", "tenslora"]
MIXED = [t for t in TARGETS if "ffn_down" in t]  # where a rank for each kind, and module names, are easiest to get wrong
REFUSED = ["dora", "loretta-adp", "full", "bitfit", "head"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True)
    parser.add_argument("--finetune", required=True)
    args = parser.parse_args()
    ok, worst, count, rounded = True, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        torch.manual_seed(11)
        references = {"bert": BertForSequenceClassification(BertConfig(**BERT)), "roberta": RobertaForSequenceClassification(RobertaConfig(**ROBERTA))}
        for family, model in references.items():
            folder, batch_file = scratch / family, scratch / f"{family}.json"
            models.randomised(model, 1).save_pretrained(folder)
            batch = models.random_batch(model.config, [5, 17, 1, 9], 3)
            batch_file.write_text(json.dumps(batch))
            fresh = lambda: type(model).from_pretrained(folder, attn_implementation="eager")
            plain = models.states(fresh(), batch)["logits"]

            def ours(*arguments):
                out = scratch / "out.safetensors"
                subprocess.run([args.dump, "--model", folder, "--batch", batch_file, "--out", out, *arguments], check=True)
                return {n: t for n, t in load_file(out).items() if not n.startswith("grad.")}

            def export(title, adapter, got):
                nonlocal ok, worst, count, rounded
                exported = scratch / "exported"
                shutil.rmtree(exported, ignore_errors=True)
                subprocess.run([args.finetune, "export", adapter, exported, "--model", folder], check=True, stdout=subprocess.DEVNULL)
                loaded = peft.PeftModel.from_pretrained(fresh(), exported, is_trainable=True)
                if loaded.peft_config["default"].peft_type != peft.PeftType.LORA:
                    raise SystemExit(f"{title}: {loaded.peft_config['default'].peft_type} and not LORA")
                theirs = models.states(loaded, batch)
                if (theirs["logits"] - plain).abs().max() < 0.01:
                    raise SystemExit(f"{title}: the adapter does nothing")
                # Both are fp32, and round: where they are further apart than the tolerance, fp64 says who is off. Some of these
                # models amplify a rounding so that PEFT's own is 2e-5 from it.
                found, first = models.differences(got, theirs)
                worst, count = max(worst, found["state"][0]), count + 1
                if first:
                    exact = models.states(loaded.double(), batch)
                    mine, peft_s = (models.differences(side, exact)[0]["state"] for side in (got, theirs))
                    rounded += 1
                    if mine[0] > max(models.STATE_TOLERANCE, peft_s[0]):
                        ok = False
                        print(f"{family}: {title}\n  {first}; from fp64 {mine[0]:.2e} ({mine[1]}), PEFT's {peft_s[0]:.2e}")

            for targets in TARGETS:
                for method in METHODS:
                    adapter = scratch / "ours"
                    export(f"{method}, {targets}", adapter, ours("--method", method, "--targets", targets, "--rank", "2", "--save-adapter", adapter))
                if targets not in MIXED:
                    continue
                for method in ["lora, pattern", "rslora", "vera", "adalora, pruned"]:  # as PEFT wrote them
                    torch.manual_seed(4)
                    theirs, adapter = peft.get_peft_model(fresh(), CONFIGS[method](regex(targets))), scratch / "theirs"
                    for p in trained(theirs).values():
                        p.data.add_(torch.randn_like(p) * 0.3)
                    if method.endswith("pruned"):
                        prune(theirs)
                    theirs.save_pretrained(adapter)
                    export(f"{method} of PEFT, {targets}", adapter, ours("--adapter", adapter))
                for ranks in ([2, 5, 4], [6, 4, 3, 2]):  # MetaTT with bonds of different ranks: a rank for each kind
                    adapter = scratch / "bonds"
                    shutil.rmtree(adapter, ignore_errors=True)
                    reference.start(adapter, folder, targets.split(","), ranks, 1.5, {"MRPC": model.config.num_labels}, 7)
                    export(f"MetaTT of ranks {ranks}, {targets}", adapter, ours("--adapter", adapter))
        for method in REFUSED:
            adapter, out = scratch / "refused", scratch / "none"
            ours("--method", method, "--save-adapter", adapter)
            refused = subprocess.run([args.finetune, "export", adapter, out], capture_output=True, text=True)
            if refused.returncode != 1 or "is no LoRA" not in refused.stderr or out.exists():
                ok = False
                print(f"{method} is not refused: {refused.stderr}")
    print(f"PEFT {peft.__version__} loads {count} exported adapters as LoRA: states {worst:.1e}; {', '.join(REFUSED)} are refused")
    print(f"allowed: states {models.STATE_TOLERANCE:.0e} of the tensor's largest element, or that of fp64, or no further from fp64 than PEFT is ({rounded})")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
