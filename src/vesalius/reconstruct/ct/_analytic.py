"""The one chain of all analytic methods: weigh, continue, filter, back-project."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from vesalius.core import Grid, Image
from vesalius.errors import UnitError
from vesalius.physics.ct import Projections
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct._backproject import Divergent, sum_divergent, sum_parallel
from vesalius.reconstruct.ct._backproject_torch import sum_any
from vesalius.reconstruct.ct._filters import Ramp, filter_rows
from vesalius.reconstruct.ct._shadow import Shadow, shadow
from vesalius.reconstruct.ct._truncation import Truncation, extrapolate
from vesalius.reconstruct.ct._weights import Orbit, RayWeights, Scan, orbit, ray_weights

Volume = Float[Tensor, "z y x"]

ROOM_BYTES = 1 << 26
CUT = 0.05
"""Largest part of a line integral that air at the ends of noisy rows may look like."""
EDGE = 3
"""Columns at either end that are looked at."""


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """How to reconstruct: filter, redundancy of the scan, what lies beyond the detector."""

    ramp: Ramp
    scan: Scan
    truncation: Truncation


@final
@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All that is known before the data are touched."""

    found: Shadow
    seen: Orbit
    weights: RayWeights
    choice: Choice
    extend: tuple[int, int]


def need_line_integrals(projections: Projections) -> None:
    """Refuse projections that are not line integrals.

    Raises:
        UnitError: They are transmission or counts.
    """
    if projections.quantity != "line integral":
        raise UnitError(
            f"projections must be line integrals of mu, got {projections.quantity}: use "
            "reconstruct.ct.flat_field and reconstruct.ct.to_line_integrals first"
        )


def plan(projections: Projections, like: Grid, choice: Choice) -> Plan:
    """Check what was asked and work out all weights.

    Raises:
        UnitError: The projections are not line integrals.
        GeometryError: Geometry, grid and scan do not fit; the message says which.
    """
    need_line_integrals(projections)
    found = shadow(projections.geometry, like)
    seen = orbit(projections.geometry)
    weights = ray_weights(found, seen, choice.scan)
    columns = projections.geometry.shape[1]
    place = found.corners[..., 0]
    # a filtered row does not end with the detector: air beyond it needs the row's tails
    before = min(columns, max(0, math.ceil(-float(place.min()))))
    after = min(columns, max(0, math.ceil(float(place.max()) - (columns - 1))))
    return Plan(found, seen, weights, choice, (before, after))


def analytic(
    projections: Projections, *, like: Grid, choice: Choice, method: str
) -> Reconstruction:
    """Reconstruct by filtering and back-projecting.

    Args:
        projections: Line integrals.
        like: Where to reconstruct.
        choice: Filter, scan, truncation.
        method: Name in the result.

    Returns:
        mu in 1/mm, in the dtype and on the device of the projections.

    Raises:
        UnitError: The projections are not line integrals.
        GeometryError: Geometry, grid and scan do not fit.
    """
    planned = plan(projections, like, choice)
    data = projections.data
    compiled = data.device.type == "cpu" and not data.requires_grad and planned.found.is_aligned
    if not compiled:
        volume = _anywhere(data, planned)
    elif projections.geometry.beam == "parallel":
        volume = _parallel(data, planned)
    else:
        volume = _divergent(data, planned)
    return Reconstruction(Image(volume[None], like, "1/mm"), method, remarks=remarks(planned, data))


def remarks(planned: Plan, data: Tensor) -> tuple[str, ...]:
    """Say what a reader must know: missing directions, rows that are cut, rows continued."""
    said = []
    covered = planned.weights.covered
    if covered < 0.99:
        said.append(
            f"the views cover {100 * covered:.3g} % of half a turn: edges along the missing "
            "directions are lost"
        )
    if planned.choice.truncation != "none":
        said.append(f"rows were continued beyond the detector ({planned.choice.truncation})")
        return tuple(said)
    cut = _cut(planned, data.detach())
    if cut > CUT:
        said.append(
            f"rows end at the detector's edge at {100 * cut:.3g} % of the largest line integral: "
            "values are wrong, most of all near the edge; use truncation='ellipse', or "
            "scan='half-fan' for a detector moved to one side"
        )
    return tuple(said)


def _cut(planned: Plan, data: Tensor) -> float:
    """How much is left at the ends of weighted rows, as a part of the largest; 0 to 1."""
    weight = planned.weights.redundancy.to(data.device, data.dtype)[:, None]
    few = min(EDGE, data.shape[-1])
    # some columns together, for single ones are noisy
    left, right = (data[..., e] * weight[..., e] for e in (slice(few), slice(-few, None)))
    largest = float(data.max()) * float(weight.max())
    edge = max(float(left.mean(dim=-1).max()), float(right.mean(dim=-1).max()))
    return edge / largest if largest > 0 else 0.0


