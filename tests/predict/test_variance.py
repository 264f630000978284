"""Variance: features that hardly differ are dropped."""

import numpy as np
import pytest
from made_tables import made

from vesalius.errors import ConfigError, RegionError
from vesalius.predict.select import Variance


def table_of(columns):
    table, _ = made(len(columns[0]), len(columns))
    return table.with_values(np.array(columns, dtype=float).T)


def test_drops_what_is_constant_up_to_rounding():
    noisy = 0.1 + np.array([0, 1, 0, 1, 0, 0]) * 2e-17
    table = table_of([[1, 2, 3, 4, 5, 6], [7] * 6, noisy, [0] * 6])
    assert Variance(most_common=1.0).fit(table).kept_ == ("f00",)


def test_keeps_a_small_feature_that_differs():
    table = table_of([[1e-9, 2e-9, 3e-9, 5e-9], [3, 3, 3, 3]])
    assert Variance().fit(table).kept_ == ("f00",)


def test_agrees_with_scikit_learn():
    from sklearn.feature_selection import VarianceThreshold

    table, _ = made(50, 12)
    table = table.with_values(table.values * np.linspace(0.1, 3, 12))
    wanted = VarianceThreshold(1.0).fit(table.values).get_support()
    kept = Variance(least=1.0, most_common=1.0).fit(table).kept_
    assert kept == tuple(np.array(table.features)[wanted])


def test_drops_what_is_nearly_always_the_same():
    mostly = [0.0] * 19 + [1.0]
    table = table_of([mostly, [0.0] * 18 + [1.0, 2.0], list(range(20))])
    assert Variance(most_common=0.92).fit(table).kept_ == ("f01", "f02")
    assert Variance(most_common=0.95).fit(table).kept_ == ("f00", "f01", "f02")


def test_counts_the_commonest_value_as_a_loop_does():
    from vesalius.predict._variance import _share_of_commonest

    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, (31, 20)).astype(float)
    values[:5, 3] = np.nan
    for j, share in enumerate(_share_of_commonest(values)):
        column = [str(v) for v in values[:, j]]
        assert share == pytest.approx(max(column.count(v) for v in column) / 31)


def test_refuses_a_negative_variance():
    with pytest.raises(ConfigError, match="least must not be negative, got -1"):
        Variance(least=-1.0).fit(made(5, 2)[0])


def test_refuses_a_share_of_nothing():
    with pytest.raises(ConfigError, match="most_common must be a share"):
        Variance(most_common=0.0).fit(made(5, 2)[0])


def test_refuses_a_single_case():
    with pytest.raises(RegionError, match="at least 2 cases"):
        Variance().fit(made(5, 2)[0].rows([1]))
