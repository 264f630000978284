"""Refusals: what no estimator learns from or predicts, and how it says so."""

import numpy as np
import pytest
from made_tables import made

from vesalius.errors import (
    ConfigError,
    ConvergenceError,
    IntensityError,
    RegionError,
    ShapeError,
)
from vesalius.predict import Target
from vesalius.predict import estimators as rooms
from vesalius.predict._checks import case_weights, check_setting, check_word
from vesalius.predict.estimators import (
    Boosting,
    Discriminant,
    ElasticNet,
    Forest,
    Lasso,
    Logistic,
    NaiveBayes,
    Neighbours,
    Ridge,
    Svm,
    Tree,
)

ALL = [getattr(rooms, name) for name in rooms.__all__ if name != "Constant"]
each = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


def small(cases=40, features=5):
    table, target = made(cases, features, seed=2)
    return table.values, target


@each
class TestEach:
    def test_refuses_one_class(self, cls):
        values, _ = small()
        with pytest.raises(RegionError, match="at least two classes, got 40 cases of one"):
            cls().fit(values, Target("binary", np.ones(40), ("no", "yes")))

    def test_refuses_another_kind(self, cls):
        values, target = small()
        times = Target("survival", target.values + 1, (), target.values > 0)
        with pytest.raises(ConfigError, match=f"{cls.__name__} predicts .* of kind 'survival'"):
            cls().fit(values, times)

    def test_refuses_one_case(self, cls):
        values, target = small()
        with pytest.raises(RegionError, match="at least two cases, got 1"):
            cls().fit(values[:1], target.rows(np.array([0])))

    def test_refuses_another_number_of_outcomes(self, cls):
        values, target = small()
        with pytest.raises(ShapeError, match=r"\(39, 5\) and 40 outcomes"):
            cls().fit(values[:39], target)

    def test_refuses_to_learn_from_no_feature(self, cls):
        values, target = small()
        with pytest.raises(ShapeError, match="at least one feature"):
            cls().fit(values[:, :0], target)

    def test_names_the_place_of_a_gap(self, cls):
        values, target = small()
        values = values.copy()
        values[7, 3] = np.nan
        with pytest.raises(IntensityError, match="got nan in row 7, feature 3: put Impute before"):
            cls().fit(values, target)

    def test_refuses_infinity(self, cls):
        values, target = small()
        model = cls().fit(values, target)
        values = values.copy()
        values[0, 0] = np.inf
        with pytest.raises(IntensityError, match="got inf in row 0, feature 0"):
            model.predict(values)

    def test_refuses_other_features(self, cls):
        values, target = small()
        model = cls().fit(values, target)
        with pytest.raises(ShapeError, match=r"values \(cases, 5\) as in training, got \(40, 4\)"):
            model.predict(values[:, :4])

    def test_refuses_to_predict_unfitted(self, cls):
        values, _ = small()
        with pytest.raises(ConvergenceError, match=f"{cls.__name__} must be fitted before"):
            cls().predict(values)

    def test_has_nothing_to_say_of_features_unfitted(self, cls):
        if cls in (NaiveBayes, Neighbours, Boosting):
            assert cls().importances().size == 0
            return
        with pytest.raises(ConvergenceError, match="must be fitted before"):
            cls().importances()

    def test_predicts_no_case_at_all(self, cls):
        values, target = small()
        assert cls().fit(values, target).predict(values[:0]).shape == (0, 1)


