"""Displacement: a field in mm beside SimpleITK, its derivative and its inverse."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from vesalius.core import Composite, Displacement, Grid, Linear, Velocity
from vesalius.core._inverse import Inverse
from vesalius.errors import ConfigError, ConvergenceError, GeometryError, ShapeError, UnitError
from vesalius.ops._filters import gaussian


def oblique(shape=(12, 14, 16), spacing_mm=(2.0, 1.5, 1.0)):
    straight = Grid.from_spacing(shape, spacing_mm, origin_mm=(-20.0, 30.0, 40.0))
    turn = Linear.rotation((10.0, -20.0, 30.0), centre_mm=(0.0, 0.0, 0.0))
    return Grid(shape, turn.matrix @ straight.affine)


def smooth_field(grid, generator, longest_mm=3.0, width=2.5):
    noise = torch.randn(3, *grid.shape, generator=generator, dtype=torch.float64)
    field = gaussian(noise, tuple(width if n > 1 else 0.0 for n in grid.shape))
    return field * (longest_mm / field.norm(dim=0).max())


def inside(grid, generator, count=200, margin=0.0):
    size = torch.tensor(grid.shape, dtype=torch.float64) - 1 - 2 * margin
    index = torch.rand(count, 3, generator=generator, dtype=torch.float64) * size + margin
    return grid.to_world(index)


def to_sitk(move):
    """SimpleITK wants (x, y, z) index order and vectors as the last axis."""
    image = sitk.GetImageFromArray(move.data.double().movedim(0, -1).contiguous().numpy(), True)
    grid = move.grid
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction.flip(1).flatten().tolist())
    return sitk.DisplacementFieldTransform(image)


@pytest.mark.parametrize("border", ["nearest", "zero"])
def test_agrees_with_simpleitk_inside_its_grid(border, generator):
    grid = oblique()
    move = Displacement(smooth_field(grid, generator), grid, border)
    theirs = to_sitk(move)
    points = inside(grid, generator)
    expected = np.array([theirs.TransformPoint(p.tolist()) for p in points])
    assert np.abs(move(points).numpy() - expected).max() < 1e-9


def test_moves_nothing_far_outside_where_its_border_is_zero(generator):
    grid = oblique()
    data = smooth_field(grid, generator) + 1
    zero, near = Displacement(data, grid, "zero"), Displacement(data, grid)
    far = grid.to_world(torch.tensor([[-3.0, 2.0, 5.0], [5.0, 7.0, 40.0]], dtype=torch.float64))
    assert torch.equal(zero(far), far)
    edge = grid.to_world(torch.tensor([[0.0, 2.0, 5.0], [5.0, 7.0, 15.0]], dtype=torch.float64))
    torch.testing.assert_close(near(far) - far, near(edge) - edge)
    for move in (zero, near):
        out = move.jacobian(grid.to_world(torch.tensor([[-3.0, -2.0, -5.0]]).double()))
        torch.testing.assert_close(out, torch.eye(3, dtype=torch.float64)[None])


def test_the_jacobian_is_that_of_finite_differences(generator):
    grid = oblique()
    move = Displacement(smooth_field(grid, generator), grid)
    points = inside(grid, generator, margin=0.1)
    found = move.jacobian(points)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = 1e-6
        change = (move(points + step) - move(points - step)) / 2e-6
        # a point whose step crosses a kink of the interpolant is no fault of the derivative
        assert float((change - found[..., axis]).abs().amax(dim=1).quantile(0.97)) < 1e-7


@pytest.mark.parametrize("border", ["nearest", "zero"])
def test_the_jacobian_is_that_of_finite_differences_beyond_the_grid_too(border, generator):
    grid = oblique((5, 6, 7))
    move = Displacement(smooth_field(grid, generator), grid, border)
    size = torch.tensor(grid.shape, dtype=torch.float64)
    at = grid.to_world((torch.rand(200, 3, generator=generator).double() * 3 - 1) * size)
    columns = []
    for axis in torch.eye(3, dtype=torch.float64) * 1e-5:
        columns.append((move(at + axis) - move(at - axis)) / 2e-5)
    torch.testing.assert_close(move.jacobian(at), torch.stack(columns, dim=-1), atol=1e-6, rtol=0)


def test_points_in_float32_far_from_the_origin_are_moved_as_well_as_they_can_be_told(generator):
    near = oblique()
    affine = near.affine.clone()
    affine[:3, 3] += torch.tensor([2e4, -1e4, 3e4], dtype=torch.float64)
    grid = Grid(near.shape, affine)
    move = Displacement(torch.randn(3, *grid.shape, generator=generator) * 5, grid)
    at = inside(grid, generator).float()
    spacing_of_float32 = 2.0**-9  # from 16384 to 32768
    missed = (move(at).double() - move(at.double())).abs().max()
    assert float(missed) <= spacing_of_float32 / 2


def test_a_flow_in_samples_is_the_field_in_mm(generator):
    grid = oblique()
    move = Displacement(smooth_field(grid, generator), grid)
    flow = move.flow()
    index = torch.tensor([3.0, 4.0, 5.0], dtype=torch.float64)
    moved = grid.to_index(move(grid.to_world(index)))
    torch.testing.assert_close(moved - index, flow[:, 3, 4, 5])
    back = Displacement.from_flow(flow, grid, border="zero")
    torch.testing.assert_close(back.data, move.data)
    assert back.border == "zero"


@pytest.mark.parametrize("shape", [(12, 14, 16), (1, 24, 24)])
def test_the_inverse_leads_back(shape, generator):
    grid = oblique(shape)
    flow = smooth_field(grid, generator, 2.0)
    move = Displacement.from_flow(flow, grid) if shape[0] > 1 else flat_move(grid, generator)
    found = move.inversion(tol_mm=1e-4)
    assert found.residual_mm.unit == "mm"
    assert float(found.residual_mm.data.max()) <= 1e-4
    voxels = grid.to_world(torch.tensor([[0.0, 5.0, 6.0], [0.0, 11.0, 3.0]], dtype=torch.float64))
    torch.testing.assert_close(move(found.transform(voxels)), voxels, rtol=0, atol=1e-4)
    points = inside(grid, generator, margin=4.0 if shape[0] > 1 else 0.0)
    missed = (move(move.inverse()(points)) - points).norm(dim=-1)
    assert float(missed.mean()) < 0.05 * max(grid.spacing_mm)


def flat_move(grid, generator):
    """A field of one slice that stays in its plane."""
    flow = smooth_field(grid, generator, 2.0)
    flow[0] = 0
    return Displacement.from_flow(flow, grid)


def test_the_inverse_anywhere_is_solved_by_newtons_method(generator):
    grid = oblique()
    move = Displacement.from_flow(smooth_field(grid, generator, 1.5), grid)
    points = inside(grid, generator, margin=2.0)
    torch.testing.assert_close(move(Inverse(move)(points)), points, rtol=0, atol=1e-9)


def test_refuses_to_invert_a_fold_unless_allowed(generator):
    grid = Grid.from_spacing((6, 6, 24), (1.0, 1.0, 1.0))
    flow = torch.zeros(3, 6, 6, 24)
    flow[2, :, :, 10:12] = 4.0
    move = Displacement.from_flow(flow, grid)
    with pytest.raises(GeometryError, match="the map must not fold to be inverted, but it does in"):
        move.inverse()
    found = move.inversion(tol_mm=1e-3, allow_folds=True)
    assert found.residual_mm.data.shape == (1, 6, 6, 24)
    assert bool(torch.isfinite(found.transform.data).all())


def test_refuses_an_inverse_that_leaves_its_grid(generator):
    grid = Grid.from_spacing((8, 8, 8))
    move = Displacement(torch.ones(3, 8, 8, 8) * 2, grid, "zero")
    with pytest.raises(ConvergenceError, match="the inverse must be found within"):
        move.inverse()
    allowed = move.inversion(tol_mm=1e-3, allow_folds=True).residual_mm.data
    assert float(allowed.max()) > 1
    assert float(allowed[0, 4, 4, 4]) < 1e-6


def test_refuses_a_tolerance_of_nothing(generator):
    move = Displacement(torch.zeros(3, 4, 4, 4), Grid.from_spacing((4, 4, 4)))
    with pytest.raises(ConfigError, match="tol must be positive"):
        move.inversion(tol_mm=0.0)


def test_refuses_data_that_are_no_field():
    grid = Grid.from_spacing((4, 5, 6))
    with pytest.raises(ShapeError, match=r"data must have shape \(3, 4, 5, 6\) to fit its grid"):
        Displacement(torch.zeros(3, 4, 5, 5), grid)
    with pytest.raises(ShapeError, match="one vector"):
        Velocity(torch.zeros(1, 4, 5, 6), grid)
    with pytest.raises(UnitError, match="data must be float32 or float64, mm"):
        Displacement(torch.zeros(3, 4, 5, 6, dtype=torch.int32), grid)
    bad = torch.zeros(3, 4, 5, 6)
    bad[0, 0, 0, 0] = math.inf
    with pytest.raises(GeometryError, match="data must be finite, got NaN or infinity"):
        Displacement(bad, grid)


def test_refuses_points_that_are_not_finite():
    move = Displacement(torch.zeros(3, 4, 4, 4), Grid.from_spacing((4, 4, 4)))
    with pytest.raises(GeometryError, match="index_points must be finite"):
        move(torch.full((1, 3), math.nan))


def test_has_derivatives_by_field_and_points(generator):
    grid = oblique((3, 4, 4))
    data = smooth_field(grid, generator).requires_grad_()
    points = inside(grid, generator, 4, margin=0.2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d, p: Displacement(d, grid)(p), (data, points), fast_mode=True
    )
    assert torch.autograd.gradcheck(
        lambda d, p: Displacement(d, grid).jacobian(p), (data, points), fast_mode=True
    )


@pytest.mark.parametrize("border", ["nearest", "zero"])
def test_its_field_on_another_grid_is_exact_at_the_voxels(border, generator):
    grid = oblique()
    move = Displacement(smooth_field(grid, generator), grid, border)
    assert move.to_field(grid) is move
    other = Grid.from_spacing((5, 6, 7), (4.0, 3.0, 3.0), origin_mm=(-25.0, 25.0, 45.0))
    field = move.to_field(other)
    axes = [torch.arange(n, dtype=torch.float64) for n in other.shape]
    voxels = other.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    expected = (move(voxels) - voxels).movedim(-1, 0)
    torch.testing.assert_close(field.data, expected, rtol=0, atol=1e-9)
    assert field.border == border


def test_says_what_it_is():
    move = Displacement(torch.zeros(3, 4, 5, 6), Grid.from_spacing((4, 5, 6)))
    assert repr(move) == "Displacement(fixed -> moving, mm, LPS, zyx 4 x 5 x 6, nearest outside)"
    assert isinstance(move @ Linear.translation((1.0, 0.0, 0.0)), Composite)
