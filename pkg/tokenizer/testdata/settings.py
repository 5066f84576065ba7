#!/usr/bin/env python3
"""Makes settings.json: folders with one setting each, and what transformers' AutoTokenizer makes of a text and a pair.

    python pkg/tokenizer/testdata/settings.py
"""
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, os.path.join(HERE, "..", "parity"))
import options  # noqa: E402

TEXTS = ["a [unused5] b Hello Wörld  [MASK]  b <mask>  new NEW <ent> qq zz cat 一", "HELLO wörld [SEP]x"]


def main():
    options.PAIRS, options.LENGTHS = [(TEXTS[0],), tuple(TEXTS)], (512, 12)
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL + 1)
    sys.stdin = open(os.devnull)
    lines = [json.dumps({"texts": TEXTS, "lengths": options.LENGTHS})]
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, kind, files) in enumerate(options.folders()):
            vocab = files["tokenizer.json"]["model"]["vocab"] if "tokenizer.json" in files else files.get("vocab.json") or files["vocab.txt"].split()
            lines.append(json.dumps({"folder": name, "files": {**files, "config.json": {"model_type": kind}}}))
            for i, chosen in enumerate([[], *([o] for o in options.options(kind, len(vocab)))]):
                if chosen and chosen[0][1] == "auto_map":
                    continue
                path = os.path.join(scratch, f"{number}-{i}")
                options.write(path, kind, files, chosen)
                rows, error = options.reference(path)
                if error is None:
                    lines.append(json.dumps({"setting": chosen, "rows": rows}))
    with open(os.path.join(HERE, "settings.json"), "w") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
