"""Radial splines: through their landmarks, equal to SciPy's, derivative in closed form."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from register.landmark_cases import kidney, lung, pairs, slope_by_differences, somewhere
from vesalius.core import Grid, Image, Points
from vesalius.errors import ConfigError, ConvergenceError, GeometryError, ShapeError
from vesalius.register._guides import Guides
from vesalius.register._register import register
from vesalius.register._thin_plate import Plate
from vesalius.register.landmarks import (
    GaussianKernel,
    RadialKernel,
    WendlandKernel,
    elastic_body,
    fit_linear,
    radial_spline,
    thin_plate,
)


def fixed_of(found) -> torch.Tensor:
    """World points of a spline's centres."""
    return found.centres @ found.frame.axes + found.frame.origin


KERNELS = (
    Plate(3),
    GaussianKernel(30.0),
    WendlandKernel(80.0),
    WendlandKernel(120.0, smoothness=4),
)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_goes_through_every_landmark(kernel):
    fixed, moving = pairs()
    found = radial_spline(fixed, moving, kernel=kernel)
    torch.testing.assert_close(found(fixed.data), moving.data, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel", [*KERNELS, Plate(2)], ids=str)
def test_the_derivative_equals_differences(kernel):
    flat = kernel == Plate(2)
    fixed, moving = pairs(flat=flat)
    found = radial_spline(fixed, moving, kernel=kernel, dimension=2 if flat else 3)
    at = somewhere()
    torch.testing.assert_close(
        found.jacobian(at), slope_by_differences(found, at), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("kernel", [*KERNELS, Plate(2)], ids=str)
def test_the_slope_of_a_kernel_equals_autograd(kernel):
    r = torch.linspace(0.3, 130, 50, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(kernel.value(r**2).sum(), r)
    torch.testing.assert_close(kernel.slope(r.detach() ** 2) * r.detach(), slope)


@pytest.mark.parametrize("kernel", [*KERNELS, Plate(2)], ids=str)
def test_nothing_is_nan_at_a_landmark(kernel):
    flat = kernel == Plate(2)
    fixed, moving = pairs(flat=flat)
    found = radial_spline(fixed, moving, kernel=kernel, dimension=2 if flat else 3)
    at = fixed.data.clone().requires_grad_()
    (slope,) = torch.autograd.grad(found(at).sum(), at)
    assert bool(torch.isfinite(slope).all())
    assert bool(torch.isfinite(found.jacobian(fixed.data)).all())


def test_the_wendland_functions_vanish_smoothly_at_their_support():
    for smoothness in (2, 4):
        kernel = WendlandKernel(10.0, smoothness=smoothness)
        edge = torch.tensor([0.0, 9.999**2, 10.0**2, 400.0], dtype=torch.float64)
        value, slope = kernel.value(edge), kernel.slope(edge)
        assert float(value[0]) == pytest.approx(1)
        assert abs(float(value[1])) < 1e-13
        assert value[2:].tolist() == [0, 0]
        assert slope[2:].abs().tolist() == [0, 0]


def test_a_compact_kernel_leaves_the_far_world_to_the_affine_part():
    fixed, moving = pairs()
    found = radial_spline(fixed, moving, kernel=WendlandKernel(30.0))
    far = somewhere() + 500
    curved = slope_by_differences(found, far, step=1.0)
    torch.testing.assert_close(curved, curved[:1].expand_as(curved), rtol=0, atol=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 3.0])
def test_equals_the_thin_plate_of_scipy_in_a_volume(smoothing):
    fixed, moving = pairs(30)
    found = thin_plate(fixed, moving, smoothing=smoothing)
    oracle = RBFInterpolator(
        fixed.data.numpy(), moving.data.numpy(), kernel="linear", degree=1, smoothing=smoothing
    )
    np.testing.assert_allclose(found(somewhere()), oracle(somewhere().numpy()), atol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 200.0])
def test_equals_the_thin_plate_of_scipy_in_a_plane(data_dir, smoothing):
    fixed, moving = kidney(data_dir)
    found = thin_plate(fixed, moving, smoothing=smoothing, dimension=2)
    oracle = RBFInterpolator(
        fixed.data[:, :2].numpy(),
        moving.data[:, :2].numpy(),
        kernel="thin_plate_spline",
        smoothing=smoothing,
    )
    at = somewhere() * 7
    np.testing.assert_allclose(found(at)[:, :2], oracle(at[:, :2].numpy()), atol=1e-6)
    assert torch.equal(found(at)[:, 2], at[:, 2])


def test_errors_of_the_landmarks_equal_scipys_smoothing_of_each():
    fixed, moving = pairs(30)
    errors = tuple(0.1 * i for i in range(30))
    found = thin_plate(fixed, moving, smoothing=2.0, error_mm=errors)
    oracle = RBFInterpolator(
        fixed.data.numpy(),
        moving.data.numpy(),
        kernel="linear",
        degree=1,
        smoothing=2.0 * np.array(errors) ** 2,
    )
    np.testing.assert_allclose(found(somewhere()), oracle(somewhere().numpy()), atol=1e-9)
    missed = (found(fixed.data) - moving.data).norm(dim=1)
    assert float(missed[0]) < 1e-9  # a landmark without error is met


def test_equals_scipys_gaussian():
    fixed, moving = pairs(15)
    found = radial_spline(fixed, moving, kernel=GaussianKernel(20.0))
    oracle = RBFInterpolator(
        fixed.data.numpy(),
        moving.data.numpy() - fixed.data.numpy(),
        kernel="gaussian",
        epsilon=1 / (20 * 2**0.5),
        degree=1,
    )
    wanted = somewhere().numpy() + oracle(somewhere().numpy())
    np.testing.assert_allclose(found(somewhere()), wanted, atol=1e-9)


def test_much_smoothing_ends_at_the_affine_fit():
    fixed, moving = pairs()
    smooth = thin_plate(fixed, moving, smoothing=1e9)
    torch.testing.assert_close(
        smooth(somewhere()), fit_linear(fixed, moving)(somewhere()), rtol=0, atol=1e-5
    )


def test_affine_pairs_bend_nothing():
    fixed, moving = pairs()
    exact = fit_linear(fixed, moving)
    for kernel in KERNELS:
        found = radial_spline(fixed, Points(exact(fixed.data)), kernel=kernel)
        torch.testing.assert_close(found(somewhere()), exact(somewhere()), rtol=0, atol=1e-8)


def test_the_order_of_the_pairs_does_not_matter():
    fixed, moving = pairs()
    turned = thin_plate(Points(fixed.data.flip(0)), Points(moving.data.flip(0)))
    torch.testing.assert_close(
        turned(somewhere()), thin_plate(fixed, moving)(somewhere()), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_inverse_leads_back(dimension):
    fixed, moving = pairs(flat=dimension == 2)
    found = thin_plate(fixed, moving, dimension=dimension, smoothing=20.0)
    back = found.inverse()
    torch.testing.assert_close(back(found(somewhere())), somewhere(), rtol=0, atol=1e-5)
    product = back.jacobian(found(somewhere())) @ found.jacobian(somewhere())
    eye = torch.eye(3, dtype=torch.float64).expand_as(product)
    torch.testing.assert_close(product, eye, rtol=0, atol=1e-5)


def test_a_map_that_folds_has_no_inverse():
    fixed, _ = pairs(12)
    swapped = fixed.data.clone()
    swapped[[0, 1]] = swapped[[1, 0]]
    found = radial_spline(fixed, Points(swapped), kernel=GaussianKernel(15.0))
    generator = torch.Generator().manual_seed(3)
    near = fixed.data[0] + torch.randn(400, 3, dtype=torch.float64, generator=generator) * 8
    assert float(torch.linalg.det(found.jacobian(near)).min()) < 0
    with pytest.raises(ConvergenceError, match="folds there"):
        found.inverse()(found(near))


def test_becomes_a_field_on_a_grid():
    fixed, moving = pairs()
    found = thin_plate(fixed, moving)
    field = found.to_field(Grid.from_spacing((4, 5, 6), (20.0, 20.0, 20.0)))
    at = torch.tensor([[40.0, 60.0, 20.0]], dtype=torch.float64)
    torch.testing.assert_close(field(at), found(at), rtol=0, atol=1e-4)


def test_keeps_shape_and_number_type_and_says_what_it_is():
    fixed, moving = pairs()
    found = thin_plate(fixed, moving)
    assert found(torch.zeros(2, 4, 3)).shape == (2, 4, 3)
    assert found(torch.zeros(2, 4, 3)).dtype == torch.float32
    assert found.jacobian(torch.zeros(2, 4, 3)).shape == (2, 4, 3, 3)
    assert "fixed -> moving, mm, LPS" in repr(found)
    assert "20 landmarks, 3-D" in repr(found)
    assert found(torch.zeros(0, 3)).shape == (0, 3)


def test_halves_the_error_of_landmarks_left_out_of_a_breath(data_dir):
    for case in (1, 2, 3):
        guide = lung(data_dir, case, "keypoints")
        judge = lung(data_dir, case)
        found = thin_plate(Points(guide[0].data[::8]), Points(guide[1].data[::8]), smoothing=20.0)
        before = float((judge[0].data - judge[1].data).norm(dim=1).mean())
        after = float((found(judge[0].data) - judge[1].data).norm(dim=1).mean())
        affine = fit_linear(*guide)(judge[0].data)
        assert after < 0.5 * before
        assert after < float((affine - judge[1].data).norm(dim=1).mean())


def test_refuses_landmarks_that_leave_the_map_open():
    flat = pairs(flat=True)
    with pytest.raises(GeometryError, match=r"in one plane.*use dimension=2 for a plane"):
        thin_plate(*flat)
    with pytest.raises(GeometryError, match="3-D spline map needs at least 4 landmark pairs"):
        thin_plate(*pairs(3))
    line = Points(torch.arange(5.0)[:, None] * torch.tensor([1.0, 1, 0]))
    with pytest.raises(GeometryError, match="these 5 lie on one line: add at least 1 elsewhere"):
        thin_plate(line, line, dimension=2)


@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_refuses_two_landmarks_in_one_place_unless_it_smooths(side):
    fixed, moving = pairs()
    sets = {"fixed": fixed.data.clone(), "moving": moving.data.clone()}
    sets[side][7] = sets[side][3]
    twice = Points(sets["fixed"]), Points(sets["moving"])
    with pytest.raises(GeometryError, match=f"{side} landmarks 3 and 7 fall together"):
        thin_plate(*twice)
    assert bool(torch.isfinite(thin_plate(*twice, smoothing=1.0)(somewhere())).all())


def test_refuses_errors_and_strengths_below_zero():
    with pytest.raises(ShapeError, match="error_mm must give one number for each of 20 pairs"):
        thin_plate(*pairs(), smoothing=1.0, error_mm=(1.0, 2.0))
    for strength, errors in ((-1.0, ()), (torch.nan, ()), (1.0, (-1.0,) * 20)):
        with pytest.raises(GeometryError, match="smoothing and error_mm must be at least 0"):
            thin_plate(*pairs(), smoothing=strength, error_mm=errors)


def test_refuses_more_landmarks_than_a_dense_system_can_hold():
    many = Points(torch.rand(12_001, 3))
    with pytest.raises(GeometryError, match="12000 unknowns at most, these landmarks give 12001"):
        thin_plate(many, many)
    with pytest.raises(GeometryError, match=r"give 12003 and a matrix of 1.2 GB"):
        elastic_body(Points(many.data[:4001]), Points(many.data[:4001]))


def test_refuses_a_kernel_without_width():
    for size in (0.0, -1.0, torch.nan, torch.inf):
        with pytest.raises(ConfigError, match="sigma_mm must be positive"):
            GaussianKernel(size)
        with pytest.raises(ConfigError, match="support_mm must be positive"):
            WendlandKernel(size)


def test_refuses_a_gaussian_too_wide_to_be_solved():
    with pytest.raises(GeometryError, match="its system is singular"):
        radial_spline(*pairs(), kernel=GaussianKernel(1e9))


@pytest.mark.parametrize("kernel", [*KERNELS, Plate(2)], ids=str)
def test_the_compiled_sum_equals_the_differentiable_one(kernel):
    flat = kernel == Plate(2)
    found = radial_spline(*pairs(flat=flat), kernel=kernel, dimension=2 if flat else 3)
    at = somewhere()
    by_torch = found(at.clone().requires_grad_())
    assert by_torch.requires_grad
    torch.testing.assert_close(found(at), by_torch.detach(), rtol=0, atol=1e-9)
    slopes = found.jacobian(at.clone().requires_grad_()).detach()
    torch.testing.assert_close(found.jacobian(at), slopes, rtol=0, atol=1e-9)
    assert bool(torch.isfinite(found.jacobian(fixed_of(found))).all())


def test_a_kernel_of_ones_own_needs_no_compiled_sum():
    @dataclass(frozen=True)
    class Multiquadric(RadialKernel):
        def value(self, squared):
            return -((squared + 100.0) ** 0.5)

        def slope(self, squared):
            return -((squared + 100.0) ** -0.5)

    fixed, moving = pairs()
    found = radial_spline(fixed, moving, kernel=Multiquadric())
    torch.testing.assert_close(found(fixed.data), moving.data, rtol=0, atol=1e-8)
    oracle = RBFInterpolator(
        fixed.data.numpy(), moving.data.numpy(), kernel="multiquadric", epsilon=0.1, degree=1
    )
    np.testing.assert_allclose(found(somewhere()), oracle(somewhere().numpy()), atol=1e-7)


def test_a_registration_of_slices_by_landmarks_stays_in_their_plane(data_dir):
    fixed, moving = kidney(data_dir)
    image = Image(torch.rand(1, 1, 20, 30), Grid.from_spacing((1, 20, 30), (1.0, 40.0, 40.0)))
    guides = Guides(fixed_points=fixed, moving_points=moving)
    found = register(image, image, plan="landmarks", guides=guides).transform
    torch.testing.assert_close(found(fixed.data), moving.data, rtol=0, atol=1e-6)
    assert torch.equal(found(somewhere())[:, 2], somewhere()[:, 2])


def test_smoothing_finds_the_kidneys_landmarks_that_were_left_out(data_dir):
    """Each pair judges a spline through all others; the clicks themselves err by some pixels."""
    fixed, moving = kidney(data_dir)

    def missed(fit) -> float:
        total = 0.0
        for i in range(69):
            keep = torch.arange(69) != i
            found = fit(Points(fixed.data[keep]), Points(moving.data[keep]), dimension=2)
            total += float((found(fixed.data[i]) - moving.data[i]).norm())
        return total / 69

    through = missed(thin_plate)
    smooth = missed(partial(thin_plate, smoothing=1e6))
    assert smooth < 0.9 * through
    assert smooth < missed(fit_linear)
    assert smooth == pytest.approx(4.52, abs=0.01)