def filtered(rows: Tensor, weight: Tensor, planned: Plan) -> Tensor:
    """Weigh rows, continue and filter them.

    Args:
        rows: (*batch, column).
        weight: What they are multiplied by, of a shape that broadcasts.
        planned: The plan.

    Returns:
        (*batch, wider): columns of the plan's ``extend`` added on both sides.
    """
    geometry, choice = planned.found.geometry, planned.choice
    before, after = planned.extend
    rows = rows * weight.to(rows.device, rows.dtype)
    columns = rows.shape[-1]
    step = 0.0
    if geometry.arc_mm > 0:
        step = float(geometry.u[0].norm()) / geometry.arc_mm
    margin = 0
    if choice.truncation != "none":
        margin = max(before, after, columns // 2)
        rows = extrapolate(rows, choice.truncation, margin=margin)
    outside = (max(0, before - margin), max(0, after - margin))
    wide = filter_rows(
        rows, choice.ramp, pitch_mm=planned.seen.pitch_mm, extend=outside, step_rad=step
    )
    spare = max(0, margin - before)
    return wide[..., spare : spare + before + columns + after]


def slices(data: Tensor, planned: Plan) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the rows that parallel slices are made from, in pieces that fit the room.

    Args:
        data: (view, row, column).
        planned: The plan.

    Yields:
        Indices of slices, (z,), and their rows, (z, view, column), blended from the two detector
        rows beside each. Slices beyond the detector are left out.
    """
    found = planned.found
    views, rows, columns = data.shape
    depth = found.grid.shape[0]
    row = found.along[0, 0] * torch.arange(depth) + found.along[0, 3] + found.geometry.middle[0]
    inside = (row >= -0.5) & (row <= rows - 0.5)
    row = row.clamp(0.0, rows - 1.0)
    step = max(1, ROOM_BYTES // (views * columns * 8))
    for a in range(0, depth, step):
        part = torch.nonzero(inside[a : a + step])[:, 0] + a
        if len(part) == 0:
            continue
        low = row[part].floor().long()
        f = (row[part] - low).to(data.dtype)[:, None, None]
        lines = data[:, low].transpose(0, 1)
        if bool((f > 1e-6).any()):
            high = (low + 1).clamp(max=rows - 1)
            lines = lines + f * (data[:, high].transpose(0, 1) - lines)
        yield part, lines


def _parallel(data: Tensor, planned: Plan) -> Volume:
    """Slices, each from the detector rows that it falls on."""
    found = planned.found
    height, width = found.grid.shape[1:]
    weight = planned.weights.redundancy * planned.weights.share[:, None]
    place = found.across[:, 1:].clone()
    place[:, 2] += found.geometry.middle[1] + planned.extend[0]
    volume = data.new_zeros(found.grid.shape)
    for part, lines in slices(data, planned):
        wide = filtered(lines, weight, planned).contiguous()
        volume[part] = sum_parallel(wide, place, (height, width))
    return volume


def _bordered(data: Tensor, planned: Plan, views: slice) -> Tensor:
    """Filter views and lay them out as (view, column, row) with a border of one element."""
    weights = planned.weights
    redundancy = weights.redundancy if len(weights.redundancy) == 1 else weights.redundancy[views]
    weight = redundancy * weights.share[views, None]
    weight = weight[:, None, :] * planned.seen.cosine
    wide = filtered(data[views], weight, planned).transpose(1, 2)
    return pad(pad(wide, (1, 1), mode="replicate"), (0, 0, 1, 1)).contiguous()


def _origin(planned: Plan) -> tuple[float, float]:
    row, column = planned.found.geometry.middle
    return column + planned.extend[0] + 1.0, row + 1.0


def _steps(data: Tensor) -> list[slice]:
    """Cut views into pieces that stay below the room for filtered copies."""
    views = len(data)
    step = max(1, ROOM_BYTES // (8 * data[0].numel()))
    return [slice(a, min(a + step, views)) for a in range(0, views, step)]


def _scale(planned: Plan) -> float:
    seen = planned.seen
    if planned.found.geometry.arc_mm > 0:
        return seen.source_mm
    return seen.source_mm / seen.reach_mm if seen.reach_mm > 0 else 1.0


def rays_of(planned: Plan) -> Divergent:
    """Say where voxels fall, as the compiled loop wants it."""
    found, geometry = planned.found, planned.found.geometry
    pitch = geometry.u.norm(dim=1)[:, None]
    reach = (geometry.centre - geometry.source).norm(dim=1)[:, None]
    is_arc = geometry.arc_mm > 0
    across, depth = found.across[:, 1:], found.depth[:, 1:]
    lift = geometry.arc_mm if is_arc else 1.0
    return Divergent(
        across * pitch if is_arc else across,
        depth * reach if is_arc else depth,
        found.along[:, [0, 3]],
        _origin(planned),
        _scale(planned),
        geometry.arc_mm / float(pitch[0]) if is_arc else 0.0,
        0.0 if geometry.beam == "fan" else lift,
    )


def _divergent(data: Tensor, planned: Plan) -> Volume:
    """Fans and cones on a grid whose z axis runs along detector columns."""
    depth, height, width = planned.found.grid.shape
    total = data.new_zeros(height, width, depth)
    rays = rays_of(planned)
    for views in _steps(data):
        part = replace(
            rays, across=rays.across[views], depth=rays.depth[views], along=rays.along[views]
        )
        sum_divergent(_bordered(data, planned, views), part, total)
    return total.permute(2, 0, 1).contiguous()


def _anywhere(data: Tensor, planned: Plan) -> Volume:
    """Any beam, grid, device; with derivatives."""
    volume = data.new_zeros(planned.found.grid.shape)
    for views in _steps(data):
        lines = _bordered(data, planned, views)
        volume = volume + sum_any(
            lines, planned.found, first=_origin(planned), scale=_scale(planned), views=views
        )
    return volume
