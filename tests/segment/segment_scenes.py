"""Scenes with known truth for the tests of segmentation: a bright body on a dark ground."""

import torch

from vesalius.core import Grid, Image, Labels, Points

PLANE = Grid.from_spacing((1, 40, 44), (1.0, 0.8, 0.8))
BLOCK = Grid.from_spacing((14, 26, 28), (2.5, 1.0, 1.0))


def world_distance(grid, centre):
    """Distance of each sample from the middle of the grid, shifted by ``centre``, mm."""
    axes = [
        (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * mm - c
        for n, mm, c in zip(grid.shape, grid.spacing_mm, centre, strict=True)
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return (z**2 + y**2 + x**2).sqrt()


def truth(grid):
    """A ball (a disk in 2-D) of 8 mm."""
    return world_distance(grid, (0.0, 0.0, 0.0)) < 8.0


def scene(grid, *, noise=0.03, dtype=torch.float32):
    """The ball at 1 on 0, with noise; integers run from 100 to 1100."""
    g = torch.Generator().manual_seed(7)
    data = truth(grid).to(torch.float32) + noise * torch.randn(grid.shape, generator=g)
    if not dtype.is_floating_point:
        data = (100 + 1000 * data).round().clamp(0, 2000)
    return Image(data.to(dtype)[None], grid)


def middle(grid):
    """World point of the middle of the grid, (L, P, S)."""
    at = torch.tensor([(n - 1) / 2 for n in grid.shape] + [1.0], dtype=torch.float64)
    return tuple((grid.affine @ at)[:3].tolist())


def corner(grid):
    """World point of the first sample."""
    return tuple(grid.affine[:3, 3].tolist())


def start(grid):
    """A first segmentation that is too small and shifted."""
    return Labels((world_distance(grid, (0.0, 1.0, -1.0)) < 5.5).to(torch.uint8)[None], grid)


def marks(grid):
    """Scribbles: 1 outside (near the border), 2 inside (the core)."""
    far = world_distance(grid, (0.0, 0.0, 0.0))
    drawn = torch.where(far < 4.0, 2, torch.where(far > 11.5, 1, 0))
    return Labels(drawn.to(torch.uint8)[None], grid)


def circle(grid, radius_mm=10.0, count=40):
    """A first contour around the ball, in the plane of the middle slice."""
    angle = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    centre = torch.tensor(middle(grid), dtype=torch.float64)
    ring = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], dim=1) * radius_mm
    return Points(centre + ring)


def dice(found, wanted):
    """Overlap of two masks."""
    both = float((found & wanted).sum())
    return 2 * both / max(1.0, float(found.sum() + wanted.sum()))
