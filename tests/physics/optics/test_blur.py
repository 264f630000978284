"""Blur and Downsample: against convolution, known shifts and plain means."""
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.physics.optics import Blur, Convolution, Downsample, LightField


def numbers(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_agrees_with_scipys_gaussian_in_zeros():
    x = numbers(8, 12, 15)
    found = Blur((8, 12, 15), (0.8, 1.5, 0.0))(x)
    expected = gaussian_filter(x.numpy(), (0.8, 1.5, 0.0), mode="constant", truncate=7.0)
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-7, rtol=0)


@settings(max_examples=40)
@given(st.floats(-6, 6), st.sampled_from([0.0, 0.7, 1.3]))
def test_the_centre_of_a_point_moves_by_the_shift(shift, sigma):
    x = torch.zeros(1, 1, 41, dtype=torch.float64)
    x[0, 0, 20] = 1
    y = Blur((1, 1, 41), (0, 0, sigma), (0, 0, shift))(x)[0, 0]
    assert float(y.sum()) == pytest.approx(1, abs=1e-7)
    centre = float((y * torch.arange(41)).sum())
    # a sampled Gaussian of .7 samples has its centroid right to 5e-4
    assert centre == pytest.approx(20 + shift, abs=5e-4)


def test_whole_shifts_of_a_sharp_image_are_exact():
    x = numbers(1, 4, 9)
    y = Blur((1, 4, 9), (0, 0, 0), (0, 1, -3))(x)
    torch.testing.assert_close(y[:, 1:, :6], x[:, :3, 3:])
    assert not y[:, 0].any()
    assert not y[:, :, 6:].any()


def test_nothing_to_do_gives_the_image_back():
    x = numbers(2, 3, 4)
    assert torch.equal(Blur((2, 3, 4), (0, 0, 0))(x), x)


def test_downsample_is_the_mean_of_each_block():
    x = numbers(4, 6, 9)
    y = Downsample((4, 6, 9), (2, 3, 1))(x)
    assert y.shape == (2, 2, 9)
    for z in range(2):
        for r in range(2):
            expected = x[2 * z : 2 * z + 2, 3 * r : 3 * r + 3, 5].mean()
            torch.testing.assert_close(y[z, r, 5], expected)


def test_downsample_keeps_a_constant_and_its_adjoint_spreads_evenly():
    op = Downsample((2, 4, 6), (1, 2, 3))
    assert torch.equal(op(torch.full((2, 4, 6), 5.0)), torch.full((2, 2, 2), 5.0))
    torch.testing.assert_close(op.H(torch.ones(2, 2, 2)), torch.full((2, 4, 6), 1 / 6))


def test_refuses_a_negative_sigma():
    with pytest.raises(GeometryError, match="sigma must be finite and at least 0"):
        Blur((2, 2, 2), (0, -1, 0))


def test_refuses_an_infinite_shift():
    with pytest.raises(GeometryError, match="shift finite"):
        Blur((2, 2, 2), (0, 1, 0), (0, float("inf"), 0))


def test_refuses_an_empty_shape():
    with pytest.raises(ShapeError, match=r"shape must be \(z, y, x\) of at least 1"):
        Blur((2, 0, 2), (0, 1, 0))


@pytest.mark.parametrize("factors", [(1, 3, 1), (0, 1, 1), (1, 1, -2)])
def test_refuses_factors_that_do_not_divide(factors):
    with pytest.raises(ShapeError, match="factors must be at least 1 and divide the shape"):
        Downsample((4, 4, 4), factors)


@given(st.floats(-3, 3), st.floats(0, 0.5, exclude_max=True))
@settings(max_examples=30)
def test_a_blur_narrower_than_a_sample_keeps_light_and_shift(shift, sigma):
    """A Gaussian of .001 samples, half a sample off, falls between all samples: 0 / 0."""
    x = torch.zeros(1, 1, 21, dtype=torch.float64)
    x[0, 0, 10] = 1
    y = Blur((1, 1, 21), (0, 0, sigma), (0, 0, shift))(x)[0, 0]
    assert float(y.min()) >= 0
    assert float(y.sum()) == pytest.approx(1)
    assert float((y * torch.arange(21)).sum()) == pytest.approx(10 + shift, abs=1e-9)


@pytest.mark.parametrize(
    "op",
    [
        Blur((1, 4, 4), (0, 1, 1)),
        Downsample((1, 4, 4), (1, 2, 2)),
        Convolution(torch.ones(1, 3, 3), (1, 4, 4)),
        LightField(torch.ones(1, 1, 1, 2, 2), 2, (4, 4)),
    ],
)
def test_integers_are_refused_not_rounded(op):
    for a in (op, op.H):
        with pytest.raises(UnitError, match="input of an optical operator must be float32"):
            a(torch.ones(a.domain, dtype=torch.int64))
