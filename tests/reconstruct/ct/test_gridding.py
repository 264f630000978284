"""Gridding: the same sum as filtered back-projection, by the central-slice theorem."""

import math

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import ConfigError, GeometryError, UnitError
from vesalius.physics import Cylinder, Phantom, rasterise, shepp_logan
from vesalius.physics.ct import Projections, exact_projections, fan, parallel
from vesalius.reconstruct.ct import fbp, gridding

MU = 0.02


def turn(views: int, span: float) -> torch.Tensor:
    """Angles over a span without its end, degrees."""
    return torch.arange(views) * (span / views)


def slab(shape: tuple[int, int, int], step: float = 1.0) -> Grid:
    """A grid about the isocentre."""
    z, y, x = (-(n - 1) / 2 * step for n in shape)
    return Grid.from_spacing(shape, (step, step, step), origin_mm=(x, y, z))


def radius(grid: Grid) -> torch.Tensor:
    """Distance of each pixel of a slice from the axis, mm."""
    y, x = (torch.arange(float(n)) - (n - 1) / 2 for n in grid.shape[1:])
    return torch.hypot(y[:, None], x[None, :]) * grid.spacing_mm[1]


def test_is_the_sum_over_views_and_frequencies():
    """The direct Fourier sum, without any lattice, for a grid without symmetry."""
    angles = torch.tensor([3.0, 40.0, 77.0, 120.0, 160.0])  # gaps 37, 37, 43, 40, 23
    geometry = parallel(angles, shape=(1, 24), pitch_mm=(1.0, 0.8), offset_mm=(0.0, 0.3))
    data = torch.rand(5, 1, 24, dtype=torch.float64)
    grid = Grid.from_spacing((1, 9, 12), (1.0, 1.1, 0.7), origin_mm=(-3.0, -5.0, 0.0))
    ours = gridding(Projections(data, geometry), like=grid).image.data[0, 0]
    place = (torch.arange(12) * 0.7 - 3.0)[None, :], (torch.arange(9) * 1.1 - 5.0)[:, None]
    lag = torch.arange(48, dtype=torch.float64)
    lag = torch.minimum(lag, 48 - lag)
    ramp = torch.where(lag % 2 == 1, -1 / (math.pi * lag * 0.8) ** 2, 0.0)
    ramp[0] = 0.25 / 0.8**2
    response = torch.fft.fft(ramp) * 0.8
    # the half period stands for both signs
    frequency = torch.fft.fftfreq(48, dtype=torch.float64)
    slow = torch.zeros(9, 12, dtype=torch.float64)
    shares = torch.tensor([30.0, 37.0, 40.0, 41.5, 31.5]) * math.pi / 180
    for v, angle in enumerate(torch.deg2rad(angles.double()).tolist()):
        spectrum = torch.fft.fft(data[v, 0], n=48) * response
        s = -math.sin(angle) * place[0] + math.cos(angle) * place[1]
        column = (s - 0.3) / 0.8 + 11.5
        waves = torch.exp(2j * math.pi * column[..., None] * frequency)
        slow += float(shares[v]) * (waves * spectrum).sum(dim=-1).real / 48
    torch.testing.assert_close(ours, slow, rtol=0.0, atol=1e-3 * float(slow.abs().max()))


