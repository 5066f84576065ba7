"""The rows that both sides train on: a GLUE folder of one task whose training file is in the order of the batches."""

import random
from pathlib import Path

# Of each task: GLUE's folder, whether its files have a header, the columns of the text, of the second text (None: there
# is none) and of the label.
TASKS = {"mrpc": ("MRPC", True, 3, 4, 0), "cola": ("CoLA", False, 3, None, 1)}
SEED = 42


def write(folder, glue, task, dev=None):
    """Writes task's files to a new GLUE folder: the training rows shuffled, so many rows for the dev set (None: its own; of
    more than it has, training rows too). The project trains them with data.shuffle=false, the peer reads them as they stand.
    Returns how many dev rows there are."""
    name, header, *_ = TASKS[task]
    folder = Path(folder)
    (folder / name).mkdir(parents=True)
    training = []
    for split in "train", "dev":
        lines = (Path(glue) / name / f"{split}.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
        head, rows = (lines[:1], lines[1:]) if header else ([], lines)
        if split == "train":
            random.Random(SEED).shuffle(rows)
            training = rows
        elif dev:
            rows = (rows + training)[:dev]
        (folder / name / f"{split}.tsv").write_text("".join(head + rows), encoding="utf-8")
    return len(rows)


def read(glue, task, split):
    """The texts, the second texts (None: there are none) and the labels of a split."""
    name, header, text, pair, label = TASKS[task]
    lines = (Path(glue) / name / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[int(header):]
    rows = [line.split("\t") for line in lines]
    return [r[text] for r in rows], [r[pair] for r in rows] if pair is not None else None, [int(r[label]) for r in rows]
