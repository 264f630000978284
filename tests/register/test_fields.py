"""Bases: what they span, at every scale the same; their flows equal their transforms."""

import math

import pytest
import torch

from vesalius.core import Grid, Linear, centred_grid
from vesalius.errors import GeometryError
from vesalius.register._basis import Basis
from vesalius.register.fields import CosineBasis, FreeForm, TimeForm

TURNED = torch.tensor(
    [[0, 1.6, -1.2, 5], [0, 1.2, 1.6, -7], [3.0, 0, 0, 2], [0, 0, 0, 1]], dtype=torch.float64
)
GRID = Grid((10, 13, 11), TURNED)
BASES = [FreeForm(9.0), FreeForm(2.5), CosineBasis(12.0)]


def samples(grid: Grid) -> torch.Tensor:
    axes = [torch.arange(n).double() for n in grid.shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def drawn(basis: Basis, grid: Grid, generator) -> torch.Tensor:
    start = basis.start(grid)
    return torch.randn(start.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_it_starts_at_rest(basis):
    assert not basis.flow(basis.start(GRID), GRID).any()


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_its_flow_is_its_transform_at_the_samples(basis, generator):
    parameters = drawn(basis, GRID, generator)
    index = samples(GRID)
    moved = basis.transform(parameters, GRID)(GRID.to_world(index))
    flow = (GRID.to_index(moved) - index).movedim(-1, 0)
    torch.testing.assert_close(flow, basis.flow(parameters, GRID), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_a_coarser_lattice_sees_the_same_field(basis, generator):
    """One set of parameters, made for the finest scale, serves all."""
    parameters = drawn(basis, GRID, generator)
    coarse = centred_grid(GRID, (6.0, 5.0, 5.0))
    index = samples(coarse)
    if isinstance(basis, FreeForm):
        world = coarse.to_world(index)
        moved = basis.transform(parameters, GRID)(world)
        flow = (coarse.to_index(moved) - index).movedim(-1, 0)
        torch.testing.assert_close(flow, basis.flow(parameters, coarse), atol=1e-9, rtol=1e-9)
    middle_fine, middle_coarse = (
        basis.flow(parameters, Grid((1, 1, 1), centred(g).affine))
        * torch.tensor(g.spacing_mm)[:, None, None, None]
        for g in (GRID, coarse)
    )
    torch.testing.assert_close(middle_fine, middle_coarse)


def centred(grid: Grid) -> Grid:
    """Give the grid of the one sample in the middle."""
    affine = grid.affine.clone()
    middle = (torch.tensor(grid.shape).double() - 1) / 2
    affine[:3, 3] = grid.to_world(middle)
    return Grid((1, 1, 1), affine)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_its_flow_is_linear_and_differentiable(basis, generator):
    a, b = (drawn(basis, GRID, generator) for _ in range(2))
    both = basis.flow(2 * a - b, GRID)
    torch.testing.assert_close(both, 2 * basis.flow(a, GRID) - basis.flow(b, GRID))
    small = Grid((3, 4, 3), TURNED)
    first = drawn(basis, small, generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: basis.flow(p, small), first, fast_mode=True)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_a_slice_has_one_plane_of_parameters(basis):
    plane = Grid.from_spacing((1, 30, 20), (5.0, 1.0, 2.0))
    parameters = basis.start(plane)
    assert parameters.shape[1] == 1
    assert parameters.shape[2] > 1
    assert basis.flow(parameters, plane).shape == (3, 1, 30, 20)


def test_control_points_reproduce_a_linear_field_everywhere():
    """Cubic splines sum to one and carry a straight line, up to the last sample."""
    basis = FreeForm(7.0)
    cz, cy, cx = basis.start(GRID).shape[1:]
    ramp = torch.zeros(3, cz, cy, cx, dtype=torch.float64)
    ramp[1] = (torch.arange(cx).double() - (cx - 1) / 2) * 7.0
    flow = basis.flow(ramp, GRID)
    x = (torch.arange(11).double() - 5) * 2.0  # mm along x, from the middle
    torch.testing.assert_close(flow[1] * 2.0, x.expand(10, 13, 11), atol=1e-9, rtol=0)


def test_cosines_are_cosines_of_at_least_the_cutoff():
    basis = CosineBasis(12.0)
    line = Grid.from_spacing((1, 1, 41), (1.0, 1.0, 1.0))
    parameters = torch.zeros(basis.start(line).shape, dtype=torch.float64)
    count = parameters.shape[-1]
    assert count == math.ceil(2 * 41 / 12) + 1
    parameters[2, 0, 0, -1] = 1.5
    flow = basis.flow(parameters, line)[2, 0, 0]
    length = (count - 1) * 6.0
    x = torch.arange(41).double() - 20 + length / 2
    torch.testing.assert_close(flow, 1.5 * torch.cos(2 * math.pi * x / 12.0))


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan")])
def test_a_spacing_that_is_none_is_refused(value):
    with pytest.raises(GeometryError, match="spacing_mm of control points must be positive"):
        FreeForm(value)
    with pytest.raises(GeometryError, match="cutoff_mm must be a positive period"):
        CosineBasis(value)


@pytest.mark.parametrize("basis", [FreeForm(8.0), CosineBasis(16.0), TimeForm(8.0, 2)], ids=repr)
def test_a_turned_header_has_no_more_parameters(basis):
    """Its spacing is rounded: 2.0000000000000004 mm is not the next whole number of points."""
    grid = Grid.from_spacing((16, 20, 24), (3.0, 2.0, 2.0))
    count = basis.start(grid).numel()
    for angle in range(5, 90, 9):
        turn = Linear.rotation((25.0, -40.0, float(angle)), centre_mm=(3.0, 2.0, 1.0))
        assert basis.start(Grid(grid.shape, turn.matrix @ grid.affine)).numel() == count
