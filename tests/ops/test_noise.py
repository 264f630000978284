"""The noise estimate: right on white noise, whatever lies under it."""

import pytest
import torch

from vesalius.errors import IntensityError, ShapeError
from vesalius.ops._noise import noise_level


def _structure():
    """A bright box, a ramp and a fine grating: edges and texture that are not noise."""
    x = torch.zeros(12, 96, 96, dtype=torch.float64)
    x[:, 20:60, 30:70] = 900.0
    x += torch.linspace(0, 300, 96, dtype=torch.float64)
    x[:, 70:90] += 40 * torch.sin(torch.arange(96, dtype=torch.float64) / 3)
    return x


@pytest.mark.parametrize("sigma", [3.0, 20.0, 80.0])
@pytest.mark.parametrize("structure", [False, True])
def test_finds_the_level_of_white_noise_within_five_percent(generator, sigma, structure):
    x = _structure() if structure else torch.zeros(12, 96, 96, dtype=torch.float64)
    x = x + sigma * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    assert noise_level(x) == pytest.approx(sigma, rel=0.05)


def test_works_on_one_slice(generator):
    x = 7 * torch.randn(1, 200, 200, generator=generator)
    assert noise_level(x) == pytest.approx(7.0, rel=0.05)


def test_slices_that_jump_do_no_harm(generator):
    x = 5 * torch.randn(12, 96, 96, generator=generator)
    x = x + 500 * (torch.arange(12) % 2)[:, None, None]
    assert noise_level(x) == pytest.approx(5.0, rel=0.05)


def test_padding_does_not_pull_it_down(generator):
    x = torch.full((12, 128, 128), -1024.0)
    x[:, :90, :90] = 5 * torch.randn(12, 90, 90, generator=generator)
    assert noise_level(x) == pytest.approx(5.0, rel=0.08)


def test_scales_with_the_unit_and_ignores_an_offset(generator):
    x = torch.randn(4, 64, 64, generator=generator, dtype=torch.float64)
    assert noise_level(1000 + 3 * x) == pytest.approx(3 * noise_level(x), rel=1e-6)


def test_a_flat_image_has_no_noise():
    assert noise_level(torch.full((4, 16, 16), 7.0)) == 0.0


def test_the_filter_is_the_coiflet_of_order_one():
    import pywt

    from vesalius.ops._noise import _COIF1

    reference = pywt.Wavelet("coif1").dec_hi
    assert [-v for v in reversed(_COIF1)] == pytest.approx(reference, abs=1e-12)


def test_refuses_a_strip():
    with pytest.raises(ShapeError, match="at least 6 samples"):
        noise_level(torch.zeros(40, 5, 40))


def test_refuses_nan():
    x = torch.zeros(4, 16, 16)
    x[0, 3, 3] = float("nan")
    with pytest.raises(IntensityError, match="must be finite"):
        noise_level(x)
