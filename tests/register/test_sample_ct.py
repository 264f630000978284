"""A real chest CT through a known smooth warp of 12 mm: the warp is found to a part of a voxel."""

import os

import pytest
import torch

from vesalius.core import Image, Velocity, centred_grid, resample
from vesalius.errors import FormatError
from vesalius.ops import gaussian
from vesalius.register import register
from vesalius.register.evaluate import folding
from vesalius.study._sample import cache_folder, sample_ct

SPACING_MM = 4.0
SIZE_MM = 12.0


@pytest.fixture(scope="module")
def chest():
    try:
        sample = sample_ct(cache_folder())
    except FormatError as error:
        if os.environ.get("VESALIUS_REQUIRE_DATA"):
            raise
        pytest.skip(f"the sample CT could not be brought: {error}")
    return resample(
        sample.image.map(lambda x: x.float()),
        centred_grid(sample.image.grid, (SPACING_MM, SPACING_MM, SPACING_MM)),
    )


def bend(grid, generator):
    noise = torch.randn(3, *grid.shape, generator=generator)
    field = gaussian(noise, (8.0, 8.0, 8.0))
    inside = torch.zeros(1, *grid.shape)
    inside[:, 6:-6, 6:-6, 6:-6] = 1
    field = field * gaussian(inside, (3.0, 3.0, 3.0))
    return Velocity(SIZE_MM * field / field.norm(dim=0).max(), grid)


@pytest.mark.slow
def test_a_smooth_warp_of_12_mm_is_found_to_a_part_of_a_voxel(chest):
    generator = torch.Generator().manual_seed(12)
    truth = bend(chest.grid, generator)
    noise = torch.randn(2, 1, *chest.grid.shape, generator=generator) * 10
    moved = resample(chest, chest.grid, transform=truth.inverse()).data
    fixed, moving = (
        Image(d + n, chest.grid, "HU") for d, n in zip((chest.data, moved), noise, strict=True)
    )
    found = register(fixed, moving, plan="freeform")
    body = torch.nonzero(chest.data[0, ::3, ::3, ::3] > -400).double() * 3
    at = chest.grid.to_world(body)
    moved_mm = (truth(at) - at).norm(dim=1)
    missed = (found.transform(at) - truth(at)).norm(dim=1) / SPACING_MM
    assert moved_mm.max() > 0.8 * SIZE_MM
    assert missed.mean() < 0.5
    assert missed.quantile(0.95) < 1.5
    assert folding(found.transform, chest.grid).folded_percent == 0
