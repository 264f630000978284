"""BSpline: free-form deformation beside SimpleITK's, to a millionth of a millimetre."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from vesalius.core import BSpline, Displacement, Grid, Linear
from vesalius.core._inverse import Inverse
from vesalius.errors import ConvergenceError, GeometryError, ShapeError, UnitError


def oblique(shape=(7, 8, 9), spacing_mm=(12.0, 10.0, 8.0)):
    straight = Grid.from_spacing(shape, spacing_mm, origin_mm=(-20.0, 30.0, 40.0))
    turn = Linear.rotation((10.0, -20.0, 30.0), centre_mm=(0.0, 0.0, 0.0))
    return Grid(shape, turn.matrix @ straight.affine)


def some(generator, grid=None, amount=2.0, dtype=torch.float64):
    grid = oblique() if grid is None else grid
    return BSpline(torch.randn(3, *grid.shape, generator=generator, dtype=dtype) * amount, grid)


def where_all_act(grid, generator, count=200):
    """Points all of whose 4 x 4 x 4 control points exist."""
    size = torch.tensor(grid.shape, dtype=torch.float64) - 3
    return grid.to_world(torch.rand(count, 3, generator=generator, dtype=torch.float64) * size + 1)


def to_sitk(move):
    """ITK's coefficients are images of (x, y, z) index order, one for each component."""
    images = []
    for component in move.coefficients.double():
        image = sitk.GetImageFromArray(component.numpy())
        image.SetSpacing(move.grid.spacing_mm[::-1])
        image.SetOrigin(move.grid.origin_mm)
        image.SetDirection(move.grid.direction.flip(1).flatten().tolist())
        images.append(image)
    return sitk.BSplineTransform(images, 3)


def test_agrees_with_simpleitk(generator):
    move = some(generator)
    theirs = to_sitk(move)
    points = where_all_act(move.grid, generator)
    expected = np.array([theirs.TransformPoint(p.tolist()) for p in points])
    assert np.abs(expected - points.numpy()).max() > 1
    assert np.abs(move(points).numpy() - expected).max() < 1e-9


def test_the_field_agrees_with_that_of_simpleitk(generator):
    move = some(generator)
    centre = move.grid.to_world((torch.tensor(move.grid.shape).double() - 1) / 2) - 20
    wide = Grid.from_spacing((9, 10, 11), (4.0, 4.0, 4.0), origin_mm=tuple(centre.tolist()))
    index = move.grid.to_index(voxels_of(wide))
    sizes = torch.tensor(move.grid.shape)
    act = ((index > 1.01) & (index < sizes - 2.01)).all(dim=-1)
    assert int(act.sum()) > 100
    theirs = sitk.TransformToDisplacementField(
        to_sitk(move), sitk.sitkVectorFloat64, (11, 10, 9), wide.origin_mm, wide.spacing_mm
    )
    expected = torch.from_numpy(sitk.GetArrayFromImage(theirs)).movedim(-1, 0)
    found = move.to_field(wide).data
    assert float((found - expected).abs()[:, act].max()) < 1e-6


def voxels_of(grid):
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    return grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))


def test_the_jacobian_is_that_of_simpleitks_map(generator):
    move = some(generator)
    theirs = to_sitk(move)
    points = where_all_act(move.grid, generator, 40)
    step = 1e-4
    found = move.jacobian(points).numpy()
    for p, point in enumerate(points.numpy()):
        for axis in range(3):
            ahead, behind = point.copy(), point.copy()
            ahead[axis] += step
            behind[axis] -= step
            change = np.subtract(theirs.TransformPoint(ahead), theirs.TransformPoint(behind))
            assert np.abs(found[p, :, axis] - change / (2 * step)).max() < 1e-6


