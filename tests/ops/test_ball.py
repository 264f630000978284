"""Means over balls of voxels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError
from vesalius.ops import _ball
from vesalius.ops._ball import ball_peaks


def slow_peaks(values, mask, radius):
    """Loop over centres, average over what exists."""
    grid = np.indices(values.shape).reshape(3, -1).T
    exists = np.isfinite(values).reshape(-1)
    means, brightest = [], values[mask].max()
    for spot in np.argwhere(mask):
        near = (((grid - spot) / radius) ** 2).sum(axis=1) <= 1 + 1e-9
        means.append((values.reshape(-1)[near & exists].mean(), values[tuple(spot)] == brightest))
    return max(m for m, bright in means if bright), max(m for m, _ in means)


@given(
    st.integers(0, 10_000),
    st.tuples(*[st.floats(0.3, 4.2)] * 3),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_slow_loop(seed, radius, broken):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, (5, 17, 6)).astype(float)
    mask = rng.random(values.shape) < 0.1
    mask[2, 8, 3] = True
    if broken:
        values[(rng.random(values.shape) < 0.1) & ~mask] = np.nan
    peaks = ball_peaks(torch.from_numpy(values), torch.from_numpy(mask), radius)
    expected = slow_peaks(values, mask, np.array(radius))
    assert (peaks.local, peaks.everywhere) == pytest.approx(expected, rel=1e-12)


def test_far_from_the_border_agrees_with_the_slow_loop(generator):
    values = torch.randn(15, 16, 17, generator=generator, dtype=torch.float64)
    mask = torch.zeros(values.shape, dtype=torch.bool)
    mask[6:9, 5:11, 6:12] = True
    peaks = ball_peaks(values, mask, (3.1, 3.1, 3.1))
    expected = slow_peaks(values.numpy(), mask.numpy(), np.array([3.1, 3.1, 3.1]))
    assert (peaks.local, peaks.everywhere) == pytest.approx(expected, rel=1e-12)


def test_a_voxel_on_the_sphere_counts():
    values = torch.zeros(1, 1, 7, dtype=torch.float64)
    values[0, 0, 0] = 7.0
    mask = torch.zeros(values.shape, dtype=torch.bool)
    mask[0, 0, 3] = True
    assert ball_peaks(values, mask, (0.5, 0.5, 3.0)).everywhere == pytest.approx(1.0)
    assert ball_peaks(values, mask, (0.5, 0.5, 2.999)).everywhere == 0.0


def test_of_equal_maxima_the_highest_mean_counts():
    values = torch.tensor([[[9.0, 0, 0, 0, 9, 3]]], dtype=torch.float64)
    mask = torch.ones(values.shape, dtype=torch.bool)
    assert ball_peaks(values, mask, (1.0, 1.0, 1.0)).local == pytest.approx(4.5)


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="must have a voxel inside to have a peak"):
        ball_peaks(torch.ones(2, 2, 2), torch.zeros(2, 2, 2, dtype=torch.bool), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9])
def test_the_screen_in_single_precision_does_not_change_the_result(monkeypatch, generator, scale):
    values = torch.randn(24, 25, 26, generator=generator, dtype=torch.float64) * scale + 7
    mask = torch.zeros(values.shape, dtype=torch.bool)
    mask[5:19, 5:20, 5:21] = True
    screened = ball_peaks(values, mask, (4.2, 4.2, 4.2))
    monkeypatch.setattr(_ball, "_screened_peaks", lambda *_: None)
    plain = ball_peaks(values, mask, (4.2, 4.2, 4.2))
    assert screened.local == pytest.approx(plain.local, rel=1e-12)
    assert screened.everywhere == pytest.approx(plain.everywhere, rel=1e-12)


def test_a_constant_block_has_too_many_candidates_to_screen():
    values = torch.full((30, 30, 30), 0.1, dtype=torch.float64)
    mask = torch.zeros(values.shape, dtype=torch.bool)
    mask[3:27, 3:27, 3:27] = True
    peaks = ball_peaks(values, mask, (2.5, 2.5, 2.5))
    assert (peaks.local, peaks.everywhere) == pytest.approx((0.1, 0.1))
