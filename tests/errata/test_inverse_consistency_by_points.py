"""Erratum 15: the difference of images cannot see a wrong inverse where the image is flat."""

import math
from dataclasses import dataclass

import pytest
import torch

from vesalius.core import Grid, Image, Linear, Transform, resample
from vesalius.register.evaluate import inverse_consistency

GRID = Grid.from_spacing((12, 12, 12), (2.0, 2.0, 2.0))
THERE = Linear.translation((3.0, 0.0, 0.0))
WRONG = Linear.translation((1.0, 0.0, 0.0))


@dataclass(frozen=True)
class Careless(Transform):
    """A shift whose stated inverse is wrong by 4 mm."""

    def __call__(self, points_mm):
        return THERE(points_mm)

    def inverse(self):
        return WRONG

    def jacobian(self, points_mm):
        return THERE.jacobian(points_mm)


def round_trip_difference(image):
    """Pull an image there and back, and take the mean absolute difference."""
    there = resample(image, GRID, transform=THERE)
    back = resample(there, GRID, transform=WRONG)
    return float((back.data - image.data).abs().mean())


def test_the_image_difference_is_blind_in_a_flat_region():
    flat = Image(torch.full((1, *GRID.shape), 40.0), GRID)
    assert round_trip_difference(flat) == 0


def test_the_points_see_it_whatever_the_image_shows():
    found = inverse_consistency(Careless(), GRID, moving=GRID)
    assert found.mean_mm == pytest.approx(4)
    assert found.max_mm == pytest.approx(4)
    assert not math.isnan(found.mean_mm)


def test_a_ramp_shows_what_the_flat_image_hid():
    ramp = Image(torch.arange(12.0).expand(1, *GRID.shape).contiguous(), GRID)
    assert round_trip_difference(ramp) > 0.5
