"""Random intercept: beside the likelihood written out with whole covariance matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from vesalius.errors import RegionError
from vesalius.predict._random_intercept import expected_offsets, random_intercept

seeds = st.integers(0, 10_000)


def visits(seed=0, subjects=12, features=3, ratio=1.5, terms=2):
    """Give visits of subjects, from 1 to 4 each, with an offset of each subject."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(subjects), rng.integers(1, 5, subjects))
    rng.shuffle(codes)
    design = np.column_stack([np.ones(len(codes)), rng.normal(size=(len(codes), terms))])
    offsets = np.sqrt(ratio) * rng.normal(size=(subjects, features))
    values = design @ rng.normal(size=(terms + 1, features)) + offsets[codes]
    return values + rng.normal(size=values.shape), design, codes.astype(np.int64)


def whole_cost(log_ratio, y, design, codes):
    """-2 log restricted likelihood, profiled over the noise, with the whole covariance."""
    same = codes[:, None] == codes
    v = np.eye(len(y)) + np.exp(log_ratio) * same
    inverse = np.linalg.inv(v)
    xx = design.T @ inverse @ design
    left = y - design @ np.linalg.solve(xx, design.T @ inverse @ y)
    free = len(y) - design.shape[1]
    return free * np.log(left @ inverse @ left) + np.linalg.slogdet(v)[1] + np.linalg.slogdet(xx)[1]


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_whole_likelihood(seed):
    values, design, codes = visits(seed)
    found = random_intercept(values, design, codes)
    for j in range(values.shape[1]):
        args = (values[:, j], design, codes)
        best = min(
            (
                optimize.minimize_scalar(
                    whole_cost,
                    bounds=(a, a + 2),
                    args=args,
                    method="bounded",
                    options={"xatol": 1e-10},
                )
                for a in np.arange(-12.0, 8.0)
            ),
            key=lambda one: one.fun,
        )
        ratio = found.ratio[j]
        own = whole_cost(np.log(max(ratio, 1e-12)), *args)
        assert own <= best.fun + 1e-8
        if best.x > -8:
            assert ratio == pytest.approx(np.exp(best.x), rel=1e-4)
        v = np.eye(len(codes)) + ratio * (codes[:, None] == codes)
        inverse = np.linalg.inv(v)
        weights = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ values[:, j])
        np.testing.assert_allclose(found.weights[:, j], weights, rtol=1e-8)
        left = values[:, j] - design @ weights
        noise = left @ inverse @ left / (len(codes) - 3)
        assert found.deviation[j] == pytest.approx(np.sqrt(noise))
        # the best predictor, from the joint normal distribution
        member = (codes[:, None] == np.arange(12)).astype(float)
        offsets = ratio * member.T @ inverse @ left
        np.testing.assert_allclose(found.intercepts[:, j], offsets, atol=1e-9)


def test_agrees_with_the_analysis_of_variance_where_visits_are_equal():
    # balanced: the estimates are those of the mean squares, wherever these leave them positive
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(20), 4).astype(np.int64)
    values = rng.normal(size=(20, 30))[codes] * 1.3 + rng.normal(size=(80, 30))
    found = random_intercept(values, np.ones((80, 1)), codes)
    means = values.reshape(20, 4, 30).mean(axis=1)
    within = ((values - means[codes]) ** 2).sum(axis=0) / 60
    between = 4 * means.var(axis=0, ddof=1)
    assert (between > within).all()
    np.testing.assert_allclose(found.deviation, np.sqrt(within), rtol=1e-6)
    np.testing.assert_allclose(found.ratio, (between / within - 1) / 4, rtol=1e-5)


def test_gives_no_ratio_where_visits_do_not_resemble_each_other():
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(20), 4).astype(np.int64)
    values = rng.normal(size=(80, 20))
    found = random_intercept(values, np.ones((80, 1)), codes)
    means = values.reshape(20, 4, 20).mean(axis=1)
    within = ((values - means[codes]) ** 2).sum(axis=0) / 60
    less = 4 * means.var(axis=0, ddof=1) < within
    assert less.any()
    assert (found.ratio[less] < 1e-6).all()
    assert (found.ratio[~less] > 0).all()


def test_is_least_squares_where_nobody_comes_twice():
    values, design, _ = visits(5)
    found = random_intercept(values, design, np.arange(len(values)))
    weights, rest = np.linalg.lstsq(design, values, rcond=None)[:2]
    np.testing.assert_array_equal(found.ratio, 0)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-9)
    np.testing.assert_allclose(found.deviation, np.sqrt(rest / (len(values) - 3)))
    np.testing.assert_array_equal(found.intercepts, 0)


@settings(max_examples=25)
@given(seeds, st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_follows_a_shift_and_a_stretch(seed, shift, stretch):
    values, design, codes = visits(seed)
    a, b = (random_intercept(v, design, codes) for v in (values, stretch * values + shift))
    np.testing.assert_allclose(b.ratio, a.ratio, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(b.deviation, stretch * a.deviation, rtol=1e-2)


def test_finds_the_ratio_that_was_put_in():
    values, design, codes = visits(6, subjects=150, features=40, ratio=2.0)
    found = random_intercept(values, design, codes)
    assert np.median(found.ratio) == pytest.approx(2.0, rel=0.1)
    assert np.median(found.deviation) == pytest.approx(1.0, rel=0.05)


def test_offsets_are_drawn_to_nothing_by_few_visits():
    left = np.ones((5, 1))
    offsets = expected_offsets(left, np.array([0, 1, 1, 1, 1]), np.array([1.0]))
    np.testing.assert_allclose(offsets[:, 0], [0.5, 0.8])


def test_the_price_of_a_wrong_ratio_is_that_of_the_likelihood():
    # a test that the cost is a likelihood: twice its fall follows chi squared for no offset
    falls = []
    for seed in range(40):
        values, design, codes = visits(seed, features=1, ratio=0.0)
        found = random_intercept(values, design, codes)
        args = (values[:, 0], design, codes)
        falls.append(whole_cost(-40.0, *args) - whole_cost(np.log(found.ratio[0] + 1e-18), *args))
    assert min(falls) > -1e-9
    assert np.quantile(falls, 0.9) < stats.chi2.ppf(0.99, 1)


def test_refuses_as_many_terms_as_cases():
    with pytest.raises(RegionError, match="more cases than terms, got 3 and 3"):
        random_intercept(np.ones((3, 1)), np.eye(3), np.zeros(3, dtype=np.int64))
