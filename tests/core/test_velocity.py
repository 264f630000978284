"""Velocity: the exponential of a stationary field, its inverse and its derivative."""

import math

import pytest
import torch

from vesalius.core import Displacement, Grid, Linear, Velocity
from vesalius.errors import GeometryError, ShapeError
from vesalius.ops._filters import gaussian


def oblique(shape=(16, 20, 24), spacing_mm=(2.0, 1.5, 1.0)):
    straight = Grid.from_spacing(shape, spacing_mm, origin_mm=(-20.0, 30.0, 40.0))
    turn = Linear.rotation((10.0, -20.0, 30.0), centre_mm=(0.0, 0.0, 0.0))
    return Grid(shape, turn.matrix @ straight.affine)


def breathing(grid, generator, longest_mm=6.0):
    """A smooth velocity that is still at the border, as those that a registration finds."""
    noise = torch.randn(3, *grid.shape, generator=generator, dtype=torch.float64)
    field = gaussian(noise, tuple(4.0 if n > 1 else 0.0 for n in grid.shape))
    for axis, n in enumerate(grid.shape, start=1):
        window = torch.hann_window(n + 2, periodic=False, dtype=torch.float64)[1:-1]
        field = field * window.reshape([-1 if a == axis else 1 for a in range(4)])
    return field * (longest_mm / field.norm(dim=0).max())


def inside(grid, generator, count=300):
    size = torch.tensor(grid.shape, dtype=torch.float64) - 1
    return grid.to_world(torch.rand(count, 3, generator=generator, dtype=torch.float64) * size)


def test_the_opposite_velocity_leads_back_within_a_twentieth_of_a_voxel(generator):
    grid = oblique()
    move = Velocity(breathing(grid, generator), grid)
    points = inside(grid, generator)
    voxel = min(grid.spacing_mm)
    assert float((move(points) - points).norm(dim=-1).max()) > 3
    for one, two in ((move, move.inverse()), (move.inverse(), move)):
        assert float((one(two(points)) - points).norm(dim=-1).mean()) < 0.05 * voxel


def test_a_constant_velocity_is_a_translation(generator):
    grid = oblique()
    shift = torch.tensor([3.0, -4.0, 5.0], dtype=torch.float64)
    move = Velocity(shift.reshape(3, 1, 1, 1).expand(3, *grid.shape), grid)
    points = inside(grid, generator)
    torch.testing.assert_close(move(points), points + shift)
    torch.testing.assert_close(
        move.jacobian(points), torch.eye(3, dtype=torch.float64).expand(300, 3, 3)
    )


def test_doing_it_twice_is_twice_the_velocity(generator):
    grid = oblique()
    data = breathing(grid, generator, 3.0)
    once, twice = Velocity(data, grid), Velocity(2 * data, grid)
    points = inside(grid, generator)
    assert float((once(once(points)) - twice(points)).norm(dim=-1).mean()) < 0.02


def test_it_is_the_displacement_that_it_says(generator):
    grid = oblique()
    move = Velocity(breathing(grid, generator), grid)
    points = inside(grid, generator)
    field = move.to_field(grid)
    assert isinstance(field, Displacement)
    assert torch.equal(field(points), move(points))
    assert torch.equal(field.jacobian(points), move.jacobian(points))
    assert float(torch.linalg.det(move.jacobian(points)).min()) > 0
    small = Grid.from_spacing((4, 4, 4), (2.0, 2.0, 2.0), origin_mm=(-18.0, 33.0, 45.0))
    torch.testing.assert_close(move.to_field(small).data, field.to_field(small).data)


def test_its_exponential_is_computed_once(generator):
    grid = oblique((4, 4, 4))
    move = Velocity(breathing(grid, generator), grid)
    assert move.displacement() is move.displacement()
    tracked = Velocity(breathing(grid, generator).requires_grad_(), grid)
    assert tracked.displacement() is not tracked.displacement()


def test_has_derivatives_by_velocity_and_points_again_and_again(generator):
    grid = oblique((3, 4, 4))
    data = (0.3 * breathing(grid, generator, 2.0)).requires_grad_()
    points = inside(grid, generator, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d, p: Velocity(d, grid)(p), (data, points), fast_mode=True
    )
    move = Velocity(data, grid)
    for _ in range(2):
        data.grad = None
        move(points).sum().backward()
        assert float(data.grad.abs().sum()) > 0


def test_a_slice_stays_in_its_plane(generator):
    grid = Grid.from_spacing((1, 24, 24), (5.0, 1.0, 1.0))
    data = breathing(Grid.from_spacing((3, 24, 24)), generator, 3.0)[:, 1:2]
    data[2] = 0
    move = Velocity(data, grid)
    points = inside(grid, generator)
    assert torch.equal(move(points)[:, 2], points[:, 2])
    assert float((move.inverse()(move(points)) - points).norm(dim=-1).mean()) < 0.05
    assert bool(torch.isfinite(move.jacobian(points)).all())


def test_refuses_data_that_are_no_velocity():
    grid = Grid.from_spacing((4, 5, 6))
    with pytest.raises(ShapeError, match="one vector"):
        Velocity(torch.zeros(3, 4, 5, 5), grid)
    with pytest.raises(GeometryError, match="data must be finite"):
        Velocity(torch.full((3, 4, 5, 6), math.nan), grid)


def test_says_what_it_is():
    move = Velocity(torch.full((3, 4, 5, 6), 2.0), Grid.from_spacing((4, 5, 6)))
    assert repr(move) == "Velocity(fixed -> moving, mm, LPS, zyx 4 x 5 x 6, up to 3.464 mm)"


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(generator):
    grid = oblique()
    data = breathing(grid, generator).float()
    points = inside(grid, generator)
    found = Velocity(data.cuda(), grid)(points.cuda())
    torch.testing.assert_close(found.cpu(), Velocity(data, grid)(points), rtol=0, atol=1e-3)
