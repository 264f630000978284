"""Wiener and Tikhonov against scikit-image and normal equations."""
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from skimage import restoration

from vesalius.core import Grid, Image
from vesalius.errors import ConfigError
from vesalius.physics.optics import Convolution, Objective, gaussian_psf
from vesalius.reconstruct.optics import tikhonov_deconvolution, wiener

SPACING = (1e-4, 1e-4, 1e-4)
PSF = gaussian_psf(Objective(0.8, 1.0, 600), shape=(1, 9, 9), spacing_mm=SPACING)


def image(*shape: int) -> Image:
    generator = torch.Generator().manual_seed(2)
    data = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    z, y, x = shape
    return Image(data, Grid.from_spacing((z, y, x), SPACING))


def test_agrees_with_scikit_images_wiener_on_a_periodic_image():
    y = image(1, 24, 30)
    ours = wiener(y, PSF, weight=0.05, edges="periodic").image.data[0, 0]
    theirs = restoration.wiener(
        y.data[0, 0].numpy(), PSF.data[0, 0].numpy(), balance=0.05, clip=False
    )
    torch.testing.assert_close(ours, torch.from_numpy(theirs))


def test_undoes_a_periodic_blur_as_the_weight_falls():
    truth = image(1, 16, 16)
    narrow = gaussian_psf(Objective(0.8, 1.0, 300), shape=(1, 7, 7), spacing_mm=SPACING)
    padded = Convolution(narrow.data[0], (1, 22, 22), "valid")
    wrapped = torch.nn.functional.pad(truth.data, (3, 3, 3, 3), mode="circular")
    seen = Image(padded(wrapped), truth.grid)
    errors = [
        float((found - truth.data).norm() / truth.data.norm())
        for weight in (1e-2, 1e-5, 1e-10)
        for found in [
            wiener(seen, narrow, weight=weight, penalty="identity", edges="periodic").image.data
        ]
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_mirrored_edges_keep_a_ramp_from_ringing():
    ramp = torch.linspace(0, 100, 40, dtype=torch.float64).expand(1, 1, 40, 40).contiguous()
    seen = Image(ramp, Grid.from_spacing((1, 40, 40), SPACING))
    rough = wiener(seen, PSF, weight=1e-3, edges="periodic").image.data - ramp
    smooth = wiener(seen, PSF, weight=1e-3).image.data - ramp
    assert float(smooth.abs().max()) < 0.3 * float(rough.abs().max())


def test_a_psf_wider_than_a_periodic_image_folds_onto_it():
    y = image(1, 5, 6)
    found = wiener(y, PSF, weight=0.1, penalty="identity", edges="periodic").image.data
    # the mean is seen through a transfer of 1: it shrinks by 1 / (1 + weight)
    assert float(found.mean()) == pytest.approx(float(y.data.mean()) / 1.1)


def test_tikhonov_solves_the_normal_equations():
    y = image(1, 12, 14)
    found = tikhonov_deconvolution(y, PSF, weight=0.1, edges="zero", steps=500).image.data[0]
    op = Convolution(PSF.data[0], (1, 12, 14))
    torch.testing.assert_close(op.H(op(found)) + 0.1 * found, op.H(y.data[0]), atol=1e-5, rtol=1e-5)


def test_results_carry_method_weight_and_grid():
    y = image(2, 8, 8).map(lambda x: x.float())
    psf = gaussian_psf(Objective(0.8, 1.0, 600), shape=(3, 5, 5), spacing_mm=SPACING)
    for found, method in (
        (wiener(y, psf, weight=0.1), "wiener"),
        (tikhonov_deconvolution(y, psf, weight=0.1), "tikhonov"),
    ):
        assert found.method == method
        assert found.weight == 0.1
        assert found.image.grid is y.grid
        assert found.image.dtype == torch.float32
        assert found.image.data.shape == y.data.shape


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("method", [wiener, tikhonov_deconvolution])
def test_refuses_a_weight_that_holds_nothing(method, weight):
    with pytest.raises(ConfigError, match="weight must be positive and finite"):
        method(image(1, 8, 8), PSF, weight=weight)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 4), (2, 5, 4)])
@pytest.mark.parametrize("method", [wiener, tikhonov_deconvolution])
def test_a_point_at_half_the_size_moves_nothing_for_odd_and_even_psfs(method, shape):
    point = torch.zeros(1, *shape, dtype=torch.float64)
    point[(0, *(n // 2 for n in shape))] = 1
    y = image(3, 9, 8)
    psf = Image(point, Grid.from_spacing(shape, SPACING))
    torch.testing.assert_close(method(y, psf, weight=1e-9).image.data, y.data, atol=1e-6, rtol=0)
