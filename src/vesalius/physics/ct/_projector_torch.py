"""Joseph's line integrals in torch: any device, differentiable in the image and in the rays."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vesalius.core import Grid
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._joseph_rays import TIE, index_rays
from vesalius.physics.ct._traversal import Traversal, Views, Volumes

Triples = Float[Tensor, "ray 3"]

BYTES = 160
"""Memory for one crossing of one ray with one plane, and as much as 16 more for each image."""


@final
@dataclass(frozen=True, slots=True)
class Rays:
    """Rays in array indices.

    Attributes:
        start: (ray, 3) a point of each, (z, y, x) index.
        step: (ray, 3) its direction, index per mm.
        begins: Whether rays begin at ``start``; else they are whole lines.
    """

    start: Triples
    step: Triples
    begins: bool

    def take(self, which: Int[Tensor, " some"]) -> "Rays":
        """Keep some rays."""
        return Rays(self.start[which], self.step[which], self.begins)


@final
@dataclass(frozen=True, slots=True, eq=False)
class TorchTraversal(Traversal):
    """The projector on the device of its input: the same numbers as the compiled loops to 1e-4.

    Forward gathers and the adjoint scatters with the same weights, so the pair is exact; on a GPU
    the order of the adjoint's sums, and so its last bits, change from call to call.

    Attributes:
        geometry: Where the rays run.
        grid: Where the voxels are.
        memory_mb: Most memory for intermediate results, MiB; more rays at once are faster.
    """

    geometry: Geometry
    grid: Grid
    memory_mb: int = 1024

    def forward(self, x: Volumes) -> Views:
        """Integrate along every ray."""
        parts = [line_integrals(x, rays, memory_mb=self.memory_mb) for rays in self._blocks(x)]
        return torch.cat(parts, dim=1).reshape(x.shape[0], *self.geometry.codomain)

    def back(self, y: Views) -> Volumes:
        """Scatter every ray's value with the weights of :meth:`forward`."""
        padded = y.new_zeros(y.shape[0], *(n + 2 for n in self.grid.shape))
        values, done = y.reshape(y.shape[0], -1), 0
        for rays in self._blocks(y):
            size = len(rays.start)
            _smear(padded, values[:, done : done + size], rays, self.memory_mb)
            done += size
        return padded[:, 1:-1, 1:-1, 1:-1].contiguous()

    def _blocks(self, like: Tensor) -> Iterator[Rays]:
        """Rays of a few views at a time, on the device of the data."""
        views, rows, columns = self.geometry.codomain
        size = max(1, self.memory_mb * 2**20 // (1024 * rows * columns))
        for first in range(0, views, size):
            start, step = index_rays(self.geometry, self.grid, slice(first, first + size))
            yield Rays(
                start.to(like.device), step.to(like.device), self.geometry.beam != "parallel"
            )


def line_integrals(
    x: Volumes, rays: Rays, *, memory_mb: int = 1024, keep: bool = True
) -> Float[Tensor, "n ray"]:
    """Integrate along rays, a block at a time.

    Args:
        x: (n, z, y, x), float32 or float64; coordinates are worked out in its dtype, from starts
            in double precision.
        rays: On the device of ``x``. Values have derivatives in starts and steps.
        memory_mb: Most memory for one block, MiB.
        keep: Keep what the derivative needs; else it is worked out a second time, so that a
            derivative needs no more memory than one block.

    Returns:
        (n, ray), mm times the unit of ``x``.
    """
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1, 1, 1))
    parts, places = [], []
    for axis, which in _by_axis(rays, tuple(x.shape), memory_mb):
        some = rays.take(which)
        if keep:
            parts.append(_integrate(padded, some.start, some.step, some.begins, axis))
        else:
            arguments = (padded, some.start, some.step, some.begins, axis)
            parts.append(checkpoint(_integrate, *arguments, use_reentrant=False))
        places.append(which)
    order = torch.argsort(torch.cat(places))
    return torch.cat(parts, dim=1)[:, order]