def test_fades_out_smoothly_beyond_its_grid(generator):
    move = some(generator)
    far = move.grid.to_world(torch.tensor([[-2.0, 3.0, 3.0], [3.0, 9.0, 3.0]], dtype=torch.float64))
    torch.testing.assert_close(move(far), far)
    line = torch.linspace(-2.5, 2, 400, dtype=torch.float64)
    index = torch.stack([line, torch.full_like(line, 3.3), torch.full_like(line, 4.1)], dim=-1)
    points = move.grid.to_world(index)
    jump = (move(points) - points).diff(dim=0).norm(dim=-1)
    assert float(jump.max()) < 0.2


def test_the_inverse_leads_back(generator):
    move = some(generator, amount=1.0)
    points = where_all_act(move.grid, generator)
    back = move.inverse()
    torch.testing.assert_close(back(move(points)), points, rtol=0, atol=1e-9)
    torch.testing.assert_close(move(back(points)), points, rtol=0, atol=1e-9)
    assert back.inverse() is move


def test_single_precision_coefficients_can_be_inverted(generator):
    move = some(generator, amount=1.0, dtype=torch.float32)
    points = where_all_act(move.grid, generator)
    torch.testing.assert_close(move(move.inverse()(points)), points, rtol=0, atol=1e-4)


def test_refuses_to_invert_a_fold(generator):
    move = some(generator, amount=20.0)
    with pytest.raises(ConvergenceError, match="the inverse must be found within"):
        Inverse(move, steps=10)(where_all_act(move.grid, generator, 20))


def test_has_derivatives_by_coefficients_and_points(generator):
    grid = oblique((4, 4, 4))
    coefficients = some(generator, grid, 1.0).coefficients.requires_grad_()
    points = where_all_act(grid, generator, 2).requires_grad_()
    given = (coefficients, points)
    assert torch.autograd.gradcheck(lambda c, p: BSpline(c, grid)(p), given, fast_mode=True)
    assert torch.autograd.gradcheck(
        lambda c, p: BSpline(c, grid).inverse()(p), given, fast_mode=True, atol=1e-5
    )


def test_one_control_point_along_an_axis_does_not_bend_along_it(generator):
    grid = Grid.from_spacing((1, 7, 8), (5.0, 10.0, 10.0))
    move = BSpline(torch.randn(3, 1, 7, 8, generator=generator, dtype=torch.float64), grid)
    low = torch.tensor([[33.0, 34.0, 0.0]], dtype=torch.float64)
    high = torch.tensor([[33.0, 34.0, 50.0]], dtype=torch.float64)
    torch.testing.assert_close(move(low) - low, move(high) - high)
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(move.jacobian(low)[0, :, 2], eye[:, 2])
    assert move.to_field(Grid.from_spacing((1, 20, 20))).data.shape == (3, 1, 20, 20)


def test_a_coarse_grid_makes_a_smooth_displacement(generator):
    move = some(generator)
    fine = Grid.from_spacing((8, 8, 8), (3.0, 3.0, 3.0), origin_mm=(10.0, 70.0, 75.0))
    field = move.to_field(fine)
    assert isinstance(field, Displacement)
    points = voxels_of(fine)
    torch.testing.assert_close(field.data.movedim(0, -1), move(points) - points)


def test_refuses_coefficients_that_do_not_fit():
    grid = Grid.from_spacing((4, 5, 6))
    with pytest.raises(ShapeError, match=r"data must have shape \(3, 4, 5, 6\)"):
        BSpline(torch.zeros(3, 4, 5, 7), grid)
    with pytest.raises(UnitError, match="data must be float32 or float64"):
        BSpline(torch.zeros(3, 4, 5, 6).half(), grid)
    with pytest.raises(GeometryError, match="data must be finite"):
        BSpline(torch.full((3, 4, 5, 6), math.inf), grid)


def test_says_what_it_is():
    move = BSpline(torch.zeros(3, 4, 5, 6), Grid.from_spacing((4, 5, 6), (8.0, 9.0, 10.0)))
    assert repr(move) == (
        "BSpline(fixed -> moving, mm, LPS, zyx 4 x 5 x 6 points, 8 x 9 x 10 mm apart)"
    )
