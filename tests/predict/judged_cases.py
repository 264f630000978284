"""Predictions with known properties, for the tests of report cards."""

import numpy as np
import pandas as pd

from vesalius.predict import Table, Target
from vesalius.predict._judged import Judged


def drawn(seed=0, n=120, *, slope=1.0, shift=0.0, folds=1, repeats=1):
    """Predictions whose true log odds are ``slope`` times the stated ones, plus ``shift``."""
    rng = np.random.default_rng(seed)
    stated = rng.normal(0.0, 1.3, n)
    truth = (rng.random(n) < expit(slope * stated + shift)).astype(np.float64)
    return judged(truth, expit(stated), folds=folds, repeats=repeats, seed=seed)


def expit(x):
    return 1 / (1 + np.exp(-x))


def judged(truth, p, *, folds=1, repeats=1, seed=0, threshold=0.5):
    truth, p, n = np.asarray(truth, dtype=np.float64), np.asarray(p, dtype=np.float64), len(p)
    rng = np.random.default_rng(seed + 1)
    rows = np.tile(np.arange(n, dtype=np.int64), repeats)
    place = np.concatenate([rng.permutation(n) % folds for _ in range(repeats)]).astype(np.int64)
    noise = np.concatenate([np.zeros(n), *(rng.normal(0, 0.01, n) for _ in range(repeats - 1))])
    return Judged(
        Target("binary", truth[rows], ("no", "yes")),
        np.clip(p[rows] + noise, 0, 1)[:, None],
        rows,
        place,
        np.repeat(np.arange(repeats, dtype=np.int64), n),
        np.full(len(rows), threshold),
    )


def table(n=120, **columns):
    names = tuple(f"c{k}" for k in range(n))
    return Table(names, (), np.zeros((n, 0)), pd.DataFrame(columns, index=range(n)))
