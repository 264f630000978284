"""The 23 grey-level histogram features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.measure._histogram import FEATURES, histogram
from vesalius.measure._statistics import statistics

counts_of = (
    st.lists(st.integers(0, 9), min_size=2, max_size=12)
    .filter(lambda c: sum(c) > 0)
    .map(lambda c: np.array(c, dtype=np.int64))
)


def table(counts: np.ndarray) -> dict[str, float]:
    return {v.tag: v.value for v in histogram(counts)}


@settings(deadline=None)
@given(counts_of)
def test_shares_its_moments_with_the_statistics_of_the_levels(counts):
    levels = np.repeat(np.arange(1, len(counts) + 1.0), counts)
    like = {v.tag.removeprefix("stat_"): v.value for v in statistics(levels)}
    for value in histogram(counts):
        name = value.tag.removeprefix("ih_")
        if name in like:
            np.testing.assert_equal(value.value, like[name])


def test_entropy_of_two_equal_halves_is_one_bit():
    found = table(np.array([7, 0, 7]))
    assert found["ih_entropy"] == 1.0
    assert found["ih_uniformity"] == 0.5


def test_one_level_has_no_entropy_and_its_sign_is_plus():
    found = table(np.array([5, 0]))
    assert found["ih_entropy"] == 0.0
    assert not np.signbit(found["ih_entropy"])


def test_of_several_modes_the_one_nearest_the_mean_counts():
    assert table(np.array([3, 0, 3, 2]))["ih_mode"] == 3


def test_gradients_are_central_differences():
    counts = np.array([4, 1, 9, 3, 3])
    slope = [1 - 4, (9 - 4) / 2, (3 - 1) / 2, (3 - 9) / 2, 3 - 3]
    found = table(counts)
    assert found["ih_max_grad"] == max(slope)
    assert found["ih_max_grad_g"] == 2
    assert found["ih_min_grad"] == min(slope)
    assert found["ih_min_grad_g"] == 1


def test_one_level_has_no_gradient_and_says_why():
    found = {v.tag: v for v in histogram(np.array([5]))}
    assert np.isnan(found["ih_max_grad"].value)
    assert found["ih_max_grad"].reason == "there is only one grey level"


@settings(deadline=None)
@given(counts_of)
def test_a_value_is_missing_only_with_a_reason(counts):
    assert all(np.isfinite(v.value) != bool(v.reason) for v in histogram(counts))


def test_there_are_23_features_in_the_order_of_the_values():
    values = histogram(np.array([1, 2, 3]))
    assert [v.tag for v in values] == [f.tag for f in FEATURES]
    assert len(values) == 23


def test_widths_do_not_change_the_levels_of_a_shifted_histogram():
    assert table(np.array([1, 5, 2]))["ih_var"] == pytest.approx(
        table(np.array([0, 1, 5, 2]))["ih_var"]
    )
