"""Simulated scans: light is averaged, photons are counted, patients stay where they are."""

import math

import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import GeometryError, RegionError, UnitError
from vesalius.physics import Ellipsoid, Phantom, rasterise
from vesalius.physics.ct import exact_projections, fan, parallel
from vesalius.study.reconstruct import Exposure, compare, simulate
from vesalius.study.reconstruct._quality import through_middle, transfer
from vesalius.study.reconstruct._rescan import halved, rescan, scanner
from vesalius.study.reconstruct._simulate import middle, place


def disc(shape=(1, 96, 96), centre=(0.0, 0.0, 0.0)) -> tuple[Phantom, Image]:
    """A disc of 30 mm and .02 / mm, off the axis."""
    phantom = Phantom((Ellipsoid(centre, (30.0, 30.0, 900.0), 0.02),), 0.0, "1/mm")
    grid = Grid.from_spacing(shape, origin_mm=(-47.5, -47.5, 0.0))
    return phantom, rasterise(phantom, grid)


def test_a_noiseless_scan_is_the_integral_of_the_object() -> None:
    phantom, image = disc(centre=(5.0, -8.0, 0.0))
    rays = parallel(torch.arange(0, 180, 15.0), shape=(1, 100))
    raw = simulate(image, rays, exposure=Exposure())
    exact = exact_projections(phantom, rays, subrays=(1, 4)).data
    error = (raw.counts - exact).norm() / exact.norm()
    assert float(error) < 0.01
    assert raw.quantity == "line integral"


def test_light_and_not_attenuation_is_averaged_over_an_element() -> None:
    """Half of an element behind lead lets half of the light through, not its root."""
    grid = Grid.from_spacing((1, 4, 4), origin_mm=(-1.5, -1.5, 0.0))
    data = torch.zeros(1, 1, 4, 4)
    data[..., :2, :] = 20.0
    rays = parallel(torch.zeros(1), shape=(1, 1), pitch_mm=(1.0, 2.0))
    raw = simulate(Image(data, grid, "1/mm"), rays, exposure=Exposure())
    assert float(raw.counts) == pytest.approx(math.log(2.0), abs=1e-3)


