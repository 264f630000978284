"""Back-projection in torch: for any device, for grids at an angle, and with derivatives."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from vesalius.reconstruct.ct._shadow import Shadow

VOXELS_AT_ONCE = 1 << 24


def sum_any(
    lines: Float[Tensor, "view column row"],
    found: Shadow,
    *,
    first: tuple[float, float],
    scale: float,
    views: slice,
) -> Float[Tensor, "z y x"]:
    """Add filtered rows of some views to a volume, whatever the beam and the grid's direction.

    Args:
        lines: (view, column, row), with a border of one element that is not data: zero columns,
            repeated rows.
        found: Where voxels fall.
        first: Column and row of the detector's ``middle`` in ``lines``.
        scale: Distance at which the weight is 1, in the unit of the depth; parallel rays: not used.
        views: Which views of the geometry these are.

    Returns:
        (z, y, x).
    """
    z, y, x = found.grid.shape
    slab = max(1, VOXELS_AT_ONCE // (y * x))
    parts = [
        _slab(lines, found, first, scale, views, range(a, min(a + slab, z)))
        for a in range(0, z, slab)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _slab(
    lines: Tensor,
    found: Shadow,
    first: tuple[float, float],
    scale: float,
    views: slice,
    slices: range,
) -> Tensor:
    total: Tensor | None = None
    for j, v in enumerate(range(*views.indices(found.geometry.views))):
        functions = torch.stack([found.across[v], found.along[v], found.depth[v]])
        part = _one_view(lines[j], functions, found, first, scale, slices)
        total = part if total is None else total + part
    if total is None:
        return lines.new_zeros(len(slices), *found.grid.shape[1:])
    return total


def _one_view(
    line: Tensor,
    functions: Float[Tensor, "3 4"],
    found: Shadow,
    first: tuple[float, float],
    scale: float,
    slices: range,
) -> Tensor:
    geometry = found.geometry
    across, along, depth = (_plane(f, found.grid.shape, slices, line) for f in functions)
    weight: Tensor | None = None
    if geometry.beam == "parallel":
        column, row = across, along
    elif geometry.arc_mm > 0:
        pitch = float(geometry.u[0].norm())
        reach = float((geometry.centre[0] - geometry.source[0]).norm())
        tangent, inward = across * pitch, depth * reach
        column = torch.atan2(tangent, inward) * (geometry.arc_mm / pitch)
        away = torch.hypot(tangent, inward)
        row = along if geometry.beam == "fan" else along * (geometry.arc_mm / away)
        weight = (scale / away) ** 2
    else:
        nearness = 1.0 / depth
        column = across * nearness
        row = along if geometry.beam == "fan" else along * nearness
        weight = (scale * nearness) ** 2
    columns, rows = line.shape
    row = row + first[1]
    place = torch.stack(
        [row * (2 / (rows - 1)) - 1, (column + first[0]) * (2 / (columns - 1)) - 1], dim=-1
    )
    flat = place.reshape(1, len(slices), -1, 2)
    sampled = grid_sample(line[None, None], flat, mode="bilinear", align_corners=True)
    value: Tensor = sampled.reshape(place.shape[:-1])
    # half an element beyond the outer rows, as everywhere; the border holds what repeats
    value = value * ((row >= 0.5) & (row <= rows - 1.5))
    return value if weight is None else torch.mul(value, weight)


def _plane(
    function: Float[Tensor, " 4"], shape: tuple[int, int, int], slices: range, like: Tensor
) -> Tensor:
    """Evaluate an affine function on slices, (z, y, x), summed in float64 along each axis."""
    a, b, c, d = function.tolist()
    z = torch.arange(slices.start, slices.stop, dtype=torch.float64) * a + d
    y = torch.arange(shape[1], dtype=torch.float64) * b
    x = torch.arange(shape[2], dtype=torch.float64) * c
    plane = (y[:, None] + x).to(like.device, like.dtype)
    value: Tensor = z.to(like.device, like.dtype)[:, None, None] + plane
    return value
