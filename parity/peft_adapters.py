"""The LoRA family against PEFT, both ways: an adapter that PEFT made on our
model, and one of ours on PEFT's; states, logits and the gradient of every
trained tensor, fp32, without dropout.

    python parity/peft_adapters.py --dump BINARY
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import peft
import torch
from safetensors.torch import load_file

from models import GRADIENT_TOLERANCE, STATE_TOLERANCE, differences, odd_models, random_batch, states

# PEFT warns of our own keys in adapter_config.json, and of its own pruned AdaLoRAs.
warnings.filterwarnings("ignore", module="peft")
warnings.filterwarnings("ignore", category=FutureWarning)

MODULES = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "output": "attention.output.dense", "ffn_up": "intermediate.dense", "ffn_down": "output.dense",
}
TARGETS = ["query,value", "ffn_down,query", "ffn_up", "output", "query,key,value,output,ffn_up,ffn_down"]

LORA = dict(task_type="SEQ_CLS", r=3, lora_alpha=5, lora_dropout=0.1)
ADALORA = dict(task_type="SEQ_CLS", init_r=5, target_r=2, lora_alpha=5, lora_dropout=0.1, total_step=10, tinit=1, tfinal=2)
CONFIGS = {
    "lora": lambda modules: peft.LoraConfig(target_modules=modules, **LORA),
    "lora, pattern": lambda modules: peft.LoraConfig(
        target_modules=modules, **LORA, rank_pattern={r"layer.1\..*": 2}, alpha_pattern={r"layer.0\..*": 7}),
    "rslora": lambda modules: peft.LoraConfig(target_modules=modules, use_rslora=True, **LORA),
    "dora": lambda modules: peft.LoraConfig(target_modules=modules, use_dora=True, **LORA),
    "adalora": lambda modules: peft.AdaLoraConfig(target_modules=modules, **ADALORA),
    "adalora, pruned": lambda modules: peft.AdaLoraConfig(target_modules=modules, **ADALORA),
    "vera": lambda modules: peft.VeraConfig(target_modules=modules, task_type="SEQ_CLS", r=4),
}


def regex(targets):
    """Whole names, so that output.dense is not attention.output.dense."""
    names = "|".join(MODULES[t].replace(".", r"\.") for t in targets.split(","))
    return rf".*\.layer\.\d+\.({names})"


def trained(model):
    """The trained tensors by the names that they have on disk."""
    named = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            name = name.replace(".modules_to_save.default", "").replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector")
            named[name.replace(".default", "")] = p
    return named


def reference(model, batch):
    tensors = states(model, batch)
    for name, p in trained(model).items():
        tensors["grad." + name] = p.grad
    return {name: t.contiguous() for name, t in tensors.items()}


def prune(model):
    """Leaves the components that a pattern keeps, as PEFT does at the end of AdaLoRA's schedule; the first site keeps none."""
    pattern = {}
    for i, (name, p) in enumerate((n, p) for n, p in model.named_parameters() if "lora_E" in n):
        alive = [i > 0 and (i + j) % 3 > 0 for j in range(len(p))]
        p.data[~torch.tensor(alive)] = 0
        pattern[name.removeprefix("base_model.model.")] = alive
    model.peft_config["default"].rank_pattern = pattern


def states_alone(tensors):
    return {name: t for name, t in tensors.items() if not name.startswith("grad.")}


def ours(dump, folder, batch_file, scratch, *arguments):
    out = scratch / "out.safetensors"
    subprocess.run([dump, "--model", folder, "--batch", batch_file, "--out", out, *arguments], check=True)
    return load_file(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True)
    dump = parser.parse_args().dump
    ok, largest = True, {"state": 0.0, "gradient": 0.0}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for family, model in odd_models().items():
            folder, batch_file = scratch / family, scratch / f"{family}.json"
            model.save_pretrained(folder)
            batch = random_batch(model.config, [5, 17, 1, 9], 3)
            batch_file.write_text(json.dumps(batch))
            fresh = lambda: type(model).from_pretrained(folder, attn_implementation="eager")

            def report(title, got, theirs):
                nonlocal ok
                worst, first = differences(got, theirs)
                for kind in largest:
                    largest[kind] = max(largest[kind], worst[kind][0])
                if first:
                    ok = False
                    print(f"{family}: {title}\n  {first}")

            for method, config in CONFIGS.items():
                for targets in TARGETS:
                    torch.manual_seed(4)
                    theirs = peft.get_peft_model(fresh(), config(regex(targets)))
                    for p in trained(theirs).values():
                        p.data.add_(torch.randn_like(p) * 0.3)
                    if method.endswith("pruned"):
                        prune(theirs)
                    adapter, again = scratch / "theirs", scratch / "again"
                    theirs.save_pretrained(adapter)
                    expected = reference(theirs, batch)
                    got = ours(dump, folder, batch_file, scratch, "--adapter", adapter, "--save-adapter", again)
                    if method.endswith("pruned"):  # in memory PEFT goes on with the full ranks, and their gradients
                        report(f"{method} of PEFT, {targets}", states_alone(got), states_alone(expected))
                    else:
                        report(f"{method} of PEFT, {targets}", got, expected)

                    title, result = f"{method} of PEFT, stored by us, {targets}", again
                    for _ in range(2):
                        back = peft.PeftModel.from_pretrained(fresh(), result, is_trainable=True)
                        report(title, got, reference(back, batch))
                        if "," in method:
                            break
                        title, result = f"{method} of ours, {targets}", scratch / "ours"
                        got = ours(dump, folder, batch_file, scratch, "--method", method, "--targets", targets, "--rank", "2", "--save-adapter", result)
    print(f"PEFT {peft.__version__}, {len(CONFIGS)} methods x {len(TARGETS)} target sets x 2 families, both ways: "
          f"states {largest['state']:.1e}  gradients {largest['gradient']:.1e}")
    print(f"allowed: states {STATE_TOLERANCE:.0e} of the tensor's largest element, gradients {GRADIENT_TOLERANCE:.0e} of the norm")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
