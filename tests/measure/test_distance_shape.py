"""Shape on the smooth signed distance."""

import math

import numpy as np
import pytest
from shape_regions import blob, by_tag, region, turned

from vesalius.measure._distance_shape import FEATURES, distance_shape


def ball(radius, spacing=(1.0, 1.0, 1.0), centre=(0.2, -0.3, 0.1)):
    n = [math.ceil(radius / s) + 1 for s in spacing]
    lines = [
        (np.arange(-k, k + 1) * s - c) ** 2 for k, s, c in zip(n, spacing, centre, strict=True)
    ]
    return lines[0][:, None, None] + lines[1][:, None] + lines[2] <= radius**2


def test_gives_every_feature_in_order():
    assert [v.tag for v in distance_shape(region(ball(3)))] == [f.tag for f in FEATURES]


@pytest.mark.parametrize("radius", [4, 5, 8, 12])
def test_a_ball_is_round(radius):
    found = by_tag(distance_shape(region(ball(radius))))
    assert 0.997 <= found["sdf_sphericity"] <= 1.0
    assert found["sdf_area"] == pytest.approx(4 * math.pi * radius**2, rel=0.02)


def test_a_ball_in_thick_slices_is_round():
    spacing = (3.0, 1.0, 1.0)
    found = by_tag(distance_shape(region(ball(12, spacing), spacing=spacing)))
    assert found["sdf_sphericity"] > 0.997


def test_keeps_the_volume_of_the_voxels():
    mask, _ = blob(1)
    found = by_tag(distance_shape(region(mask, spacing=(2.0, 1.0, 0.5))))
    assert found["sdf_volume"] == pytest.approx(float(mask.sum()), rel=1e-9)


def test_says_the_same_of_coarse_and_refined_balls():
    fine, coarse = (by_tag(distance_shape(region(ball(r)))) for r in (22, 24))
    assert fine["sdf_sphericity"] == pytest.approx(coarse["sdf_sphericity"], abs=5e-4)


def test_turns_and_flips_change_nothing():
    mask, values = blob(2)
    spacing = (2.0, 1.0, 0.7)
    ours = by_tag(distance_shape(region(mask, spacing=spacing)))
    other = turned(mask, values, spacing, (2, 0, 1), (True, False, True))
    assert by_tag(distance_shape(other)) == pytest.approx(ours, rel=1e-8)


def test_measures_one_voxel_a_line_and_a_plane():
    for shape in ((1, 1, 1), (1, 1, 9), (1, 12, 9)):
        found = by_tag(distance_shape(region(np.ones(shape, dtype=bool))))
        assert found["sdf_volume"] == pytest.approx(math.prod(shape), rel=1e-9)
        assert 0 < found["sdf_sphericity"] <= 1
