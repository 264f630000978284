"""Bootstrap intervals and paired tests: coverage, SciPy, and what is refused."""

import math
from itertools import product

import pytest
import torch
from scipy.stats import bootstrap, wilcoxon

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.measure.evaluate import bootstrap_interval, paired_test


def drawn(seed, size=30):
    g = torch.Generator().manual_seed(seed)
    return (0.8 + 0.1 * torch.randn(size, generator=g, dtype=torch.float64)).tolist()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_is_near_that_of_scipy():
    values = drawn(1)
    found = bootstrap_interval(values, generator=seeded())
    expected = bootstrap(
        (values,), lambda x, axis: x.mean(axis=axis), method="percentile", rng=1
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=2e-3)
    assert found.mean == pytest.approx(sum(values) / 30)
    assert (found.count, found.coverage) == (30, 0.95)


def test_holds_the_true_mean_about_as_often_as_it_says():
    hits = 0
    for seed in range(80):
        found = bootstrap_interval(drawn(seed), generator=seeded(seed), coverage=0.9, draws=200)
        hits += found.low <= 0.8 <= found.high
    assert 0.78 <= hits / 80 <= 0.97


def test_the_same_generator_gives_the_same_interval():
    one, two = (bootstrap_interval(drawn(2), generator=seeded(7)) for _ in range(2))
    assert one == two


def test_equal_values_have_no_spread_and_one_value_no_interval():
    same = bootstrap_interval([0.5] * 4, generator=seeded())
    assert (same.mean, same.low, same.high) == (0.5, 0.5, 0.5)
    one = bootstrap_interval([0.5], generator=seeded())
    assert one.mean == 0.5
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_many_cases_are_drawn_in_pieces(monkeypatch):
    from vesalius.measure import _interval

    monkeypatch.setattr(_interval, "_PIECE", 100)
    found = bootstrap_interval(drawn(3), generator=seeded(), draws=2000)
    assert found.low < found.mean < found.high


def test_the_paired_test_is_that_of_scipy():
    first, second = drawn(4), drawn(5)
    found = paired_test(first, second, generator=seeded())
    assert found.p_value == pytest.approx(wilcoxon(first, second).pvalue)
    assert found.wins + found.losses == 30
    assert found.difference.mean == pytest.approx((sum(first) - sum(second)) / 30)


def test_ties_are_counted_over_all_signs():
    first = [3.0, 1.0, 2.0, 1.0, -1.0, 2.0, 0.0]
    apart = [v for v in first if v]
    ranks = [6.0, 2.0, 4.5, 2.0, 2.0, 4.5]
    sums = [
        sum(r for r, s in zip(ranks, signs, strict=True) if s)
        for signs in product((0, 1), repeat=6)
    ]
    reached = sum(r for r, v in zip(ranks, apart, strict=True) if v > 0)
    tail = min(sum(s >= reached for s in sums), sum(s <= reached for s in sums))
    found = paired_test(first, [0.0] * 7, generator=seeded())
    assert found.p_value == pytest.approx(min(1.0, 2 * tail / 2**6))
    assert found.ties == 1


def test_many_cases_are_tested_as_scipy_does():
    first, second = drawn(10, 80), drawn(11, 80)
    found = paired_test(first, second, generator=seeded())
    assert found.p_value == pytest.approx(wilcoxon(first, second).pvalue)


def test_a_small_gain_in_every_case_is_seen():
    values = drawn(6)
    found = paired_test([v + 0.001 for v in values], values, generator=seeded())
    assert found.p_value < 1e-6
    assert found.difference.low > 0
    assert (found.wins, found.ties, found.losses) == (30, 0, 0)


def test_runs_that_agree_do_not_differ():
    values = drawn(7)
    found = paired_test(values, values, generator=seeded())
    assert found.p_value == 1
    assert (found.difference.low, found.difference.high, found.ties) == (0, 0, 30)


def test_swapping_the_runs_turns_the_sign():
    first, second = drawn(8), drawn(9)
    one = paired_test(first, second, generator=seeded())
    two = paired_test(second, first, generator=seeded())
    assert one.p_value == pytest.approx(two.p_value)
    assert one.difference.mean == pytest.approx(-two.difference.mean)
    assert one.wins == two.losses


def test_refuses_what_has_no_mean():
    with pytest.raises(ShapeError, match="at least one case to take a mean of"):
        bootstrap_interval([], generator=seeded())
    with pytest.raises(IntensityError, match="1 of 2 are not: leave out cases"):
        bootstrap_interval([0.5, math.inf], generator=seeded())
    with pytest.raises(UnitError, match="coverage must be between 0 and 1"):
        bootstrap_interval([0.5, 0.6], generator=seeded(), coverage=95)
    with pytest.raises(ShapeError, match="runs must have the same cases to be paired, got 2 and 1"):
        paired_test([0.5, 0.6], [0.5], generator=seeded())
