"""Tests of the city-block distance to the edge."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from level_volumes import level_volumes, patient
from scipy import ndimage
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops import _distance
from vesalius.ops._distance import edge_distance


def oracle(mask: Tensor, planar: bool) -> np.ndarray:
    padded = np.pad(mask.numpy(), 1)
    if not planar:
        return ndimage.distance_transform_cdt(padded, metric="taxicab")[1:-1, 1:-1, 1:-1]
    flat = [ndimage.distance_transform_cdt(plane, metric="taxicab") for plane in padded]
    return np.stack(flat)[1:-1, 1:-1, 1:-1]


@patient
@given(level_volumes(top=1, largest=9), st.booleans())
def test_agrees_with_scipy(levels: Tensor, planar: bool) -> None:
    found = edge_distance(levels > 0, planar=planar)
    np.testing.assert_array_equal(found.numpy(), oracle(levels > 0, planar))


@patient
@given(level_volumes(top=1, largest=9), st.booleans())
def test_peeling_gives_the_same(levels: Tensor, planar: bool) -> None:
    found = _distance._peel(levels > 0, planar=planar)
    np.testing.assert_array_equal(found.numpy(), oracle(levels > 0, planar))


def test_the_border_of_the_array_is_an_edge() -> None:
    full = edge_distance(torch.ones(3, 5, 7, dtype=torch.bool))
    assert full[1].tolist() == [[1] * 7, *[[1, 2, 2, 2, 2, 2, 1]] * 3, [1] * 7]


def test_a_large_ball_agrees_with_scipy() -> None:
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    ball = torch.from_numpy(z**2 + y**2 + x**2 <= 400)
    np.testing.assert_array_equal(edge_distance(ball).numpy(), oracle(ball, planar=False))


def test_refuses_a_plane() -> None:
    unhooked = torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(ShapeError, match=r"mask must have shape \(z, y, x\), got \(3, 3\)"):
        _distance._check(unhooked)


@pytest.mark.gpu
def test_the_gpu_gives_the_same() -> None:
    mask = torch.rand(9, 20, 21, generator=torch.Generator().manual_seed(1)) > 0.05
    assert torch.equal(edge_distance(mask.cuda()).cpu(), edge_distance(mask))
