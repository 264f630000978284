"""Partial dependence: what is said as one feature is moved."""

from dataclasses import replace

import numpy as np
import pytest
from explained_models import fitted
from sklearn.inspection import partial_dependence as rival
from sklearn.linear_model import Ridge as Rival
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._table import NOT_GIVEN
from vesalius.predict.estimators import Forest, NaiveBayes, Ridge, Tree
from vesalius.predict.explain import partial_dependence
from vesalius.predict.select import Impute, Scale


@pytest.fixture(scope="module")
def number():
    return fitted(Ridge(), kind="number")


def test_a_linear_model_gives_parallel_lines(number):
    model, _, other, _ = number
    (found,) = partial_dependence(model, other, ["f00"])
    slopes = np.diff(found.curves, axis=1) / np.diff(found.at)
    np.testing.assert_allclose(slopes, slopes[0, 0], rtol=1e-6)
    assert found.output == "value"
    assert found.reach == pytest.approx(abs(slopes[0, 0]) * np.ptp(found.at))


def test_agrees_with_scikit_learn(number):
    model, mine, other, _ = number
    (found,) = partial_dependence(model, other, ["f01"], points=7)
    strength = len(mine.cases) * model.fitted.estimator.weight
    plain = make_pipeline(StandardScaler(), Rival(alpha=strength))
    plain.fit(mine.values, mine.columns["out"])
    wanted = rival(
        plain, other.values, [1], kind="average", custom_values={1: found.at}, grid_resolution=7
    )
    np.testing.assert_allclose(found.mean, wanted["average"][0], rtol=1e-5)


def test_a_curve_passes_through_what_is_said_of_the_case(number):
    model, _, other, _ = number
    few = other.rows(np.arange(6))
    (found,) = partial_dependence(model, few, ["f00"])
    np.testing.assert_array_equal(found.at, np.unique(few.values[:, 0]))
    own = [int(np.flatnonzero(found.at == value)[0]) for value in few.values[:, 0]]
    said = found.curves[np.arange(6), own]
    np.testing.assert_allclose(said, model.fitted.predict(few)[:, 0], rtol=1e-12)


def test_moves_within_the_values_of_the_cases():
    model, _, other, _ = fitted(Forest(trees=10))
    for found in partial_dependence(model, other, ["f00", "f03"], points=9):
        own = other.values[:, other.features.index(found.feature)]
        low, high = np.quantile(own, (0.01, 0.99))
        assert found.at[0] == pytest.approx(low)
        assert found.at[-1] == pytest.approx(high)
        assert found.curves.shape == (90, 9)
        assert found.output == "probability of yes"


def test_a_class_of_several_is_followed():
    model, _, other, _ = fitted(NaiveBayes(), kind="classes")
    parts = [
        partial_dependence(model, other, ["f00"], outcome_class=name)[0]
        for name in ("low", "mid", "high")
    ]
    np.testing.assert_allclose(sum(one.mean for one in parts), 1.0, rtol=1e-12)
    assert parts[2].mean[-1] > parts[2].mean[0]


def test_gaps_are_left_out_of_the_range():
    model, _, other, _ = fitted(Tree(depth=2), steps=(Impute(), Scale()))
    values = other.values.copy()
    values[:5, 0] = np.nan
    reasons = {(case, "f00"): NOT_GIVEN for case in other.cases[:5]}
    (found,) = partial_dependence(model, replace(other, values=values, reasons=reasons), ["f00"])
    assert np.isnan(found.values).sum() == 5
    assert np.isfinite(found.at).all()


class TestRefuses:
    def test_a_feature_that_the_model_does_not_want(self, number):
        with pytest.raises(ConfigError, match="must want the feature 'age', it does not"):
            partial_dependence(number[0], number[2], ["age"])

    def test_one_point(self, number):
        with pytest.raises(ConfigError, match="at least two points, got 1"):
            partial_dependence(number[0], number[2], ["f00"], points=1)

    def test_a_class_of_a_number(self, number):
        with pytest.raises(ConfigError, match="a number has no classes, got 'yes'"):
            partial_dependence(number[0], number[2], ["f00"], outcome_class="yes")

    def test_an_unknown_class(self):
        model, _, other, _ = fitted(NaiveBayes(), kind="classes")
        with pytest.raises(ConfigError, match="one of high, low, mid, got 'huge'"):
            partial_dependence(model, other, ["f00"], outcome_class="huge")

    def test_the_class_without_the_event(self):
        model, _, other, _ = fitted(Ridge())
        with pytest.raises(ConfigError, match="of two classes the event must be explained, 'yes'"):
            partial_dependence(model, other, ["f00"], outcome_class="no")

    def test_a_feature_that_no_case_has(self):
        model, _, other, _ = fitted(Ridge(), steps=(Impute(), Scale()))
        values = other.values.copy()
        values[:, 0] = np.nan
        reasons = {(case, "f00"): NOT_GIVEN for case in other.cases}
        with pytest.raises(RegionError, match="'f00' must be known of a case, it is of none"):
            partial_dependence(model, replace(other, values=values, reasons=reasons), ["f00"])
