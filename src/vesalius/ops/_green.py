"""Green's operators: differential equations of a field solved in cosines and sines."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._axis_maps import along_axes

Field = Float[Tensor, "c z y x"]
Spacing = tuple[float, float, float]
Matrices = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Medium:
    """The operator ``identity - mu Lap - (lambda + mu) grad div`` (Navier, Lame).

    Attributes:
        mu: Shear coefficient, at least 0.
        lame: Lame's lambda; ``lame + mu`` at least 0.
        identity: Share of the field itself; 0 for the equation of Navier.
    """

    mu: float
    lame: float
    identity: float


def solve_neumann(field: Field, spacing: Spacing, symbol: Callable[[Tensor], Tensor]) -> Field:
    """Solve ``p(-Lap) u = field`` where no flux leaves the lattice; one polynomial p for all.

    Args:
        field: (c, z, y, x), float32 or float64, any device.
        spacing: Distance of samples along (z, y, x).
        symbol: p, of the eigenvalues of minus the Laplacian (second differences, edges repeat);
            where it is 0 (the mean, if at all) the answer is 0.

    Returns:
        As ``field``. Differentiable; its own adjoint.
    """
    z, y, x = (_on(_cosines(n), field) for n in field.shape[1:])
    eigenvalue = _sum([_laplace(n, h) for n, h in zip(field.shape[1:], spacing, strict=True)])
    # every axis of k has one row more than the cosines use: the frequency of the last sine
    gain = _reciprocal(symbol(eigenvalue[:-1, :-1, :-1])).to(field.device, field.dtype)
    return along_axes(
        along_axes(field, (z[:-1], y[:-1], x[:-1])) * gain, (z[:-1].T, y[:-1].T, x[:-1].T)
    )


def solve_lame(force: Float[Tensor, "3 z y x"], spacing: Spacing, medium: Medium) -> Field:
    """Solve ``identity u - mu Lap u - (lambda + mu) grad div u = force`` between smooth walls.

    Nothing goes through a wall, half a sample beyond the last samples, and along it the field
    slides: component a is odd about the walls of axis a and even about the others. The Laplacian
    is of second differences; grad and div are of central ones.

    Args:
        force: (3, z, y, x), components along (z, y, x); float32 or float64, any device.
        spacing: Distance of samples along (z, y, x).
        medium: The coefficients.

    Returns:
        As ``force``; 0 along an axis of one sample. Differentiable; its own adjoint.
    """
    sizes = force.shape[1:]
    maps = [_wall_maps(force, component) for component in range(3)]
    spectrum = torch.stack([along_axes(f[None], m)[0] for f, m in zip(force, maps, strict=True)])
    base = medium.identity + medium.mu * _sum(
        [_laplace(n, h) for n, h in zip(sizes, spacing, strict=True)]
    )
    stiff = medium.lame + medium.mu
    slope = _slopes(sizes, spacing)
    push = stiff / _positive(base + stiff * (slope**2).sum(dim=0))
    slope, push, gain = (t.to(force.device, force.dtype) for t in (slope, push, _reciprocal(base)))
    answer = (spectrum - slope * ((slope * spectrum).sum(dim=0) * push)) * gain
    back = [(z.T, y.T, x.T) for z, y, x in maps]
    return torch.stack([along_axes(a[None], m)[0] for a, m in zip(answer, back, strict=True)])


def _wall_maps(force: Tensor, component: int) -> Matrices:
    z, y, x = (
        _on(_sines(n) if axis == component else _cosines(n), force)
        for axis, n in enumerate(force.shape[1:])
    )
    return z, y, x


@lru_cache(maxsize=32)
def _cosines(n: int) -> Tensor:
    """Rows of the orthonormal DCT-II, then a row of zeros."""
    k, i = torch.arange(n + 1.0).double()[:, None], torch.arange(n).double()
    rows = torch.cos(math.pi / n * k * (i + 0.5)) * math.sqrt(2.0 / n)
    rows[0] = math.sqrt(1.0 / n)
    rows[n] = 0.0
    return rows


@lru_cache(maxsize=32)
def _sines(n: int) -> Tensor:
    """A row of zeros, then rows of the orthonormal DST-II; none where there is one sample."""
    k, i = torch.arange(n + 1.0).double()[:, None], torch.arange(n).double()
    rows = torch.sin(math.pi / n * k * (i + 0.5)) * math.sqrt(2.0 / n)
    rows[n] *= math.sqrt(0.5)
    return rows if n > 1 else torch.zeros_like(rows)


def _on(matrix: Tensor, like: Tensor) -> Tensor:
    return matrix.to(like.device, like.dtype)


def _angles(n: int) -> Tensor:
    return torch.arange(n + 1.0).double() * (math.pi / n) if n > 1 else torch.zeros(2).double()


def _laplace(n: int, spacing: float) -> Tensor:
    return (2 - 2 * torch.cos(_angles(n))) / spacing**2


def _slopes(sizes: torch.Size, spacing: Spacing) -> Tensor:
    parts = []
    for n, h in zip(sizes, spacing, strict=True):
        slope = torch.sin(_angles(n)) / h
        slope[-1] = 0.0  # sin(pi), free of rounding
        parts.append(slope)
    return torch.stack(torch.meshgrid(*parts, indexing="ij"))


def _sum(parts: list[Tensor]) -> Tensor:
    z, y, x = parts
    return z[:, None, None] + y[:, None] + x


def _reciprocal(x: Tensor) -> Tensor:
    return torch.where(x == 0, 0.0, 1.0 / _positive(x))


def _positive(x: Tensor) -> Tensor:
    return torch.where(x == 0, 1.0, x)
