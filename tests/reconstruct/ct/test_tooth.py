"""A real tooth, from counts to an image: every third view by TV beats filtered back-projection."""

from dataclasses import replace

import pytest
import torch

from vesalius.core import Grid
from vesalius.io.raw import open_projections
from vesalius.physics.ct import Projections, Projector, parallel
from vesalius.reconstruct.ct import centred, fbp, flat_field, rotation_centre, to_line_integrals
from vesalius.reconstruct.solve import TV, fista

N = 256
MIDDLE = -(N - 1.0)
GRID = Grid.from_spacing((1, N, N), (2.0, 2.0, 2.0), origin_mm=(MIDDLE, MIDDLE, 0.0))


@pytest.fixture(scope="module")
def tooth(data_dir) -> Projections:
    """The first row, centred, pairs of columns joined."""
    raw = open_projections(data_dir / "reconstruction" / "tooth" / "tooth.h5")
    geometry = parallel(raw.angles_deg, shape=(2, 640))
    counts = Projections(raw.counts, geometry, raw.quantity)
    lines = to_line_integrals(flat_field(counts, flats=raw.flats, darks=raw.darks))
    lines = centred(lines, rotation_centre(lines))
    middle = (0.0, (lines.geometry.middle[1] - 0.5) / 2)
    joined = replace(lines.geometry, shape=(1, 320), middle=middle, u=2 * lines.geometry.u)
    return Projections(lines.data[:, :1].unflatten(2, (-1, 2)).mean(dim=3), joined)


def error(x: torch.Tensor, reference: torch.Tensor) -> float:
    return float((x - reference).norm() / reference.norm())


def test_tv_of_every_third_view_is_a_quarter_better_than_fbp(tooth):
    reference = fbp(tooth, like=GRID).image.data[0]
    few = slice(0, None, 3)
    third = Projections(tooth.data[few].contiguous(), tooth.geometry.take(few))
    plain = error(fbp(third, like=GRID).image.data[0], reference)
    best = min(
        error(fbp(third, like=GRID, window=w).image.data[0], reference)
        for w in ("shepp-logan", "cosine", "hamming", "hann")
    )
    op = Projector(third.geometry, GRID)
    prior = TV(spacing=(2.0, 2.0), lower=0.0, steps=15)
    found = error(fista(op, third.data, prior, weight=0.1, steps=25).x, reference)
    assert found < 0.75 * plain
    assert found < 0.75 * best


def test_the_right_centre_leaves_less_below_zero_than_a_wrong_one(tooth):
    """A wrong centre opens every point to an arc, with a dark one opposite."""
    middle = tooth.geometry.middle[1]
    below = []
    for shift in (-3.0, 0.0, 3.0):
        geometry = replace(tooth.geometry, middle=(0.0, middle + shift))
        image = fbp(replace(tooth, geometry=geometry), like=GRID, window="hann").image
        below.append(float(-image.data.clamp_max(0).sum()))
    assert below[1] < 0.9 * min(below[0], below[2])


def test_the_air_around_the_tooth_is_empty(tooth):
    image = fbp(tooth, like=GRID).image
    assert image.unit == "1/mm"
    corner = image.data[0, 0, :20, :20]
    inside = image.data[0, 0, 100:150, 100:150]
    assert abs(float(corner.mean())) < 0.05 * float(inside.mean())
