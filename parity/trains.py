"""Tensor-train algebra and sweeps in NumPy, from their definitions and on dense tensors, as fixtures of pkg/dmrg.

    python parity/trains.py pkg/dmrg/testdata/numpy.json
"""

import json
import sys

import numpy as np

CASES = [
    ([5, 9], [3], 2),
    ([11, 1, 3, 7], [4, 3, 5], 2),
    ([13, 3, 2, 13], [4, 5, 6], 3),
    ([7, 4, 3, 2, 5], [6, 3, 4, 2], 2),
]


def dense(cores):
    x = np.ones((1, 1))
    for g in cores:
        x = np.tensordot(x, g, 1).reshape(-1, g.shape[2])
    return x.reshape([g.shape[1] for g in cores])


def unfolding(x, b):
    return x.reshape(int(np.prod(x.shape[: b + 1])), -1)


def tt_svd(x, rank):
    """Oseledets 2011, algorithm 1: one truncated SVD of the dense tensor after the other."""
    rest, left, cores, discarded = x.reshape(1, -1), 1, [], []
    for n in x.shape[:-1]:
        u, s, vt = np.linalg.svd(rest.reshape(left * n, -1), full_matrices=False)
        k = min(rank, len(s))
        discarded.append(float(np.sum(s[k:] ** 2)))
        cores.append(u[:, :k].reshape(left, n, k))
        rest, left = s[:k, None] * vt[:k], k
    return cores + [rest.reshape(left, x.shape[-1], 1)], discarded


def paper(cores, rank):
    """Algorithm 1 of arXiv 2506.09105: each merged pair is formed and decomposed, to the right and back."""
    cores, discarded = [g.copy() for g in cores], [0.0] * (len(cores) - 1)
    d = len(cores)
    for b, right in [(b, True) for b in range(d - 1)] + [(b, False) for b in reversed(range(d - 1))]:
        g, h = cores[b], cores[b + 1]
        pair = np.tensordot(g, h, 1).reshape(g.shape[0] * g.shape[1], -1)
        u, s, vt = np.linalg.svd(pair, full_matrices=False)
        s, k = s[: g.shape[2]], min(rank, g.shape[2], len(s))  # a pair has no more than its bond's rank
        discarded[b] += float(np.sum(s[k:] ** 2))
        u, s, vt = u[:, :k], s[:k], vt[:k]
        u, vt = (u, s[:, None] * vt) if right else (u * s, vt)
        cores[b], cores[b + 1] = u.reshape(g.shape[0], g.shape[1], k), vt.reshape(k, h.shape[1], h.shape[2])
    return cores, discarded


def budgeted(x, ranks, budget):
    """Ranks within a budget: the singular value that weighs the least for an entry saved goes first."""
    spectra = [np.linalg.svd(unfolding(x, b), compute_uv=False) for b in range(x.ndim - 1)]
    ranks = list(ranks)
    full = lambda: [1] + ranks + [1]
    while sum(l * n * r for l, n, r in zip(full(), x.shape, full()[1:])) > budget:
        price = {}
        for b, r in enumerate(ranks):
            if r > 1:
                saved = full()[b] * x.shape[b] + x.shape[b + 1] * full()[b + 2]
                price[b] = spectra[b][r - 1] ** 2 / saved
        ranks[min(price, key=price.get)] -= 1
    return ranks


def grown(x, gradient, rank, k):
    """Projector onto the k directions of the last mode in which a loss of that gradient falls the most among those that
    neither of the last two cores could learn alone."""
    d = x.ndim
    left = np.linalg.svd(unfolding(x, d - 3), full_matrices=False)[0][:, : rank[d - 3]] if d > 2 else np.ones((1, 1))
    g = np.tensordot(left.T, gradient.reshape(left.shape[0], -1), 1).reshape(-1, x.shape[-1])  # (r n, n')
    mine = np.tensordot(left.T, x.reshape(left.shape[0], -1), 1).reshape(-1, x.shape[-1])
    u, s, vt = np.linalg.svd(mine, full_matrices=False)
    u, vt = u[:, s > 1e-9 * s[0]], vt[s > 1e-9 * s[0]]
    g = g - u @ (u.T @ g)
    g = g - (g @ vt.T) @ vt
    v = np.linalg.svd(g, full_matrices=False)[2][:k]
    return v.T @ v


def main():
    rng = np.random.default_rng(7)
    cases = []
    for dims, ranks, kept in CASES:
        bonds = [1] + ranks + [1]
        cores = [rng.standard_normal((bonds[i], n, bonds[i + 1])) for i, n in enumerate(dims)]
        x = dense(cores)
        rounded, discarded = tt_svd(x, kept)
        swept, swept_discarded = paper(cores, kept)
        gradient = rng.standard_normal(dims)
        true = [np.linalg.matrix_rank(unfolding(x, b)) for b in range(len(dims) - 1)]
        budget = sum(g.size for g in cores) * 2 // 3
        flat = lambda a: np.asarray(a).reshape(-1).tolist()
        cases.append(
            {
                "dims": dims,
                "ranks": ranks,
                "kept": kept,
                "cores": [flat(g) for g in cores],
                "norm": float(np.linalg.norm(x)),
                "spectra": [np.linalg.svd(unfolding(x, b), compute_uv=False)[: true[b]].tolist() for b in range(len(dims) - 1)],
                "canonical": {"dense": flat(dense(rounded)), "discarded": discarded, "error": float(np.linalg.norm(dense(rounded) - x))},
                "paper": {"dense": flat(dense(swept)), "discarded": swept_discarded, "error": float(np.linalg.norm(dense(swept) - x))},
                "budget": budget,
                "budget_ranks": budgeted(x, [int(t) for t in true], budget),
                "gradient": flat(gradient),
                "grown": flat(grown(x, gradient, true, 1)),
            }
        )
    with open(sys.argv[1], "w") as f:
        json.dump(cases, f)
        f.write("\n")


if __name__ == "__main__":
    main()
