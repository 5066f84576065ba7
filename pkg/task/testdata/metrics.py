"""Writes metrics.json: what scikit-learn and scipy make of small evaluations.

    python metrics.py > metrics.json     (numpy, scipy, scikit-learn)
"""
import json
import math
import warnings

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

warnings.simplefilter("ignore")
random = np.random.default_rng(20)
cases = []


def classification(name, task, gold, logits):
    logits = np.asarray(logits, np.float32)
    predicted = logits.argmax(1)  # the first of equals
    metrics = {"accuracy": accuracy_score(gold, predicted), "matthews": matthews_corrcoef(gold, predicted),
               "macro_f1": f1_score(gold, predicted, average="macro", zero_division=0)}
    if logits.shape[1] == 2:
        metrics["f1"] = f1_score(gold, predicted, zero_division=0)
    cases.append({"name": name, "task": task, "gold": [float(g) for g in gold], "classes": logits.shape[1],
                  "logits": logits.ravel().tolist(), "metrics": {k: float(v) for k, v in metrics.items()}})


def regression(name, gold, logits):
    logits = np.asarray(logits, np.float32)
    metrics = {"pearson": math.nan, "spearman": math.nan}
    if len(gold) > 1:
        metrics = {"pearson": pearsonr(gold, logits.astype(float))[0], "spearman": spearmanr(gold, logits)[0]}
    cases.append({"name": name, "task": "STS-B", "gold": [float(g) for g in gold], "classes": 1,
                  "logits": logits.tolist(),
                  "metrics": {k: None if math.isnan(v) else float(v) for k, v in metrics.items()}})


def coarse(*shape):
    """Normal numbers on a grid of quarters, so that many are equal."""
    return np.round(random.normal(size=shape) * 4) / 4


for n in (1, 2, 7, 131):
    for task, classes in (("CoLA", 2), ("MRPC", 2), ("MNLI", 3), ("AX", 3)):
        classification(f"{task} {n}", task, random.integers(0, classes, n), coarse(n, classes))
for task in ("CoLA", "MRPC"):
    classification(f"{task} one class predicted", task, [0, 1, 1, 0, 1], [[1, 0]] * 5)
    classification(f"{task} one class gold", task, [0] * 5, coarse(5, 2))
    classification(f"{task} one class both", task, [1] * 5, [[0, 1]] * 5)
    classification(f"{task} all wrong", task, [0, 1, 0, 1], [[0, 1], [1, 0], [0, 1], [1, 0]])
    classification(f"{task} all right", task, [0, 1, 0, 1], [[1, 0], [0, 1], [1, 0], [0, 1]])
classification("AX one class predicted", "AX", [0, 1, 2, 2], [[0, 0, 0]] * 4)
classification("AX a class never gold", "AX", [0, 1, 1, 0, 1], coarse(5, 3))

for n in (2, 3, 8, 211):
    gold = np.clip(np.round((2.5 + 1.5 * random.normal(size=n)) * 4) / 4, 0, 5)
    regression(f"STS-B {n} with ties", gold, gold / 2 + coarse(n))
    regression(f"STS-B {n}", 5 * random.random(n), random.normal(size=n))
regression("STS-B one example", [2.5], [1.0])
regression("STS-B constant prediction", [1, 2, 3], [0.1, 0.1, 0.1])
regression("STS-B constant gold", [0.1, 0.1, 0.1], [1, 2, 3])
regression("STS-B far from zero", [1, 2, 3, 2.5], [1e6, 1e6 + 1, 1e6 + 2, 1e6 + 0.5])
regression("STS-B huge", [1, 2, 3, 2.5], [-3e38, 1e38, 3e38, 0])
regression("STS-B tiny", [1, 2, 3, 2.5], [1e-45, 0, 3e-45, 7e-45])
regression("STS-B reversed", [1, 2, 3, 4], [4, 3, 2, 1])

print(json.dumps(cases, indent=0))
