"""Free-form fields beside SciPy's B-splines and autograd."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline as SciPySpline

from vesalius.ops import _freeform
from vesalius.ops._freeform import spline_at, spline_on_lattice, spline_slope

SHAPES = [(5, 6, 7), (1, 6, 7), (5, 1, 1), (2, 3, 4)]


def by_scipy(coefficients, at):
    """Sum products of SciPy's cubic basis element over all coefficients, one point at a time."""
    element = SciPySpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    out = np.zeros((coefficients.shape[0], len(at)))
    for p, point in enumerate(at.numpy()):
        weights = [
            np.ones(1) if n == 1 else np.nan_to_num(element(point[a] - np.arange(n)))
            for a, n in enumerate(coefficients.shape[1:])
        ]
        out[:, p] = np.einsum("czyx,z,y,x->c", coefficients.numpy(), *weights)
    return out


def points_around(shape, generator, count=60):
    size = torch.tensor(shape, dtype=torch.float64)
    return torch.rand(count, 3, generator=generator, dtype=torch.float64) * (size + 6) - 3.5


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_scipy_inside_and_outside(shape, generator):
    coefficients = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    at = points_around(shape, generator)
    expected = by_scipy(coefficients, at)
    assert np.abs(spline_at(coefficients, at).numpy() - expected).max() < 1e-12
    tracked = coefficients.clone().requires_grad_()
    assert np.abs(spline_at(tracked, at).detach().numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_the_slope_is_that_of_autograd(shape, generator):
    coefficients = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    at = points_around(shape, generator).requires_grad_()
    rows = [
        torch.autograd.grad(v.sum(), at, retain_graph=True)[0] for v in spline_at(coefficients, at)
    ]
    expected = torch.stack(rows).movedim(-1, 1)
    torch.testing.assert_close(spline_slope(coefficients, at), expected)
    torch.testing.assert_close(spline_slope(coefficients, at.detach()), expected)


def test_values_and_slopes_have_derivatives(generator):
    coefficients = torch.randn(1, 2, 3, 3, generator=generator, dtype=torch.float64)
    at = points_around((2, 3, 3), generator, 3)
    given = (coefficients.requires_grad_(), at.requires_grad_())
    assert torch.autograd.gradcheck(spline_at, given, fast_mode=True)
    assert torch.autograd.gradcheck(spline_slope, given, fast_mode=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turned", [False, True])
def test_a_lattice_is_its_points(shape, turned, generator, monkeypatch):
    monkeypatch.setattr(_freeform, "SLAB", 50)
    coefficients = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    matrix = torch.diag(torch.tensor([0.4, -0.3, 0.6, 1.0], dtype=torch.float64))
    matrix[:3, 3] = torch.tensor([-1.5, 4.0, 0.25])
    if turned:
        matrix[0, 1], matrix[2, 0] = 0.2, -0.1
    axes = [torch.arange(n, dtype=torch.float64) for n in (6, 7, 8)]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    at = index @ matrix[:3, :3].T + matrix[:3, 3]
    found = spline_on_lattice(coefficients, matrix, shape=(6, 7, 8))
    torch.testing.assert_close(found, spline_at(coefficients, at))


def test_a_lattice_has_derivatives_by_the_coefficients(generator):
    coefficients = torch.randn(
        1, 4, 5, 4, generator=generator, dtype=torch.float64
    ).requires_grad_()
    matrix = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64))
    assert torch.autograd.gradcheck(
        lambda c: spline_on_lattice(c, matrix, shape=(3, 3, 3)), (coefficients,)
    )


def test_equal_coefficients_make_a_constant_inside():
    at = torch.rand(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 + 1
    found = spline_at(torch.full((1, 6, 6, 6), 2.5, dtype=torch.float64), at)
    torch.testing.assert_close(found, torch.full((1, 50), 2.5, dtype=torch.float64))


def test_keeps_single_precision_and_shape(generator):
    coefficients = torch.randn(3, 4, 4, 4, generator=generator)
    at = torch.rand(2, 5, 3, generator=generator)
    assert spline_at(coefficients, at).shape == (3, 2, 5)
    assert spline_at(coefficients, at).dtype == torch.float32
    assert spline_slope(coefficients, at).shape == (3, 3, 2, 5)


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(generator):
    coefficients = torch.randn(3, 5, 6, 7, generator=generator)
    at = points_around((5, 6, 7), generator).float()
    for job in (spline_at, spline_slope):
        torch.testing.assert_close(
            job(coefficients.cuda(), at.cuda()).cpu(), job(coefficients, at), rtol=1e-4, atol=1e-4
        )
