"""Watershed, random walker, snakes and level sets in mm: hints, remarks, curves, refusals."""

import pytest
import torch
from segment_scenes import BLOCK, PLANE, circle, corner, dice, middle, scene, start, truth

from vesalius.core import Grid, Image, Labels, Points
from vesalius.errors import ConfigError, GeometryError, IntensityError, RegionError
from vesalius.segment import Hints, segment
from vesalius.segment._random_walker import RandomWalker
from vesalius.segment._watershed import Watershed
from vesalius.segment.contours import ChanVese, DistanceRegularised, GeodesicContour, Snake

SEEDS = Hints(seeds_mm=(middle(PLANE),), outside_mm=(corner(PLANE),))


def inside(found):
    return found.labels.data[0] == 1


@pytest.mark.parametrize("method", [ChanVese(), GeodesicContour(), DistanceRegularised()])
@pytest.mark.parametrize("grid", [PLANE, BLOCK])
def test_a_seed_is_enough(method, grid):
    found = segment(scene(grid), method, hints=Hints(seeds_mm=(middle(grid),)))
    assert dice(inside(found), truth(grid)) > 0.9
    assert found.labels.name(1) == "object"
    assert found.curves[0].marks == (found.values["steps"],)


@pytest.mark.parametrize("first", ["mean", "checkerboard"])
@pytest.mark.parametrize("which", ["bright", "dark"])
def test_chan_vese_needs_no_hints_and_says_which_region_is_meant(first, which):
    found = segment(scene(PLANE), ChanVese(first=first, object=which))
    wanted = truth(PLANE) if which == "bright" else ~truth(PLANE)
    assert dice(inside(found), wanted) > 0.97
    means = found.values["mean inside"], found.values["mean outside"]
    assert (means[0] > means[1]) == (which == "bright")


def test_chan_vese_knows_only_values_inside_the_mask():
    image = scene(PLANE)
    image.data[:, :, :, 36:] = 50.0
    mask = torch.zeros(PLANE.shape, dtype=torch.uint8)
    mask[:, :, :36] = 1
    found = segment(image, ChanVese(), hints=Hints(mask=Labels(mask[None], PLANE)))
    assert dice(inside(found), truth(PLANE)) > 0.97


def test_a_contour_that_still_moves_is_said_to():
    found = segment(scene(PLANE), GeodesicContour(steps=3), hints=Hints(start=start(PLANE)))
    assert "still moved after 3 steps" in found.remarks[0]
    found = segment(scene(PLANE), ChanVese(steps=1))
    assert "still moved after 1 steps" in found.remarks[0]


def test_a_contour_that_vanishes_is_said_to_first():
    method = GeodesicContour(balloon=-1.0, curvature=1.0, attraction=0.0, steps=400)
    flat = scene(PLANE, noise=0.0)
    flat.data[:] = 0
    flat.data[0, 0, 2, 2] = 1e-3
    found = segment(flat, method, hints=Hints(start=start(PLANE)))
    assert "vanished" in found.remarks[0]
    assert not bool(found.labels.data.any())


@pytest.mark.parametrize("method", [GeodesicContour(), DistanceRegularised()])
def test_edge_contours_name_the_hint_they_lack_and_want_edges(method):
    with pytest.raises(RegionError, match="needs a first region: give hints with start"):
        segment(scene(PLANE), method)
    flat = Image(torch.ones(1, *PLANE.shape), PLANE)
    with pytest.raises(IntensityError, match="needs edges to stop at, the image is constant"):
        segment(flat, method, hints=Hints(start=start(PLANE)))


@pytest.mark.parametrize("wrong", [{"edge_percentile": 100.0}, {"sigma_voxels": -1.0}])
def test_edge_contours_refuse_settings_out_of_range(wrong):
    with pytest.raises(ConfigError, match="edge_percentile must lie between 0 and 100"):
        segment(scene(PLANE), GeodesicContour(**wrong), hints=SEEDS)


def test_refuses_a_seed_outside_the_image_and_a_negative_radius():
    with pytest.raises(GeometryError, match=r"seeds must lie inside the image, \(999.0"):
        segment(scene(PLANE), ChanVese(), hints=Hints(seeds_mm=((999.0, 0.0, 0.0),)))
    with pytest.raises(ConfigError, match="radius_mm must be 0 or a positive length, got -1"):
        segment(scene(PLANE), ChanVese(radius_mm=-1.0), hints=SEEDS)


@pytest.mark.parametrize("field", ["gradient", "vector flow", "generalised"])
def test_a_snake_finds_the_disk_from_nearby(field):
    found = segment(scene(PLANE), Snake(field=field), hints=Hints(contour=circle(PLANE, 9.0)))
    assert dice(inside(found), truth(PLANE)) > 0.9


