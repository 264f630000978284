"""Pipeline: steps and settings learned from training cases alone, then the model."""

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.predict import Estimator, Recipe, Step, Target, Tuning, fit_recipe
from vesalius.predict._constant import Constant
from vesalius.predict._learned import learned
from vesalius.predict._pipeline import _choose
from vesalius.predict.estimators import Lasso, Tree
from vesalius.predict.select import Impute, Mrmr, Redundancy, Scale, Univariate, Variance

SEEN: list[tuple[str, tuple[str, ...], bool]] = []


@final
@dataclass(slots=True, eq=False)
class Witness(Step):
    """A step that changes nothing and writes down whom it saw."""

    looks: bool = False
    count_: int = learned()
    word: ClassVar[str] = "witness"

    def fit(self, table, target=None):
        SEEN.append(("fit", table.cases, target is not None))
        self.count_ = len(table.cases)
        return self

    def transform(self, table):
        SEEN.append(("transform", table.cases, False))
        return table


@final
@dataclass(slots=True, eq=False)
class First(Estimator):
    """The first feature, as it is or turned round: one setting is right."""

    sign: float = 1.0
    shift: float = 0.0
    done_: bool = learned()
    word: ClassVar[str] = "first"
    kinds: ClassVar = ("binary", "number")

    def fit(self, values, target):
        self.done_ = True
        return self

    def predict(self, values):
        return 1 / (1 + np.exp(-self.sign * values[:, :1] - self.shift))

    def grid(self, values, target):
        return ({"sign": -1.0}, {"sign": 0.0}, {"sign": 1.0}, {"sign": 2.0})


def defaults():
    return (Impute(), Variance(), Redundancy(), Scale())


def test_every_inner_fold_learns_its_steps_anew_from_its_own_part():
    SEEN.clear()
    table, target = made(40, 3)
    fit_recipe(Recipe((Witness(),), First(), Tuning(4, repeats=1)), table, target)
    fits = [set(cases) for what, cases, _ in SEEN if what == "fit"]
    assert len(fits) == 5
    assert fits[0] == set(table.cases)
    held = [set(table.cases) - one for one in fits[1:]]
    assert sorted(case for one in held for case in one) == sorted(table.cases)


def test_a_step_that_does_not_need_the_outcome_does_not_get_it():
    SEEN.clear()
    table, target = made(20, 3)
    fit_recipe(Recipe((Witness(),), Constant()), table, target)
    assert not any(given for _, _, given in SEEN)


def test_nothing_in_the_recipe_learns():
    table, target = made(40, 3)
    recipe = Recipe(defaults(), First())
    fit_recipe(recipe, table, target)
    assert not any(hasattr(step, "features_") for step in recipe.steps)
    assert not hasattr(recipe.estimator, "done_")


def test_chooses_the_simplest_of_equally_good_settings():
    table, target = made(80, 3, shift=3.0)
    fitted = fit_recipe(Recipe((), First(), Tuning(score="auc")), table, target)
    assert fitted.chosen == {"sign": 1.0}  # 2 ranks the cases alike, and comes later
    scores = {s["sign"]: v for s, v in fitted.inner}
    assert scores[1.0] == scores[2.0] > scores[0.0] == 0.5 > scores[-1.0]


def test_another_score_chooses_another_setting():
    table, target = made(80, 3, shift=3.0)
    recipe = Recipe((), First(), Tuning(score="brier"))
    scores = {s["sign"]: v for s, v in fit_recipe(recipe, table, target).inner}
    assert len(set(scores.values())) == 4


def test_one_standard_error_takes_the_simplest_that_is_nearly_as_good():
    tried = [{"k": k} for k in range(4)]
    scores = np.array([[0.5, 0.68, 0.73, 0.75], [0.5, 0.80, 0.84, 0.85], [0.4, 0.5, 0.55, 0.65]])
    # means .467, .660, .707, .750; the standard error of the best is .1 / sqrt 3 = .058
    assert _choose(tried, scores, Tuning(repeats=1))[0] == {"k": 3}
    assert _choose(tried, scores, Tuning(rule="one_standard_error", repeats=1))[0] == {"k": 2}


def test_predictions_of_the_inner_folds_are_of_cases_not_seen():
    table, target = made(60, 3, shift=3.0)
    fitted = fit_recipe(Recipe((), First()), table, target)
    assert fitted.unseen.shape == (60, 1)
    np.testing.assert_array_equal(
        fitted.unseen, First(**fitted.chosen).fit(table.values, target).predict(table.values)
    )  # it learns nothing, so what it says of a case is the same in every fold


def test_a_fold_without_a_score_does_not_count():
    tried = [{"k": 0}, {"k": 1}]
    scores = np.array([[0.5, 0.6], [np.nan, np.nan]])
    assert _choose(tried, scores, Tuning(rule="one_standard_error", repeats=1))[1][1][1] == 0.6
    none = _choose(tried, scores[1:], Tuning(repeats=1))
    assert none[0] == {"k": 0}
    assert np.isnan(none[1][0][1])


@given(st.integers(0, 20))
@settings(max_examples=5, deadline=None)
def test_the_order_of_cases_does_not_matter(seed):
    table, target = made(60, 8)
    recipe = Recipe((*defaults(), Mrmr(4)), Lasso())
    order = np.random.default_rng(seed).permutation(60)
    a = fit_recipe(recipe, table, target)
    b = fit_recipe(recipe, table.rows(order), target.rows(order))
    assert a.chosen == pytest.approx(b.chosen)
    np.testing.assert_allclose(a.predict(table), b.predict(table), atol=1e-6)


