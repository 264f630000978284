"""Differences on a lattice: against slow loops, exact on what they must be exact on."""

from itertools import product

import numpy as np
import pytest
import torch

from vesalius.ops._stencils import (
    active_axes,
    corner_slopes,
    determinant,
    edge_differences,
    edge_means,
    laplacian,
    padded,
)

SPACING = (2.0, 1.0, 0.5)


def test_edges_have_the_slope_and_the_mean_of_their_ends(generator):
    x = torch.rand(4, 5, 6, generator=generator)
    assert edge_differences(x, -2, 0.5).shape == (4, 4, 6)
    torch.testing.assert_close(edge_differences(x, -2, 0.5), torch.diff(x, dim=-2) / 0.5)
    torch.testing.assert_close(edge_means(x, -1), (x[..., 1:] + x[..., :-1]) / 2)


def test_zeros_come_behind_the_last_samples():
    out = padded(torch.ones(2, 3, 3), (3, 3, 5))
    assert out.shape == (3, 3, 5)
    assert out[:2, :, :3].all()
    assert not out[2].any()
    assert not out[..., 3:].any()


def test_the_laplacian_lets_nothing_through_the_borders(generator):
    x = torch.rand(4, 5, 6, generator=generator, dtype=torch.float64)
    wide = np.pad(x.numpy(), 1, mode="edge")
    mid = (slice(1, -1),) * 3
    slow = sum(
        (np.roll(wide, 1, a) + np.roll(wide, -1, a) - 2 * wide)[mid] / SPACING[a] ** 2
        for a in range(3)
    )
    np.testing.assert_allclose(laplacian(x, SPACING).numpy(), slow, atol=1e-12)
    assert abs(float(laplacian(x, SPACING).sum())) < 1e-10


@pytest.mark.parametrize(("shape", "corners"), [((3, 4, 5), 8), ((1, 4, 5), 4)])
def test_corner_slopes_equal_a_slow_loop(shape, corners, generator):
    field = torch.rand(3, *shape, generator=generator, dtype=torch.float64)
    found = list(corner_slopes(field, SPACING))
    assert len(found) == corners
    axes = [a for a in range(3) if shape[a] > 1]
    for slopes, side in zip(found, product((0, 1), repeat=len(axes)), strict=True):
        start = [0, 0, 0]
        for axis, s in zip(axes, side, strict=True):
            start[axis] = s
        for cell in product(*(range(max(1, n - 1)) for n in shape)):
            here = [c + s for c, s in zip(cell, start, strict=True)]
            for axis in range(3):
                low, high = list(here), list(here)
                low[axis], high[axis] = cell[axis], cell[axis] + (shape[axis] > 1)
                slow = (field[:, *high] - field[:, *low]) / SPACING[axis]
                torch.testing.assert_close(slopes[:, axis, *cell], slow)


def test_the_determinant_is_that_of_identity_plus_slopes(generator):
    slopes = torch.randn(3, 3, 7, generator=generator, dtype=torch.float64)
    expected = torch.linalg.det(torch.eye(3).double() + slopes.movedim(-1, 0))
    torch.testing.assert_close(determinant(slopes), expected)


def test_a_checkerboard_fold_is_seen_at_the_corners_and_not_between_neighbours():
    """Erratum 24."""
    z, y, x = torch.meshgrid(*[torch.arange(6.0)] * 3, indexing="ij")
    field = torch.zeros(3, 6, 6, 6)
    field[2] = 0.7 * (1 - 2 * ((z + y + x) % 2))
    least = min(float(determinant(s).min()) for s in corner_slopes(field, (1, 1, 1)))
    central = 1 + (field[2, :, :, 2:] - field[2, :, :, :-2]) / 2
    assert least < 0
    assert float(central.min()) == 1.0


def test_axes_of_one_sample_are_not_active():
    assert active_axes(torch.zeros(3, 1, 4, 5)) == (-2, -1)