def test_a_snake_is_as_round_where_samples_are_not_square():
    grid = Grid.from_spacing((1, 40, 80), (1.0, 1.0, 0.5))
    found = segment(scene(grid), Snake(), hints=Hints(contour=circle(grid, 11.0)))
    assert dice(inside(found), truth(grid)) > 0.93


def test_a_snake_that_closed_on_nothing_says_so():
    blank = Image(torch.zeros(1, *PLANE.shape), PLANE)
    said = Hints(contour=circle(PLANE, 3.0))
    found = segment(blank, Snake(elasticity=2.0, steps=2000), hints=said)
    assert not bool(inside(found).any())
    assert "the line closed on nothing" in found.remarks[0]


def test_a_snake_says_what_it_needs():
    with pytest.raises(RegionError, match="Snake needs a first contour"):
        segment(scene(PLANE), Snake())
    with pytest.raises(GeometryError, match="Snake works in one plane, the image has 14 slices"):
        segment(scene(BLOCK), Snake(), hints=Hints(contour=circle(BLOCK)))
    away = Points(circle(PLANE).data + torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64))
    with pytest.raises(GeometryError, match="contour must lie in the plane of the image"):
        segment(scene(PLANE), Snake(), hints=Hints(contour=away))
    with pytest.raises(ConfigError, match="sigma_voxels must be 0 or positive and pull positive"):
        segment(scene(PLANE), Snake(pull=0.0), hints=Hints(contour=circle(PLANE)))


def test_a_watershed_from_seeds_gives_the_background_no_label():
    found = segment(scene(PLANE), Watershed(), hints=SEEDS)
    assert set(found.labels.data.unique().tolist()) == {0, 1}
    assert dice(inside(found), truth(PLANE)) > 0.9
    assert found.values["markers"] == 2


@pytest.mark.parametrize(("relief", "sign"), [("values", -1.0), ("negative values", 1.0)])
def test_a_watershed_of_values_parts_two_bright_objects(relief, sign):
    bright = torch.zeros(1, 1, 9, 15)
    bright[0, 0, 4] = torch.tensor([0.0, 3, 5, 8, 9, 7, 4, 2, 3, 5, 8, 9, 8, 3, 0])
    grid = Grid.from_spacing((1, 9, 15), (1.0, 1.0, 1.0))
    points = grid.to_world(torch.tensor([[0.0, 4, 4], [0.0, 4, 11]], dtype=torch.float64)).tolist()
    hints = Hints(seeds_mm=tuple(tuple(p) for p in points))
    found = segment(Image(sign * bright, grid), Watershed(relief, 0.0), hints=hints)
    assert found.labels.data[0, 0, 4].tolist()[:7] == [1] * 7
    assert found.labels.data[0, 0, 4].tolist()[8:] == [2] * 7


def test_a_watershed_without_marks_splits_what_touches():
    grid = Grid.from_spacing((1, 40, 60), (1.0, 0.5, 0.5))
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    two = ((y - 20) ** 2 + (x - 19) ** 2 < 144) | ((y - 20) ** 2 + (x - 41) ** 2 < 144)
    image = Image(two.float()[None, None], grid)
    found = segment(image, Watershed(depth_mm=1.0))
    assert found.values["objects"] == 2
    assert "Otsu" in found.remarks[0]
    same = segment(image, Watershed(depth_mm=1.0), hints=Hints(start=Labels(two[None, None], grid)))
    assert torch.equal(found.labels.data, same.labels.data)
    assert not same.remarks
    assert segment(image, Watershed(depth_mm=8.0)).values["objects"] == 1


def test_a_watershed_refuses_negative_settings():
    with pytest.raises(ConfigError, match="sigma_voxels and depth_mm must be 0 or positive"):
        segment(scene(PLANE), Watershed(depth_mm=-1.0))


def test_a_random_walker_gives_the_chance_of_each_class():
    found = segment(scene(PLANE), RandomWalker(beta=8.0), hints=SEEDS)
    assert dice(inside(found), truth(PLANE)) > 0.9
    chance = found.maps["probability"]
    assert chance.channels == ("object", "background")
    torch.testing.assert_close(chance.data.sum(dim=0), torch.ones(PLANE.shape))
    assert torch.equal(inside(found), chance.data[0] >= chance.data[1])


def test_a_random_walker_names_the_marks_it_lacks():
    with pytest.raises(RegionError, match="RandomWalker needs marks: give hints with marks"):
        segment(scene(PLANE), RandomWalker(), hints=Hints(seeds_mm=(middle(PLANE),)))