@pytest.mark.parametrize("cls", [one for one in ALL if "number" in one.kinds])
def test_refuses_outcomes_that_are_not_finite(cls):
    values, _ = small()
    numbers = np.arange(40.0)
    numbers[3] = np.inf
    with pytest.raises(IntensityError, match="finite outcomes, 1 are not"):
        cls().fit(values, Target("number", numbers))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Lasso(weight=0.0), "weight must be from 1e-100 to inf, got 0"),
        (Lasso(weight=float("nan")), "weight must be from .* got nan"),
        (Lasso(steps=0), "steps must be from 1"),
        (Lasso(tol=0.0), "tol must be from 1e-12 to 0.01"),
        (ElasticNet(mix=0.0), "mix must be from 0.001 to 1, got 0"),
        (ElasticNet(mix=1.5), "mix must be from"),
        (Ridge(weight=-1.0), "weight must be from"),
        (Tree(depth=0), "depth must be from 1"),
        (Tree(leaf=0), "leaf must be from 1"),
        (Forest(trees=0), "trees must be from 1 to 10000"),
        (Forest(leaf=0), "leaf must be from 1"),
        (Forest(depth=-1), "depth must be from 0"),
        (Forest(share=1.5), "share must be from 0 to 1"),
        (Boosting(trees=0), "trees must be from 1"),
        (Boosting(depth=0), "depth must be from 1"),
        (Boosting(rate=0.0), "rate must be from"),
        (Boosting(leaf=0), "leaf must be from 1"),
        (Boosting(ridge=-1.0), "ridge must be from 0"),
        (Boosting(share=0.0), "share must be from"),
        (Svm(cost=0.0), "cost must be from"),
        (Svm(gamma=-1.0), "gamma must be from 0"),
        (Svm(tube=-1.0), "tube must be from 0"),
        (Svm(folds=1), "folds must be from 2"),
        (Neighbours(neighbours=0), "neighbours must be from 1"),
        (NaiveBayes(smoothing=-1.0), "smoothing must be from 0 to 1"),
        (Discriminant(shrinkage=1.5), "shrinkage must be from 0 to 1"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else v.split()[0],
)
def test_refuses_a_setting_out_of_range(model, text):
    values, target = small()
    with pytest.raises(ConfigError, match=text):
        model.fit(values, target)


def test_refuses_more_neighbours_than_cases():
    values, target = small()
    with pytest.raises(RegionError, match="got 40 cases for 50 neighbours: ask for fewer"):
        Neighbours(neighbours=50).fit(values, target)


def test_a_machine_refuses_a_class_of_one_case():
    values, _ = small()
    alone = np.zeros(40)
    alone[5] = 1
    with pytest.raises(RegionError, match="at least two cases for probabilities of Svm, got 1"):
        Svm().fit(values, Target("binary", alone, ("no", "yes")))


def test_refuses_a_word_that_it_does_not_know():
    with pytest.raises(ConfigError, match="kernel must be one of linear, rbf, got 'cubic'"):
        check_word("kernel", "cubic", ("linear", "rbf"))


def test_refuses_a_value_out_of_range():
    with pytest.raises(ConfigError, match="share must be from 0 to 1, got 2"):
        check_setting("share", 2.0, 0, 1)


def test_balanced_classes_weigh_the_same():
    target = Target("binary", np.array([0.0, 0, 0, 1]), ("no", "yes"))
    np.testing.assert_allclose(case_weights(target, "balanced"), [1 / 6, 1 / 6, 1 / 6, 1 / 2])
    np.testing.assert_allclose(case_weights(target, "none"), 0.25)
    with pytest.raises(ConfigError, match="class_weight must be one of none, balanced, got 'x'"):
        case_weights(target, "x")


def test_a_number_has_no_classes_to_balance():
    target = Target("number", np.array([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(case_weights(target, "balanced"), 1 / 3)


@pytest.mark.parametrize("cls", [Lasso, Ridge, Logistic, Tree, Discriminant, NaiveBayes])
def test_one_feature_is_enough(cls):
    values, target = small()
    found = cls().fit(values[:, :1], target).predict(values[:, :1])
    assert found[values[:, 0].argmax(), 0] > found[values[:, 0].argmin(), 0]


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_a_machine_refuses_squares_that_are_no_numbers(scale):
    values, target = small()
    with pytest.raises(IntensityError, match=r"spread near 1, got means .* put Scale before it"):
        Svm().fit(values * scale, target)


def test_a_straight_machine_refuses_features_far_from_zero():
    values, target = small()
    with pytest.raises(IntensityError, match="near 0 with a spread near 1"):
        Svm("linear").fit(values + 1e9, target)


@pytest.mark.parametrize("cls", [Lasso, Ridge, ElasticNet])
def test_a_grid_of_tiny_features_asks_for_a_scale(cls):
    values, target = small()
    with pytest.raises(ConfigError, match=r"must have a spread near 1.*put Scale before it"):
        cls().grid(values * 1e-13, target)


@pytest.mark.parametrize("cls", [Tree, Forest])
def test_trees_refuse_what_single_precision_does_not_hold(cls):
    values, target = small()
    with pytest.raises(IntensityError, match=rf"of {cls.__name__} must be within 3.4e\+38"):
        cls().fit(values * 1e40, target)


@pytest.mark.parametrize("cls", [Tree, Forest])
@pytest.mark.filterwarnings("error")
def test_trees_answer_for_a_case_that_is_far_away(cls):
    values, target = small()
    model = cls().fit(values, target)
    np.testing.assert_array_equal(model.predict(values * 1e45), model.predict(values * 1e30))
