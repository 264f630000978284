"""The algebra of transforms to a billionth of a millimetre, whatever they are made of."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import BSpline, Composite, Displacement, Grid, Linear, Velocity
from vesalius.core._transform import check_points
from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.ops._filters import gaussian

centres = st.tuples(*[st.floats(-100, 100)] * 3)
angles = st.tuples(*[st.floats(-170, 170)] * 3)


def oblique(shape, spacing_mm):
    straight = Grid.from_spacing(shape, spacing_mm, origin_mm=(-30.0, -25.0, -20.0))
    turn = Linear.rotation((4.0, -6.0, 8.0), centre_mm=(0.0, 0.0, 0.0))
    return Grid(shape, turn.matrix @ straight.affine)


def every_kind():
    """One of each kind of transform, double precision, smooth and gentle."""
    generator = torch.Generator().manual_seed(7)
    dense, control = oblique((14, 15, 16), (4.0, 4.0, 4.0)), oblique((7, 7, 7), (12.0, 12.0, 12.0))
    field = gaussian(torch.randn(3, 14, 15, 16, generator=generator).double(), (2.5, 2.5, 2.5))
    bend = torch.randn(3, 7, 7, 7, generator=generator, dtype=torch.float64)
    line = Linear.similarity(1.1, (5.0, -6.0, 7.0), (1.0, 2.0, 3.0), centre_mm=(4.0, 5.0, 6.0))
    spline = BSpline(bend, control)
    return {
        "linear": line,
        "displacement": Displacement(field * 8, dense),
        "velocity": Velocity(field * 8, dense),
        "bspline": spline,
        "inverse": spline.inverse(),
        "composite": line @ spline @ line,
    }


KINDS = every_kind()


@pytest.fixture
def points(generator):
    return torch.rand(5, 6, 3, generator=generator, dtype=torch.float64) * 30 - 10


@pytest.mark.parametrize("name", list(KINDS))
def test_every_kind_moves_its_points(name, points):
    assert float((KINDS[name](points) - points).norm(dim=-1).mean()) > 0.3
    assert "fixed -> moving, mm, LPS" in repr(KINDS[name])


@pytest.mark.parametrize("name", list(KINDS))
def test_the_jacobian_is_the_derivative(name, points):
    move = KINDS[name]
    flat = points.reshape(-1, 3)[:6]
    exact = [torch.autograd.functional.jacobian(move, p[None])[0, :, 0] for p in flat]
    torch.testing.assert_close(move.jacobian(flat), torch.stack(exact), rtol=0, atol=1e-9)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = 1e-5
        change = (move(flat + step) - move(flat - step)) / 2e-5
        off = (change - move.jacobian(flat)[..., axis]).abs().amax(dim=-1)
        assert float(off.median()) < 1e-8  # of points no kink comes near


@pytest.mark.parametrize(("a", "b", "c"), list(itertools.permutations(KINDS, 3))[::7])
def test_composition_is_associative(a, b, c, points):
    one, two, three = KINDS[a], KINDS[b], KINDS[c]
    expected = one(two(three(points)))
    torch.testing.assert_close(((one @ two) @ three)(points), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close((one @ (two @ three))(points), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("a", "b"), list(itertools.product(["linear", "bspline", "inverse"], repeat=2))
)
def test_the_inverse_of_a_product_is_the_product_of_inverses_turned_round(a, b, points):
    one, two = KINDS[a], KINDS[b]
    product = one @ two
    swapped = two.inverse() @ one.inverse()
    torch.testing.assert_close(product.inverse()(points), swapped(points), rtol=0, atol=1e-9)
    torch.testing.assert_close(product.inverse()(product(points)), points, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("a", "b"), list(itertools.permutations(KINDS, 2))[::4])
def test_the_jacobian_of_a_product_follows_the_chain_rule(a, b, points):
    one, two = KINDS[a], KINDS[b]
    expected = one.jacobian(two(points)) @ two.jacobian(points)
    torch.testing.assert_close((one @ two).jacobian(points), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", list(KINDS))
def test_the_field_of_each_kind_is_exact_at_its_voxels(name):
    grid = oblique((3, 4, 5), (5.0, 6.0, 7.0))
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    voxels = grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    expected = (KINDS[name](voxels) - voxels).movedim(-1, 0)
    found = KINDS[name].to_field(grid)
    torch.testing.assert_close(found.data, expected, rtol=0, atol=1e-9)
    assert found.grid is grid


def test_linear_maps_that_meet_are_folded():
    line, bend = KINDS["linear"], KINDS["bspline"]
    chain = line @ line @ bend @ line @ line
    assert isinstance(chain, Composite)
    assert [type(p) for p in chain.parts] == [Linear, BSpline, Linear]
    wide = (line @ bend) @ (line @ line.inverse() @ bend)
    assert [type(p) for p in wide.parts] == [Linear, BSpline, Linear, BSpline]
    assert isinstance(Composite((line,)) @ Composite((line,)), Linear)
    assert isinstance(Composite(()) @ line, Linear)


@settings(max_examples=40)
@given(angles, centres, centres, st.floats(0.2, 5))
def test_a_similarity_scales_lengths_and_keeps_angles(turn, shift, centre, scale):
    move = Linear.similarity(scale, turn, shift, centre_mm=centre)
    inner = move.matrix[:3, :3]
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(inner.T @ inner, scale**2 * eye, rtol=0, atol=1e-9)
    assert float(torch.linalg.det(inner)) > 0
    middle = torch.tensor(centre, dtype=torch.float64)
    moved = middle + torch.tensor(shift, dtype=torch.float64)
    torch.testing.assert_close(move(middle), moved, rtol=0, atol=1e-9)


@settings(max_examples=20)
@given(angles, centres, centres)
def test_a_rigid_map_is_that_of_simpleitk(turn, shift, centre):
    move = Linear.rigid(turn, shift, centre_mm=centre)
    theirs = sitk.VersorRigid3DTransform()
    length = float(np.linalg.norm(turn))
    axis = tuple(np.array(turn) / length) if length > 0 else (1.0, 0.0, 0.0)
    theirs.SetCenter(centre)
    theirs.SetRotation(axis, float(np.deg2rad(length)))
    theirs.SetTranslation(shift)
    for point in ((0.0, 0.0, 0.0), (10.0, -20.0, 30.0)):
        expected = theirs.TransformPoint(point)
        found = move(torch.tensor(point, dtype=torch.float64)).tolist()
        assert found == pytest.approx(expected, abs=1e-8)


def test_an_affine_map_is_that_of_simpleitk(generator):
    matrix = torch.eye(3) + 0.3 * torch.rand(3, 3, generator=generator)
    move = Linear.affine(matrix, (1.0, 2.0, 3.0), centre_mm=(10.0, 20.0, 30.0))
    theirs = sitk.AffineTransform(3)
    theirs.SetMatrix(matrix.double().flatten().tolist())
    theirs.SetCenter((10.0, 20.0, 30.0))
    theirs.SetTranslation((1.0, 2.0, 3.0))
    point = (-5.0, 6.0, 7.0)
    found = move(torch.tensor(point, dtype=torch.float64)).tolist()
    assert found == pytest.approx(theirs.TransformPoint(point), abs=1e-9)


def test_derivatives_flow_through_an_affine_map():
    matrix = (torch.eye(3, dtype=torch.float64) * 1.1).requires_grad_()
    point = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda m, p: Linear.affine(m, (1.0, 0.0, 0.0), centre_mm=(1.0, 1.0, 1.0))(p),
        (matrix, point),
    )


def test_refuses_scales_and_matrices_that_make_no_map():
    zero = (0.0, 0.0, 0.0)
    with pytest.raises(GeometryError, match="scale must be positive, got -1"):
        Linear.similarity(-1.0, zero, zero, centre_mm=zero)
    with pytest.raises(GeometryError, match="matrix must be invertible"):
        Linear.affine(torch.zeros(3, 3), zero, centre_mm=zero)
    with pytest.raises(ShapeError, match=r"matrix must have shape \(3, 3\), got \(4, 4\)"):
        Linear.affine(torch.eye(4), zero, centre_mm=zero)


def test_refuses_points_that_are_no_points():
    with pytest.raises(ShapeError, match=r"points_mm must have shape \(..., 3\)"):
        check_points(torch.zeros(4, 2))
    with pytest.raises(ShapeError, match=r"points_mm must have shape \(..., 3\)"):
        check_points(torch.tensor(1.0))
    for wrong in (torch.zeros(4, 3, dtype=torch.int64), torch.zeros(4, 3).half()):
        with pytest.raises(UnitError, match="points_mm must be float32 or float64"):
            check_points(wrong)
