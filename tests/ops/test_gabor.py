"""Gabor filters against scikit-image, direct convolution and their symmetries."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
import torch
from scipy import signal
from skimage.filters import gabor_kernel as skimage_kernel

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._gabor import Wave, gabor, gabor_kernel


def volume(seed=2, shape=(1, 4, 21, 18)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wave(*degrees, sigma=2.0, wavelength=3.0, gamma=0.8):
    return Wave(sigma, wavelength, gamma, tuple(math.radians(d) for d in degrees))


@pytest.mark.parametrize("degrees", [0.0, 30.0, 112.5, -60.0])
def test_the_kernel_is_that_of_scikit_image_times_its_norm(degrees):
    w = wave(degrees)
    got = gabor_kernel(w, w.angles[0], (1.0, 1.0)).numpy()
    other = skimage_kernel(
        1 / 3, theta=math.radians(degrees), sigma_x=2.0, sigma_y=2.0 / 0.8, n_stds=4
    )
    other = other * 2 * math.pi * 2.0 * 2.0 / 0.8
    ry, rx = (n // 2 for n in other.shape)
    cy, cx = (n // 2 for n in got.shape)
    np.testing.assert_allclose(
        got[cy - ry : cy + ry + 1, cx - rx : cx + rx + 1], other, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("boundary", "mode"),
    [("mirror", "symmetric"), ("nearest", "edge"), ("periodic", "wrap"), ("zero", "constant")],
)
def test_agrees_with_direct_convolution_of_the_padded_slice(boundary, mode):
    x, w = volume(), wave(40.0)
    kernel = gabor_kernel(w, w.angles[0], (1.0, 1.0)).numpy()
    r = kernel.shape[0] // 2
    got = gabor(x, w, (1.0, 1.0, 1.0), boundary=boundary)
    for z in range(4):
        wide = np.pad(x[0, z].numpy(), r, mode=mode)
        want = np.abs(signal.convolve(wide, kernel, mode="valid", method="direct"))
        np.testing.assert_allclose(got[0, z].numpy(), want, rtol=0, atol=1e-10)


def test_pools_the_modulus_over_the_angles():
    x = volume()
    each = torch.stack([gabor(x, wave(d), (1.0, 1.0, 1.0)) for d in (0.0, 50.0, 90.0)])
    angles = wave(0.0, 50.0, 90.0)
    torch.testing.assert_close(gabor(x, angles, (1.0, 1.0, 1.0)), each.mean(0))
    torch.testing.assert_close(gabor(x, angles, (1.0, 1.0, 1.0), pooling="max"), each.amax(0))


def test_a_half_turn_changes_nothing_and_is_not_computed_twice():
    assert len(wave(*range(0, 360, 45)).distinct) == 4
    assert len(wave(10.0, 190.0, 350.0, 170.0).distinct) == 2
    x = volume()
    torch.testing.assert_close(
        gabor(x, wave(30.0), (1.0, 1.0, 1.0)), gabor(x, wave(210.0), (1.0, 1.0, 1.0))
    )


def test_orthogonal_planes_are_pooled_and_blind_to_the_order_of_the_axes():
    x = volume(shape=(1, 12, 12, 12))
    w = wave(*range(0, 360, 45))
    got = gabor(x, w, (1.0, 1.0, 1.0), orthogonal=True)
    swapped = gabor(x.permute(0, 3, 1, 2), w, (1.0, 1.0, 1.0), orthogonal=True)
    torch.testing.assert_close(swapped.permute(0, 2, 3, 1), got)
    highest = gabor(x, w, (1.0, 1.0, 1.0), orthogonal=True, pooling="max")
    assert bool((highest >= got - 1e-12).all())


def test_a_plane_wave_answers_most_at_its_own_direction_and_length():
    y, x = torch.meshgrid(*(torch.arange(64, dtype=torch.float64),) * 2, indexing="ij")
    angle = math.radians(30)
    data = torch.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / 5)[None]
    middle = {
        d: float(gabor(data, wave(d, sigma=4.0, wavelength=5.0), (1.0, 1.0, 1.0))[0, 32, 32])
        for d in range(0, 180, 15)
    }
    assert max(middle, key=middle.get) == 30
    lengths = {
        w: float(gabor(data, wave(30.0, sigma=4.0, wavelength=w), (1.0, 1.0, 1.0))[0, 32, 32])
        for w in (3.0, 5.0, 8.0)
    }
    assert max(lengths, key=lengths.get) == 5.0


def test_lengths_are_in_the_unit_of_the_steps():
    x = volume()
    one = gabor(x, wave(30.0), (1.0, 1.0, 1.0))
    two = gabor(x, wave(30.0, sigma=4.0, wavelength=6.0), (9.0, 2.0, 2.0))
    torch.testing.assert_close(one, two)


def test_many_slices_are_transformed_in_parts_without_a_trace(monkeypatch):
    x = volume(shape=(2, 5, 9, 9))
    whole = gabor(x, wave(30.0, sigma=1.0), (1.0, 1.0, 1.0))
    monkeypatch.setattr("vesalius.ops._gabor.PART", 1)
    torch.testing.assert_close(gabor(x, wave(30.0, sigma=1.0), (1.0, 1.0, 1.0)), whole)


def test_keeps_single_precision():
    assert gabor(volume().float(), wave(0.0), (1.0, 1.0, 1.0)).dtype == torch.float32


@pytest.mark.parametrize("values", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, 0.0)])
def test_refuses_lengths_that_are_not_positive(values):
    with pytest.raises(ShapeError, match="sigma, wavelength and gamma must be positive"):
        Wave(*values, (0.0,))


def test_refuses_no_angle():
    with pytest.raises(ShapeError, match="angles must not be empty"):
        Wave(1.0, 1.0, 1.0, ())


def test_refuses_integers():
    with pytest.raises(UnitError, match="x must be floating point"):
        gabor(torch.ones(1, 3, 3, dtype=torch.uint8), wave(0.0), (1.0, 1.0, 1.0))
