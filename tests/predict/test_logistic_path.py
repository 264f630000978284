"""Paths of penalised linear models: optimal, warm or cold, on copies, on real features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made
from sklearn.linear_model import LogisticRegression, enet_path

from vesalius.errors import ConvergenceError, IntensityError
from vesalius.predict import Target
from vesalius.predict._logistic_path import (
    PathRule,
    largest_weight,
    penalised_path,
    spanned_path,
)
from vesalius.predict.estimators import ElasticNet, Lasso, Logistic, Ridge

LOSSES = ["square", "logistic", "softmax"]


def problem(loss, *, cases=60, features=8, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(cases, features))
    signal = values[:, 0] - 0.7 * values[:, 1] + rng.normal(size=cases)
    if loss == "square":
        truth = signal[None]
    elif loss == "logistic":
        truth = (signal > 0)[None].astype(float)
    else:
        truth = np.eye(3)[np.digitize(signal, [-0.6, 0.6])].T.copy()
    weight = rng.uniform(0.5, 1.5, cases)
    return values, truth, weight / weight.sum()


def expected(score, loss):
    """Give what scores say, (cases, outputs)."""
    if loss == "square":
        return score
    if loss == "logistic":
        return 1 / (1 + np.exp(-score))
    grown = np.exp(score - score.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def objective(b, b0, values, truth, weight, loss, l1, l2):
    """Say it slowly."""
    score = values @ b.T + b0
    if loss == "square":
        each = (truth[0] - score[:, 0]) ** 2 / 2
    elif loss == "logistic":
        each = np.logaddexp(0, score[:, 0]) - truth[0] * score[:, 0]
    else:
        each = np.log(np.exp(score).sum(axis=1)) - (truth.T * score).sum(axis=1)
    return weight @ each + l1 * np.abs(b).sum() + l2 / 2 * (b**2).sum()


def broken(b, b0, values, truth, weight, loss, l1, l2):
    """Give the largest break of the conditions of the optimum, written from the subgradient."""
    slope = (truth.T - expected(values @ b.T + b0, loss)) * weight[:, None]
    fall = slope.T @ values - l2 * b
    inside = np.maximum(np.abs(fall) - l1, 0)
    return max(
        np.where(b != 0, np.abs(fall - l1 * np.sign(b)), inside).max(), np.abs(slope.sum(0)).max()
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mix", [1.0, 0.3])
def test_every_model_of_a_path_is_optimal(loss, mix):
    values, truth, weight = problem(loss)
    top = largest_weight(values, truth, weight) / mix
    along = np.geomspace(top, 0.01 * top, 12)[:, None] * np.array([mix, 1 - mix])
    found = penalised_path(values, truth, weight, penalties=along, rule=PathRule(loss))
    for k in range(12):
        left = broken(found.weights[k], found.intercepts[k], values, truth, weight, loss, *along[k])
        assert left <= 1.01e-6 * top * mix


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), l1=st.floats(0.001, 0.3), l2=st.floats(0, 0.3))
def test_no_model_nearby_is_better(loss, seed, l1, l2):
    values, truth, weight = problem(loss, cases=30, features=5, seed=seed)
    rule = PathRule(loss)
    found = penalised_path(values, truth, weight, penalties=np.array([[l1, l2]]), rule=rule)
    b, b0 = found.weights[0], found.intercepts[0]
    best = objective(b, b0, values, truth, weight, loss, l1, l2)
    rng = np.random.default_rng(seed)
    for scale in (1e-3, 1e-1):
        other = b + scale * rng.normal(size=b.shape)
        moved = b0 + scale * rng.normal(size=b0.shape)
        assert objective(other, moved, values, truth, weight, loss, l1, l2) >= best - 1e-9


@pytest.mark.parametrize("loss", LOSSES)
def test_the_largest_weight_is_the_smallest_that_leaves_no_feature(loss):
    values, truth, weight = problem(loss)
    top = largest_weight(values, truth, weight)
    along = np.array([[1.0001 * top, 0.0], [0.999 * top, 0.0]])
    found = penalised_path(values, truth, weight, penalties=along, rule=PathRule(loss))
    assert not found.weights[0].any()
    assert (found.weights[1] != 0).sum() >= 1


@pytest.mark.parametrize("loss", LOSSES)
def test_copies_of_a_feature_share_what_one_would_have(loss):
    values, truth, weight = problem(loss)
    twice = np.column_stack([values, values[:, :3], -values[:, :2]])
    along = np.array([[0.05, 0.0], [0.005, 0.0]])
    alone = penalised_path(values, truth, weight, penalties=along, rule=PathRule(loss))
    found = penalised_path(twice, truth, weight, penalties=along, rule=PathRule(loss))
    np.testing.assert_allclose(found.scores(twice), alone.scores(values), atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_constant_feature_gets_nothing(loss):
    values, truth, weight = problem(loss)
    more = np.column_stack([np.full(60, 7.0), values])
    along = np.array([[0.02, 0.0]])
    found = penalised_path(more, truth, weight, penalties=along, rule=PathRule(loss))
    alone = penalised_path(values, truth, weight, penalties=along, rule=PathRule(loss))
    assert not found.weights[0][:, 0].any()
    np.testing.assert_allclose(found.weights[0][:, 1:], alone.weights[0], atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_moving_features_moves_the_intercept_alone(loss):
    values, truth, weight = problem(loss)
    along = np.array([[0.02, 0.01]])
    a = penalised_path(values, truth, weight, penalties=along, rule=PathRule(loss))
    b = penalised_path(values + 50.0, truth, weight, penalties=along, rule=PathRule(loss))
    np.testing.assert_allclose(b.weights, a.weights, atol=1e-7)
    np.testing.assert_allclose(b.scores(values + 50.0), a.scores(values), atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_span_of_the_cases_is_enough_for_ridge(loss):
    values, truth, weight = problem(loss, cases=25, features=40)
    along = np.array([[0.0, 0.5], [0.0, 0.05]])
    a = penalised_path(values, truth, weight, penalties=along, rule=PathRule(loss, tol=1e-9))
    b = spanned_path(values, truth, weight, penalties=along, rule=PathRule(loss, tol=1e-9))
    np.testing.assert_allclose(a.weights, b.weights, atol=1e-6)
    np.testing.assert_allclose(a.intercepts, b.intercepts, atol=1e-6)


def test_a_lasso_of_classes_that_are_told_apart_ends():
    values, _, weight = problem("logistic")
    truth = (values[:, 0] > 0)[None].astype(float)
    along = np.array([[1e-4, 0.0]])
    found = penalised_path(values, truth, weight, penalties=along, rule=PathRule("logistic"))
    assert np.isfinite(found.weights).all()
    assert (
        broken(found.weights[0], found.intercepts[0], values, truth, weight, "logistic", 1e-4, 0)
        < 1e-6
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("apart", [1e-9, 1e-6, 1e-3])
def test_features_that_are_nearly_copies_do_not_hold_it_up(loss, apart):
    values, truth, weight = problem(loss, cases=40, features=20)
    noise = apart * np.random.default_rng(1).normal(size=values.shape)
    twins = np.column_stack([values, values + noise])
    top = largest_weight(twins, truth, weight)
    along = np.column_stack([np.geomspace(top, 0.01 * top, 10), np.zeros(10)])
    found = penalised_path(twins, truth, weight, penalties=along, rule=PathRule(loss))
    for k in range(10):
        b, b0 = found.weights[k], found.intercepts[k]
        assert broken(b, b0, twins, truth, weight, loss, along[k, 0], 0) <= 1.01e-6 * top


@settings(max_examples=8, deadline=None)
@given(
    cases=st.integers(6, 50),
    features=st.integers(1, 90),
    seed=st.integers(0, 10_000),
    weight=st.sampled_from([1e-5, 1e-3, 0.1]),
)
def test_ends_whatever_the_shape_and_the_units(cases, features, seed, weight):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(cases, features)) * 10 ** rng.uniform(-4, 5, features)
    names = rng.integers(0, 3, cases).astype(float)
    names[:3] = (0, 1, 2)
    for target in (
        Target("binary", np.minimum(names, 1), ("a", "b")),
        Target("classes", names, ("a", "b", "c")),
        Target("number", 1e4 * names),
    ):
        for model in (Lasso(weight), Ridge(weight), ElasticNet(weight, 0.1)):
            assert np.isfinite(model.fit(values, target).predict(values)).all()


def test_agrees_with_the_path_of_scikit_learn():
    values, truth, _ = problem("square", cases=50, features=30)
    weight = np.full(50, 1 / 50)
    top = largest_weight(values, truth, weight)
    alphas = np.geomspace(top, 0.02 * top, 15)
    along = np.column_stack([alphas, np.zeros(15)])
    ours = penalised_path(values, truth, weight, penalties=along, rule=PathRule("square"))
    _, theirs, _ = enet_path(
        values - values.mean(axis=0),
        truth[0] - truth[0].mean(),
        l1_ratio=1.0,
        alphas=alphas,
        tol=1e-12,
        max_iter=99_999,
    )
    np.testing.assert_allclose(ours.weights[:, 0], theirs.T, atol=1e-5)


@pytest.fixture(scope="module")
def hosny(data_dir):
    """Give 984 scaled features of 240 cases, and who lived."""
    import pandas as pd

    table = pd.read_csv(data_dir / "tables" / "Hosny2018A.csv.gz").iloc[:240]
    values = table.drop(columns=["Target", "ID"]).to_numpy(float)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return values, table["Target"].to_numpy(float)


class TestRealFeatures:
    """984 features of 240 cases that repeat each other, where coordinate descent alone crawls."""

    def test_a_whole_path_is_optimal(self, hosny):
        values, y = hosny
        weight = np.full(240, 1 / 240)
        top = largest_weight(values, y[None], weight)
        along = np.column_stack([np.geomspace(top, 0.02 * top, 30), np.zeros(30)])
        for loss in ("logistic", "square"):
            found = penalised_path(values, y[None], weight, penalties=along, rule=PathRule(loss))
            for k in range(30):
                b, b0 = found.weights[k], found.intercepts[k]
                assert broken(b, b0, values, y[None], weight, loss, along[k, 0], 0) <= 1.1e-6 * top

    def test_the_objective_is_no_worse_than_that_of_liblinear(self, hosny):
        values, y = hosny
        weight = np.full(240, 1 / 240)
        for l1 in (0.05, 0.01):
            theirs = LogisticRegression(
                C=1 / (240 * l1), l1_ratio=1, solver="liblinear", intercept_scaling=1000, tol=1e-6
            ).fit(values, y)
            ours = Lasso(l1).fit(values, Target("binary", y, ("0", "1")))
            args = (values, y[None], weight, "logistic", l1, 0.0)
            best = objective(ours.weights_, ours.intercepts_, *args)
            rival = objective(theirs.coef_, theirs.intercept_, *args)
            assert best <= rival * (1 + 1e-6)
            assert best >= rival * (1 - 1e-4)

    def test_a_path_gives_what_single_fits_give(self, hosny):
        values, y = hosny
        target = Target("binary", y[40:], ("0", "1"))
        for model in (Lasso(), ElasticNet(), Ridge()):
            grid = model.grid(values[40:], target)
            path = model.path(values[40:], target, values[:40], grid)
            for k in (1, len(grid) // 2, -1):
                one = model.fresh(grid[k]).fit(values[40:], target).predict(values[:40])
                np.testing.assert_allclose(path[k], one, atol=1e-4)


@pytest.mark.parametrize("cls", [Lasso, ElasticNet, Ridge])
class TestPathOfModels:
    def test_the_order_of_settings_does_not_matter(self, cls):
        table, target = made(60, 6)
        grid = cls().grid(table.values, target)
        a = cls().path(table.values, target, table.values[:5], grid)
        b = cls().path(table.values, target, table.values[:5], grid[::-1])
        np.testing.assert_array_equal(a, b[::-1])

    def test_settings_that_differ_in_more_than_weight_are_fitted_alone(self, cls):
        table, target = made(60, 6)
        both = ({"weight": 0.1}, {"weight": 0.1, "class_weight": "balanced"})
        found = cls().path(table.values, target, table.values[:5], both)
        for k, change in enumerate(both):
            alone = cls().fresh(change).fit(table.values, target).predict(table.values[:5])
            np.testing.assert_array_equal(found[k], alone)

    def test_leaves_the_model_unfitted(self, cls):
        table, target = made(60, 6)
        model = cls()
        model.path(table.values, target, table.values[:5], ({"weight": 0.1},))
        with pytest.raises(ConvergenceError, match="must be fitted before"):
            model.predict(table.values)

    def test_a_grid_goes_from_simple_to_rich(self, cls):
        table, target = made(60, 6)
        weights = [one["weight"] for one in cls().grid(table.values, target)]
        assert len(weights) >= 15
        assert weights == sorted(weights, reverse=True)
        used = [np.abs(cls(w).fit(table.values, target).importances()).sum() for w in weights]
        assert used[0] < 0.3 * used[-1]

    def test_nothing_is_tuned_where_no_feature_varies(self, cls):
        _, target = made(60, 6)
        assert cls().grid(np.ones((60, 3)), target) == ({},)


def test_importances_are_weights_times_spread():
    table, target = made(60, 6)
    wide = table.values * np.array([1, 1, 1, 1, 1, 5.0])
    model = Lasso(0.02).fit(wide, target)
    np.testing.assert_allclose(model.importances(), model.weights_[0] * wide.std(axis=0))


def test_refuses_a_path_with_too_few_steps():
    table, target = made(60, 6)
    with pytest.raises(ConvergenceError, match="must reach its optimum within 1 steps"):
        Lasso(0.01, steps=1).fit(table.values, target)


def test_refuses_features_beyond_measure():
    table, target = made(60, 6)
    with pytest.raises(IntensityError, match=r"must be below 1e\+100, got .*put Scale before it"):
        Lasso().fit(table.values * 1e200, target)


class TestSeparation:
    """A logistic regression without penalty has no maximum where classes do not overlap."""

    def test_refuses_classes_told_apart(self):
        values = np.random.default_rng(0).normal(size=(40, 2))
        target = Target("binary", (values[:, 0] > 0).astype(float), ("no", "yes"))
        with pytest.raises(ConvergenceError, match=r"must overlap .* 2 features of 40 cases"):
            Logistic().fit(values, target)

    def test_refuses_classes_told_apart_but_for_a_tie(self):
        # all events have 1, others 0 or 1: the odds ratio is infinite
        rng = np.random.default_rng(0)
        y = np.repeat([0.0, 1.0], 30)
        values = np.where(y > 0, 1.0, rng.integers(0, 2, 60))[:, None]
        with pytest.raises(ConvergenceError, match="told apart by 1 features of 60 cases"):
            Logistic().fit(values, Target("binary", y, ("no", "yes")))

    def test_refuses_more_features_than_cases(self):
        table, target = made(30, 50)
        with pytest.raises(ConvergenceError, match="use Ridge or Lasso"):
            Logistic().fit(table.values, target)

    def test_refuses_one_of_three_classes_told_apart(self):
        values = np.random.default_rng(0).normal(size=(90, 2))
        names = np.where(values[:, 0] > 0.5, 2.0, np.arange(90) % 2)
        with pytest.raises(ConvergenceError, match="must overlap"):
            Logistic().fit(values, Target("classes", names, ("a", "b", "c")))

    def test_lets_a_strong_but_honest_feature_pass(self):
        table, target = made(150, 6, shift=2.0)
        found = Logistic().fit(table.values, target).predict(table.values)
        assert np.isfinite(found).all()

    def test_copies_share_a_weight(self):
        table, target = made(100, 3, shift=0.5)
        twice = np.column_stack([table.values, table.values[:, 0]])
        model = Logistic().fit(twice, target)
        alone = Logistic().fit(table.values, target)
        assert model.weights_[0, 0] == pytest.approx(model.weights_[0, 3], rel=1e-6)
        assert 2 * model.weights_[0, 0] == pytest.approx(alone.weights_[0, 0], rel=1e-4)
