"""Heads for the tests of defacing: drawn ones, whose every place is known under any affine map."""

import torch

from vesalius.core import Grid, Image, Labels, Linear

GRID = Grid.from_spacing((32, 36, 30), (6.0, 6.0, 6.0), origin_mm=(-87.0, -105.0, -93.0))
TURN = Linear.translation((5.0, -8.0, 6.0)) @ Linear.rotation(
    (6.0, -4.0, 9.0), centre_mm=(0.0, 0.0, 0.0)
)


def places(grid):
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    return grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))


def scaled(at, centre, radii):
    return ((at - torch.tensor(centre).double()) / torch.tensor(radii).double()).norm(dim=-1)


def anatomy(at):
    """Skull, textured brain, nose and jaw: soft at their edges, 0 in air."""
    skull = torch.sigmoid(12 * (1 - scaled(at, (0.0, 5.0, 12.0), (66.0, 80.0, 70.0))))
    nose = torch.sigmoid(8 * (1 - scaled(at, (0.0, -75.0, -25.0), (14.0, 22.0, 20.0))))
    jaw = torch.sigmoid(9 * (1 - scaled(at, (0.0, -42.0, -60.0), (40.0, 36.0, 26.0))))
    generator = torch.Generator().manual_seed(1)
    waves = torch.zeros(at.shape[:-1], dtype=torch.float64)
    for _ in range(10):
        k = torch.randn(3, generator=generator, dtype=torch.float64) * 0.09
        waves += torch.cos(at @ k + 6.3 * float(torch.rand(1, generator=generator)))
    return 900 * torch.maximum(torch.maximum(skull, nose), jaw) * (1 + 0.08 * waves)


def head(turn=None, grid=GRID):
    """The head, moved by a map of the world."""
    at = places(grid) if turn is None else turn.inverse()(places(grid))
    return Image(anatomy(at).float()[None].clamp(min=0), grid)


def face_of(at):
    return (at[..., 1] < -30) & (at[..., 2] < -8)


def brain_of(at):
    return scaled(at, (0.0, 8.0, 20.0), (52.0, 62.0, 50.0)) < 1


def drawn(where, turn=None, grid=GRID):
    """Labels of a region, moved by a map of the world."""
    at = places(grid) if turn is None else turn.inverse()(places(grid))
    return Labels(where(at).to(torch.uint8)[None], grid)
