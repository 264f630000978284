"""Inverse: Newton's method for smooth transforms, its derivatives and its refusals."""

import math

import pytest
import torch

from vesalius.core import Composite, Linear, Transform
from vesalius.core._inverse import Inverse
from vesalius.errors import ConvergenceError


class Wave(Transform):
    """Points pushed along L by a sine of L: invertible while the amount times the pace is < 1."""

    def __init__(self, amount, pace=0.2):
        self.amount, self.pace = amount, pace

    def __call__(self, points_mm):
        push = self.amount * torch.sin(self.pace * points_mm[..., :1])
        return points_mm + torch.cat([push, 0 * push, 0 * push], dim=-1)

    def inverse(self):
        return Inverse(self)

    def jacobian(self, points_mm):
        out = torch.eye(3, dtype=points_mm.dtype).repeat(*points_mm.shape[:-1], 1, 1)
        out[..., 0, 0] = 1 + self.amount * self.pace * torch.cos(self.pace * points_mm[..., 0])
        return out


@pytest.fixture
def points(generator):
    return torch.rand(6, 7, 3, generator=generator, dtype=torch.float64) * 200 - 100


@pytest.mark.parametrize("amount", [0.5, 3.0, 4.99])
def test_leads_back_to_rounding(amount, points):
    move = Wave(amount)
    back = Inverse(move)
    torch.testing.assert_close(move(back(points)), points, rtol=0, atol=1e-9)
    if amount < 4:
        torch.testing.assert_close(back(move(points)), points, rtol=0, atol=1e-9)


def test_its_inverse_is_the_transform_itself(points):
    move = Wave(2.0)
    assert move.inverse().inverse() is move
    both = move @ move.inverse()
    torch.testing.assert_close(both(points), points, rtol=0, atol=1e-9)
    assert repr(Inverse(Linear.identity())).startswith(
        "Inverse(fixed -> moving, mm, LPS, of Linear"
    )


def test_its_jacobian_is_the_inverse_matrix(points):
    move = Wave(3.0)
    back = Inverse(move)
    product = back.jacobian(move(points)) @ move.jacobian(points)
    eye = torch.eye(3, dtype=torch.float64).expand_as(product)
    torch.testing.assert_close(product, eye, rtol=0, atol=1e-9)


def test_has_derivatives_by_points_and_parameters(points):
    amount = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    few = points[0, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, p: Inverse(Wave(a))(p), (amount, few), fast_mode=True)


def test_a_composite_of_it_inverts(points):
    move = Linear.rotation((5.0, 6.0, 7.0), centre_mm=(1.0, 2.0, 3.0)) @ Wave(2.0)
    back = move.inverse()
    assert isinstance(back, Composite)
    torch.testing.assert_close(back(move(points)), points, rtol=0, atol=1e-9)


def test_keeps_single_precision_and_shape(points):
    out = Inverse(Wave(2.0))(points.float())
    assert out.dtype == torch.float32
    assert out.shape == points.shape
    assert Inverse(Wave(2.0))(points[:0]).shape == (0, 7, 3)


def test_says_how_many_points_it_could_not_find(points):
    class Capped(Wave):
        """No point beyond 0 along L is reached."""

        def __call__(self, points_mm):
            return torch.cat([-(points_mm[..., :1] ** 2), points_mm[..., 1:]], dim=-1)

        def jacobian(self, points_mm):
            out = torch.eye(3, dtype=points_mm.dtype).repeat(*points_mm.shape[:-1], 1, 1)
            out[..., 0, 0] = -2 * points_mm[..., 0]
            return out

    targets = torch.tensor([[-4.0, 1.0, 1.0], [3.0, 0.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ConvergenceError, match=r"1 of 2 points miss by up to 3 mm after 50 steps"):
        Inverse(Capped(1.0))(targets)
    found = Inverse(Capped(1.0))(targets[:1])
    assert abs(float(found[0, 0])) == pytest.approx(2.0, abs=1e-6)


def test_a_point_that_is_not_finite_is_not_found():
    bad = torch.tensor([[math.nan, 0.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ConvergenceError, match="the inverse must be found within"):
        Inverse(Wave(1.0))(bad)


def test_stops_after_the_steps_that_it_was_given(points):
    with pytest.raises(ConvergenceError, match="after 1 steps"):
        Inverse(Wave(4.9), steps=1)(points)
