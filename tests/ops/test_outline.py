"""Outlines of plane masks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError
from vesalius.ops._outline import calipers, outline_corners, outline_size


def test_one_pixel_is_a_diamond():
    size = outline_size(torch.ones(1, 1, dtype=torch.bool), (2.0, 1.0))
    assert size.area == pytest.approx(1.0)
    assert size.perimeter == pytest.approx(2 * math.sqrt(5))


def test_a_rectangle_loses_its_corners():
    size = outline_size(torch.ones(3, 5, dtype=torch.bool), (1.0, 1.0))
    assert size.area == pytest.approx(15 - 4 / 8)
    assert size.perimeter == pytest.approx(2 * (2 + 4) + 4 * math.sqrt(0.5))


def test_an_empty_mask_has_no_size():
    size = outline_size(torch.zeros(2, 2, dtype=torch.bool), (1.0, 1.0))
    assert (size.area, size.perimeter) == (0.0, 0.0)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_size_is_the_same_in_all_eight_poses(seed):
    mask = torch.from_numpy(np.random.default_rng(seed).random((5, 6)) < 0.5)
    ours = outline_size(mask, (2.0, 0.7))
    for turned, spacing in ((mask, (2.0, 0.7)), (mask.T, (0.7, 2.0))):
        for dims in ([], [0], [1], [0, 1]):
            other = outline_size(turned.flip(dims), spacing)
            assert (other.area, other.perimeter) == pytest.approx((ours.area, ours.perimeter))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_corners_span_the_hull_of_all_pixels(seed):
    spatial = pytest.importorskip("scipy.spatial")
    mask = np.random.default_rng(seed).random((6, 5)) < 0.4
    mask[2, 3] = True
    steps = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    every = (np.argwhere(mask)[:, None] + steps).reshape(-1, 2) * [2.0, 0.7]
    ours = outline_corners(torch.from_numpy(mask), (2.0, 0.7)).numpy()
    expected = every[spatial.ConvexHull(every).vertices]
    assert {tuple(p) for p in ours.round(9)} == {tuple(p) for p in expected.round(9)}


def test_an_empty_mask_has_no_corners():
    with pytest.raises(RegionError, match="must have a pixel inside to have an outline"):
        outline_corners(torch.zeros(2, 2, dtype=torch.bool), (1.0, 1.0))


def test_a_rhombus_has_its_diagonals():
    found = calipers(torch.tensor([[0.0, -4], [1.5, 0], [0, 4], [-1.5, 0]]))
    assert (found.long, found.short) == pytest.approx((8, 3))


def test_the_short_diameter_is_a_chord_not_a_width():
    # a long thin parallelogram: its width across the diagonal is more than any chord there
    corners = torch.tensor([[0.0, 0], [0, 6], [1, 9], [1, 3]], dtype=torch.float64)
    found = calipers(corners)
    way = (corners[2] - corners[0]) / (corners[2] - corners[0]).norm()
    across = corners @ torch.tensor([-way[1], way[0]])
    assert found.long == pytest.approx(math.sqrt(82))
    assert found.short < float(across.max() - across.min())


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.1, 2.0])
def test_a_turned_rectangle_has_equal_diagonals(angle):
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = torch.tensor([[-1.5, -2], [1.5, -2], [1.5, 2], [-1.5, 2]]) @ turn
    found = calipers(corners.double())
    assert found.long == pytest.approx(5, rel=1e-6)
    # at right angles to a diagonal of 3 x 4 the chord through a corner is 3 / cos = 3.75
    assert found.short == pytest.approx(3.75, rel=1e-6)
