"""Tracing masks: filling the trace gives the mask back."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vesalius.ops._polygon import fill_polygons
from vesalius.ops._trace import trace_edges

masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def areas(points, starts):
    """Signed area of each polygon, positive where it runs clockwise with y downwards."""
    found = []
    for a, b in pairwise([*starts.tolist(), len(points)]):
        y, x = points[a:b].T
        found.append(float((x * y.roll(-1) - y * x.roll(-1)).sum() / 2))
    return found


@given(masks, st.sampled_from(["centre", "area"]))
def test_filling_the_trace_gives_the_mask_back(mask, policy):
    mask = torch.from_numpy(mask)
    points, starts = trace_edges(mask)
    assert torch.equal(fill_polygons(points, starts, tuple(mask.shape), policy), mask)


@given(masks)
def test_the_signed_areas_add_up_to_the_pixels(mask):
    mask = torch.from_numpy(mask)
    assert sum(areas(*trace_edges(mask))) == int(mask.sum())


@given(masks)
def test_every_vertex_is_a_corner_at_a_half(mask):
    points, starts = trace_edges(torch.from_numpy(mask))
    assert bool(((points * 2).remainder(2) == 1).all())
    for a, b in pairwise([*starts.tolist(), len(points)]):
        into, out = points[a:b] - points[a:b].roll(1, 0), points[a:b].roll(-1, 0) - points[a:b]
        assert bool(((into * out).sum(dim=1) == 0).all())
        assert b - a >= 4


def test_a_ring_is_an_outer_boundary_and_a_hole():
    mask = torch.ones((5, 5), dtype=torch.bool)
    mask[2, 1:3] = False
    points, starts = trace_edges(mask)
    assert areas(points, starts) == [25.0, -2.0]
    assert points[:4].tolist() == [[-0.5, -0.5], [-0.5, 4.5], [4.5, 4.5], [4.5, -0.5]]


def test_pixels_that_touch_at_a_corner_are_two_polygons():
    points, starts = trace_edges(torch.eye(2, dtype=torch.bool))
    assert starts.tolist() == [0, 4]
    assert areas(points, starts) == [1.0, 1.0]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4, 4)])
def test_nothing_has_no_boundary(shape):
    points, starts = trace_edges(torch.zeros(shape, dtype=torch.bool))
    assert points.shape == (0, 2)
    assert starts.shape == (0,)
