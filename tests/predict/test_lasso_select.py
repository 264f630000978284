"""LassoSelect: the features that a lasso takes first."""

import numpy as np
import pytest
from made_tables import made

from vesalius.errors import ConfigError
from vesalius.predict.select import LassoSelect


def test_takes_what_carries_the_outcome():
    table, target = made(150, 20, shift=3.0)
    step = LassoSelect(2).fit(table, target)
    assert set(step.kept_) == {"f00", "f01"}
    assert step.weights_[0] > 0 > step.weights_[1]


def test_agrees_with_the_path_of_scikit_learn():
    from sklearn.linear_model import lars_path

    table, target = made(80, 15, kind="number", shift=2.0)
    scaled = (table.values - table.values.mean(axis=0)) / table.values.std(axis=0)
    order = lars_path(scaled, target.values - target.values.mean(), method="lasso")[1]
    assert set(LassoSelect(2).fit(table, target).kept_) == {table.features[j] for j in order[:2]}


def test_does_not_see_the_unit():
    table, target = made(60, 8)
    other = table.with_values(table.values * np.logspace(-4, 4, 8))
    assert LassoSelect(4).fit(table, target).kept_ == LassoSelect(4).fit(other, target).kept_


def test_a_constant_feature_is_never_taken():
    table, target = made(40, 5)
    values = table.values.copy()
    values[:, 2] = 0.1
    assert "f02" not in LassoSelect(5).fit(table.with_values(values), target).kept_


@pytest.mark.parametrize("features", [0, 3])
def test_takes_nothing_where_nothing_differs(features):
    table, target = made(40, features or 2)
    table = table.select(table.features[:features])
    step = LassoSelect(2).fit(table.with_values(np.full((40, features), 0.1)), target)
    assert step.kept_ == ()
    assert step.transform(table).values.shape == (40, 0)


def test_works_for_classes():
    table, target = made(150, 12, kind="classes", shift=3.0)
    assert set(LassoSelect(2).fit(table, target).kept_) == {"f00", "f01"}


@pytest.mark.parametrize(("count", "kind"), [(0, "binary"), (3, "survival")])
def test_refuses_what_it_cannot_do(count, kind):
    table, target = made(40, 4, kind=kind)
    with pytest.raises(ConfigError, match="LassoSelect must keep at least one feature for classes"):
        LassoSelect(count).fit(table, target)
