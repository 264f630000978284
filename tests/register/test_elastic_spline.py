"""Elastic body splines: they satisfy their differential equation and meet their landmarks."""

import pytest
import torch
from torch.func import jacfwd, jacrev

from register.landmark_cases import lung, pairs, slope_by_differences, somewhere
from vesalius.core import Points
from vesalius.errors import ConfigError, GeometryError
from vesalius.register.landmarks import elastic_body, elastic_green, fit_linear

FORCES = ("r", "1/r")


def residual(force: str, ratio: float, at: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Give mu Lap u + (lambda + mu) grad div u at one point, mu = 1, by automatic derivatives."""

    def u(x):
        return elastic_green(x, force=force, poisson_ratio=ratio) @ c

    second = jacfwd(jacrev(u))(at)  # [component, first, second derivative]
    laplacian = second.diagonal(dim1=1, dim2=2).sum(dim=1)
    grad_div = second.diagonal(dim1=0, dim2=1).sum(dim=1)
    lame = 2 * ratio / (1 - 2 * ratio)
    return laplacian + (lame + 1) * grad_div


@pytest.mark.parametrize("ratio", [-0.5, 0.0, 0.3, 0.49])
@pytest.mark.parametrize("force", FORCES)
def test_the_displacement_balances_its_own_force(force, ratio):
    c = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
    for at in torch.tensor([[1.0, 2, -0.5], [-4, 0.1, 3], [0.2, -0.1, 0.05]]).double():
        r = float(at.norm())
        strength = r if force == "r" else 1 / r
        wanted = -strength * c
        torch.testing.assert_close(residual(force, ratio, at, c), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("force", FORCES)
def test_goes_through_every_landmark(force):
    fixed, moving = pairs()
    found = elastic_body(fixed, moving, force=force)
    torch.testing.assert_close(found(fixed.data), moving.data, rtol=0, atol=1e-9)


@pytest.mark.parametrize("force", FORCES)
def test_forces_and_their_moments_sum_to_nothing(force):
    found = elastic_body(*pairs(), force=force)
    size = float(found.weights.abs().max())
    assert float(found.weights.sum(dim=0).abs().max()) < 1e-9 * size
    moments = found.centres.T @ found.weights
    assert float(moments.abs().max()) < 1e-7 * size * 100


@pytest.mark.parametrize("force", FORCES)
def test_equals_the_sum_of_its_green_functions(force):
    found = elastic_body(*pairs(), force=force, poisson_ratio=0.2)
    at = somewhere(20)
    green = elastic_green(at[:, None] - found.centres, force=force, poisson_ratio=0.2)
    bent = torch.einsum("mnij,nj->mi", green, found.weights)
    rest = torch.cat([torch.ones(20, 1).double(), at - found.origin], dim=1) @ found.polynomial
    torch.testing.assert_close(found(at), at + rest + bent, rtol=0, atol=1e-8)


@pytest.mark.parametrize("force", FORCES)
def test_the_derivative_equals_differences(force):
    found = elastic_body(*pairs(), force=force)
    torch.testing.assert_close(
        found.jacobian(somewhere()), slope_by_differences(found, somewhere()), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("force", FORCES)
def test_nothing_is_nan_at_a_landmark(force):
    fixed, moving = pairs()
    found = elastic_body(fixed, moving, force=force)
    at = fixed.data.clone().requires_grad_()
    (slope,) = torch.autograd.grad(found(at).sum(), at)
    assert bool(torch.isfinite(slope).all())
    assert bool(torch.isfinite(found.jacobian(fixed.data)).all())


@pytest.mark.parametrize("force", FORCES)
def test_smoothing_misses_more_and_ends_at_the_affine_fit(force):
    fixed, moving = pairs()
    scale = {"r": 1e3, "1/r": 1.0}[force]
    missed = []
    for strength in (0.0, 1.0, 10.0, 100.0):
        found = elastic_body(fixed, moving, force=force, smoothing=strength * scale)
        missed.append(float((found(fixed.data) - moving.data).norm()))
    assert missed == sorted(missed)
    assert missed[0] < 1e-8 < missed[1]
    flat = elastic_body(fixed, moving, force=force, smoothing=1e9 * scale)
    torch.testing.assert_close(
        flat(somewhere()), fit_linear(fixed, moving)(somewhere()), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("force", FORCES)
def test_the_inverse_leads_back(force):
    found = elastic_body(*pairs(8), force=force, smoothing=10.0)
    back = found.inverse()
    torch.testing.assert_close(back(found(somewhere())), somewhere(), rtol=0, atol=1e-5)


def test_a_nearly_incompressible_body_keeps_more_of_its_volume():
    """The bent part alone: pull one point out of a cage that stays."""
    cage = torch.cartesian_prod(*([torch.tensor([-40.0, 0, 40.0]).double()] * 3))
    moved = cage.clone()
    moved[13] += torch.tensor([8.0, 0, 0], dtype=torch.float64)
    spread = []
    for ratio in (0.0, 0.3, 0.49):
        found = elastic_body(Points(cage), Points(moved), poisson_ratio=ratio)
        sizes = torch.linalg.det(found.jacobian(somewhere() * 0.4 - 28))
        spread.append(float((sizes - 1).abs().mean()))
    assert spread[0] > spread[1] > spread[2]


def test_halves_the_error_of_landmarks_left_out_of_a_breath(data_dir):
    guide, judge = lung(data_dir, 1, "keypoints"), lung(data_dir, 1)
    found = elastic_body(
        Points(guide[0].data[::8]), Points(guide[1].data[::8]), force="1/r", smoothing=1.0
    )
    before = float((judge[0].data - judge[1].data).norm(dim=1).mean())
    assert float((found(judge[0].data) - judge[1].data).norm(dim=1).mean()) < 0.5 * before


def test_keeps_shape_and_number_type_and_says_what_it_is():
    found = elastic_body(*pairs())
    assert found(torch.zeros(2, 4, 3)).dtype == torch.float32
    assert found.jacobian(torch.zeros(2, 4, 3)).shape == (2, 4, 3, 3)
    assert "fixed -> moving, mm, LPS, force r, nu 0.3, 20 landmarks" in repr(found)


@pytest.mark.parametrize("ratio", [0.5, -1.0, 0.7, torch.nan])
def test_refuses_a_solid_that_cannot_be(ratio):
    with pytest.raises(ConfigError, match="poisson_ratio must be above -1"):
        elastic_body(*pairs(), poisson_ratio=ratio)
    with pytest.raises(ConfigError, match="poisson_ratio must be above -1"):
        elastic_green(torch.ones(3), force="r", poisson_ratio=ratio)


def test_refuses_landmarks_that_leave_the_map_open():
    with pytest.raises(GeometryError, match="elastic body map needs at least 4 landmark pairs"):
        elastic_body(*pairs(3))
    with pytest.raises(GeometryError, match="in one plane"):
        elastic_body(*pairs(flat=True))
    fixed, moving = pairs()
    fixed.data[2] = fixed.data[1]
    with pytest.raises(GeometryError, match="fixed landmarks 1 and 2 fall together"):
        elastic_body(fixed, moving)


@pytest.mark.parametrize("force", FORCES)
def test_the_compiled_sum_equals_the_differentiable_one(force):
    found = elastic_body(*pairs(), force=force)
    by_torch = found(somewhere().requires_grad_())
    assert by_torch.requires_grad
    torch.testing.assert_close(found(somewhere()), by_torch.detach(), rtol=0, atol=1e-8)
