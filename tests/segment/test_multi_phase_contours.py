"""Four phases on images: regions by rising value, starts, masks, integers, refusals."""

import pytest
import torch
from segment_scenes import BLOCK, PLANE, dice, scene, start, truth, world_distance

from vesalius.core import Image, Labels
from vesalius.errors import ConfigError, IntensityError, ShapeError
from vesalius.segment import Hints, segment
from vesalius.segment.contours import MultiPhase


def shells(grid):
    """A core in a shell in a ring on a dark ground, as regions 3, 2, 1 and 0."""
    far = world_distance(grid, (0.0, 0.0, 0.0))
    return (far < 12.0).long() + (far < 9.0).long() + (far < 5.5).long()


def image_of(region, grid, dtype=torch.float32):
    g = torch.Generator().manual_seed(4)
    values = torch.tensor([-900.0, -300.0, 200.0, 700.0])[region]
    return Image((values + 25 * torch.randn(grid.shape, generator=g)).to(dtype)[None], grid, "HU")


@pytest.mark.parametrize("grid", [PLANE, BLOCK])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int16])
def test_four_tissues_are_numbered_from_dark_to_bright(grid, dtype):
    region = shells(grid)
    found = segment(image_of(region, grid, dtype), MultiPhase())
    for k in range(4):
        assert dice(found.labels.data[0] == k, region == k) > 0.95
    assert found.values["mean of region 3"] == pytest.approx(700, abs=15)
    assert found.labels.name(3) == "region 3"
    assert found.curves[0].marks == (found.values["steps"],)


def test_one_object_leaves_two_regions_out():
    found = segment(scene(PLANE), MultiPhase())
    assert dice(found.labels.data[0] == 1, truth(PLANE)) > 0.97
    assert "mean of region 1" in found.values
    assert "mean of region 2" not in found.values


def test_a_first_segmentation_is_where_it_starts():
    region = shells(PLANE)
    image = image_of(region, PLANE)
    first = Labels(region.roll(2, dims=2).to(torch.uint8)[None], PLANE)
    found = segment(image, MultiPhase(), hints=Hints(start=first))
    assert float((found.labels.data[0] == region).double().mean()) > 0.97


def test_values_outside_the_mask_are_not_seen():
    region = shells(PLANE)
    image = image_of(region, PLANE)
    image.data[:, :, :, 40:] = 30000.0
    mask = torch.ones(PLANE.shape, dtype=torch.uint8)
    mask[:, :, 40:] = 0
    found = segment(image, MultiPhase(), hints=Hints(mask=Labels(mask[None], PLANE)))
    assert dice(found.labels.data[0] == 3, region == 3) > 0.95
    assert not bool(found.labels.data[:, :, :, 40:].any())


def test_contours_that_still_move_are_said_to():
    found = segment(scene(PLANE), MultiPhase(steps=1))
    assert "still moved after 1 steps" in found.remarks[0]


def test_refuses_starts_of_more_regions_and_images_of_more_channels():
    many = Labels(7 * start(PLANE).data, PLANE)
    with pytest.raises(ConfigError, match=r"values from 0 to 3, .* got 1 layers .* 0 to 7"):
        segment(scene(PLANE), MultiPhase(), hints=Hints(start=many))
    image = scene(PLANE)
    two = Image(image.data.expand(2, -1, -1, -1).clone(), PLANE)
    with pytest.raises(ShapeError, match="MultiPhase needs an image of one channel, got 2"):
        segment(two, MultiPhase())
    with pytest.raises(IntensityError, match="values must vary to be told apart"):
        segment(Image(torch.ones(1, *PLANE.shape), PLANE), MultiPhase())
