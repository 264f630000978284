"""Descriptors that know directions: the storage of an image changes nothing."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from vesalius.core import Grid, Image, Linear
from vesalius.register import Lbfgs, Plan, Scale, Stage, register
from vesalius.register._parallel import parallel
from vesalius.register.similarity import FeatureCosine, Features, GradientFields, Mind

SHAPE = (18, 22, 24)
SHIFT = (2.5, -2.0, 1.5)
SLOPES = Features(lambda x: torch.cat(torch.gradient(x, dim=(1, 2, 3))), "slopes")


def anatomy():
    """Layers that run differently along each axis, fading before the border."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    r = np.sqrt((z / 0.75) ** 2 + (y / 0.7) ** 2 + (x / 0.8) ** 2)
    body = 1.0 * (r < 1) + 0.8 * (np.hypot(z - 0.2, y) < 0.3) - 0.6 * (np.abs(x + 0.2) < 0.15)
    noise = np.random.default_rng(1).normal(size=SHAPE)
    body = (body + 0.15 * gaussian_filter(noise, 1)) * (r < 1)
    return torch.from_numpy(gaussian_filter(body, 0.7)).float()[None]


def moved(image):
    """The same samples, SHIFT further in the world."""
    affine = image.grid.affine.clone()
    affine[:3, 3] += torch.tensor(SHIFT, dtype=torch.float64)
    return Image(image.data, Grid(image.grid.shape, affine))


def stored(image, order, flips):
    """The same image with its axes in another order and direction."""
    data = image.data.permute(0, *[1 + k for k in order]).flip([1 + k for k in flips])
    change = torch.zeros(4, 4, dtype=torch.float64)
    change[3, 3] = 1
    for new, old in enumerate(order):
        sign = -1.0 if new in flips else 1.0
        change[old, new] = sign
        if new in flips:
            change[old, 3] = data.shape[1 + new] - 1
    return Image(data.contiguous(), Grid(tuple(data.shape[1:]), image.grid.affine @ change))


@pytest.mark.parametrize("similarity", [Mind(1, 1), GradientFields(), FeatureCosine(SLOPES)])
@pytest.mark.parametrize(
    ("order", "flips"), [((0, 1, 2), ()), ((2, 0, 1), (1,)), ((0, 1, 2), (0, 2))]
)
def test_a_shift_is_found_however_the_moving_image_is_stored(similarity, order, flips):
    fixed = Image(anatomy(), Grid.from_spacing(SHAPE, (2.0, 1.5, 1.5)))
    other = stored(moved(fixed), order, flips)
    plan = Plan((Stage("translation", similarity, Lbfgs(), (Scale(3, 20), Scale(1.5, 20))),))
    found = register(fixed, other, plan=plan).transform
    miss = found.matrix[:3, 3] - torch.tensor(SHIFT, dtype=torch.float64)
    assert float(miss.norm()) < 0.3


IDENTITY = Linear.identity()


def test_an_image_that_is_stored_otherwise_comes_back_to_the_bit():
    grid = Grid.from_spacing(SHAPE, (2.0, 1.5, 1.25))
    image = Image(anatomy(), grid)
    for order, flips in (((2, 0, 1), (1,)), ((1, 0, 2), ()), ((0, 1, 2), (0, 1, 2))):
        back, seen = parallel(stored(image, order, flips), None, fixed=grid, start=IDENTITY)
        assert back.grid.shape == SHAPE
        torch.testing.assert_close(back.grid.affine, grid.affine)
        torch.testing.assert_close(back.data, image.data)
        assert float(seen.data.min()) == pytest.approx(1)


def test_parallel_axes_are_left_alone_and_the_start_is_followed():
    grid = Grid.from_spacing(SHAPE, (2.0, 1.5, 1.25))
    image = Image(anatomy(), grid)
    mask = Image((image.data > 0.2).float(), grid)
    assert parallel(image, mask, fixed=grid, start=IDENTITY) == (image, mask)
    turn = Linear.rotation((20.0, 0.0, 0.0), centre_mm=(0.0, 0.0, 0.0))
    back, seen = parallel(image, mask, fixed=grid, start=turn)
    wanted = turn.matrix[:3, :3] @ grid.direction
    torch.testing.assert_close(back.grid.direction, wanted)
    corners = grid.to_world(torch.tensor([[0.0, 0, 0], [17, 21, 23]], dtype=torch.float64))
    inside = back.grid.to_index(corners)
    assert float(inside.min()) > -1e-6
    assert bool((inside <= torch.tensor(back.grid.shape) - 1 + 1e-6).all())
    volumes = [float(m.data.sum()) * m.grid.voxel_volume_mm3 for m in (mask, seen)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.02)


def test_a_slice_stays_a_slice():
    grid = Grid.from_spacing((1, 12, 10), (3.0, 1.0, 1.5))
    image = Image(torch.rand(1, 1, 12, 10, generator=torch.Generator().manual_seed(0)), grid)
    turn = Linear.rotation((0.0, 0.0, 90.0), centre_mm=(0.0, 0.0, 0.0))
    back, _ = parallel(image, None, fixed=grid, start=turn)
    assert back.grid.shape == (1, 10, 12)
    torch.testing.assert_close(back.data.sum(), image.data.sum())
