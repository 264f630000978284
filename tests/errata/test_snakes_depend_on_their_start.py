"""Erratum 21: snakes are not insensitive to the initial contour; vector flow is the remedy."""

import torch

from vesalius.core import Grid, Image, Points
from vesalius.segment import Hints, segment
from vesalius.segment.contours import Snake

GRID = Grid.from_spacing((1, 64, 64), (1.0, 1.0, 1.0))


def u_shape():
    """A block with a slot from above: the concavity of Xu and Prince."""
    inside = torch.zeros(1, 64, 64)
    inside[:, 14:50, 14:50] = 1
    inside[:, 14:40, 26:38] = 0
    return inside


def ring(radius):
    angle = torch.arange(80, dtype=torch.float64) * (2 * torch.pi / 80)
    index = torch.stack(
        [
            torch.zeros(80, dtype=torch.float64),
            32 + radius * angle.sin(),
            32 + radius * angle.cos(),
        ],
        dim=1,
    )
    return Points(GRID.to_world(index))


def found(field, radius, shape):
    image = Image(shape[None], GRID)
    method = Snake(field=field, elasticity=0.02, rigidity=0.01, pull=0.5, steps=600)
    return segment(image, method, hints=Hints(contour=ring(radius))).labels.data[0] != 0


def dice(a, b):
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


def test_a_plain_snake_finds_a_disk_from_nearby_and_misses_it_from_afar():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disk = (((y - 32) ** 2 + (x - 32) ** 2) <= 15**2)[None]
    near, far = (dice(found("gradient", r, disk.float()), disk) for r in (17, 28))
    flow = dice(found("vector flow", 28, disk.float()), disk)
    assert near > 0.95
    assert far < 0.75
    assert flow > 0.95


def test_vector_flow_enters_the_concavity_and_the_plain_field_does_not():
    shape = u_shape()
    plain, flow = (found(kind, 29, shape) for kind in ("gradient", "vector flow"))
    slot = (slice(None), slice(18, 38), slice(28, 36))
    assert float(plain[slot].float().mean()) > 0.9
    assert float(flow[slot].float().mean()) < 0.2
    assert dice(flow, shape > 0) > 0.93
