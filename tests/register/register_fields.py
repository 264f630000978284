"""A small pair of images with a known smooth deformation, for the tests of deformable solvers."""

import torch

from vesalius.core import Grid, Image, Linear, Transform, Velocity, resample
from vesalius.register._level import Level, make_level
from vesalius.register._plan import Scale


def voxels(grid: Grid) -> torch.Tensor:
    """Give the world points of all samples, (z, y, x, 3) float64."""
    axes = [torch.arange(n).double() for n in grid.shape]
    return grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))


GRID = Grid.from_spacing((16, 20, 22), (3.0, 2.0, 2.0))


def _texture(grid: Grid) -> torch.Tensor:
    z, y, x = (0.1 * c for c in voxels(grid).flip(-1).movedim(-1, 0))
    waves = torch.sin(1.7 * z + 0.6 * y) + torch.cos(2.1 * y - 0.7 * x) + torch.sin(1.9 * x + z)
    return (waves + torch.cos(3.1 * y * x / 4) * torch.sin(2.3 * z)).float()[None]


def _true() -> Velocity:
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    fade = torch.exp(-2 * (z**2 + y**2 + x**2))
    parts = [5 * torch.cos(2 * y), -4 * torch.cos(2 * z + 1), 4 * torch.sin(2 * x + 0.5)]
    return Velocity(torch.stack(parts) * fade, GRID)


TRUE = _true()
FIXED = Image(_texture(GRID), GRID)
# moving(TRUE(x)) = fixed(x)
MOVING = Image(resample(FIXED, GRID, transform=TRUE.inverse(), interpolation="cubic").data, GRID)


def levels_of(
    scales: tuple[Scale, ...], *, fixed: Image = FIXED, moving: Image = MOVING, **options
) -> tuple[Level, ...]:
    """Give the levels of the pair."""
    return tuple(
        make_level(fixed, moving, s.spacing_mm, start=Linear.identity(), **options) for s in scales
    )


def plane_pair(scales: tuple[Scale, ...], *, noise: float = 0.0) -> tuple[Level, ...]:
    """Give the levels of one slice of the pair, which moves within its plane."""
    grid = GRID.crop((8, 0, 0), (1, *GRID.shape[1:]))
    generator = torch.Generator().manual_seed(5)
    parts = [Image(i.data[:, 8:9].clone(), grid) for i in (FIXED, MOVING)]
    loud = [i.map(lambda x: x + noise * torch.randn(x.shape, generator=generator)) for i in parts]
    return levels_of(scales, fixed=loud[0], moving=loud[1])


def error_mm(found: Transform) -> float:
    """Give the mean distance from the true deformation well inside, mm."""
    inside = voxels(GRID)[3:-3, 4:-4, 4:-4].float()
    return float((found(inside) - TRUE(inside)).norm(dim=-1).mean())
