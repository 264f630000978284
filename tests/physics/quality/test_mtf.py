"""MTF: every way of measuring gives back the Gaussian that blurred the phantom."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Image
from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError
from vesalius.physics.quality import (
    Mtf,
    disc_mtf,
    edge_mtf,
    optical_transfer,
    point_spread,
    wire_mtf,
)

SIGMA = 0.6
PIXEL = 0.5


def gaussian_mtf(frequency: torch.Tensor, sigma: float = SIGMA) -> torch.Tensor:
    return torch.exp(-2 * (math.pi * sigma * frequency) ** 2)


def place(n: int, slices: int = 1) -> tuple[Grid, torch.Tensor, torch.Tensor]:
    start = -(n - 1) / 2 * PIXEL
    spacing = (1.0, PIXEL, PIXEL)
    grid = Grid.from_spacing((slices, n, n), spacing, origin_mm=(start, start, 0.0))
    at = start + PIXEL * torch.arange(n, dtype=torch.float64)
    return grid, at[None, :], at[:, None]


def noisy(data: torch.Tensor, sd: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return data + sd * torch.randn(data.shape, generator=generator, dtype=data.dtype)


def step(distance: torch.Tensor) -> torch.Tensor:
    """A blurred step from 1 (negative distance) to 0, sampled at points."""
    return 0.5 * torch.special.erfc(distance / (SIGMA * math.sqrt(2)))


def edge(degrees: float, sd: float = 0.0) -> Image:
    grid, x, y = place(64)
    turn = math.radians(degrees)
    data = 40 + 100 * step(x * math.cos(turn) + y * math.sin(turn) - 0.2)
    return Image(noisy(data, sd)[None, None], grid, "HU")


@settings(max_examples=12)
@given(st.floats(2, 12), st.sampled_from([0, 90, 180, 270]), st.sampled_from([-1, 1]))
def test_a_slanted_edge_gives_the_mtf_of_its_blur(slant, quarter, side):
    found = edge_mtf(edge(quarter + side * slant))
    expected = gaussian_mtf(found.frequency_per_mm)
    assert float(found.frequency_per_mm[-1]) == pytest.approx(2.0)  # twice the Nyquist frequency
    torch.testing.assert_close(found.value, expected, atol=0.012, rtol=0)
    assert abs(found.contrast) == pytest.approx(100, rel=0.01)


def test_noise_moves_the_edge_mtf_little():
    found = edge_mtf(edge(5.0, sd=2.0))
    low = found.frequency_per_mm < 0.6
    expected = gaussian_mtf(found.frequency_per_mm)
    torch.testing.assert_close(found.value[low], expected[low], atol=0.05, rtol=0)


def test_a_disc_gives_the_mtf_of_its_blur_and_its_contrast():
    grid, x, y = place(96, slices=20)
    data = -100 * step(torch.hypot(x - 1.3, y + 0.7) - 15.0)
    stack = noisy(data.expand(20, 96, 96), 5.0)
    found = disc_mtf(Image(stack[None], grid, "HU"), centre_mm=(1.3, -0.7), radius_mm=15.0)
    assert found.contrast == pytest.approx(-100, rel=0.01)
    low = found.frequency_per_mm < 0.8
    expected = gaussian_mtf(found.frequency_per_mm)
    torch.testing.assert_close(found.value[low], expected[low], atol=0.02, rtol=0)


def test_a_disc_on_a_grid_that_runs_the_other_way_is_the_same():
    grid, x, y = place(96)
    data = step(torch.hypot(x - 1.3, y + 0.7) - 15.0)
    one = disc_mtf(Image(data[None, None], grid), centre_mm=(1.3, -0.7), radius_mm=15.0)
    affine = grid.affine.clone()
    affine[0, 2] *= -1
    affine[0, 3] *= -1
    turned = Image(data.flip(1)[None, None], Grid(grid.shape, affine))
    two = disc_mtf(turned, centre_mm=(1.3, -0.7), radius_mm=15.0)
    torch.testing.assert_close(one.value, two.value)


def test_a_thin_wire_gives_the_mtf_of_its_blur():
    grid, x, y = place(41)
    bead = torch.exp(-((x - 0.11) ** 2 + (y + 0.07) ** 2) / (2 * SIGMA**2))
    found = wire_mtf(Image((7 + 300 * bead)[None, None], grid))
    expected = gaussian_mtf(found.frequency_per_mm)
    torch.testing.assert_close(found.value, expected, atol=1e-3, rtol=0)


def test_a_thin_void_gives_the_same_as_a_wire():
    grid, x, y = place(41)
    bead = torch.exp(-((x - 0.11) ** 2 + (y + 0.07) ** 2) / (2 * SIGMA**2))
    wire, void = (wire_mtf(Image((7 + s * bead)[None, None], grid)) for s in (300.0, -300.0))
    torch.testing.assert_close(void.value, wire.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_holes_in_the_image_are_refused(bad):
    image = edge(5.0)
    image.data[0, 0, 3, 4] = bad
    ways = (edge_mtf, wire_mtf, optical_transfer)
    for measure in (*ways, lambda i: disc_mtf(i, centre_mm=(0.0, 0.0), radius_mm=8.0)):
        with pytest.raises(IntensityError, match="image must be finite to measure its quality"):
            measure(image)


def test_the_width_of_a_wire_is_divided_out():
    grid, x, y = place(61)
    fine = torch.linspace(-0.75, 0.75, 41, dtype=torch.float64)
    spots = [(a, b) for a in fine.tolist() for b in fine.tolist() if a * a + b * b <= 0.75**2]
    data = torch.zeros(61, 61, dtype=torch.float64)
    for a, b in spots:
        data += torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * SIGMA**2))
    image = Image(data[None, None], grid)
    thick, as_point = wire_mtf(image, diameter_mm=1.5), wire_mtf(image)
    expected = gaussian_mtf(thick.frequency_per_mm)
    torch.testing.assert_close(thick.value, expected, atol=0.01, rtol=0)
    half = as_point.frequency_at(0.5)
    assert half < thick.frequency_at(0.5) - 0.02


def test_the_transfer_of_a_system_is_that_of_its_kernel():
    grid = Grid.from_spacing((5, 8, 9), (2.0, 1.0, 1.0))
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)

    def blur(x: torch.Tensor) -> torch.Tensor:
        rolled = [t * x.roll(k - 1, dims=2) for k, t in enumerate(taps.tolist())]
        return torch.stack(rolled).sum(dim=0)

    base = Image(torch.rand(1, 5, 8, 9, dtype=torch.float64), grid, "1/mm")
    psf = point_spread(blur, background=base, amplitude=1e-3)
    assert psf.data[0, 2, 4, 3:6].tolist() == pytest.approx(taps.tolist())
    otf = optical_transfer(psf)
    assert complex(otf[2, 4, 4]) == pytest.approx(1.0)
    frequency = (torch.arange(9, dtype=torch.float64) - 4) / 9
    expected = 0.5 + 0.5 * torch.cos(2 * math.pi * frequency)
    torch.testing.assert_close(otf[1, 3].real, expected)
    torch.testing.assert_close(otf.imag.abs().max(), torch.tensor(0.0).double(), atol=1e-9, rtol=0)


def test_the_response_of_a_nonlinear_system_depends_on_where_it_stands():
    grid = Grid.from_spacing((1, 4, 4))
    flat = torch.full((1, 1, 4, 4), 3.0, dtype=torch.float64)
    psf = point_spread(lambda x: x**2, background=Image(flat, grid), amplitude=1e-6)
    assert float(psf.data[0, 0, 2, 2]) == pytest.approx(6.0, abs=1e-4)


def test_the_frequency_of_a_level_is_interpolated():
    f = torch.linspace(0, 1, 11, dtype=torch.float64)
    curve = Mtf(f, 1 - f**2)
    assert curve.frequency_at(0.5) == pytest.approx(math.sqrt(0.5), abs=0.01)
    assert curve.frequency_at(0.5) == pytest.approx(np.interp(-0.5, -(1 - f**2), f))
    with pytest.raises(RegionError, match="the MTF must fall to 0"):
        Mtf(f, 1 - 0.5 * f).frequency_at(0.1)


def test_several_channels_are_refused():
    two = Image(torch.zeros(2, 1, 8, 8), Grid.from_spacing((1, 8, 8)))
    with pytest.raises(ShapeError, match="image must have one channel to measure its quality"):
        edge_mtf(two)


def test_a_system_that_changes_the_shape_is_refused():
    image = Image(torch.zeros(1, 1, 8, 8), Grid.from_spacing((1, 8, 8)))
    with pytest.raises(ShapeError, match="the system must give an image of shape"):
        point_spread(lambda x: x[:, :4], background=image, amplitude=1.0)


def test_a_psf_that_sums_to_nothing_is_refused():
    data = torch.zeros(1, 1, 4, 4)
    data[0, 0, 1, 1], data[0, 0, 1, 2] = 1.0, -1.0
    with pytest.raises(RegionError, match="a PSF must not sum to 0"):
        optical_transfer(Image(data, Grid.from_spacing((1, 4, 4))))


def test_an_edge_along_the_voxels_or_no_edge_is_refused():
    with pytest.raises(RegionError, match=r"the edge must be slanted by 1\.5 to 45 degrees"):
        edge_mtf(edge(0.0))
    flat = Image(torch.ones(1, 1, 32, 32), Grid.from_spacing((1, 32, 32)))
    with pytest.raises(RegionError, match="each row must cross one edge"):
        edge_mtf(flat)


def test_a_disc_that_is_too_small_or_leaves_the_image_is_refused():
    grid, x, y = place(64)
    image = Image(step(torch.hypot(x, y) - 8.0)[None, None], grid)
    with pytest.raises(RegionError, match="the disc must have a radius of at least 8 voxels"):
        disc_mtf(image, centre_mm=(0.0, 0.0), radius_mm=3.0)
    with pytest.raises(RegionError, match="4 voxels around it"):
        disc_mtf(image, centre_mm=(10.0, 0.0), radius_mm=8.0)
    flat = Image(torch.ones(1, 1, 64, 64), grid)
    with pytest.raises(RegionError, match="there must be an edge, both sides have the same mean"):
        disc_mtf(flat, centre_mm=(0.0, 0.0), radius_mm=8.0)


def test_turned_slices_are_refused():
    turn = torch.eye(4, dtype=torch.float64)[[2, 1, 0, 3]]
    turn[:3, :3] = torch.linalg.qr(torch.rand(3, 3, dtype=torch.float64))[0]
    image = Image(torch.ones(1, 1, 64, 64), Grid((1, 64, 64), turn))
    with pytest.raises(GeometryError, match="slices must be axial"):
        disc_mtf(image, centre_mm=(0.0, 0.0), radius_mm=8.0)


def test_an_edge_that_is_seen_too_little_is_refused():
    data = edge(5.0).data[..., 22:42, 29:35]
    grid = Grid.from_spacing((1, 20, 6), (1.0, PIXEL, PIXEL))
    with pytest.raises(RegionError, match="the edge must be seen over at least 4 voxels"):
        edge_mtf(Image(data.contiguous(), grid))


def test_a_wire_that_drowns_is_refused():
    grid, _, _ = place(31)
    noise = noisy(torch.zeros(31, 31, dtype=torch.float64), 1.0)
    with pytest.raises(RegionError, match="the wire must stand out of the border's noise"):
        wire_mtf(Image(noise[None, None], grid))
