"""The intensity-volume histogram."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.measure._config import Ivh
from vesalius.measure._ivh import FEATURES, ivh

whole = st.lists(st.integers(-20, 60), min_size=1, max_size=50).map(
    lambda v: np.sort(np.array(v, dtype=np.float64))
)


def slow(values: np.ndarray, low: float, high: float) -> dict[str, float]:
    """The definitions, level by level, for whole numbers."""
    levels = np.arange(low, high + 1)
    share = np.array([(values >= g).mean() for g in levels])
    gamma = (levels - low) / (high - low)
    pick = {}
    for x in (10, 90):
        pick[f"ivh_v{x}"] = share[gamma >= x / 100 - 1e-12].max()
        reached = levels[share <= x / 100]
        pick[f"ivh_i{x}"] = reached.min() if len(reached) else np.nan
    return pick


@given(whole)
def test_agrees_with_the_definitions_on_whole_numbers(x):
    if x[0] == x[-1]:
        return
    found = {v.tag: v.value for v in ivh(x, Ivh())}
    for tag, value in slow(x, x[0], x[-1]).items():
        np.testing.assert_allclose(found[tag], value, rtol=1e-12, err_msg=tag)


def test_starts_and_ends_at_the_resegmentation_range():
    x = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
    found = {v.tag: v.value for v in ivh(x, Ivh(), bounds=(-100.0, 100.0))}
    for tag, value in slow(x, -100, 100).items():
        np.testing.assert_allclose(found[tag], value, err_msg=tag)


def test_fixed_bins_are_read_at_their_centres():
    x = np.arange(100.0)
    found = {v.tag: v.value for v in ivh(x, Ivh(method="bin_width", bin_width=10.0))}
    assert found["ivh_i10"] == 95.0
    assert found["ivh_v90"] == pytest.approx(0.1)


def test_a_number_of_bins_gives_intensities_as_bin_numbers():
    x = np.linspace(0, 1, 1001)
    found = {v.tag: v.value for v in ivh(x, Ivh(method="bin_count", bin_count=1000))}
    assert 900 <= found["ivh_i10"] <= 903
    assert found["ivh_v10"] == pytest.approx(0.9, abs=2e-3)


def test_other_numbers_are_taken_as_they_are():
    x = np.sort(np.random.default_rng(1).random(1000))
    found = {v.tag: v.value for v in ivh(x, Ivh())}
    assert found["ivh_i10"] == pytest.approx(0.9, abs=0.03)
    assert found["ivh_auc"] == pytest.approx(0.5, abs=0.03)


def test_a_constant_region_says_why_it_has_no_curve():
    found = {v.tag: v for v in ivh(np.full(5, 3.0), Ivh())}
    assert np.isnan(found["ivh_v10"].value)
    assert "all intensities are equal" in found["ivh_v10"].reason
    assert "highest level" in found["ivh_i10"].reason


@given(whole)
def test_a_value_is_missing_only_with_a_reason(x):
    for settings in (Ivh(), Ivh(method="bin_width"), Ivh(method="bin_count", bin_count=7)):
        assert all(np.isfinite(v.value) != bool(v.reason) for v in ivh(x, settings))


def test_there_are_7_features_in_the_order_of_the_values():
    assert [v.tag for v in ivh(np.array([1.0, 2.0]), Ivh())] == [f.tag for f in FEATURES]
    assert len(FEATURES) == 7