def _by_axis(
    rays: Rays, shape: tuple[int, ...], memory_mb: int
) -> Iterator[tuple[int, Int[Tensor, " some"]]]:
    """Blocks of rays that cross planes of the same axis, each within the memory."""
    size = rays.step.detach().abs()
    z = size[:, 0] >= (1 - TIE) * size[:, 1:].amax(dim=1)
    y = ~z & (size[:, 1] >= (1 - TIE) * size[:, 2])
    for axis, mask in enumerate((z, y, ~z & ~y)):
        crossing = (BYTES + 16 * shape[0]) * shape[1 + axis]
        block = max(1, memory_mb * 2**20 // crossing)
        for which in torch.split(mask.nonzero()[:, 0], block):
            if len(which):
                yield axis, which


@final
@dataclass(frozen=True, slots=True)
class _Crossings:
    """Where rays cross planes: the lowest corner, and the weights of the four around it."""

    corner: Int[Tensor, "ray plane"]
    steps: tuple[int, int, int, int]
    weights: tuple[Tensor, Tensor, Tensor, Tensor]
    scale: Float[Tensor, " ray"]


def _crossings(
    padded: Tensor, start: Triples, step: Triples, begins: bool, axis: int
) -> _Crossings:
    shape = padded.shape[1:]
    strides = (shape[1] * shape[2], shape[2], 1)
    planes = torch.arange(shape[axis] - 2, device=padded.device)
    way = 1 / step[:, axis]
    corner = (planes + 1)[None] * strides[axis]
    fractions = []
    for other in ((axis + 1) % 3, (axis + 2) % 3):
        slope = step[:, other] * way
        origin = start[:, other] - start[:, axis] * slope
        at = origin.to(padded.dtype)[:, None] + planes * slope.to(padded.dtype)[:, None]
        # the border of zeros lets rays beyond it read 0
        at = at.clamp(-1.0, shape[other] - 2.0)
        low = at.detach().floor().clamp_max(shape[other] - 3.0)
        corner = corner + (low.long() + 1) * strides[other]
        fractions.append(at - low)
    b, c = fractions
    if begins:
        past = (planes - start[:, axis].detach()[:, None]) * way.detach().sign()[:, None]
        ahead = past >= -1e-9 * len(planes)  # a plane through the source counts
        lower, upper = (1 - b) * ahead, b * ahead
    else:
        lower, upper = 1 - b, b
    sb, sc = strides[(axis + 1) % 3], strides[(axis + 2) % 3]
    return _Crossings(
        corner,
        (0, sc, sb, sb + sc),
        (lower * (1 - c), lower * c, upper * (1 - c), upper * c),
        way.abs().to(padded.dtype),
    )


def _integrate(padded: Tensor, start: Tensor, step: Tensor, begins: bool, axis: int) -> Tensor:
    found = _crossings(padded, start, step, begins, axis)
    flat = padded.reshape(padded.shape[0], -1)
    total = padded.new_zeros(())
    for offset, weight in zip(found.steps, found.weights, strict=True):
        total = total + (flat[:, found.corner + offset] * weight).sum(dim=2)
    return total * found.scale


def _smear(padded: Tensor, values: Tensor, rays: Rays, memory_mb: int) -> None:
    """Add the values of rays to a bordered image, in place."""
    flat = padded.view(padded.shape[0], -1)
    shape = (padded.shape[0], *(n - 2 for n in padded.shape[1:]))
    for axis, which in _by_axis(rays, shape, memory_mb):
        some = rays.take(which)
        found = _crossings(padded, some.start, some.step, some.begins, axis)
        scaled = (values[:, which] * found.scale)[:, :, None]
        for offset, weight in zip(found.steps, found.weights, strict=True):
            index = (found.corner + offset).reshape(-1)
            flat.index_add_(1, index, (scaled * weight).reshape(len(flat), -1))
