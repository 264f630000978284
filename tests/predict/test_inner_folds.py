"""Inner folds: every class in every fold, no group in two, whatever the order of rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._inner_folds import inner_folds


def named(n):
    return tuple(f"case{k:03d}" for k in range(n))


@given(st.integers(20, 90), st.integers(2, 6), st.integers(0, 99), st.floats(0.2, 0.8))
@settings(max_examples=40, deadline=None)
def test_parts_all_cases_and_balances_the_classes(n, folds, seed, share):
    strata = (np.arange(n) < max(folds, round(n * share))).astype(np.int64)
    strata[-folds:] = 0
    parts = inner_folds(named(n), strata, folds, seed=seed)
    assert len(parts) == folds
    assert sorted(np.concatenate([held for _, held in parts])) == list(range(n))
    events = [int(strata[held].sum()) for _, held in parts]
    assert max(events) - min(events) <= 1
    sizes = [len(held) for _, held in parts]
    assert max(sizes) - min(sizes) <= 2
    for rows, held in parts:
        assert set(rows) | set(held) == set(range(n))
        assert not set(rows) & set(held)


@given(st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_splits_no_group(seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 20, 70)
    strata = rng.integers(0, 2, 20)[group]
    strata[:4], group[:4] = [0, 0, 1, 1], [20, 21, 22, 23]
    names = tuple(f"p{k}" for k in group)
    parts = inner_folds(named(70), strata.astype(np.int64), 4, seed=seed, groups=names)
    for rows, held in parts:
        assert not set(group[rows]) & set(group[held])
        assert len(set(strata[rows])) == 2


@given(st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_does_not_depend_on_the_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    names, strata = np.array(named(41)), rng.integers(0, 2, 41)
    strata[:4] = [0, 0, 1, 1]
    order = rng.permutation(41)
    a = inner_folds(tuple(names.tolist()), strata, 3, seed=seed)
    b = inner_folds(tuple(names[order].tolist()), strata[order], 3, seed=seed)
    for (_, held), (_, other) in zip(a, b, strict=True):
        assert set(names[held]) == set(names[order][other])


def test_other_seeds_give_other_folds():
    strata = np.arange(40) % 2
    held = [inner_folds(named(40), strata, 5, seed=seed)[0][1].tolist() for seed in range(5)]
    assert len({tuple(one) for one in held}) == 5


def test_a_rare_class_makes_for_fewer_folds():
    strata = (np.arange(30) < 3).astype(np.int64)
    parts = inner_folds(named(30), strata, 5, seed=0)
    assert len(parts) == 3
    assert [int(strata[held].sum()) for _, held in parts] == [1, 1, 1]


def test_refuses_a_class_of_one():
    with pytest.raises(RegionError, match="in at least two groups, one class has 1 of 9"):
        inner_folds(named(9), (np.arange(9) == 0).astype(np.int64), 3, seed=0)


def test_refuses_groups_of_other_cases():
    with pytest.raises(ConfigError, match="groups must name one group for each of 9 cases, got 2"):
        inner_folds(named(9), np.arange(9) % 2, 3, seed=0, groups=("a", "b"))
