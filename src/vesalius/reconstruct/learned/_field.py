"""Fields: an image as a function of the position, by a hash grid or by sines."""
# SPDX-License-Identifier: Apache-2.0

import math
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import ConfigError

Points = Float[Tensor, "point 3"]
_PRIMES = (1, 2654435761, 805459861)
"""Factors of the spatial hash, doi:10.1145/3528223.3530127, eq. (4)."""


@final
@dataclass(frozen=True, slots=True)
class HashGrid:
    """A field of features on grids of several resolutions, mixed by a small network.

    Attributes:
        levels: Number of grids.
        features: Numbers at each corner of a grid.
        size: Entries of a grid's table; a grid with more corners shares them by a hash.
        coarsest: Cells along the longest side of the coarsest grid.
        finest: Cells of the finest grid; those between grow by one factor.
        width: Of the network's one hidden layer.

    Raises:
        ConfigError: A number is out of range.

    References:
        Mueller et al. (2022), doi:10.1145/3528223.3530127, eq. (1) to (4). Differs in: one hidden
        layer, softplus at the end so that attenuation is positive.
    """

    levels: int = 6
    features: int = 2
    size: int = 1 << 16
    coarsest: int = 4
    finest: int = 64
    width: int = 32

    def __post_init__(self) -> None:
        if min(self.levels, self.features, self.size, self.width) < 1:
            raise ConfigError(
                f"levels, features, size and width of a hash grid must be at least 1, got "
                f"{self.levels}, {self.features}, {self.size} and {self.width}"
            )
        if not 1 <= self.coarsest <= self.finest:
            raise ConfigError(
                f"cells of a hash grid must be 1 <= coarsest <= finest, got {self.coarsest} and "
                f"{self.finest}"
            )

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells along a side, level by level; eq. (2) and (3)."""
        growth = math.log(self.finest / self.coarsest) / max(1, self.levels - 1)
        return tuple(round(self.coarsest * math.exp(growth * i)) for i in range(self.levels))


@final
@dataclass(frozen=True, slots=True)
class Siren:
    """A network whose layers are sines of what they get.

    Attributes:
        width: Of the hidden layers.
        depth: Number of hidden layers.
        omega: Frequency of the first layer, radians over half the longest side.

    Raises:
        ConfigError: A number is out of range.

    References:
        Sitzmann et al. (2020), arXiv:2006.09661, section 3.2 for the first weights.
    """

    width: int = 64
    depth: int = 3
    omega: float = 30.0

    def __post_init__(self) -> None:
        if min(self.width, self.depth) < 1 or not 0.0 < self.omega < math.inf:
            raise ConfigError(
                f"width and depth of a siren must be at least 1 and omega positive, got "
                f"{self.width}, {self.depth} and {self.omega:g}"
            )


class _Mix(torch.autograd.Function):
    """A sparse matrix times a table; its transpose is kept, since torch's own way back sorts."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, forth: Tensor, back: Tensor) -> Tensor:
        ctx.back = back
        return forth @ table

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back @ grads[0], None, None


def _mix(table: Tensor, forth: Tensor, back: Tensor) -> Tensor:
    mixed: Tensor = _Mix.apply(table, forth, back)  # type: ignore[no-untyped-call]
    return mixed


