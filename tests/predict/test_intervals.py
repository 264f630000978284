"""Intervals over patients: shares, draws, and how often they hold the truth."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from judged_cases import drawn, table
from scipy.stats import binomtest, t

from vesalius.predict import Description
from vesalius.predict._intervals import (
    Clusters,
    bootstrap,
    clusters_of,
    dense,
    percentile,
    share,
    t_interval,
    wilson,
)


def generator():
    return torch.Generator().manual_seed(0)


@given(st.integers(1, 200), st.floats(0, 1))
def test_wilsons_interval_is_that_of_scipy(n, part):
    k = round(part * n)
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_share_of_single_predictions_has_wilsons_interval():
    hits = np.r_[np.ones(30), np.zeros(10)]
    found = share(hits, np.ones(40), dense(np.arange(40)), nothing="")
    assert found.value == 0.75
    assert (found.low, found.high) == pytest.approx(wilson(0.75, 40 * 39 / 40), abs=1e-3)


def test_copies_of_a_patient_add_no_certainty_to_a_share():
    hits = np.r_[np.ones(30), np.zeros(10)]
    one = share(hits, np.ones(40), dense(np.arange(40)), nothing="")
    many = share(np.tile(hits, 5), np.ones(200), dense(np.tile(np.arange(40), 5)), nothing="")
    assert many.low == pytest.approx(one.low, abs=1e-12)


def test_a_share_of_one_is_not_certain():
    found = share(np.ones(12), np.ones(12), dense(np.arange(12)), nothing="")
    assert found.value == 1
    assert 0.7 < found.low < 0.8


def test_a_share_of_nothing_has_a_reason():
    found = share(np.ones(3), np.zeros(3), dense(np.arange(3)), nothing="nobody was called")
    assert math.isnan(found.value)
    assert found.reason == "nobody was called"


def test_trainings_that_share_cases_make_a_share_less_certain():
    hits = np.r_[np.ones(30), np.zeros(10)]
    one = share(hits, np.ones(40), Clusters(np.arange(40), 40), nothing="")
    wide = share(hits, np.ones(40), Clusters(np.arange(40), 40, 2.25), nothing="")
    assert wide.high - wide.low == pytest.approx(1.5 * (one.high - one.low), rel=0.08)


def test_students_interval_is_that_of_scipy():
    found = t_interval(2.0, 0.5, freedom=7)
    assert (found.low, found.high) == pytest.approx(t.interval(0.95, 7, 2.0, 0.5))


def test_a_logit_interval_stays_within_its_bounds():
    found = t_interval(0.97, 0.02, freedom=20, logit=True)
    assert 0.5 < found.low < 0.97 < found.high < 1


def test_draws_keep_the_size_of_each_stratum():
    clusters = dense(np.array([0, 0, 1, 2, 3, 4]))
    drawn = bootstrap(clusters, np.array([1, 0, 1, 0, 0, 0]), generator=generator(), draws=300)
    assert drawn.weights.shape == (300, 5)
    assert (drawn.weights[:, :2].sum(1) == 2).all()
    assert (drawn.weights[:, 2:].sum(1) == 3).all()


def test_draws_are_those_of_the_generator():
    clusters = dense(np.arange(20))
    first, again = (
        bootstrap(clusters, np.zeros(20, dtype=np.int64), generator=generator()) for _ in "ab"
    )
    assert (first.weights == again.weights).all()
    assert first.weights.var() == pytest.approx(1 - 1 / 20, rel=0.05)


def test_large_tables_are_drawn_less_often():
    clusters = Clusters(np.arange(15_000), 15_000)
    drawn = bootstrap(clusters, np.zeros(15_000, dtype=np.int64), generator=generator())
    assert drawn.weights.size <= 4_000_000


def test_the_bootstrap_of_a_mean_has_its_standard_error():
    rng = np.random.default_rng(0)
    values, clusters = rng.normal(3, 2, 200), dense(np.arange(200))
    drawn = bootstrap(clusters, np.zeros(200, dtype=np.int64), generator=generator())
    found = percentile(values.mean(), drawn.weights @ values / 200)
    half = 1.96 * values.std() / math.sqrt(200)
    assert found.low == pytest.approx(values.mean() - half, abs=0.06)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06)


def test_stretched_draws_have_their_variance_widened():
    drawn = bootstrap(
        Clusters(np.arange(30), 30, 2.25), np.zeros(30, dtype=np.int64), generator=generator()
    )
    means = drawn.weights @ np.arange(30.0) / 30
    assert drawn.stretched(14.5, means).std() == pytest.approx(1.5 * means.std())


def test_a_figure_that_cannot_vary_has_no_interval():
    assert "every draw" in percentile(1.0, np.ones(50)).reason
    found = percentile(0.4, np.r_[np.full(20, np.nan), np.linspace(0, 1, 80)])
    assert "not defined in 20 of 100 draws" in found.reason
    assert found.value == 0.4


def test_an_interval_stays_within_what_is_possible():
    found = percentile(0.9, np.linspace(0.5, 1.3, 100), within=(0.0, 1.0))
    assert found.high == 1


def test_patients_are_those_of_the_group():
    judged = drawn(n=6, repeats=2)
    asked = table(6, patient=["a", "a", "b", "b", "c", "c"])
    found = clusters_of(judged, table=asked, description=Description(group="patient"))
    assert found.count == 3
    assert found.of.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert clusters_of(judged, table=asked, description=Description()).count == 6
    assert found.widen > 1


def test_adds_up_within_patients():
    clusters = dense(np.array(["b", "a", "b"]))
    assert clusters.sums(np.array([1.0, 2.0, 4.0])).tolist() == [2, 5]
    assert clusters.sums(np.array([[1.0, 0], [2, 1], [4, 1]])).tolist() == [[2, 1], [5, 1]]
    assert clusters.rows(np.array([0, 2])).count == 1


def test_cases_whose_patient_is_missing_are_patients_of_their_own():
    judged = drawn(n=6)
    asked = table(6, patient=["a", "a", None, "b", None, None])
    found = clusters_of(judged, table=asked, description=Description(group="patient"))
    assert found.count == 5
    assert found.of[0] == found.of[1]
    assert len(set(found.of[[2, 4, 5]])) == 3
