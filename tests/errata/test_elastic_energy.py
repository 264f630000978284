"""Erratum 5: elastic energy is mu/4 |grad u + grad u'|^2 + lambda/2 (div u)^2."""

import math

import torch

from vesalius.core import Grid
from vesalius.register.regularise import Elastic

MU, LAME = 0.8, 1.5
GRID = Grid.from_spacing((24, 24, 24), (1.0, 1.0, 1.0))


def smooth_field() -> torch.Tensor:
    z, y, x = torch.meshgrid(*[torch.arange(24).double() * 0.2] * 3, indexing="ij")
    return torch.stack([torch.sin(y + x), torch.cos(z + 2 * x), torch.sin(x - y + z)])


def navier(u: torch.Tensor) -> torch.Tensor:
    """Give mu Lap u + (lambda + mu) grad div u by central differences, slowly."""

    def d(v, axis):
        return torch.gradient(v, dim=axis)[0]

    lap = torch.stack([sum(d(d(c, a), a) for a in range(3)) for c in u])
    div = sum(d(u[a], a) for a in range(3))
    return MU * lap + (LAME + MU) * torch.stack([d(div, a) for a in range(3)])


def test_the_force_of_the_energy_is_naviers_and_twice_the_factors_give_twice_the_force():
    u = smooth_field().requires_grad_()
    (slope,) = torch.autograd.grad(Elastic(1.0, MU, LAME)(u, GRID) * math.prod(GRID.shape), u)
    inside = (slice(None), *[slice(6, -6)] * 3)
    force, expected = -slope[inside], navier(u.detach())[inside]
    assert float((force - expected).norm() / expected.norm()) < 0.05
    printed = 2 * Elastic(1.0, 2 * MU, LAME)(u, GRID)  # mu |...|^2 + lambda (div u)^2
    (slope,) = torch.autograd.grad(printed * math.prod(GRID.shape), u)
    assert float((-slope[inside] - expected).norm() / expected.norm()) > 1.0
