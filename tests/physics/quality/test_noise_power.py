"""Noise power: white noise is flat, the integral is the variance, d' has closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j1

from vesalius.core import Grid, Image
from vesalius.errors import RegionError
from vesalius.physics.quality import (
    DiscTask,
    Mtf,
    NoisePower,
    Viewing,
    detectability,
    eye_filter,
    noise_power,
)


def white(n: int, regions: int, sd: float, spacing: float = 0.5, seed: int = 0) -> Image:
    generator = torch.Generator().manual_seed(seed)
    data = sd * torch.randn(1, regions, n, n, generator=generator, dtype=torch.float64)
    return Image(data, Grid.from_spacing((regions, n, n), (1.0, spacing, spacing)), "HU")


def test_white_noise_is_flat_at_its_variance_times_the_voxel():
    found = noise_power((white(64, 60, 12.0),), trend="mean")
    expected = 12.0**2 * 0.5**2
    _, power = found.radial()
    assert found.regions == 60
    assert found.unit == "HU"
    assert float(power[2:].mean()) == pytest.approx(expected, rel=0.02)
    assert float(power.std() / power.mean()) < 0.1
    assert found.variance == pytest.approx(144, rel=0.02)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(8, 17), st.integers(8, 17))
def test_the_integral_is_the_variance_that_is_left(seed, rows, columns):
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(1, 3, rows, columns, generator=generator, dtype=torch.float64)
    image = Image(data, Grid.from_spacing((3, rows, columns), (2.0, 0.3, 0.7)))
    left = data - data.mean(dim=(2, 3), keepdim=True)
    found = noise_power((image,), trend="mean")
    assert found.variance == pytest.approx(float(left.square().mean()), rel=1e-10)


def test_correlated_noise_has_the_spectrum_of_its_filter():
    image = white(64, 80, 10.0)
    taps = [0.25, 0.5, 0.25]
    blurred = sum(t * image.data.roll(k - 1, dims=3) for k, t in enumerate(taps))
    found = noise_power((Image(blurred, image.grid, "HU"),), trend="mean")
    u = (torch.arange(64, dtype=torch.float64) - 32) / 64
    expected = 25.0 * (0.5 + 0.5 * torch.cos(2 * math.pi * u)) ** 2
    torch.testing.assert_close(found.power.mean(dim=0), expected, rtol=0.15, atol=0.6)


@pytest.mark.parametrize(("trend", "power"), [("plane", 1), ("quadratic", 2)])
def test_a_trend_is_taken_off(trend, power):
    image = white(32, 10, 1.0)
    y = torch.linspace(-1, 1, 32, dtype=torch.float64)
    bent = image.data + 50 * y[:, None] ** power - 30 * y[None, :] ** power + 7
    clean = noise_power((image,), trend=trend)
    found = noise_power((Image(bent, image.grid, "HU"),), trend=trend)
    torch.testing.assert_close(found.power, clean.power, atol=1e-9, rtol=1e-9)
    assert found.variance < 1.05


def test_an_ensemble_takes_off_whatever_repeats():
    image = white(32, 12, 3.0)
    structure = 100 * torch.rand(32, 32, dtype=torch.float64)
    found = noise_power((Image(image.data + structure, image.grid, "HU"),), trend="ensemble")
    assert found.variance == pytest.approx(float(image.data.var(dim=1).mean()), rel=1e-9)
    assert found.variance == pytest.approx(9.0, rel=0.05)


def test_radial_power_agrees_with_a_loop():
    found = noise_power((white(16, 4, 1.0),))
    frequency, power = found.radial()
    step = found.step_per_mm[0]
    away = found.frequencies().numpy()
    for f, p in zip(frequency.tolist(), power.tolist(), strict=True):
        ring = found.power.numpy()[np.round(away / step) == round(f / step)]
        assert p == pytest.approx(ring.mean())
    assert float(frequency[-1]) == pytest.approx(1.0)  # Nyquist of 0.5 mm


def test_regions_that_cannot_be_averaged_are_refused():
    with pytest.raises(RegionError, match="noise must be measured in at least one region"):
        noise_power(())
    with pytest.raises(RegionError, match="regions must have one size, spacing and unit"):
        noise_power((white(16, 2, 1.0), white(16, 2, 1.0, spacing=0.6)))
    with pytest.raises(RegionError, match="regions must have one size, spacing and unit"):
        noise_power((white(16, 2, 1.0), white(18, 2, 1.0)))
    with pytest.raises(RegionError, match="a region must have at least 8 x 8 voxels"):
        noise_power((white(7, 2, 1.0),))
    with pytest.raises(RegionError, match="an ensemble must have at least two regions, got 1"):
        noise_power((white(8, 1, 1.0),), trend="ensemble")


def flat_noise(variance_mm2: float, n: int = 256, spacing: float = 0.25) -> NoisePower:
    step = 1 / (n * spacing)
    power = torch.full((n, n), variance_mm2, dtype=torch.float64)
    return NoisePower(power, (step, step), "HU", 1)


def sharp(last: float = 20.0) -> Mtf:
    return Mtf(torch.tensor([0.0, last]).double(), torch.ones(2).double())


@settings(max_examples=15)
@given(st.floats(4, 15), st.floats(1, 100), st.floats(0.5, 50))
def test_in_white_noise_without_blur_it_is_contrast_times_root_area(diameter, contrast, power):
    """d'^2 = C^2 A / S (Rose): the closed form of a matched filter."""
    task = DiscTask(diameter, contrast)
    found = detectability(task, transfer=sharp(), noise=flat_noise(power), observer="npw")
    expected = contrast * math.sqrt(math.pi * diameter**2 / 4 / power)
    assert found == pytest.approx(expected, rel=0.03)


