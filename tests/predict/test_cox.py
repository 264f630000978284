"""Cox models: equal to scikit-survival, optimal, honest about what has no optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from survival_cases import drawn, pairs, target

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError
from vesalius.predict import Target
from vesalius.predict._cox import Cox, breslow_hazard
from vesalius.predict._cox_path import at_risk


def partial_likelihood(values, outcome, b, ties):
    """Sum the log partial likelihood by its definition, event by event."""
    score, total = values @ b, 0.0
    for time in np.unique(outcome.values[outcome.events]):
        risk = np.exp(score[outcome.values >= time]).sum()
        tied = np.flatnonzero(outcome.events & (outcome.values == time))
        own = np.exp(score[tied]).sum()
        for k, case in enumerate(tied):
            share = k / len(tied) if ties == "efron" else 0.0
            total += score[case] - np.log(risk - share * own)
    return total


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("digits", [1, 6])
@pytest.mark.parametrize("shape", [(80, 5), (40, 60)])
def test_a_ridge_is_that_of_scikit_survival(ties, digits, shape):
    linear = pytest.importorskip("sksurv.linear_model")
    values, outcome = drawn(*shape, digits=digits)
    theirs = linear.CoxPHSurvivalAnalysis(alpha=0.1 * len(values), ties=ties, tol=1e-12, n_iter=200)
    theirs.fit(values, pairs(outcome))
    ours = Cox(weight=0.1, mix=0.0, ties=ties, tol=1e-10).fit(values, outcome)
    np.testing.assert_allclose(ours.weights_, theirs.coef_, atol=1e-10)
    times = np.array([0.2, 0.5, 1.0])
    curves = [one(times) for one in theirs.predict_survival_function(values[:4])]
    np.testing.assert_allclose(ours.survival(values[:4], times), curves, atol=1e-10)


def test_without_a_penalty_it_is_the_plain_model():
    linear = pytest.importorskip("sksurv.linear_model")
    values, outcome = drawn(digits=1)
    theirs = linear.CoxPHSurvivalAnalysis(ties="efron", tol=1e-12).fit(values, pairs(outcome))
    ours = Cox(weight=0.0, tol=1e-10).fit(values, outcome)
    np.testing.assert_allclose(ours.weights_, theirs.coef_, atol=1e-9)


@pytest.mark.parametrize("mix", [0.5, 1.0])
def test_an_elastic_net_is_that_of_scikit_survival(mix):
    linear = pytest.importorskip("sksurv.linear_model")
    values, outcome = drawn(60, 20)
    theirs = linear.CoxnetSurvivalAnalysis(l1_ratio=mix, alphas=[0.05], tol=1e-12, max_iter=10**6)
    theirs.fit(values, pairs(outcome))
    ours = Cox(weight=0.05, mix=mix, ties="breslow", tol=1e-10).fit(values, outcome)
    np.testing.assert_allclose(ours.weights_, theirs.coef_[:, 0], atol=1e-5)
    assert 0 < np.count_nonzero(ours.weights_) < 20


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from(["efron", "breslow"]), st.sampled_from([0.3, 1.0]))
def test_nothing_near_is_better(seed, ties, mix):
    values, outcome = drawn(40, 8, seed=seed, digits=1)
    model = Cox(weight=0.04, mix=mix, ties=ties, tol=1e-10).fit(values, outcome)

    def cost(b):
        size = mix * np.abs(b).sum() + (1 - mix) * (b @ b) / 2
        return 0.04 * size - partial_likelihood(values, outcome, b, ties) / len(values)

    rng, best = np.random.default_rng(seed), cost(model.weights_)
    for _ in range(10):
        assert cost(model.weights_ + 1e-3 * rng.normal(size=8)) >= best - 1e-12


def test_sums_and_their_transpose_are_adjoint():
    _, outcome = drawn(30, 2, digits=1)
    risk = at_risk(outcome.values, outcome.events, "efron")
    rng = np.random.default_rng(1)
    each, terms = rng.random(30), rng.random(int(outcome.events.sum()))
    assert terms @ risk.sums(each) == pytest.approx(each @ risk.spread(terms), rel=1e-12)


def test_who_is_at_risk_counts_tied_events_by_their_share():
    outcome = target([2, 2, 2, 1, 3], [1, 1, 0, 1, 0])
    for ties, wanted in (("efron", [4, 3, 5]), ("breslow", [4, 4, 5])):
        risk = at_risk(outcome.values, outcome.events, ties)
        np.testing.assert_allclose(risk.sums(np.ones(5)), wanted)


def test_the_heaviest_weight_of_its_grid_leaves_no_feature():
    values, outcome = drawn()
    model = Cox()
    tried = model.grid(values, outcome)
    assert len(tried) == 20
    assert not np.any(model.fresh(tried[0]).fit(values, outcome).weights_)
    lighter = {"weight": 0.98 * tried[0]["weight"]}
    assert np.count_nonzero(model.fresh(lighter).fit(values, outcome).weights_) == 1


def test_constant_features_leave_nothing_to_tune():
    _, outcome = drawn()
    assert Cox().grid(np.ones((80, 2)), outcome) == ({},)
    assert not np.any(Cox(mix=0.0).fit(np.ones((80, 2)), outcome).weights_)


@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_a_path_is_one_fit_after_another(mix):
    values, outcome = drawn(60, 8)
    model = Cox(mix=mix, tol=1e-10)
    tried = model.grid(values, outcome)[::-4]
    found = model.path(values, outcome, values[:5], tried)
    for k, one in enumerate(tried):
        alone = model.fresh(one).fit(values, outcome).predict(values[:5])
        np.testing.assert_allclose(found[k], alone, atol=1e-6)


def test_a_path_may_change_more_than_the_weight():
    values, outcome = drawn()
    tried = ({"weight": 0.1, "mix": 1.0}, {"weight": 0.0})
    found = Cox().path(values, outcome, values[:3], tried)
    for k, one in enumerate(tried):
        np.testing.assert_allclose(found[k], Cox(**one).fit(values, outcome).predict(values[:3]))


def test_survival_starts_at_one_and_never_rises():
    values, outcome = drawn()
    times = np.array([0.0, 0.05, 0.5, 1.0, 2.0, 1e6])
    model = Cox().fit(values, outcome)
    found = model.survival(values, times)
    assert (found[:, :2] == 1).all()
    assert (np.diff(found, axis=1) <= 0).all()
    np.testing.assert_array_equal(
        found[:, -1],
        Cox().fit(values, outcome).survival(values, outcome.values.max() + np.ones(1))[:, 0],
    )


def test_the_hazard_without_a_score_counts_events_to_those_at_risk():
    outcome = target([1, 2, 2, 3], [1, 1, 1, 0])
    times, hazard = breslow_hazard(np.zeros(4), outcome)
    np.testing.assert_array_equal(times, [1, 2])
    np.testing.assert_allclose(hazard, [1 / 4, 1 / 4 + 2 / 3])


def test_importances_are_weights_times_spread():
    values, outcome = drawn()
    model = Cox(weight=0.01).fit(values * 10, outcome)
    np.testing.assert_allclose(model.importances(), model.weights_ * (values * 10).std(axis=0))


def test_refuses_what_tells_every_event():
    times = np.arange(1.0, 31.0)
    outcome = target(times, np.ones(30))
    with pytest.raises(ConvergenceError, match="use a weight above 0"):
        Cox(weight=0.0).fit(-times[:, None] / 10, outcome)
    assert np.isfinite(Cox(weight=0.01).fit(-times[:, None] / 10, outcome).weights_).all()


def test_refuses_a_feature_without_which_nobody_has_the_event():
    values, outcome = drawn(120, 2)
    exposed = (np.arange(120) % 2).astype(float)
    seen = Target("survival", outcome.values, (), outcome.events & (exposed == 1))
    both = np.column_stack([values, exposed])
    with pytest.raises(ConvergenceError, match="its weights grow without end"):
        Cox(weight=0.0).fit(both, seen)
    assert Cox(weight=0.01).fit(both, seen).weights_[2] > 0
    assert np.isfinite(Cox(weight=0.0).fit(20 * values, outcome).weights_).all()


@pytest.mark.parametrize("weight", [1e-3, 1e-5])
def test_a_weak_ridge_of_more_features_than_cases_is_optimal(weight):
    values, outcome = drawn(80, 200)
    found = Cox(weight=weight, mix=0.0).fit(values, outcome).weights_

    def cost(b):
        told = partial_likelihood(values, outcome, b, "efron")
        return -told / 80 + weight / 2 * b @ b

    rng = np.random.default_rng(0)
    for _ in range(5):
        assert cost(found) < cost(found + 1e-2 * rng.normal(size=200) * np.abs(found).mean())


def test_survival_of_a_case_beyond_all_numbers_is_a_probability():
    values, outcome = drawn(80, 2)
    model = Cox(weight=0.0).fit(values, outcome)
    away = np.sign(model.weights_)[None] * np.array([[1e4], [-1e4]])
    before = float(model.times_[0]) / 2
    told = model.survival(away, np.array([0.0, before, float(model.times_[-1])]))
    np.testing.assert_array_equal(told, [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])


def test_refuses_too_few_steps():
    values, outcome = drawn()
    with pytest.raises(ConvergenceError, match="within 1 steps"):
        Cox(weight=1e-3, steps=1).fit(values, outcome)


def test_refuses_features_beyond_bounds():
    values, outcome = drawn()
    with pytest.raises(IntensityError, match=r"must be below 1e\+100"):
        Cox().fit(values * 1e150, outcome)


def test_refuses_no_event():
    values, outcome = drawn()
    none = Target("survival", outcome.values, outcome.classes, np.zeros(80, bool))
    with pytest.raises(RegionError, match="at least one event, none was seen in 80 cases"):
        Cox().fit(values, none)


def test_refuses_equal_times():
    values, outcome = drawn()
    alike = Target("survival", np.full(80, 7.0), outcome.classes, outcome.events)
    with pytest.raises(RegionError, match="times that differ, all 80 are 7"):
        Cox().fit(values, alike)


def test_refuses_another_kind():
    values, _ = drawn()
    with pytest.raises(ConfigError, match="Cox predicts survival"):
        Cox().fit(values, Target("number", values[:, 0]))


@pytest.mark.parametrize(
    "setting",
    [{"weight": -1.0}, {"mix": 2.0}, {"steps": 0}, {"tol": 1.0}, {"weight": float("nan")}],
)
def test_refuses_settings_out_of_range(setting):
    values, outcome = drawn()
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} must be from"):
        Cox(**setting).fit(values, outcome)


@pytest.mark.parametrize("times", [[], [-1.0], [float("nan")], [[1.0]]])
def test_refuses_times_that_are_none(times):
    values, outcome = drawn()
    with pytest.raises(ConfigError, match="times must be a row"):
        Cox().fit(values, outcome).survival(values, np.array(times))