def test_counts_scatter_as_photons_do() -> None:
    _, image = disc()
    rays = parallel(torch.arange(0, 180, 1.0), shape=(1, 100))
    clean = simulate(image, rays, exposure=Exposure()).counts
    raw = simulate(image, rays, exposure=Exposure(photons=1000.0, electronic=20.0, seed=5))
    expected = 1000.0 * torch.exp(-clean)
    score = (raw.counts - expected) / (expected + 400.0).sqrt()
    assert float(score.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(score.std()) == pytest.approx(1.0, abs=0.03)


def test_padding_below_air_counts_as_air() -> None:
    _, image = disc()
    hu = Image(image.data * 0 - 3024.0, image.grid, "HU")
    rays = parallel(torch.zeros(1), shape=(1, 100))
    assert float(simulate(hu, rays, exposure=Exposure()).counts.abs().max()) < 1e-6


def test_a_scanner_is_put_about_the_patient() -> None:
    grid = Grid.from_spacing((5, 7, 9), (2.0, 1.0, 1.0), origin_mm=(100.0, -50.0, 20.0))
    image = Image(torch.zeros(1, 5, 7, 9), grid, "HU")
    assert middle(image) == pytest.approx((104.0, -47.0, 24.0))
    rays = fan(torch.zeros(1), shape=(1, 4), pitch_mm=(1, 1), source_mm=100, detector_mm=200)
    moved = place(rays, middle(image))
    assert moved.isocentre_mm == pytest.approx((104.0, -47.0, 24.0))
    assert moved.source[0].tolist() == pytest.approx([204.0, -47.0, 24.0])


def test_halving_keeps_the_world_and_the_mean(generator) -> None:
    grid = Grid.from_spacing((1, 6, 8), (3.0, 0.5, 0.7), origin_mm=(-10.0, 4.0, 2.0))
    image = Image(torch.randn(1, 1, 6, 8, generator=generator), grid, "HU")
    small = halved(image)
    assert small.grid.shape == (1, 3, 4)
    assert float(small.data.mean()) == pytest.approx(float(image.data.mean()), abs=1e-6)
    first = grid.to_world(torch.tensor([[0, 0.5, 0.5], [0, 4.5, 6.5]]).double())
    again = small.grid.to_world(torch.tensor([[0, 0, 0], [0, 2, 3]]).double())
    torch.testing.assert_close(first, again)


def test_the_fan_of_a_rescan_sees_the_whole_slice() -> None:
    grid = Grid.from_spacing((1, 128, 128), (2.0, 2.5, 2.5), origin_mm=(-158.75, -158.75, 0.0))
    rays = place(scanner(grid), middle(Image(torch.zeros(1, 1, 128, 128), grid)))
    corner = Image(torch.zeros(1, 1, 128, 128), grid, "1/mm")
    corner.data[0, 0, :2, :2] = 1.0
    seen = simulate(corner, rays, exposure=Exposure()).counts
    assert bool((seen.sum(dim=(1, 2)) > 0).all())


@pytest.mark.slow
def test_total_variation_is_nearest_to_the_slice_in_a_rescan() -> None:
    body = Ellipsoid((0.0, 0.0, 0.0), (140.0, 100.0, 900.0), 40.0, name="body")
    lung = Ellipsoid((60.0, 0.0, 0.0), (50.0, 70.0, 900.0), -850.0, name="lung")
    spot = Ellipsoid((60.0, 10.0, 0.0), (9.0, 9.0, 900.0), 40.0, name="nodule")
    grid = Grid.from_spacing((1, 192, 192), (2.0, 1.8, 1.8), origin_mm=(-171.9, -171.9, 0.0))
    image = rasterise(Phantom((body, lung, spot), -1000.0, "HU"), grid)
    again = rescan(image, (60.0, 10.0, 0.0), radius_mm=6.0)
    rough, smooth, tv = again.ways
    assert tv.rmse < min(smooth.rmse, rough.rmse)
    assert tv.noise < 0.75 * rough.noise
    assert abs(tv.spot) < 25
    assert len(again.images) == 4
    assert {im.grid.shape for im in again.images} == {(1, 96, 96)}


def test_an_image_is_compared_with_the_truth_in_its_place_and_unit(generator) -> None:
    grid = Grid.from_spacing((2, 3, 5))
    truth = Image(torch.rand(1, 2, 3, 5, generator=generator), grid, "HU")
    off = truth.map(lambda x: x + 2.0)
    error = compare(off, truth)
    assert (error.rmse, error.bias, error.largest) == pytest.approx((2.0, 2.0, 2.0))
    assert compare(truth, truth).psnr_db == math.inf
    place_mm, values = through_middle(truth)
    assert place_mm.tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert torch.equal(values.float(), truth.data[0, 1, 1])
    with pytest.raises(GeometryError, match="truth must lie on the grid of the image"):
        compare(truth, Image(truth.data, Grid.from_spacing((2, 3, 5), (2, 1, 1)), "HU"))
    with pytest.raises(UnitError, match="truth must have the unit of the image, HU"):
        compare(truth, Image(truth.data, grid, "1/mm"))


def test_the_transfer_of_a_blur_is_its_mtf(generator) -> None:
    grid = Grid.from_spacing((4, 96, 96), (1.0, 0.5, 0.5))
    truth = Image(torch.randn(1, 4, 96, 96, generator=generator), grid)
    fy = torch.fft.fftfreq(96, 0.5)[:, None]
    fx = torch.fft.fftfreq(96, 0.5)[None, :]
    mtf = torch.exp(-2 * (math.pi * 0.6) ** 2 * (fy**2 + fx**2))
    blurred = truth.map(lambda x: torch.fft.ifft2(torch.fft.fft2(x) * mtf).real)
    frequency, found = transfer(blurred, truth)
    expected = torch.exp(-2 * (math.pi * 0.6) ** 2 * frequency**2)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
    assert float(frequency[-1]) < 1.0
    with pytest.raises(RegionError, match="the plane must be at least 16 x 16 voxels"):
        transfer(truth.crop((0, 0, 0), (1, 8, 8)), truth.crop((0, 0, 0), (1, 8, 8)))