def test_with_blur_and_eye_it_agrees_with_a_radial_integral():
    frequency = torch.linspace(0, 2, 401, dtype=torch.float64)
    blur = Mtf(frequency, torch.exp(-2 * (math.pi * 0.5 * frequency) ** 2))
    noise = flat_noise(30.0, n=512)
    ramp = NoisePower(noise.power * noise.frequencies(), noise.step_per_mm, "HU", 1)
    found = detectability(DiscTask(5.0, 20.0), transfer=blur, noise=ramp)
    f = np.linspace(1e-4, 2, 20001)
    disc = 20 * 2.5 * j1(2 * np.pi * 2.5 * f) / f
    seen = (disc * np.exp(-2 * (np.pi * 0.5 * f) ** 2)) ** 2
    rho = f / 3 * 500 * math.tan(math.radians(1))
    eye = (rho**1.3 * np.exp(-1.3 / 32 * rho**2)) ** 2
    signal = np.trapezoid(2 * np.pi * f * seen * eye, f)
    spread = np.trapezoid(2 * np.pi * f * seen * eye**2 * 30 * f, f)
    assert found == pytest.approx(signal / math.sqrt(spread), rel=0.01)


def test_it_grows_with_contrast_and_falls_with_noise():
    one = detectability(DiscTask(5.0, 20.0), transfer=sharp(), noise=flat_noise(30.0))
    two = detectability(DiscTask(5.0, 40.0), transfer=sharp(), noise=flat_noise(30.0))
    loud = detectability(DiscTask(5.0, 20.0), transfer=sharp(), noise=flat_noise(120.0))
    assert two == pytest.approx(2 * one)
    assert loud == pytest.approx(one / 2)


def test_the_eye_sees_best_at_4_cycles_per_degree():
    viewing = Viewing(distance_mm=400.0, zoom=2.0)
    f = torch.linspace(0, 3, 3001, dtype=torch.float64)
    best = f[eye_filter(f, viewing).argmax()]
    assert float(viewing.per_degree(best)) == pytest.approx(4.0, abs=0.01)
    assert float(eye_filter(best, viewing)) == pytest.approx(1.0, abs=1e-4)
    assert float(eye_filter(torch.zeros(1), viewing)) == 0.0


def test_the_spectrum_of_a_disc_begins_at_its_area():
    task = DiscTask(3.0, 10.0)
    f = torch.tensor([0.0, 0.2, 0.9], dtype=torch.float64)
    g = f.numpy()[1:]
    expected = [10 * math.pi * 1.5**2, *(10 * 1.5 * j1(2 * np.pi * 1.5 * g) / g)]
    assert task.spectrum(f).tolist() == pytest.approx(expected)


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(RegionError, match="a disc must have a positive diameter"):
        DiscTask(0.0, 10.0)
    with pytest.raises(RegionError, match="regions of at least twice the disc, got 8 mm"):
        detectability(DiscTask(5.0, 10.0), transfer=sharp(), noise=flat_noise(1.0, n=32))
    with pytest.raises(RegionError, match="there must be noise to limit detection"):
        detectability(DiscTask(5.0, 10.0), transfer=sharp(), noise=flat_noise(0.0))
