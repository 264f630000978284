"""An object with a formula, so that it can be sampled on any grid without interpolation."""

import numpy as np
import torch

from vesalius.core import Grid, Image, Linear

# centre (L, P, S), deviation, height: no symmetry
BUMPS = (
    ((0.0, 0.0, 0.0), 9.0, 1.0),
    ((9.0, -3.0, 4.0), 4.0, 0.9),
    ((-6.0, 8.0, -2.0), 5.0, -0.6),
    ((2.0, 5.0, 10.0), 3.5, 0.8),
    ((-4.0, -9.0, 6.0), 4.5, 0.7),
    ((3.0, 2.0, -11.0), 4.0, 0.5),
)


def blob(points_mm, *, scale=1.0):
    """Give the value of the object at world points, mm; ``scale`` enlarges it."""
    places, total = points_mm.numpy(), 0.0
    for centre, deviation, height in BUMPS:
        apart = ((places - scale * np.array(centre)) ** 2).sum(axis=-1)
        total = total + height * np.exp(-apart / (2 * (scale * deviation) ** 2))
    return torch.from_numpy(total)


def sampled(grid, *, transform=None, scale=1.0):
    """Sample the object, seen through ``transform`` (grid's world to the object's world)."""
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    world = grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    if transform is not None:
        world = transform(world)
    return Image(blob(world, scale=scale)[None].float(), grid)


def centred(shape, spacing_mm, *, turn=None, middle_mm=(0.0, 0.0, 0.0)):
    """Make a grid about a world point, its axes turned by a 3 x 3 orthogonal matrix."""
    turn = np.eye(3)[:, ::-1] if turn is None else turn
    columns = torch.from_numpy(turn * np.array(spacing_mm))
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = columns
    half = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    affine[:3, 3] = torch.tensor(middle_mm, dtype=torch.float64) - columns @ half
    return Grid(shape, affine)


def orthogonal(rng):
    """Draw an orthogonal matrix, mirrors among them: axes permuted, flipped and oblique."""
    return np.linalg.qr(rng.standard_normal((3, 3)))[0]


def moved(rng, *, angle_deg, shift_mm):
    """Draw a rigid map of at most this angle and shift."""
    axis, way = rng.standard_normal((2, 3))
    axis *= rng.uniform(0, angle_deg) / np.linalg.norm(axis)
    way *= rng.uniform(0, shift_mm) / np.linalg.norm(way)
    turn = Linear.rotation(tuple(axis.tolist()), centre_mm=(0.0, 0.0, 0.0))
    return Linear.translation(tuple(way.tolist())) @ turn


def farthest(one, two, *, radius_mm=20.0):
    """Give the largest distance between two maps over a ball's worth of points, mm."""
    points = torch.from_numpy(np.random.default_rng(5).uniform(-1, 1, (200, 3))) * radius_mm
    return float((one(points) - two(points)).norm(dim=-1).max())


def mean_apart(one, two, grid):
    """Give the mean distance between two maps over the samples of a grid, mm."""
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    points = grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    return float((one(points) - two(points)).norm(dim=-1).mean())