def test_no_group_is_in_two_inner_folds():
    SEEN.clear()
    table, target = made(40, 3)
    groups = tuple(f"p{k // 4}" for k in range(40))
    fit_recipe(Recipe((Witness(),), First(), Tuning(3)), table, target, groups=groups)
    of = dict(zip(table.cases, groups, strict=True))
    fits = [set(cases) for what, cases, _ in SEEN if what == "fit"][1:]
    assert len(fits) >= 2
    for part in fits:
        assert not {of[c] for c in part} & {of[c] for c in set(table.cases) - part}


def test_a_table_with_gaps_is_imputed_first():
    table, target = made(40, 4)
    values = table.values.copy()
    values[3, 1] = np.nan
    table = replace(table, values=values, reasons={("case003", "f01"): "too small"})
    fitted = fit_recipe(Recipe((Scale(),), Lasso()), table, target)
    assert [type(step) for step in fitted.steps] == [Impute, Scale]
    assert np.isfinite(fitted.predict(table)).all()


def test_a_gap_that_no_step_fills_is_named():
    table, target = made(40, 4)
    fitted = fit_recipe(Recipe((), Lasso()), table, target)
    values = table.values.copy()
    values[3, 1] = np.nan
    gap = replace(table, values=values, reasons={("case003", "f01"): "too small"})
    with pytest.raises(IntensityError, match=r"Lasso must have every value.*'f01'.*'case003'"):
        fitted.predict(gap)


def test_no_feature_left_gives_the_share_of_events():
    table, target = made(40, 4, shift=0.0)
    fitted = fit_recipe(Recipe((Univariate(0, most_q=1e-9),), Lasso()), table, target)
    assert isinstance(fitted.estimator, Constant)
    assert fitted.features == ()
    np.testing.assert_allclose(fitted.predict(table), target.values.mean())


def test_wanted_and_seen_features_are_told():
    table, target = made(60, 8)
    fitted = fit_recipe(Recipe((Mrmr(3),), Lasso()), table, target)
    assert fitted.wanted == table.features
    assert fitted.features == fitted.steps[0].kept_


@pytest.mark.parametrize("kind", ["binary", "classes", "number", "survival"])
def test_a_constant_predicts_what_is_usual(kind):
    table, target = made(30, 2, kind=kind)
    found = Constant().fit(table.values, target).predict(table.values)
    if kind == "classes":
        wanted = [np.mean(target.values == k) for k in range(3)]
    else:
        wanted = [0.0 if kind == "survival" else target.values.mean()]
    np.testing.assert_allclose(found, np.tile(wanted, (30, 1)))


def test_a_constant_refuses_other_features_all_the_same():
    table, target = made(30, 3)
    model = Constant().fit(table.values, target)
    with pytest.raises(ShapeError, match="as many features as in training"):
        model.predict(table.values[:, :2])
    with pytest.raises(IntensityError, match="Constant must get finite values"):
        model.predict(np.full((2, 3), np.inf))


def test_refuses_another_number_of_outcomes():
    table, target = made(30, 3)
    with pytest.raises(ConfigError, match="got 30 cases and 29 outcomes"):
        fit_recipe(Recipe((), Constant()), table, target.rows(np.arange(29)))


def test_refuses_no_case():
    table, _ = made(30, 3)
    with pytest.raises(RegionError, match="a recipe must be fitted on cases, got none"):
        fit_recipe(Recipe((), Constant()), table.rows([]), Target("number", np.zeros(0)))


def test_refuses_one_class():
    table, target = made(30, 3)
    rows = np.flatnonzero(target.values == 1)
    with pytest.raises(RegionError, match="must hold at least two classes"):
        fit_recipe(Recipe((), Constant()), table.rows(rows), target.rows(rows))


def test_refuses_an_outcome_that_the_estimator_cannot_predict():
    table, target = made(30, 3, kind="survival")
    with pytest.raises(ConfigError, match="First predicts binary, number, got an outcome of kind"):
        fit_recipe(Recipe((), First()), table, target)


def test_refuses_a_score_of_another_kind():
    table, target = made(30, 3)
    with pytest.raises(ConfigError, match="the score of an outcome of kind 'binary' must be one"):
        fit_recipe(Recipe((), First(), Tuning(score="r2")), table, target)


def test_refuses_one_inner_fold():
    with pytest.raises(ConfigError, match="tuning must have at least two inner folds, got 1"):
        Tuning(1)


class TestRepeats:
    def test_part_the_cases_anew_and_give_a_mean_of_all(self):
        table, target = made(40, 4)
        once = [
            fit_recipe(Recipe((), Lasso(), Tuning(seed=seed, repeats=1)), table, target)
            for seed in (0, 1_000_003, 2_000_006)
        ]
        thrice = fit_recipe(Recipe((), Lasso(), Tuning(repeats=3)), table, target)
        means = np.mean([[score for _, score in one.inner] for one in once], axis=0)
        np.testing.assert_allclose([score for _, score in thrice.inner], means, atol=1e-9)

    def test_what_was_not_seen_is_said_by_one_model_alone(self):
        table, target = made(80, 4, shift=3.0)
        once = fit_recipe(Recipe((), Tree(), Tuning(repeats=1)), table, target)
        thrice = fit_recipe(Recipe((), Tree(), Tuning(repeats=3)), table, target)
        assert once.chosen == thrice.chosen
        np.testing.assert_array_equal(once.unseen, thrice.unseen)

    def test_must_be_one_or_more(self):
        with pytest.raises(ConfigError, match="must part the cases at least once, got 0"):
            Tuning(repeats=0)
