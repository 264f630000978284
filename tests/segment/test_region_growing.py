"""Region growing: what it takes, where it stops, and where it says that it leaked."""

import re

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, RegionError
from vesalius.segment import Hints, segment
from vesalius.segment.regions import RegionGrowing

GRID = Grid.from_spacing((12, 30, 60), (2.0, 1.0, 1.0), origin_mm=(5.0, -3.0, 100.0))
PLANE = Grid.from_spacing((1, 30, 60), (1.0, 1.0, 1.0), origin_mm=(5.0, -3.0, 100.0))


def _far(grid, centre):
    axes = [np.arange(n) * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2), z, y, x


def _dumbbell(grid, *, neck=2.2):
    """A ball, a neck of 14 mm along x at x = 24, and a larger body behind it."""
    mid = (grid.shape[0] - 1) * grid.spacing_mm[0] / 2
    ball, z, y, x = _far(grid, (mid, 14.0, 14.0))
    tube = (np.sqrt((z - mid) ** 2 + (y - 14.0) ** 2) <= neck) & (x >= 14) & (x <= 40)
    body = (x > 34) & (x < 58) & (y > 2) & (y < 27) & (abs(z - mid) < 9)
    return ball <= 9.0, tube, body


def _image(mask, grid, noise=0.05):
    rng = np.random.default_rng(1)
    data = mask.astype(np.float32) + noise * rng.normal(size=mask.shape).astype(np.float32)
    return Image(torch.from_numpy(data)[None], grid)


def _world(grid, index):
    return tuple(grid.to_world(torch.tensor(index, dtype=torch.float64)).tolist())