@pytest.mark.parametrize("size", [(64, 64), (65, 80), (50, 33)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_back_projection_where_rows_are_smooth(size, dtype):
    rod = Cylinder((6.0, -4.0, 0.0), (8.0, 10.0, 500.0), MU)
    geometry = parallel(turn(120, 180.0), shape=(1, 101), offset_mm=(0.0, 1.3))
    measured = exact_projections(Phantom((rod,), 0.0, "1/mm"), geometry)
    smooth = Projections(measured.data.to(dtype), geometry)
    grid = slab((1, *size))
    one = gridding(smooth, like=grid, window="parzen", cutoff=0.4).image.data
    two = fbp(smooth, like=grid, window="parzen", cutoff=0.4).image.data
    assert one.dtype == dtype
    assert float((one - two).abs().max()) < 0.01 * MU


def test_water_is_0_and_air_minus_1000_hounsfield():
    water = Phantom((Cylinder((0.0, 0.0, 0.0), (100.0, 100.0, 500.0), MU),), 0.0, "1/mm")
    for size in (255, 256):
        geometry = parallel(turn(720, 180.0), shape=(1, size))
        grid = slab((1, size, size))
        measured = exact_projections(water, geometry, subrays=(1, 4))
        image = gridding(measured, like=grid).image.data[0, 0]
        hounsfield = 1000 * (image / MU - 1)
        away = radius(grid)
        assert abs(float(hounsfield[away < 90].mean())) < 2
        assert abs(float(hounsfield[away > 110].mean()) + 1000) < 5


def test_shepp_logan_at_513_from_720_views_beats_lines():
    """Rays averaged over each element; peak 1, the phantom's range, within the circle."""
    phantom = shepp_logan(half_size_mm=256.5, per_mm=1.0)
    grid = slab((1, 513, 513))
    geometry = parallel(turn(720, 180.0), shape=(1, 513))
    measured = exact_projections(phantom, geometry, subrays=(1, 8))
    truth = rasterise(phantom, grid, supersample=8).data[0, 0]
    inside = radius(grid) < 256.5
    image = gridding(measured, like=grid).image.data[0, 0]
    psnr = -10 * math.log10(float(((image - truth)[inside] ** 2).mean()))
    assert psnr > 36.9
    assert float((image * truth).sum() / (truth * truth).sum()) == pytest.approx(1.0, abs=0.01)


def test_slices_are_made_one_by_one():
    geometry = parallel(turn(30, 180.0), shape=(3, 40))
    data = torch.rand(30, 3, 40)
    whole = gridding(Projections(data, geometry), like=slab((3, 24, 24))).image.data[0]
    for z in range(3):
        row = parallel(turn(30, 180.0), shape=(1, 40))
        alone = gridding(Projections(data[:, z : z + 1], row), like=slab((1, 24, 24)))
        torch.testing.assert_close(whole[z], alone.image.data[0, 0], rtol=1e-4, atol=1e-6)


def test_the_spectrum_of_a_projection_is_a_slice_of_the_image_s_spectrum():
    """Central-slice theorem, both sides by sums over closed forms or pixels."""
    rod = Cylinder((5.0, 3.0, 0.0), (9.0, 6.0, 500.0), MU)
    phantom = Phantom((rod,), 0.0, "1/mm")
    angle = math.radians(35.0)
    geometry = parallel(torch.tensor([35.0]), shape=(1, 400), pitch_mm=(1.0, 0.1))
    row = exact_projections(phantom, geometry).data[0, 0].double()
    s = (torch.arange(400) - 199.5) * 0.1
    grid = slab((1, 200, 200), 0.2)
    image = rasterise(phantom, grid).data[0, 0].double()
    at = (torch.arange(200) - 99.5) * 0.2
    along = -math.sin(angle) * at[None, :] + math.cos(angle) * at[:, None]
    for frequency in (0.0, 0.01, 0.03, 0.08):
        turns = 2 * math.pi * frequency
        one = (row * torch.exp(-1j * turns * s)).sum() * 0.1
        two = (image * torch.exp(-1j * turns * along)).sum() * 0.04
        assert abs(one - two) < 5e-3 * abs(float(row.sum()) * 0.1)


def test_refuses_fans_tilted_grids_and_raw_data():
    wide = fan(
        turn(9, 360.0), shape=(1, 8), pitch_mm=(1.0, 1.0), source_mm=300.0, detector_mm=500.0
    )
    with pytest.raises(GeometryError, match=r"gridding takes parallel rays, got a fan: use fbp"):
        gridding(Projections(torch.ones(9, 1, 8), wide), like=slab((1, 8, 8)))
    geometry = parallel(turn(9, 180.0), shape=(1, 8))
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[1:3, 1:3] = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    tilted = Grid((1, 8, 8), matrix @ slab((1, 8, 8)).affine)
    with pytest.raises(GeometryError, match=r"z axis is the rotation axis, got a tilted one"):
        gridding(Projections(torch.ones(9, 1, 8), geometry), like=tilted)
    with pytest.raises(UnitError, match=r"got counts: use"):
        gridding(Projections(torch.ones(9, 1, 8), geometry, "counts"), like=slab((1, 8, 8)))
    with pytest.raises(ConfigError, match=r"cutoff must be"):
        gridding(Projections(torch.ones(9, 1, 8), geometry), like=slab((1, 8, 8)), cutoff=2.0)
