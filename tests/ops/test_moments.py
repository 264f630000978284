"""Moments of the voxels of a mask."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError
from vesalius.ops._moments import lattice_moments, weighted_centre


def line(*spots):
    mask = torch.zeros(6, 6, 6, dtype=torch.bool)
    for spot in spots:
        mask[spot] = True
    return mask


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_agrees_with_numpy(seed):
    mask = np.random.default_rng(seed).random((4, 6, 5)) < 0.4
    mask[0, 0, 0] = True
    spots = np.argwhere(mask).astype(float)
    found = lattice_moments(torch.from_numpy(mask))
    away = spots - spots.mean(axis=0)
    assert found.count == len(spots)
    assert found.centre.numpy() == pytest.approx(spots.mean(axis=0))
    assert found.scatter.numpy() == pytest.approx(away.T @ away, abs=1e-9)


@pytest.mark.parametrize(
    ("spots", "rank"),
    [
        ([(1, 2, 3)], 0),
        ([(0, 0, 0), (1, 2, 3)], 1),
        ([(0, 0, 0), (1, 2, 1), (2, 4, 2)], 1),
        ([(0, 0, 0), (1, 2, 1), (2, 1, 5)], 2),
        ([(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 5), (4, 4, 5)], 2),
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], 3),
    ],
)
def test_tells_points_lines_planes_and_bodies_apart(spots, rank):
    assert lattice_moments(line(*spots)).rank == rank


def test_weights_positions_by_values():
    mask = line((0, 0, 0), (5, 5, 5), (2, 3, 4))
    values = torch.arange(216, dtype=torch.float64).reshape(6, 6, 6)
    count, total, moment = weighted_centre(values, mask)
    spots = torch.nonzero(mask).double()
    expected = ((spots - 2.5) * values[mask][:, None]).sum(dim=0)
    assert (count, total) == (3, float(values[mask].sum()))
    torch.testing.assert_close(moment, expected)


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="must have a voxel inside to have a centre"):
        lattice_moments(line())
