"""A level: both images on one lattice, and what counts on it."""

import pytest
import torch

from vesalius.core import Grid, Image, Linear
from vesalius.register._level import Masks, make_level

IDENTITY = Linear.identity()


def image(shape, spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0)):
    generator = torch.Generator().manual_seed(3)
    grid = Grid.from_spacing(shape, spacing_mm, origin_mm=origin_mm)
    return Image(torch.rand((1, *shape), generator=generator), grid)


def centre(level):
    """The part of the moving lattice that lies on the fixed one."""
    return tuple(slice(m, m + n) for m, n in zip(level.margin, level.grid.shape, strict=True))


def test_a_flow_of_zeros_is_the_start():
    fixed, start = image((8, 9, 10)), Linear.translation((1.0, 0.0, 0.0))
    level = make_level(fixed, fixed, 0, start=start)
    on_lattice = level.moving[0][centre(level)]
    torch.testing.assert_close(on_lattice[..., :-1], fixed.data[0, ..., 1:])


def test_a_mask_that_is_wider_than_the_moving_image_adds_no_samples_to_it():
    """Beyond the image its edge is repeated, which is no anatomy, whatever a mask says."""
    fixed, moving = image((8, 8, 12)), image((8, 8, 6))
    everywhere = Image(torch.ones(1, 8, 8, 40), Grid.from_spacing((8, 8, 40), (1.0, 1.0, 1.0)))
    plain = make_level(fixed, moving, 0, start=IDENTITY)
    masked = make_level(fixed, moving, 0, start=IDENTITY, masks=Masks(moving=everywhere))
    assert plain.moving_weight is not None
    torch.testing.assert_close(masked.moving_weight, plain.moving_weight)
    assert float(masked.moving_weight[0][centre(masked)][..., 7:].max()) == 0


def test_a_moving_mask_counts_where_it_is_and_only_there():
    fixed = image((8, 8, 12))
    half = Image((torch.arange(12) < 5).float().expand(1, 8, 8, 12).contiguous(), fixed.grid)
    level = make_level(fixed, fixed, 0, start=IDENTITY, masks=Masks(moving=half))
    inside = level.moving_weight[0][centre(level)]
    torch.testing.assert_close(inside, half.data[0])


@pytest.mark.parametrize("spacing", [1e-4, 1e-3])
def test_the_margin_of_a_microscope_slide_is_a_part_of_it(spacing):
    """20 mm would be 200,000 samples of 0.1 um on each side."""
    slide = image((1, 64, 48), (spacing,) * 3)
    level = make_level(slide, slide, 0, start=IDENTITY)
    assert level.margin[0] == 0
    assert 8 <= level.margin[1] <= 64
    assert level.moving.numel() < 10 * slide.data.numel()


def test_the_margin_of_a_body_is_20_mm():
    body = image((20, 24, 40), (5.0, 4.0, 4.0))
    assert make_level(body, body, 0, start=IDENTITY).margin == (4, 5, 5)