def _dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("grid", [GRID, PLANE], ids=["3-D", "2-D"])
@pytest.mark.parametrize("guard", ["shell", "neck"])
@pytest.mark.parametrize("shift", [0, 3])
def test_a_leak_is_undone_and_its_place_is_told(grid, guard, shift):
    ball, tube, body = _dumbbell(grid)
    middle = (grid.shape[0] // 2, 14 + shift, 14 - shift)
    hints = Hints(seeds_mm=(_world(grid, middle),))
    image = _image(ball | tube | body, grid)
    free = segment(image, RegionGrowing(guard="none"), hints=hints)
    assert _dice(free.labels.data[0].numpy() != 0, ball | tube | body) > 0.97
    kept = segment(image, RegionGrowing(guard=guard, neck_mm=3.0, start_radius_mm=4), hints=hints)
    found = kept.labels.data[0].numpy() != 0
    assert _dice(found, ball) > 0.9
    assert not (found & body & ~tube).any()
    told = re.search(
        r"leaked at \(L, P, S\) = \(([-.\d]+), ([-.\d]+), ([-.\d]+)\)", kept.remarks[0]
    )
    left, posterior, superior = (float(v) for v in told.groups())
    wanted = _world(grid, ((grid.shape[0] - 1) / 2, 14, 26))
    assert abs(left - wanted[0]) < 9
    assert abs(posterior - wanted[1]) < 3
    assert abs(superior - wanted[2]) < 3
    assert kept.values["leaks"] == 1


@pytest.mark.parametrize("grid", [GRID, PLANE], ids=["3-D", "2-D"])
@pytest.mark.parametrize("at", [(14, 14), (8, 12), (14, 21), (20, 18)])
def test_a_ball_does_not_leak_wherever_the_seed_lies(grid, at):
    ball, _, _ = _dumbbell(grid)
    hints = Hints(seeds_mm=(_world(grid, (grid.shape[0] // 2, *at)),))
    found = segment(_image(ball, grid), RegionGrowing(start_radius_mm=1.5), hints=hints)
    assert _dice(found.labels.data[0].numpy() != 0, ball) > 0.97
    assert "leaks" not in found.values


def test_a_band_without_guard_is_the_component_of_the_seed():
    x = ndi.gaussian_filter(np.random.default_rng(2).normal(size=GRID.shape), 1.5)
    image = Image(torch.from_numpy(x)[None], GRID)
    at = np.unravel_index(np.argmax(x), x.shape)
    method = RegionGrowing("band", low=0.0, high=1.0, guard="none", fill=False, start_radius_mm=0.1)
    found = segment(image, method, hints=Hints(seeds_mm=(_world(GRID, at),)))
    numbers, _ = ndi.label((x >= 0) & (x <= 1))
    assert np.array_equal(found.labels.data[0].numpy() != 0, numbers == numbers[at])


def test_statistics_settle_at_those_of_the_object():
    ball, _, _ = _dumbbell(GRID)
    rng = np.random.default_rng(3)
    data = np.where(ball, rng.normal(700, 20, ball.shape), rng.normal(100, 20, ball.shape))
    image = Image(torch.from_numpy(data.round().astype(np.int16))[None], GRID, "HU")
    found = segment(image, RegionGrowing(), hints=Hints(seeds_mm=(_world(GRID, (6, 14, 14)),)))
    assert found.values["mean"] == pytest.approx(700, abs=2)
    assert found.values["sd"] == pytest.approx(20, abs=1)
    assert found.values["rounds"] < 20
    assert found.values["high"] == pytest.approx(750, abs=5)
    assert _dice(found.labels.data[0].numpy() != 0, ball) > 0.99


def test_a_constant_object_of_whole_numbers_is_taken_exactly():
    ball, _, _ = _dumbbell(PLANE)
    image = Image(torch.from_numpy(np.where(ball, 40001, 40000).astype(np.uint16))[None], PLANE)
    found = segment(image, RegionGrowing(), hints=Hints(seeds_mm=(_world(PLANE, (0, 14, 14)),)))
    assert np.array_equal(found.labels.data[0].numpy() != 0, ball)


def test_the_mask_stops_the_growth_and_holes_are_filled_only_if_asked():
    ball, _, _ = _dumbbell(PLANE)
    holed = ball.copy()
    holed[0, 12, 12] = False
    image, hints = _image(holed, PLANE, 0.0), Hints(seeds_mm=(_world(PLANE, (0, 14, 16)),))
    method = RegionGrowing("band", low=0.5, guard="none", fill=False)
    assert np.array_equal(segment(image, method, hints=hints).labels.data[0].numpy() != 0, holed)
    filled = segment(image, RegionGrowing("band", low=0.5, guard="none"), hints=hints)
    assert np.array_equal(filled.labels.data[0].numpy() != 0, ball)
    inside = np.zeros(PLANE.shape, np.uint8)
    inside[..., 12:] = 1
    mask = Labels(torch.from_numpy(inside)[None], PLANE)
    cut = segment(image, method, hints=Hints(seeds_mm=hints.seeds_mm, mask=mask))
    assert np.array_equal(cut.labels.data[0].numpy() != 0, holed & (inside != 0))


def test_a_region_at_the_border_is_told():
    found = segment(
        _image(np.ones(PLANE.shape), PLANE),
        RegionGrowing(),
        hints=Hints(seeds_mm=(_world(PLANE, (0, 9, 9)),)),
    )
    assert any("reaches the border of the image" in text for text in found.remarks)


def test_a_region_thinner_than_the_neck_is_left_as_it_is_and_told():
    line = np.zeros(PLANE.shape)
    line[0, 10, 5:50] = 1
    method = RegionGrowing("band", low=0.5, guard="neck", neck_mm=3.0)
    hints = Hints(seeds_mm=(_world(PLANE, (0, 10, 9)),))
    found = segment(_image(line, PLANE, 0.0), method, hints=hints)
    assert int(found.labels.data.sum()) == 45
    assert "nowhere wider than 6 mm" in found.remarks[0]


def test_refuses_a_missing_or_misplaced_seed():
    image = _image(np.ones(PLANE.shape), PLANE)
    with pytest.raises(RegionError, match="RegionGrowing needs a seed inside the object"):
        segment(image, RegionGrowing())
    with pytest.raises(RegionError, match="a seed must lie inside the image and the mask"):
        segment(image, RegionGrowing(), hints=Hints(seeds_mm=((1e4, 0.0, 0.0),)))
    hints = Hints(seeds_mm=(_world(PLANE, (0, 9, 9)),))
    with pytest.raises(RegionError, match="a seed must lie in what is grown"):
        segment(image, RegionGrowing("band", low=50.0, high=60.0), hints=hints)
    with pytest.raises(ConfigError, match="the band must have low <= high, got 3 and 2"):
        segment(image, RegionGrowing("band", low=3.0, high=2.0), hints=hints)
    with pytest.raises(ConfigError, match="k_sd, start_radius_mm, neck_mm and steps must be"):
        segment(image, RegionGrowing(k_sd=0.0), hints=hints)


def test_steps_are_told():
    told = []
    ball, _, _ = _dumbbell(PLANE)
    hints = Hints(seeds_mm=(_world(PLANE, (0, 14, 14)),))
    found = segment(_image(ball, PLANE), RegionGrowing(), hints=hints, on_step=told.append)
    assert len(told) == found.values["rounds"]


@pytest.mark.parametrize("value", [0.1, 0.3, 1e5 + 0.1])
def test_an_object_of_one_value_is_found_without_rounding(value):
    grid = Grid.from_spacing((1, 20, 20), (1.0, 1.0, 1.0))
    data = torch.full((1, 1, 20, 20), -value, dtype=torch.float64)
    data[..., 4:15, 4:15] = value
    found = segment(Image(data, grid), RegionGrowing(), hints=Hints(seeds_mm=((9.0, 9.0, 0.0),)))
    assert torch.equal(found.labels.data != 0, data == value)


def test_a_first_sample_larger_than_the_image_is_refused():
    grid = Grid.from_spacing((1, 20, 20), (1e-4, 1e-4, 1e-4))
    image = Image(torch.rand(1, 1, 20, 20), grid)
    with pytest.raises(ConfigError, match="start_radius_mm must not exceed the image"):
        segment(image, RegionGrowing(), hints=Hints(seeds_mm=((1e-3, 1e-3, 0.0),)))
