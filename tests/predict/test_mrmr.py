"""Mrmr: few features that say much of the outcome and little of each other."""

import math

import numpy as np
import pytest
from made_tables import made

from vesalius.errors import ConfigError
from vesalius.predict.select import Mrmr

SCHEMES = [
    (score, scheme)
    for score in ("f", "mutual_information")
    for scheme in ("quotient", "difference")
]


def information(a, b):
    """Mutual information of two codes in nats, by counting."""
    found = 0.0
    for x in set(a):
        for y in set(b):
            joint = np.mean((a == x) & (b == y))
            if joint:
                found += joint * math.log(joint / (np.mean(a == x) * np.mean(b == y)))
    return found


def slow(values, target, score, scheme, count):
    """Take features one after another as Ding & Peng (2005), table 1, in plain loops."""
    from scipy.stats import f_oneway

    many = values.shape[1]
    if score == "f":
        groups = [values[target.values == k] for k in (0, 1)]
        relevance = f_oneway(*groups).statistic
        between = np.abs(np.corrcoef(values, rowvar=False))
    else:
        mean, sd = values.mean(axis=0), values.std(axis=0)
        code = np.where(values > mean + sd, 1, np.where(values < mean - sd, -1, 0))
        relevance = [information(code[:, j], target.values) for j in range(many)]
        between = [[information(code[:, i], code[:, j]) for j in range(many)] for i in range(many)]
    taken = [int(np.argmax(relevance))]
    while len(taken) < count:
        worth = {}
        for j in set(range(many)) - set(taken):
            redundancy = np.mean([between[i][j] for i in taken])
            quotient = relevance[j] / max(redundancy, 1e-3)
            worth[j] = quotient if scheme == "quotient" else relevance[j] - redundancy
        taken.append(max(worth, key=worth.__getitem__))
    return taken


@pytest.mark.parametrize(("score", "scheme"), SCHEMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_a_slow_one(score, scheme, seed):
    table, target = made(60, 12, seed=seed)
    step = Mrmr(6, score, scheme).fit(table, target)
    taken = slow(table.values, target, score, scheme, 6)
    assert step.kept_ == tuple(table.features[j] for j in taken)


def test_does_not_take_a_copy_where_something_else_helps():
    table, target = made(200, 4, shift=3.0)
    values = table.values.copy()
    values[:, 2] = values[:, 0] + 0.01 * values[:, 3]
    kept = Mrmr(2).fit(table.with_values(values), target).kept_
    assert set(kept) in ({"f00", "f01"}, {"f02", "f01"})


@pytest.mark.parametrize("kind", ["number", "classes", "survival"])
@pytest.mark.parametrize("score", ["f", "mutual_information"])
def test_finds_what_carries_any_kind_of_outcome(kind, score):
    table, target = made(300, 10, kind=kind, shift=3.0)
    assert set(Mrmr(2, score).fit(table, target).kept_) == {"f00", "f01"}


def test_takes_all_where_there_are_fewer():
    table, target = made(30, 3)
    assert sorted(Mrmr(20).fit(table, target).kept_) == list(table.features)


def test_refuses_to_keep_nothing():
    table, target = made(30, 3)
    with pytest.raises(ConfigError, match="Mrmr must keep at least one feature, got 0"):
        Mrmr(0).fit(table, target)
