"""Transforms: fixed world to moving world, with inverse and derivative."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vesalius.core import Composite, Linear, Transform
from vesalius.errors import GeometryError, ShapeError

vectors = st.tuples(*[st.floats(-150, 150)] * 3)
angles = st.tuples(*[st.floats(-170, 170)] * 3)


class Cubic(Transform):
    """A smooth map with an exact inverse, for the tests: S grows by amount * L^3 / 1e4."""

    def __init__(self, amount):
        self.amount = amount

    def __call__(self, points_mm):
        left, posterior, superior = points_mm.unbind(-1)
        return torch.stack([left, posterior, superior + self.amount * left**3 / 1e4], dim=-1)

    def inverse(self):
        return Cubic(-self.amount)

    def jacobian(self, points_mm):
        out = torch.eye(3, dtype=points_mm.dtype).repeat(*points_mm.shape[:-1], 1, 1)
        out[..., 2, 0] = 3 * self.amount * points_mm[..., 0] ** 2 / 1e4
        return out


def some(turn=(10.0, 20.0, -30.0), shift=(5.0, -6.0, 7.0)):
    return Linear.translation(shift) @ Linear.rotation(turn, centre_mm=(1.0, 2.0, 3.0))


TRANSFORMS = {
    "identity": Linear.identity(),
    "linear": some(),
    "bent": Cubic(2.0),
    "composite": some() @ Cubic(2.0) @ some((0.0, 5.0, 0.0)),
    "empty": Composite(()),
}


@pytest.fixture
def points(generator):
    return torch.rand(4, 5, 3, generator=generator, dtype=torch.float64) * 60 - 30


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_the_inverse_leads_back(name, points):
    t = TRANSFORMS[name]
    torch.testing.assert_close(t.inverse()(t(points)), points, rtol=0, atol=1e-9)
    torch.testing.assert_close(t(t.inverse()(points)), points, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_the_jacobian_is_the_derivative(name, points):
    t = TRANSFORMS[name]
    flat = points.reshape(-1, 3)
    by_autograd = torch.stack(
        [torch.autograd.functional.jacobian(t, p[None])[0, :, 0] for p in flat]
    )
    torch.testing.assert_close(t.jacobian(flat), by_autograd, rtol=0, atol=1e-9)
    assert t.jacobian(points).shape == (4, 5, 3, 3)


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_keeps_dtype_and_input(name, points):
    single = points.float()
    before = single.clone()
    out = TRANSFORMS[name](single)
    assert out.dtype == torch.float32
    assert torch.equal(single, before)


@pytest.mark.parametrize("a", list(TRANSFORMS))
@pytest.mark.parametrize("b", list(TRANSFORMS))
def test_the_right_one_acts_first(a, b, points):
    one, two = TRANSFORMS[a], TRANSFORMS[b]
    torch.testing.assert_close((one @ two)(points), one(two(points)), rtol=0, atol=1e-9)


def test_two_linear_maps_make_one():
    assert isinstance(some() @ some(), Linear)
    assert isinstance(some() @ Cubic(1.0), Composite)


@settings(max_examples=40, deadline=None)
@given(angles, vectors)
def test_a_rotation_is_that_of_scipy_and_keeps_its_centre(turn, centre):
    move = Linear.rotation(turn, centre_mm=centre)
    theirs = Rotation.from_rotvec(np.deg2rad(turn)).as_matrix()
    assert np.abs(move.matrix[:3, :3].numpy() - theirs).max() < 1e-11
    fixed = torch.tensor(centre, dtype=torch.float64)
    torch.testing.assert_close(move(fixed), fixed, rtol=0, atol=1e-9)


def test_a_quarter_turn_about_the_long_axis_takes_left_to_posterior():
    move = Linear.rotation((0.0, 0.0, 90.0), centre_mm=(0.0, 0.0, 0.0))
    out = move(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(out, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))


def test_agrees_with_simpleitk(points):
    move = some()
    theirs = sitk.AffineTransform(3)
    theirs.SetMatrix(move.matrix[:3, :3].flatten().tolist())
    theirs.SetTranslation(move.matrix[:3, 3].tolist())
    for point in points.reshape(-1, 3)[:5]:
        expected = theirs.TransformPoint(point.tolist())
        assert move(point).tolist() == pytest.approx(expected, abs=1e-9)


def test_keeps_distances_under_a_rigid_map(points):
    flat = points.reshape(-1, 3)
    torch.testing.assert_close(torch.pdist(some()(flat)), torch.pdist(flat))


def test_derivatives_flow_through_matrix_and_inverse():
    matrix = some().matrix.clone().requires_grad_()
    mask = torch.ones(4, 4, dtype=torch.float64)
    mask[3] = 0
    point = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    fixed = matrix * mask + matrix.detach() * (1 - mask)
    Linear(fixed).inverse()(point).sum().backward()
    assert matrix.grad is not None
    assert float(matrix.grad.abs().sum()) > 0


def test_does_not_change_when_the_given_matrix_does():
    matrix = torch.eye(4, dtype=torch.float64)
    move = Linear(matrix)
    matrix[0, 3] = 9
    assert torch.equal(move.matrix, torch.eye(4, dtype=torch.float64))


def test_says_what_it_is():
    assert repr(Linear.translation((1.0, 2.0, 3.0))) == (
        "Linear(fixed -> moving, mm, LPS, [1 0 0 1; 0 1 0 2; 0 0 1 3])"
    )
    assert repr(Composite(())) == "Composite(fixed -> moving, mm, LPS, 0 parts)"


def test_an_interface_cannot_be_built():
    with pytest.raises(TypeError, match="abstract"):
        Transform()


def test_refuses_a_matrix_of_another_shape():
    with pytest.raises(ShapeError, match=r"matrix must have shape \(4, 4\), got \(3, 3\)"):
        Linear(torch.eye(3))


def test_refuses_a_projective_matrix():
    matrix = torch.eye(4)
    matrix[3, 1] = 1
    with pytest.raises(GeometryError, match=r"must end in \(0, 0, 0, 1\)"):
        Linear(matrix)


def test_refuses_a_matrix_without_an_inverse():
    matrix = torch.eye(4)
    matrix[0, 0] = 0
    with pytest.raises(GeometryError, match="matrix must be invertible, its determinant is 0"):
        Linear(matrix)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_a_matrix_that_is_not_finite(value):
    matrix = torch.eye(4)
    matrix[0, 3] = value
    with pytest.raises(GeometryError, match="matrix must be finite"):
        Linear(matrix)
