"""Super-resolution: shifted coarse images of a closed-form object make a finer one."""
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import ConfigError, GeometryError, IntensityError, ShapeError, UnitError
from vesalius.reconstruct.optics import super_resolve

FINE = Grid.from_spacing((1, 48, 48), (1.0, 1.0, 1.0))
SIGMA = 1.0


def integral(x: torch.Tensor) -> torch.Tensor:
    """Antiderivative of the Gaussian's distribution function, sigma 1."""
    cdf = 0.5 * (1 + torch.special.erf(x / math.sqrt(2)))
    return x * cdf + torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def bar(edges: torch.Tensor, low: float, high: float, sigma: float) -> torch.Tensor:
    """Mean over each element of a blurred bar from low to high, mm, in closed form."""
    if sigma == 0:
        inner = edges.clamp(low, high)
        return inner.diff() / edges.diff()
    total = sigma * (integral((edges - low) / sigma) - integral((edges - high) / sigma))
    return total.diff() / edges.diff()


BARS = [((10.0, 38.0), (start, start + 2.0)) for start in (10.0, 14.0, 18.0, 22.0, 26.0, 30.0)]


def seen(grid: Grid, *, sigma: float) -> torch.Tensor:
    """What a detector of the grid's voxels sees of six bars of 2 mm, 4 mm apart."""
    _, dy, dx = grid.spacing_mm
    x0, y0, _ = grid.origin_mm
    ys = y0 - dy / 2 + dy * torch.arange(grid.shape[1] + 1, dtype=torch.float64)
    xs = x0 - dx / 2 + dx * torch.arange(grid.shape[2] + 1, dtype=torch.float64)
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for rows, columns in BARS:
        total[0] += 100 * bar(ys, *rows, sigma)[:, None] * bar(xs, *columns, sigma)
    return total


def coarse(shift: tuple[float, float], *, noise: float = 0.0, seed: int = 0) -> Image:
    """One image of 3 mm pixels whose grid is moved by (y, x) mm."""
    origin = (1.0 + shift[1], 1.0 + shift[0], 0.0)
    grid = Grid.from_spacing((1, 16, 16), (1.0, 3.0, 3.0), origin_mm=origin)
    generator = torch.Generator().manual_seed(seed)
    data = seen(grid, sigma=SIGMA)
    data += noise * torch.randn(grid.shape, generator=generator, dtype=torch.float64)
    return Image(data[None], grid, "photon")


def error(found: torch.Tensor) -> float:
    truth = seen(FINE, sigma=0.0)
    return float((found - truth).norm() / truth.norm())


SHIFTS = [(y, x) for y in (-1.0, 0.0, 1.0) for x in (-1.0, 0.0, 1.0)]


def test_nine_shifted_images_show_bars_that_one_cannot():
    views = tuple(coarse(s, noise=0.5, seed=i) for i, s in enumerate(SHIFTS))
    options = {"like": FINE, "sigma_mm": (0.0, SIGMA, SIGMA), "weight": 0.02, "steps": 40}
    many = super_resolve(views, **options)
    one = super_resolve((views[4],), **options)
    assert error(many.image.data[0]) < 0.4 * error(one.image.data[0])
    line = many.image.data[0, 0, 24]
    bars, gaps = line[[15, 19, 23, 27]], line[[13, 17, 21, 25]]
    assert float(bars.min() - gaps.max()) > 60
    assert many.image.grid is FINE
    assert many.image.unit == "photon"


def test_a_flat_image_stays_flat_inside_whatever_the_shift():
    grid = Grid.from_spacing((1, 16, 16), (1.0, 3.0, 3.0), origin_mm=(1.6, 0.7, 0.0))
    flat = Image(torch.full((1, 1, 16, 16), 7.0, dtype=torch.float64), grid)
    found = super_resolve((flat,), like=FINE, weight=0.01, steps=30).image.data[0, 0]
    inside = found[6:-6, 6:-6]
    torch.testing.assert_close(inside, torch.full_like(inside, 7), atol=0.1, rtol=0)


def test_the_grid_tells_the_shift_in_millimetres():
    """A spot seen by a moved grid is found where it is in the world."""
    found = []
    for shift in ((0.0, 0.0), (0.5, -0.8)):
        image = super_resolve(
            (coarse(shift),), like=FINE, sigma_mm=(0.0, SIGMA, SIGMA), weight=0.01, steps=30
        ).image
        line = image.data[0, 0, 12:36].sum(dim=0)
        found.append(float((line * torch.arange(48)).sum() / line.sum()))
    assert found[0] == pytest.approx(found[1], abs=0.1)
    # the six bars lie around x = 21 mm
    assert found[0] == pytest.approx(21.0, abs=0.1)


def test_refuses_no_image():
    with pytest.raises(ConfigError, match="images must be at least one"):
        super_resolve((), like=FINE)


def test_refuses_mixed_units_and_integers():
    view = coarse((0, 0))
    with pytest.raises(UnitError, match="images must share one unit"):
        super_resolve((view, Image(view.data, view.grid, "HU")), like=FINE)
    with pytest.raises(UnitError, match="images must share one unit and be float32"):
        super_resolve((view.map(lambda x: x.int()),), like=FINE)


def test_refuses_nan():
    with pytest.raises(IntensityError, match="crop what is missing"):
        super_resolve((coarse((0, 0)).map(lambda x: x * float("nan")),), like=FINE)


@pytest.mark.parametrize(
    "grid",
    [
        Grid.from_spacing((1, 16, 16), (1.0, 2.7, 3.0)),
        Grid.from_spacing((1, 15, 16), (1.0, 3.0, 3.0)),
    ],
)
def test_refuses_voxels_that_are_not_whole_numbers_of_fine_ones(grid):
    image = Image(torch.ones(1, *grid.shape), grid)
    with pytest.raises(GeometryError, match="a whole number of its voxels"):
        super_resolve((image,), like=FINE)


def test_refuses_a_negative_blur():
    with pytest.raises(GeometryError, match="sigma_mm must be finite and at least 0"):
        super_resolve((coarse((0, 0)),), like=FINE, sigma_mm=(0.0, -1.0, 0.0))


def test_refuses_images_of_two_channels():
    two = coarse((0, 0)).map(lambda x: x.repeat(2, 1, 1, 1))
    with pytest.raises(ShapeError, match="images must have one channel, got 2"):
        super_resolve((two,), like=FINE)
