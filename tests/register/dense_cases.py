"""Small images and levels for the tests of dense searches, with warps that are known."""

import torch
from scipy.ndimage import map_coordinates

from vesalius.core import Grid, Image, Linear
from vesalius.ops._filters import gaussian
from vesalius.register import Greedy, Scale, Stage
from vesalius.register._gaussian import Gaussian
from vesalius.register._level import make_level
from vesalius.register._local_ncc import LocalNcc

IDENTITY = Linear.identity()


def texture(shape, generator, *, width=1.5):
    """Smooth noise (1, z, y, x), float32: something to see everywhere."""
    noise = torch.randn((1, *shape), generator=generator, dtype=torch.float64)
    sigma = tuple(width if n > 1 else 0.0 for n in shape)
    return gaussian(noise, sigma).float()


def smooth_flow(shape, generator, *, size=2.0, width=5.0):
    """A random flow (3, z, y, x), samples, whose largest component is ``size``."""
    noise = torch.randn((3, *shape), generator=generator, dtype=torch.float64)
    flow = gaussian(noise, tuple(width if n > 1 else 0.0 for n in shape))
    for axis, n in enumerate(shape):
        if n == 1:
            flow[axis] = 0
    return (flow * (size / flow.abs().max())).float()


def pulled(data, flow):
    """Warp by SciPy's cubic splines: no code under test."""
    axes = torch.meshgrid(*[torch.arange(n) for n in flow.shape[1:]], indexing="ij")
    at = (torch.stack(axes) + flow).numpy()
    out = [map_coordinates(c.numpy(), at, order=3, mode="nearest") for c in data]
    return torch.stack([torch.from_numpy(c) for c in out])


def known_pair(shape, generator, *, spacing_mm=(1.0, 1.0, 1.0), size=2.0):
    """Give (fixed, moving, flow): fixed is moving seen through the flow."""
    grid = Grid.from_spacing(shape, spacing_mm)
    moving = texture(shape, generator)
    flow = smooth_flow(shape, generator, size=size)
    return Image(pulled(moving, flow), grid), Image(moving, grid), flow


def stage(model="displacement", *, scales=((2, 40), (1, 40)), similarity=None, **options):
    """A greedy stage that suits small images."""
    settings = {"update": Gaussian(sigma=1.7), "total": Gaussian(sigma=0.4), "step": 0.4}
    return Stage(
        model,
        LocalNcc(2) if similarity is None else similarity,
        Greedy(**(settings | options)),
        tuple(Scale(*s) for s in scales),
    )


def levels_of(fixed, moving, plan, **options):
    """The levels of a stage, from the header."""
    return tuple(
        make_level(fixed, moving, s.spacing_mm, start=IDENTITY, **options) for s in plan.scales
    )


def missed(found, wanted, *, rim=3):
    """Mean distance of two flows away from the border, samples."""
    cut = tuple(slice(rim, -rim) if n > 2 * rim else slice(None) for n in wanted.shape[1:])
    return float((found - wanted).norm(dim=0)[cut].mean())