class _HashField(nn.Module):
    """Values at fixed points: corners and their weights are found once."""

    def __init__(self, plan: HashGrid, points: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.mixes = []
        tables = []
        for cells in plan.cells:
            index, share, entries = _corners(points, cells, plan.size)
            self.mixes.append(_matrices(index, share, entries))
            start = torch.rand(entries, plan.features, generator=generator) * 2e-4 - 1e-4
            tables.append(nn.Parameter(start))
        self.tables = nn.ParameterList(tables)
        sizes = (plan.levels * plan.features, plan.width, 1)
        self.layers = nn.ModuleList(_linear(a, b, generator) for a, b in pairwise(sizes))

    def forward(self) -> Tensor:
        found = [_mix(t, *m) for t, m in zip(self.tables, self.mixes, strict=True)]
        hidden = torch.relu(self.layers[0](torch.cat(found, dim=1)))
        return nn.functional.softplus(self.layers[1](hidden)[:, 0] - 2.0)


class _SirenField(nn.Module):
    def __init__(self, plan: Siren, points: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.points = 2.0 * points - 1.0
        self.omega = plan.omega
        sizes = (3, *(plan.width,) * plan.depth, 1)
        layers = [_linear(a, b, generator) for a, b in pairwise(sizes)]
        for k, (layer, fan) in enumerate(zip(layers, sizes, strict=False)):
            limit = 1.0 / fan if k == 0 else math.sqrt(6.0 / fan) / self.omega
            _uniform(layer.weight, limit, generator)
            _uniform(layer.bias, 1.0 / math.sqrt(fan), generator)  # else the field is odd
        self.layers = nn.ModuleList(layers)

    def forward(self) -> Tensor:
        x = self.points
        for layer in self.layers[:-1]:
            x = torch.sin(self.omega * layer(x))
        return nn.functional.softplus(self.layers[-1](x)[:, 0] - 2.0)


def field_at(plan: HashGrid | Siren, points: Points, *, generator: torch.Generator) -> nn.Module:
    """Build a field that is asked at the same points again and again.

    Args:
        plan: Which kind, and its size.
        points: (point, 3) in [0, 1], along the three axes; float32.
        generator: Source of the first weights.

    Returns:
        A module that takes nothing and gives (point,) positive values.

    Raises:
        ConfigError: A point lies outside [0, 1].
    """
    if points.numel() and not bool(((points >= 0.0) & (points <= 1.0)).all()):
        raise ConfigError("points of a field must lie in [0, 1]: divide by the longest side")
    kind = _HashField if isinstance(plan, HashGrid) else _SirenField
    return kind(plan, points, generator)  # type: ignore[arg-type]


def _uniform(parameter: Tensor, limit: float, generator: torch.Generator) -> None:
    draw = torch.rand(parameter.shape, generator=generator) * 2 - 1
    parameter.data.copy_(limit * draw)


def _corners(points: Tensor, cells: int, size: int) -> tuple[Tensor, Tensor, int]:
    """Table entries of the 8 corners about each point, their trilinear shares, entries in all."""
    place = points * cells
    low = place.floor().clamp(0, cells - 1)
    part, low = place - low, low.long()
    dense = (cells + 1) ** 3 <= size
    index, share = [], []
    for corner in range(8):
        step = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        at = low + step
        if dense:
            index.append((at[:, 0] * (cells + 1) + at[:, 1]) * (cells + 1) + at[:, 2])
        else:
            mixed = at[:, 0] * _PRIMES[0] ^ at[:, 1] * _PRIMES[1] ^ at[:, 2] * _PRIMES[2]
            index.append(mixed % size)
        share.append(torch.where(step == 1, part, 1.0 - part).prod(dim=1))
    entries = (cells + 1) ** 3 if dense else size
    return torch.stack(index, dim=1), torch.stack(share, dim=1), entries


def _matrices(index: Tensor, share: Tensor, entries: int) -> tuple[Tensor, Tensor]:
    """The sparse matrix from entries to points, and its transpose, by rows."""
    points, corners = index.shape
    starts = torch.arange(0, points * corners + 1, corners)
    order = index.flatten().argsort(stable=True)
    counts = torch.bincount(index.flatten(), minlength=entries)
    ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    flat = share.flatten()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        forth = torch.sparse_csr_tensor(starts, index.flatten(), flat, (points, entries))
        back = torch.sparse_csr_tensor(ends, order // corners, flat[order], (entries, points))
    return forth, back


def _linear(a: int, b: int, generator: torch.Generator) -> nn.Linear:
    """A layer whose first weights are He's, from the generator."""
    layer = nn.Linear(a, b)
    draw = torch.randn(layer.weight.shape, generator=generator)
    layer.weight.data.copy_(draw * math.sqrt(2.0 / a))
    nn.init.zeros_(layer.bias)
    return layer
