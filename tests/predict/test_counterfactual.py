"""Counterfactual: what would have to change for a case to be decided otherwise."""

from dataclasses import replace

import numpy as np
import pytest
from explained_models import draws, fitted

from vesalius.errors import ConfigError
from vesalius.predict.estimators import Constant, Forest, Ridge, Svm
from vesalius.predict.explain import Search, counterfactuals
from vesalius.predict.models import apply_model
from vesalius.predict.select import Keep, Scale


@pytest.fixture(scope="module")
def ridge():
    return fitted(Ridge())


def changed(table, case, way):
    """Give the case with the changes of a way."""
    row = table.rows([table.cases.index(case)])
    values = row.values.copy()
    for one in way.changes:
        values[0, row.features.index(one.feature)] = one.to
    return row.with_values(values)


@pytest.mark.parametrize("estimator", [Ridge(), Forest(trees=15), Svm()])
def test_the_changed_case_is_decided_otherwise(estimator):
    model, _, other, _ = fitted(estimator)
    model = replace(model, threshold=0.5)
    turned = 0
    for case in other.cases[:8]:
        found = counterfactuals(model, other, case, generator=draws())
        before = apply_model(model, other.rows([other.cases.index(case)]))
        for way in found.ways:
            after = apply_model(model, changed(other, case, way))
            assert after.scores[0, 0] == pytest.approx(way.after, abs=1e-9)
            assert after.table["decision"][0] != before.table["decision"][0]
            turned += 1
    assert turned >= 8


def test_values_stay_in_the_training_range(ridge):
    model, _, other, _ = ridge
    low, high = model.training.low, model.training.high
    for case in other.cases[:10]:
        for way in counterfactuals(model, other, case, generator=draws()).ways:
            for one in way.changes:
                assert low[one.feature] - 1e-9 <= one.to <= high[one.feature] + 1e-9
                width = high[one.feature] - low[one.feature]
                assert one.share == pytest.approx(abs(one.to - one.value) / width)


def test_of_a_linear_model_it_is_the_nearest_single_change():
    model, _, other, _ = fitted(Ridge(), steps=(Keep(("f00",)), Scale()))
    case = other.cases[0]
    found = counterfactuals(model, other, case, generator=draws())
    grid = np.linspace(model.training.low["f00"], model.training.high["f00"], 20_001)
    row = other.rows(np.zeros(1, dtype=int))
    tiled = replace(
        row,
        cases=tuple(map(str, range(len(grid)))),
        values=np.column_stack([grid, *[np.full(len(grid), v) for v in row.values[0, 1:]]]),
        columns=row.columns.iloc[np.zeros(len(grid), dtype=int)].reset_index(drop=True),
    )
    said = apply_model(model, tiled).scores[:, 0]
    turned = grid[(said >= 0.5) != (found.before >= 0.5)]
    wanted = np.abs(turned - row.values[0, 0]).min()
    (way,) = found.ways
    assert abs(way.changes[0].to - way.changes[0].value) == pytest.approx(wanted, abs=2e-3)


def test_the_nearest_comes_first_and_few_features_change(ridge):
    model, _, other, _ = ridge
    found = counterfactuals(model, other, other.cases[3], generator=draws())
    distances = [way.distance for way in found.ways]
    assert distances == sorted(distances)
    assert all(1 <= len(way.changes) <= 3 for way in found.ways)
    firsts = [way.changes[0].feature for way in found.ways]
    assert len(set(firsts)) == len(firsts)


def test_says_that_it_knows_ranges_alone(ridge):
    model, _, other, _ = ridge
    found = counterfactuals(model, other, other.cases[0], generator=draws())
    assert any("0.5 was taken" in text for text in found.remarks)
    assert any("a model stores no cases" in text for text in found.remarks)


def test_says_that_there_is_no_way():
    model, _, other, _ = fitted(Constant())
    found = counterfactuals(model, other, other.cases[0], generator=draws())
    assert found.ways == ()
    assert any("turns the decision" in text for text in found.remarks)


def test_a_threshold_out_of_reach_has_no_way(ridge):
    model, _, other, _ = ridge
    far = Search(changes=1, threshold=1.0 - 1e-12)
    found = counterfactuals(model, other, other.cases[0], generator=draws(), search=far)
    assert found.ways == ()
    assert not any("0.5 was taken" in text for text in found.remarks)


def test_refuses_a_number():
    model, _, other, _ = fitted(Ridge(), kind="number")
    with pytest.raises(ConfigError, match="between two classes, the model is of kind 'number'"):
        counterfactuals(model, other, other.cases[0], generator=draws())


def test_refuses_an_unknown_case(ridge):
    with pytest.raises(ConfigError, match="must be in the table, 'nobody' is not"):
        counterfactuals(ridge[0], ridge[2], "nobody", generator=draws())


@pytest.mark.parametrize("name", ["changes", "alternatives"])
def test_refuses_no_search(name):
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, got 0"):
        Search(**{name: 0})
