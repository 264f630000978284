"""Sampling masks and measured k-space: counts, distances, reproducibility, refusals."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid
from vesalius.errors import IntensityError, RegionError, ShapeError, UnitError
from vesalius.physics.mri import KSpace, measured, poisson_disk, variable_density


@settings(max_examples=20)
@given(st.integers(8, 40), st.floats(1.0, 10.0), st.integers(0, 4))
def test_variable_density_draws_exactly_as_many_as_asked(n, acceleration, centre):
    generator = torch.Generator().manual_seed(n)
    mask = variable_density(
        (n, n + 3), acceleration=acceleration, centre=centre, generator=generator
    )
    assert int(mask.sum()) == max(round(n * (n + 3) / acceleration), centre**2)


def test_variable_density_thins_out_from_the_centre(generator):
    mask = variable_density((64, 64), acceleration=4, centre=8, generator=generator)
    assert bool(mask[28:36, 28:36].all())
    assert float(mask[24:40, 24:40].float().mean()) > 3 * float(mask[:16, :16].float().mean())


def test_one_axis_draws_lines(generator):
    mask = variable_density((100,), acceleration=4, centre=10, generator=generator)
    assert tuple(mask.shape) == (100,)
    assert int(mask.sum()) == 25


def test_poisson_disk_meets_its_acceleration_and_keeps_its_distance(generator):
    mask = poisson_disk((60, 72), acceleration=6, centre=0, generator=generator, slope=0.0)
    assert int(mask.sum()) == 60 * 72 // 6
    at = mask.nonzero().double()
    apart = torch.cdist(at, at) + 1e9 * torch.eye(len(at), dtype=torch.float64)
    random = torch.rand(60, 72, generator=generator) < 1 / 6
    at = random.nonzero().double()
    loose = torch.cdist(at, at) + 1e9 * torch.eye(len(at), dtype=torch.float64)
    assert float(apart.min()) >= 2.0
    assert float(loose.min()) == 1.0


def test_poisson_disk_is_denser_inside_and_keeps_the_centre(generator):
    mask = poisson_disk((64, 64), acceleration=5, centre=12, generator=generator, slope=3.0)
    assert bool(mask[26:38, 26:38].all())
    ring = mask.clone()
    ring[26:38, 26:38] = False
    assert float(ring[20:44, 20:44].float().mean()) > 1.5 * float(ring[:8, :8].float().mean())


@pytest.mark.parametrize("draw", [variable_density, poisson_disk])
def test_the_same_generator_draws_the_same_mask(draw):
    one, two = (
        draw((24, 20), acceleration=3, centre=4, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(one, two)


@pytest.mark.parametrize("draw", [variable_density, poisson_disk])
def test_refuses_what_cannot_be_drawn(draw, generator):
    with pytest.raises(ShapeError, match=r"acceleration must be at least 1 and .*, got 0\.5"):
        draw((8, 8), acceleration=0.5, centre=2, generator=generator)
    with pytest.raises(ShapeError, match="centre must lie from 0 to the shortest axis"):
        draw((8, 8), acceleration=2, centre=9, generator=generator)


def test_poisson_disk_refuses_other_than_two_axes(generator):
    with pytest.raises(ShapeError, match=r"shape must be \(y, x\), got \(4, 4, 4\)"):
        poisson_disk((4, 4, 4), acceleration=2, centre=2, generator=generator)


GRID = Grid((1, 3, 4), torch.eye(4, dtype=torch.float64))


def test_kspace_finds_what_was_measured():
    data = torch.zeros(2, 1, 3, 4, dtype=torch.complex64)
    data[1, 0, 2, 1] = 1j
    mask = measured(data)
    assert mask.nonzero().tolist() == [[0, 2, 1]]
    assert KSpace(data, mask, GRID).grid is GRID


def test_kspace_refuses_what_it_cannot_hold():
    data = torch.ones(2, 1, 3, 4, dtype=torch.complex64)
    mask = torch.ones(1, 3, 4, dtype=torch.bool)
    with pytest.raises(UnitError, match="k-space must be complex"):
        KSpace(data.real, mask, GRID)
    with pytest.raises(ShapeError, match=r"k-space must have the shape \(coil, z, y, x\)"):
        KSpace(data[:, 0], mask, GRID)
    with pytest.raises(ShapeError, match="the mask of k-space must have the grid's shape"):
        KSpace(data, mask[0], GRID)
    with pytest.raises(RegionError, match="at least one measured sample"):
        KSpace(data, ~mask, GRID)


def test_kspace_refuses_nan_only_where_it_was_measured():
    data = torch.ones(2, 1, 3, 4, dtype=torch.complex64)
    mask = torch.ones(1, 3, 4, dtype=torch.bool)
    data[0, 0, 1, 1] = complex(math.nan, 0)
    with pytest.raises(IntensityError, match="measured k-space must be finite"):
        KSpace(data, mask, GRID)
    mask[0, 1, 1] = False
    assert int(KSpace(data, mask, GRID).mask.sum()) == 11


@pytest.mark.parametrize("draw", [variable_density, poisson_disk])
@pytest.mark.parametrize("acceleration", [65.0, math.inf, math.nan])
def test_refuses_to_draw_no_sample_at_all(draw, acceleration, generator):
    with pytest.raises(ShapeError, match="acceleration must be at least 1 and leave a sample"):
        draw((8, 8), acceleration=acceleration, centre=0, generator=generator)


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_refuses_a_density_that_does_not_fall(rate, generator):
    match = "power and slope must be finite and at least 0"
    with pytest.raises(ShapeError, match=match):
        variable_density((8, 8), acceleration=2, centre=0, generator=generator, power=rate)
    with pytest.raises(ShapeError, match=match):
        poisson_disk((8, 8), acceleration=2, centre=0, generator=generator, slope=rate)
