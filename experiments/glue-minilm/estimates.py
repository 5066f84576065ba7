"""What a table says of paired runs. Pairs have the seed in common: the order of batches, the dropout and the head's start."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass
class Estimate:
    """A mean, and half of its interval; nan where there is none."""
    mean: float
    half: float
    pairs: int

    @property
    def clear(self):
        """The interval leaves zero out."""
        return abs(self.mean) > self.half

    def __str__(self):
        text = f"{self.mean:+.4f}".replace("-", "−")
        if np.isnan(self.half):
            return text
        text += f" ±{self.half:.4f}"
        return f"**{text}**" if self.clear else text


def quantile(freedom):
    """Student's, of the interval's upper end."""
    return stats.t.ppf((1 + CONFIDENCE) / 2, freedom)


def apart(deviation, freedom, seeds):
    """By what the means of two groups of so many seeds differ before Student's interval leaves zero out."""
    return quantile(freedom) * deviation * np.sqrt(2 / seeds)


def student(values):
    """Mean and half of Student's interval of paired differences."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n == 0:
        return None
    if n == 1:
        return Estimate(values[0], np.nan, 1)
    return Estimate(values.mean(), quantile(n - 1) * values.std(ddof=1) / np.sqrt(n), n)


def pooled(groups):
    """The mean over tasks of their mean differences: each task counts alike and is no sample of tasks; Welch and
    Satterthwaite's degrees of freedom. None unless each task has two pairs."""
    groups = [np.asarray(g, dtype=float) for g in groups]
    if not groups or min(map(len, groups)) < 2:
        return None
    variances = np.array([g.var(ddof=1) / len(g) for g in groups]) / len(groups) ** 2
    total = variances.sum()
    freedom = total**2 / sum(v**2 / (len(g) - 1) for v, g in zip(variances, groups)) if total > 0 else np.inf
    half = quantile(freedom) * np.sqrt(total)
    return Estimate(float(np.mean([g.mean() for g in groups])), float(half), sum(len(g) for g in groups))


def unpaired(one, other):
    """The difference of two groups' means, with Welch's interval."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if min(len(one), len(other)) < 2:
        return None
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(CONFIDENCE)
    return Estimate(float(one.mean() - other.mean()), float(interval.high - interval.low) / 2, min(len(one), len(other)))


def pairs(one, other):
    """The runs of the seeds that both sides have, by seed."""
    ours, theirs = {r.seed: r for r in one}, {r.seed: r for r in other}
    return [(ours[s], theirs[s]) for s in sorted(ours.keys() & theirs.keys())]


def paired(one, other, figure):
    """Differences of a figure over the pairs."""
    return [figure(a) - figure(b) for a, b in pairs(one, other)]


def over_examples(one, other, task):
    """The difference of the best adapters' figures as a mean over dev examples, each of which has its mean over the pairs of
    runs: its interval is what another dev set of that size might have given, for these runs. Of accuracies McNemar's test of
    one pair, but for several, whose errors on an example go together; of a rank correlation the jackknife. None where there
    is nothing to compare."""
    have = [(a.examples[task], b.examples[task]) for a, b in pairs(one, other) if task in a.examples and task in b.examples]
    if not have:
        return None
    return student(np.mean([a - b for a, b in have], axis=0))


def by_seed(one, others, tasks):
    """Of each seed that all sides have, the mean over tasks of the runs' differences; others has a side for each task, whose
    runs are of that task or of all. Runs of several tasks are part of each task's difference, which are not independent."""
    seeds = set.intersection(*({r.seed for r in side} for side in (one, *others)))
    ours, theirs = {r.seed: r for r in one}, [{r.seed: r for r in side} for side in others]
    return [np.mean([ours[s].value(task) - side[s].value(task) for side, task in zip(theirs, tasks)]) for s in sorted(seeds)]
