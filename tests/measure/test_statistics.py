"""The 18 intensity statistics."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.measure._statistics import FEATURES, percentile, statistics

values_of = st.lists(
    st.floats(-1000, 1000).map(lambda v: round(v, 3)), min_size=2, max_size=60
).map(lambda v: np.sort(np.array(v)))


def table(values: np.ndarray) -> dict[str, float]:
    return {v.tag: v.value for v in statistics(np.sort(np.asarray(values, dtype=np.float64)))}


@settings(deadline=None)
@given(values_of)
def test_agrees_with_numpy_and_scipy(x):
    found = table(x)
    scale = max(1.0, float(np.abs(x).max()))
    assert found["stat_mean"] == pytest.approx(np.mean(x), abs=1e-9 * scale)
    assert found["stat_var"] == pytest.approx(np.var(x), abs=1e-9 * scale**2)
    assert found["stat_median"] == pytest.approx(np.median(x), abs=1e-9 * scale)
    assert found["stat_p10"] == pytest.approx(np.percentile(x, 10), abs=1e-9 * scale)
    assert found["stat_iqr"] == pytest.approx(scipy.stats.iqr(x), abs=1e-9 * scale)
    assert found["stat_energy"] == pytest.approx(np.sum(x**2), rel=1e-12, abs=1e-300)


def test_skewness_and_kurtosis_agree_with_scipy(generator):
    x = np.random.default_rng(5).gamma(2.0, size=500)
    found = table(x)
    assert found["stat_skew"] == pytest.approx(scipy.stats.skew(x), rel=1e-12)
    assert found["stat_kurt"] == pytest.approx(scipy.stats.kurtosis(x), rel=1e-12)


def test_kurtosis_of_a_normal_sample_is_excess():
    x = np.random.default_rng(5).normal(size=200_000)
    assert abs(table(x)["stat_kurt"]) < 0.05


def test_deviations_agree_with_their_definitions():
    x = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    found = table(x)
    inner = x[(x >= np.percentile(x, 10)) & (x <= np.percentile(x, 90))]
    assert found["stat_mad"] == pytest.approx(np.abs(x - x.mean()).mean())
    assert found["stat_rmad"] == pytest.approx(np.abs(inner - inner.mean()).mean())
    assert found["stat_medad"] == pytest.approx(np.abs(x - np.median(x)).mean())
    assert found["stat_cov"] == pytest.approx(x.std() / x.mean())
    q1, q3 = np.percentile(x, [25, 75])
    assert found["stat_qcod"] == pytest.approx((q3 - q1) / (q3 + q1))
    assert found["stat_rms"] == pytest.approx(np.sqrt((x**2).mean()))


@settings(deadline=None)
@given(values_of, st.floats(0, 100))
def test_percentile_agrees_with_numpy(x, p):
    assert percentile(x, p) == pytest.approx(np.percentile(x, p), abs=1e-9)


@settings(deadline=None)
@given(values_of, st.floats(0.5, 3.0), st.floats(-50, 50))
def test_follows_a_linear_change_of_the_intensities(x, gain, shift):
    before, after = table(x), table(gain * x + shift)
    assert after["stat_mean"] == pytest.approx(gain * before["stat_mean"] + shift, abs=1e-6)
    assert after["stat_var"] == pytest.approx(gain**2 * before["stat_var"], abs=1e-5)
    assert after["stat_mad"] == pytest.approx(gain * before["stat_mad"], abs=1e-6)


def test_a_constant_region_has_no_skewness_and_says_why():
    found = {v.tag: v for v in statistics(np.full(9, 0.1))}
    assert found["stat_mean"].value == 0.1
    assert found["stat_var"].value == 0
    for tag in ("stat_skew", "stat_kurt"):
        assert np.isnan(found[tag].value)
        assert found[tag].reason == "all intensities are equal"


def test_ratios_with_a_zero_denominator_say_why():
    found = {v.tag: v for v in statistics(np.array([-1.0, 0.0, 1.0]))}
    assert found["stat_cov"].reason == "the mean is 0"
    assert found["stat_qcod"].reason == "the quartiles add up to 0"


@settings(deadline=None)
@given(values_of)
def test_a_value_is_missing_only_with_a_reason(x):
    assert all(np.isfinite(v.value) != bool(v.reason) for v in statistics(x))


def test_there_are_18_features_in_the_order_of_the_values():
    values = statistics(np.array([1.0, 2.0]))
    assert [v.tag for v in values] == [f.tag for f in FEATURES]
    assert len(values) == 18
