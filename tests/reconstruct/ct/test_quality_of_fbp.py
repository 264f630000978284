"""Quality of filtered back-projection: its MTF is its window, its noise rises like a ramp."""

import functools
import math

import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.physics.ct import Projections, parallel
from vesalius.physics.quality import (
    DiscTask,
    detectability,
    disc_mtf,
    mu_water,
    noise_power,
    to_hu,
)
from vesalius.reconstruct.ct import fbp

N, PITCH, RADIUS = 160, 0.5, 25.0
START = -(N - 1) / 2 * PITCH
GRID = Grid.from_spacing((1, N, N), (1.0, PITCH, PITCH), origin_mm=(START, START, 0.0))
ANGLES = torch.arange(360, dtype=torch.float64) * 0.5
WATER = mu_water(70.0)


def scan(rows: torch.Tensor) -> Projections:
    geometry = parallel(ANGLES, shape=(1, rows.shape[-1]), pitch_mm=(1.0, PITCH))
    return Projections(rows[:, None], geometry)


def cylinder() -> Projections:
    """Water of radius 25 mm, averaged over each detector element by 32 rays."""
    fine = (torch.arange(201 * 32, dtype=torch.float64) + 0.5) / 32 - 0.5
    s = (fine - 100) * PITCH
    chord = 2 * WATER * (RADIUS**2 - s**2).clamp_min(0).sqrt()
    return scan(chord.reshape(201, 32).mean(dim=1).expand(360, 201).clone())


@functools.cache
def noise(window: str) -> Image:
    """A scan of nothing but white noise, 20 times, in HU without the -1000."""
    generator = torch.Generator().manual_seed(3)
    slices = []
    for _ in range(20):
        rows = 0.01 * torch.randn(360, 201, generator=generator, dtype=torch.float64)
        image = fbp(scan(rows), like=GRID, window=window).image
        slices.append(image.data[:, :, 48:112, 48:112] * 1000 / WATER)
    data = torch.cat(slices, dim=1)
    return Image(data, Grid.from_spacing((20, 64, 64), (1.0, PITCH, PITCH)), "HU")


def test_water_is_0_hu_and_air_minus_1000():
    image = to_hu(fbp(cylinder(), like=GRID).image, kev=70.0)
    at = START + PITCH * torch.arange(N, dtype=torch.float64)
    away = torch.hypot(at[None, :], at[:, None])
    assert float(image.data[0, 0][away < 22].mean()) == pytest.approx(0, abs=2)
    assert float(image.data[0, 0][(away > 28) & (away < 38)].mean()) == pytest.approx(-1000, abs=5)


@pytest.mark.parametrize("window", ["ram-lak", "hann"])
def test_the_mtf_is_window_times_element_times_interpolation(window):
    image = fbp(cylinder(), like=GRID, window=window).image
    found = disc_mtf(image, centre_mm=(0.0, 0.0), radius_mm=RADIUS)
    assert found.contrast == pytest.approx(WATER, rel=0.01)
    f = found.frequency_per_mm
    low = f < 0.6
    # the detector element averages over its width, linear interpolation does so twice
    expected = torch.sinc(f * PITCH) ** 3
    if window == "hann":
        expected = expected * (0.5 + 0.5 * torch.cos(2 * math.pi * f * PITCH))
    torch.testing.assert_close(found.value[low], expected[low], atol=0.05, rtol=0)


def test_the_noise_rises_like_a_ramp_and_a_window_bends_it_down():
    frequency, sharp = noise_power((noise("ram-lak"),), trend="mean").radial()
    _, smooth = noise_power((noise("hann"),), trend="mean").radial()
    # pi / views x pitch x sd^2 x f, less what interpolation takes
    per_mm = math.pi / 360 * PITCH * (0.01 * 1000 / WATER) ** 2
    expected = per_mm * frequency * torch.sinc(frequency * PITCH) ** 4
    low = (frequency > 0.2) & (frequency < 0.6)  # rings of more than 40 samples
    torch.testing.assert_close(sharp[low], expected[low], rtol=0.15, atol=0)
    bend = (0.5 + 0.5 * torch.cos(2 * math.pi * frequency * PITCH)) ** 2
    torch.testing.assert_close(smooth[low], (expected * bend)[low], rtol=0.15, atol=0)


def test_a_disc_is_seen_alike_through_any_window_once_the_noise_is_known():
    """A window changes signal and noise alike; only an observer who does not whiten gains."""
    found = {}
    for window in ("ram-lak", "hann"):
        mtf = disc_mtf(
            fbp(cylinder(), like=GRID, window=window).image, centre_mm=(0.0, 0.0), radius_mm=RADIUS
        )
        spectrum = noise_power((noise(window),), trend="mean")
        task = DiscTask(diameter_mm=4.0, contrast=30.0)
        found[window] = detectability(task, transfer=mtf, noise=spectrum, observer="npw")
    assert 1.0 < found["hann"] / found["ram-lak"] < 1.5
