"""Writes rows.golden: how Python's csv module reads every file of a GLUE folder.

    python rows.py GLUE_FOLDER > rows.golden

A line holds task, split, the SHA-256 of the file, its examples and the SHA-256
of their fields (ID, first text, second text, label or score), so that the files
themselves need not be here. Empty lines are no rows, as in GLUE's own readers.
"""
import csv
import hashlib
import pathlib
import sys

csv.field_size_limit(1 << 30)
PAIR = ("sentence1", "sentence2")
COLUMNS = {  # folder: texts, label
    "CoLA": (("sentence",), "label"),
    "SST-2": (("sentence",), "label"),
    "MRPC": (("#1 String", "#2 String"), "Quality"),
    "STS-B": (PAIR, "score"),
    "QQP": (("question1", "question2"), "is_duplicate"),
    "MNLI": (PAIR, "gold_label"),
    "QNLI": (("question", "sentence"), "label"),
    "RTE": (PAIR, "label"),
    "WNLI": (PAIR, "label"),
    "diagnostic": (PAIR, "label"),
}
SPLITS = {"dev_matched": "dev", "test_matched": "test", "diagnostic": "test"}

for folder, (texts, label) in COLUMNS.items():
    for path in sorted(pathlib.Path(sys.argv[1], folder).glob("*.tsv")):
        content = path.read_bytes()
        names = None
        if folder == "CoLA" and path.stem != "test":
            names = ["source", "label", "judgement", "sentence"]
        fields, rows = hashlib.sha256(), 0
        with open(path, encoding="utf-8-sig", errors="replace", newline="\n") as file:
            for row in csv.DictReader(file, names, delimiter="\t", quoting=csv.QUOTE_NONE):
                assert None not in row and None not in row.values(), (path, rows)
                gold = row.get(label, "")
                if folder == "STS-B" and gold:
                    gold = "%.17e" % float(gold)
                pair = row[texts[1]] if len(texts) > 1 else ""
                number = row.get("index", row.get("id", str(rows)))
                fields.update("\t".join((number, row[texts[0]], pair, gold)).encode() + b"\n")
                rows += 1
        task = "AX" if folder == "diagnostic" else folder
        print(task, SPLITS.get(path.stem, path.stem), hashlib.sha256(content).hexdigest(), rows, fields.hexdigest())
