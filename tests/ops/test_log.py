"""Laplacian of Gaussian against SciPy, the closed form and its invariances."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._log import gaussian_taps, laplacian_of_gaussian, log_radius


def volume(seed=2, shape=(1, 12, 13, 14)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [(1.5, 1.5, 1.5), (1.4, 1.7, 2.0)])
@pytest.mark.parametrize(("mode", "boundary"), [("reflect", "mirror"), ("nearest", "nearest")])
def test_agrees_with_scipy_up_to_the_tail_of_the_kernel(sigma, mode, boundary):
    x = volume()
    want = ndimage.gaussian_laplace(x[0].numpy(), sigma, mode=mode, truncate=7)
    got = laplacian_of_gaussian(x, sigma, truncate=7, boundary=boundary)
    np.testing.assert_allclose(got[0].numpy(), want, rtol=0, atol=1e-6)


def test_an_impulse_gives_the_closed_form():
    sigma, size = 2.0, 33
    x = torch.zeros(size, size, size, dtype=torch.float64)
    x[16, 16, 16] = 1
    got = laplacian_of_gaussian(x, (sigma,) * 3, truncate=8, boundary="zero")
    axis = torch.arange(size, dtype=torch.float64) - 16
    r2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    gauss = torch.exp(-r2 / (2 * sigma**2)) / (2 * math.pi * sigma**2) ** 1.5
    want = (r2 / sigma**4 - 3 / sigma**2) * gauss
    torch.testing.assert_close(got, want, rtol=0, atol=2e-6)


@given(st.floats(0.6, 3.0), st.floats(1.5, 6.0), st.sampled_from(["mirror", "nearest", "periodic"]))
@settings(max_examples=25, deadline=None)
def test_a_constant_gives_zero_however_short_the_kernel(sigma, truncate, boundary):
    x = torch.full((6, 7, 8), -1000.0, dtype=torch.float64)
    got = laplacian_of_gaussian(x, (sigma,) * 3, truncate=truncate, boundary=boundary)
    assert float(got.abs().max()) < 1e-9


def test_an_axis_of_sigma_0_is_left_out():
    x = volume(3, (5, 12, 13))
    got = laplacian_of_gaussian(x, (0.0, 1.2, 1.5))
    for slice_in, slice_out in zip(x, got, strict=True):
        alone = laplacian_of_gaussian(slice_in[None], (0.0, 1.2, 1.5))[0]
        torch.testing.assert_close(slice_out, alone)
        want = ndimage.gaussian_laplace(slice_in.numpy(), (1.2, 1.5), mode="reflect")
        np.testing.assert_allclose(slice_out.numpy(), want, rtol=0, atol=1e-3)


def test_weights_scale_each_second_derivative():
    x = volume(4)
    parts = [
        laplacian_of_gaussian(x, (1.0, 1.2, 1.4), weights=tuple(float(a == b) for b in range(3)))
        for a in range(3)
    ]
    whole = laplacian_of_gaussian(x, (1.0, 1.2, 1.4), weights=(2.0, 3.0, 5.0))
    torch.testing.assert_close(whole, 2 * parts[0] + 3 * parts[1] + 5 * parts[2])


def test_a_quadratic_gives_its_laplacian_inside():
    z, y, x = torch.meshgrid(*(torch.arange(41, dtype=torch.float64),) * 3, indexing="ij")
    got = laplacian_of_gaussian(z**2 + 2 * y**2 - 0.5 * x**2, (1.5,) * 3, truncate=7)
    assert float(got[20, 20, 20]) == pytest.approx(2 + 4 - 1, abs=1e-4)


def test_the_gaussian_sums_to_one_and_ends_at_the_rounded_radius():
    taps = gaussian_taps(1.5, 4.0)
    assert sum(taps.values) == pytest.approx(1, abs=1e-15)
    assert len(taps.values) == 2 * log_radius(1.5, 4.0) + 1 == 13


@pytest.mark.parametrize("sigma", [(-1.0, 1.0, 1.0), (0.0, 0.0, 0.0)])
def test_refuses_a_sigma_that_smooths_nothing(sigma):
    with pytest.raises(ShapeError, match="sigma must be at least 0, and above 0 along one axis"):
        laplacian_of_gaussian(volume(), sigma)


def test_refuses_integers():
    with pytest.raises(UnitError, match="x must be floating point"):
        laplacian_of_gaussian(torch.ones(3, 3, 3, dtype=torch.int16), (1.0, 1.0, 1.0))
