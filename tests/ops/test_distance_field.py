"""Distance to a mask, and the smooth signed distance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError
from vesalius.ops._distance_field import (
    MARGIN,
    distance_to,
    signed_distance,
    smooth_signed_distance,
)


@given(st.integers(0, 10_000), st.tuples(*[st.integers(1, 12)] * 3), st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_agrees_with_scipy(seed, shape, share):
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = np.random.default_rng(seed).random(shape) < share
    mask[0, 0, 0] = True
    expected = ndimage.distance_transform_edt(~mask, sampling=(2.5, 1.0, 0.7))
    ours = distance_to(torch.from_numpy(mask), (2.5, 1.0, 0.7)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_is_positive_inside_and_negative_outside():
    mask = torch.tensor([[[0, 0, 1, 1, 1, 0]]], dtype=torch.bool)
    assert signed_distance(mask, (1.0, 1.0, 2.0)).tolist() == [[[-4, -2, 2, 4, 2, -2]]]


def test_smoothing_adds_a_margin_and_keeps_mirror_symmetry():
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[1, 1:3, 1:4] = True
    field = smooth_signed_distance(mask, (1.0, 1.0, 1.0))
    assert field.shape == tuple(n + 2 * MARGIN for n in mask.shape)
    torch.testing.assert_close(field, field.flip(2))


def test_refining_keeps_the_samples_and_follows_a_cubic():
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = True
    coarse = smooth_signed_distance(mask, (1.0, 1.0, 1.0))
    fine = smooth_signed_distance(mask, (1.0, 1.0, 1.0), refine=True)
    assert fine.shape == tuple(2 * n - 1 for n in coarse.shape)
    torch.testing.assert_close(fine[::2, ::2, ::2], coarse)
    a, b, c, d = coarse[5, 6, 4:8]
    assert float(fine[10, 12, 11]) == pytest.approx(float(9 * (b + c) - a - d) / 16)


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="must have a voxel inside to be far from"):
        distance_to(torch.zeros(2, 2, 2, dtype=torch.bool), (1.0, 1.0, 1.0))
