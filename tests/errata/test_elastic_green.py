"""Erratum 4: Kelvin's tensor has (lambda + 3 mu) / (lambda + 2 mu) I/r, and cannot interpolate."""

import numpy as np
import pytest
import torch
from torch.func import jacfwd, jacrev

from vesalius.register.landmarks import elastic_green

RATIO = 0.3
LAME = 2 * RATIO / (1 - 2 * RATIO)  # lambda, where mu is 1
C = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
AT = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)


def residual(u) -> torch.Tensor:
    second = jacfwd(jacrev(u))(AT)
    laplacian = second.diagonal(dim1=1, dim2=2).sum(dim=1)
    return laplacian + (LAME + 1) * second.diagonal(dim1=0, dim2=1).sum(dim=1)


def printed(x: torch.Tensor, direct: float) -> torch.Tensor:
    r = x.norm()
    mixed = (LAME + 1) / (LAME + 2)
    return (direct * C / r + mixed * x * (x @ C) / r**3) / (8 * torch.pi)


def test_kelvins_tensor_is_at_rest_off_its_point_and_the_printed_one_is_not():
    def right(x):
        return elastic_green(x, force="point", poisson_ratio=RATIO) @ C

    torch.testing.assert_close(right(AT), printed(AT, (LAME + 3) / (LAME + 2)))
    assert float(residual(right).abs().max()) < 1e-12
    assert float(residual(lambda x: printed(x, 1.0)).abs().max()) > 1e-4


def test_the_total_force_of_kelvins_tensor_is_one():
    """The traction over a sphere about the point balances the force, by Gauss' rule."""

    def u(x):
        return elastic_green(x, force="point", poisson_ratio=RATIO) @ C

    height, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(8))
    turn = torch.arange(16, dtype=torch.float64) * torch.pi / 8
    flat = (1 - height**2).sqrt()
    total = torch.zeros(3, dtype=torch.float64)
    for z, s, w in zip(height, flat, weight, strict=True):
        for t in turn:
            n = torch.stack([s * t.cos(), s * t.sin(), z])
            slope = jacrev(u)(2 * n)
            stress = LAME * slope.trace() * torch.eye(3).double() + slope + slope.T
            total += stress @ n * w * torch.pi / 8 * 4  # radius 2
    torch.testing.assert_close(total, -C, rtol=1e-6, atol=1e-6)


def test_a_point_force_moves_its_own_point_without_bound():
    near = torch.tensor([[1e-3, 0, 0], [1e-6, 0, 0], [1e-9, 0, 0]], dtype=torch.float64)
    size = elastic_green(near, force="point", poisson_ratio=RATIO)[:, 0, 0]
    assert float(size[1] / size[0]) == pytest.approx(1e3)
    assert float(size[2] / size[0]) == pytest.approx(1e6)
    for force in ("r", "1/r"):
        still = elastic_green(torch.zeros(3).double(), force=force, poisson_ratio=RATIO)
        assert float(still.abs().max()) < 1e-9
