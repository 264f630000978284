"""Back-projection of filtered rows: the loops that take the time, compiled."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._line_samples import LANES
from vesalius.ops._threads import share
from vesalius.reconstruct.ct._divergent_kernels import BLOCK, add_in_blocks, add_plainly

Lines = Float[Tensor, "view column row"]

PHASES = 32
"""Samples of a filtered row kept per pixel step; between them values are blended."""


def sum_parallel(
    rows: Float[Tensor, "z view column"], place: Float[Tensor, "view 3"], shape: tuple[int, int]
) -> Float[Tensor, "z y x"]:
    """Add parallel rows along their lines, each slice from its own rows.

    A row is resampled once to the pixel step, at ``PHASES`` shifts; a line of pixels is then two
    of these, read end to end. That takes neither gathers nor a division in the inner loop.

    Args:
        rows: (z, view, column), contiguous, float32 or float64. Zero lies beyond the ends.
        place: (view, 3) coefficients of the column of pixel (y, x, 1).
        shape: Pixels (y, x).

    Returns:
        (z, y, x), the sum over views of the rows linearly interpolated.
    """
    height, width = shape
    flat = place[:, 1].abs() >= place[:, 0].abs()
    total = torch.zeros(len(rows), height, width, dtype=rows.dtype)
    for chosen, turned in ((flat, False), (~flat, True)):
        if not bool(chosen.any()):
            continue
        columns = (2, 0, 1) if turned else (2, 1, 0)
        start, inner, outer = (place[chosen][:, i].contiguous().numpy() for i in columns)
        size = (len(rows), width, height) if turned else (len(rows), height, width)
        views = torch.nonzero(chosen)[:, 0].numpy()
        part = _over_views(rows.numpy(), views, (start, inner, outer), size)
        total += part.transpose(1, 2) if turned else part
    return total


def _over_views(
    rows: np.ndarray,
    views: np.ndarray,
    lines: tuple[np.ndarray, np.ndarray, np.ndarray],
    size: tuple[int, int, int],
) -> Tensor:
    """Run the kernel over slices, or over views where there is one slice, on all threads."""
    start, inner, outer = lines
    depth = size[0]
    if depth > 1:
        total = np.zeros(size, rows.dtype)

        def slices(a: int, b: int) -> None:
            for z in range(a, b):
                _add_parallel(rows[z], views, start, inner, outer, total[z])

        share(slices, depth)
        return torch.from_numpy(total)
    parts: dict[int, np.ndarray] = {}

    def some(a: int, b: int) -> None:
        part = np.zeros(size, rows.dtype)
        _add_parallel(rows[0], views[a:b], start[a:b], inner[a:b], outer[a:b], part[0])
        parts[a] = part

    share(some, len(views), least=32)
    # in the order of the views, not of the threads that end: the same bits every time
    first, *rest = (parts[a] for a in sorted(parts))
    return torch.from_numpy(sum(rest, start=first))


@kernel
@no_type_check
def _add_parallel(rows, views, start, inner, outer, total):
    # total[k, i] += row(start + outer * k + inner * i), |inner| >= |outer|, zeros beyond the row
    height, width = total.shape
    one = total.dtype.type(1.0)
    last = total.dtype.type(rows.shape[1] + 1)
    block = 4
    tables = np.zeros((block, PHASES + 1, width + height + 4), total.dtype)
    padded = np.zeros(rows.shape[1] + 3, total.dtype)
    origin = np.zeros(block)
    for first in range(0, len(views), block):
        used = min(block, len(views) - first)
        for j in range(used):
            v = first + j
            padded[1 : rows.shape[1] + 1] = rows[views[v]]
            near = start[v] / inner[v]
            far = (start[v] + outer[v] * (height - 1)) / inner[v]
            origin[j] = math.floor(min(near, far))
            length = width + int(abs(far - near)) + 3
            step = total.dtype.type(inner[v])
            for p in range(PHASES + 1):
                table = tables[j, p]
                begin = total.dtype.type(inner[v] * (p / PHASES + origin[j]) + 1.0)
                for m in range(length):
                    t = begin + step * total.dtype.type(m)
                    t = min(max(t, total.dtype.type(0.0)), last)
                    i = np.int32(t)
                    f = t - total.dtype.type(i)
                    table[m] = padded[i] + f * (padded[i + 1] - padded[i])
        for k in range(height):
            line = total[k]
            for j in range(used):
                v = first + j
                shift = (start[v] + outer[v] * k) / inner[v] - origin[j]
                whole = int(shift)
                fine = (shift - whole) * PHASES
                p = int(fine)
                g = total.dtype.type(fine - p)
                left = tables[j, p, whole : whole + width]
                right = tables[j, p + 1, whole : whole + width]
                for i in range(width):
                    line[i] += (one - g) * left[i] + g * right[i]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Divergent:
    """How voxels of a grid whose z axis runs along detector columns fall on fans or cones.

    Attributes:
        across: (view, 3) coefficients of (y, x, 1); column by depth (flat), mm (arc).
        depth: (view, 3), part of the way to the detector (flat), mm (arc).
        along: (view, 2) coefficients of (z, 1); row by depth.
        first: Column and row of the index 0 of the functions, in the padded lines.
        scale: Weight 1 lies at this depth.
        bend: 0 for a flat detector; else columns per radian.
        lift: What the height is magnified by: ``lift / depth``; 0 for fans, which keep it.
    """

    across: Float[Tensor, "view 3"]
    depth: Float[Tensor, "view 3"]
    along: Float[Tensor, "view 2"]
    first: tuple[float, float]
    scale: float
    bend: float
    lift: float


def sum_divergent(lines: Lines, rays: Divergent, total: Float[Tensor, "y x z"]) -> None:
    """Add rows of fans or cones to a volume along their rays, weighted by the squared distance.

    Args:
        lines: (view, column, row), contiguous, float32 or float64. A border of one element is not
            data: the first and last column should be zero, rows should repeat.
        rays: Where voxels fall.
        total: (y, x, z), contiguous; added to, by as many threads as torch uses.
    """
    views = torch.cat([rays.across, rays.depth, rays.along], dim=1).contiguous().numpy()
    numbers = np.array([*rays.first, rays.scale, rays.bend, rays.lift])
    data, out = lines.numpy(), total.numpy()
    # a window of the lines must fit into them, at any place
    wide = LANES and lines.dtype == torch.float32 and data.size >= data.shape[2] + 2 * LANES
    add = add_in_blocks if wide else add_plainly
    share(lambda a, b: add(data, views, numbers, out, a, b), len(out), least=BLOCK)
