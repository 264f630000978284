"""Weights of views and rays: angular steps, short scans, displaced detectors, obliqueness."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import GeometryError
from vesalius.physics.ct import Geometry
from vesalius.reconstruct.ct._shadow import Shadow

Scan = Literal["full", "short", "half-fan"]
Angles = Float[Tensor, " view"]

UPRIGHT_DEG = 2.0
"""How far a detector may lean, or a view be from where its angle says: a calibrated scanner's."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class ViewShares:
    """How much of the turn each view stands for.

    Attributes:
        radians: (view,) step of each view.
        covered: Part of the period that the views cover, 0 to 1.
    """

    radians: Angles
    covered: float


def view_shares(angles_deg: Angles, *, period_deg: float) -> ViewShares:
    """Share a period among views: each has half of the gap to either neighbour.

    Args:
        angles_deg: (view,) in any order, over any number of turns.
        period_deg: 180 for parallel rays, 360 for others.

    Returns:
        The shares. A gap wider than three usual ones and an eighteenth of the period is a wedge
        that was not measured: it is not shared, so the sum falls short of the period. A single
        view stands for the whole period, but covers nothing of it.
    """
    wrapped = torch.remainder(angles_deg.double(), period_deg)
    # a rounding error below the period is the angle 0
    wrapped = torch.where(period_deg - wrapped < 1e-9 * period_deg, 0.0, wrapped)
    order = torch.argsort(wrapped)
    turned = wrapped[order]
    gap = torch.diff(turned, append=turned[:1] + period_deg)
    half = gap / 2
    if len(gap) > 1:
        # views of several turns may fall on each other, but for rounding
        usual = gap[gap > 0.01 * gap.mean()].median()
        wedge = (gap > 3 * usual) & (gap > period_deg / 18)
        half = torch.where(wedge, usual / 2, half)
    share = torch.empty_like(gap)
    share[order] = half + torch.roll(half, 1)
    covered = float(share.sum()) / period_deg if len(gap) > 1 else 0.0
    return ViewShares(torch.deg2rad(share), covered)


def short_shares(angles_deg: Angles) -> Angles:
    """Give the steps of an arc of views by the trapezoid rule, (view,), radians."""
    order = torch.argsort(angles_deg)
    half = torch.diff(angles_deg.double()[order]) / 2
    none = torch.zeros(1, dtype=torch.float64)
    share = torch.empty_like(angles_deg, dtype=torch.float64)
    share[order] = torch.cat([none, half]) + torch.cat([half, none])
    return torch.deg2rad(share)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Orbit:
    """One source on a circle with one detector, as seen in a single view.

    Attributes:
        source_mm: Source to the rotation axis; 0 for parallel rays.
        reach_mm: Source to the plane of a flat detector, or the radius of an arc; 0 for parallel.
        pitch_mm: Distance between columns at the rotation axis.
        place: (column,) angle of each column from the isocentre's ray, radians, positive towards
            ``u``; for parallel rays the signed distance from the isocentre, mm.
        cosine: (row, column) of the angle between a ray and the central plane's ray through the
            isocentre; 1 for parallel rays, the same in all rows of fans.
    """

    source_mm: float
    reach_mm: float
    pitch_mm: float
    place: Float[Tensor, " column"]
    cosine: Float[Tensor, "row column"]


def orbit(geometry: Geometry) -> Orbit:
    """Describe the first view of a circular scan, or of a helix.

    Args:
        geometry: Rays; every view must be the first one turned about the axis.

    Returns:
        Distances and angles.

    Raises:
        GeometryError: The views differ in distance or pitch by more than 1 %, or in direction from
            what their angles say by more than 2 degrees; or the detector leans by as much.
    """
    _check_alike(geometry)
    _check_upright(geometry)
    rows, columns = geometry.shape
    c = torch.arange(columns, dtype=torch.float64) - geometry.middle[1]
    r = torch.arange(rows, dtype=torch.float64) - geometry.middle[0]
    iso, axis = _vector(geometry.isocentre_mm), _vector(geometry.axis)
    u, v, source, centre = (t[0] for t in _vectors(geometry))
    if geometry.beam == "parallel":
        # what counts is the distance between rays, not between elements of a slanted detector
        along = torch.linalg.cross(axis, source)
        along = along / along.norm()
        along = along * torch.sign(along @ u)
        pitch = float(u @ along)
        one = torch.ones(rows, columns, dtype=torch.float64)
        return Orbit(0.0, 0.0, pitch, c * pitch + (centre - iso) @ along, one)
    inward = centre - source
    if geometry.arc_mm > 0:
        angle = (c * u.norm() / geometry.arc_mm)[:, None]
        inward = geometry.arc_mm * inward / inward.norm()
        ray = angle.cos() * inward + geometry.arc_mm * angle.sin() * u / u.norm()
        reach = geometry.arc_mm
    else:
        ray = inward + c[:, None] * u
        normal = torch.linalg.cross(u, v)
        reach = float((inward @ normal).abs() / normal.norm())
    towards = iso - source
    towards = towards - (towards @ axis) * axis
    source_mm = float(towards.norm())
    towards = towards / source_mm
    side = torch.linalg.cross(axis, towards)
    side = side * torch.sign(side @ u)
    place = torch.atan2(ray @ side, ray @ towards)
    lifted = ray + (0.0 if geometry.beam == "fan" else r[:, None, None] * v)
    cosine = (lifted @ towards) / lifted.norm(dim=-1)
    pitch = float(u.norm()) * source_mm / reach
    return Orbit(source_mm, reach, pitch, place, cosine.expand(rows, columns))


def _vector(values: tuple[float, float, float]) -> Float[Tensor, " 3"]:
    return torch.tensor(values, dtype=torch.float64)


def _vectors(geometry: Geometry) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return geometry.u, geometry.v, geometry.source, geometry.centre


def _check_alike(geometry: Geometry) -> None:
    """Refuse views that are not one view turned about the axis."""
    iso, axis = _vector(geometry.isocentre_mm), _vector(geometry.axis)
    u, v, source, centre = _vectors(geometry)
    moving = [u, v, source if geometry.beam == "parallel" else centre - source]
    sizes = [u.norm(dim=1), v.norm(dim=1)]
    if geometry.beam != "parallel":
        arm = source - iso
        moving.append(arm - (arm @ axis)[:, None] * axis)
        sizes += [m.norm(dim=1) for m in moving[2:]]
    worst = max(float((s.max() - s.min()) / s.max()) for s in sizes)
    if worst > 0.01:
        raise GeometryError(
            f"an analytic method needs every view to be the first one turned about the axis, got "
            f"distances or pitches that differ by {100 * worst:.3g} %: use an iterative method"
        )
    turned = max(_off_deg(m, _turned(m[0], axis, geometry.angles_deg)) for m in moving)
    if turned > UPRIGHT_DEG:
        raise GeometryError(
            f"an analytic method needs every view to be the first one turned about the axis by "
            f"the difference of angles_deg, got one that is {turned:.3g} degrees off: check "
            "angles_deg, axis and isocentre_mm, or use an iterative method"
        )


def _turned(first: Tensor, axis: Tensor, angles_deg: Angles) -> Float[Tensor, "view 3"]:
    """Turn the first view's vector to every view (Rodrigues)."""
    angle = torch.deg2rad(angles_deg - angles_deg[0])[:, None]
    along = (first @ axis) * axis
    across = torch.linalg.cross(axis, first)
    turned: Tensor = along + angle.cos() * (first - along) + angle.sin() * across
    return turned


def _off_deg(one: Tensor, two: Tensor) -> float:
    """Widest angle between vectors (view, 3), degrees."""
    sine = torch.linalg.cross(one, two).norm(dim=-1)
    return float(torch.rad2deg(torch.atan2(sine, (one * two).sum(dim=-1))).max())


def _check_upright(geometry: Geometry) -> None:
    """Refuse rows that do not run across the axis: they cannot be filtered one by one."""
    axis = _vector(geometry.axis)
    u, v, source, centre = (t[:1] for t in _vectors(geometry))
    leans = [
        _off_deg(v * (v @ axis).sign(), axis.expand_as(v)),
        abs(90.0 - _off_deg(u, axis[None])),
    ]
    if geometry.beam != "cone":
        out = source if geometry.beam == "parallel" else centre - source
        leans.append(abs(90.0 - _off_deg(out, axis[None])))
    if max(leans) > UPRIGHT_DEG:
        raise GeometryError(
            f"an analytic method needs detector rows and rays across the rotation axis, got a "
            f"detector or rays that lean by {max(leans):.3g} degrees: use an iterative method"
        )


def parker(
    angles_deg: Angles, fan_rad: Float[Tensor, " column"], *, sense: float
) -> Float[Tensor, "view column"]:
    """Weigh the rays of a short scan so that the two measurements of a line sum to 1.

    Args:
        angles_deg: (view,) angles of the source, over 180 degrees + the fan, at most 360.
        fan_rad: (column,) angle of each column from the central ray, radians.
        sense: +1 where columns run in the sense of growing angles, else -1.

    Returns:
        (view, column) from 0 to 1, smooth.

    References:
        Parker (1982), doi:10.1118/1.595078, eq. 12. Differs: half of what the scan has beyond
        180 degrees stands for half the fan angle (Silver (2000), doi:10.1118/1.1320478), so longer
        scans are used whole.
    """
    beta = torch.deg2rad(angles_deg.double() - float(angles_deg.min()))[:, None]
    over = (float(beta.max()) - math.pi) / 2
    # Parker's fan angle grows against the motion of the source
    gamma = (-sense * fan_rad)[None, :].clamp(-over, over)
    left = math.pi + 2 * over - beta
    rise = torch.sin(math.pi / 4 * beta / (over - gamma).clamp_min(1e-12)) ** 2
    fall = torch.sin(math.pi / 4 * left / (over + gamma).clamp_min(1e-12)) ** 2
    one = torch.ones_like(rise)
    first, last = beta < 2 * (over - gamma), beta > math.pi - 2 * gamma
    weight: Tensor = torch.where(first, rise, torch.where(last, fall, one))
    return weight


def half_fan(place: Float[Tensor, " column"]) -> Float[Tensor, " column"]:
    """Weigh the columns of a displaced detector so that a line and its reverse sum to 1.

    Args:
        place: (column,) fan angle, or distance for parallel rays, from the isocentre's ray; its
            range must hold 0, and the shorter side is the overlap.

    Returns:
        (column,) from 0 to 1; 1/2 at the isocentre's ray.

    Raises:
        GeometryError: The detector does not reach over the isocentre's ray.

    References:
        Wang (2002), doi:10.1118/1.1489043, eq. 6: a smooth weight over the overlap.
    """
    low, high = float(place.min()), float(place.max())
    if not low < 0.0 < high:
        raise GeometryError(
            f"a half-fan must reach over the isocentre's ray, got columns from {low:.4g} to "
            f"{high:.4g} (rad, or mm for parallel rays): check the detector's offset"
        )
    long_side = 1.0 if high >= -low else -1.0
    overlap = min(-low, high)
    inside = (place * long_side / overlap).clamp(-1.0, 1.0)
    weight: Tensor = 0.5 + 0.5 * torch.sin(math.pi / 2 * inside)
    return weight


@final
@dataclass(frozen=True, slots=True, eq=False)
class RayWeights:
    """What projections are multiplied by before they are filtered.

    Attributes:
        redundancy: (view or 1, column): the measurements of one line sum to 1.
        share: (view,) radians.
        covered: Part of the needed turn that was measured.
    """

    redundancy: Float[Tensor, "view_or_1 column"]
    share: Angles
    covered: float


def ray_weights(found: Shadow, seen: Orbit, scan: Scan) -> RayWeights:
    """Weigh views and rays for a scan.

    Args:
        found: Geometry and grid.
        seen: What :func:`orbit` gives for the geometry.
        scan: ``"full"``: half a turn of parallel rays, or a whole turn of others. ``"short"``:
            180 degrees and the fan; parallel rays need no such weight. ``"half-fan"``: a whole
            turn with the detector moved to one side.

    Returns:
        The weights.

    Raises:
        GeometryError: The views do not cover what the scan needs.
    """
    geometry = found.geometry
    columns = geometry.shape[1]
    if geometry.beam == "parallel" and scan != "half-fan":
        shares = view_shares(geometry.angles_deg, period_deg=180.0)
        one = torch.ones(1, columns, dtype=torch.float64)
        return RayWeights(one, shares.radians, shares.covered)
    place = seen.place
    if scan == "short":
        return _short(found, place)
    shares = view_shares(geometry.angles_deg, period_deg=360.0)
    if shares.covered < 0.99:
        enough = (
            ""
            if geometry.beam == "parallel"
            else ("scan='short' (180 degrees and the fan angle are enough), or ")
        )
        raise GeometryError(
            f"a {scan} scan must cover a whole turn, got views over "
            f"{360 * shares.covered:.4g} degrees: use {enough}an iterative method"
        )
    weight = half_fan(place) if scan == "half-fan" else torch.full((columns,), 0.5).double()
    return RayWeights(weight[None], shares.radians, 1.0)


def _short(found: Shadow, place: Float[Tensor, " column"]) -> RayWeights:
    geometry = found.geometry
    angles = geometry.angles_deg
    span = float(angles.max() - angles.min())
    step = span / max(1, geometry.views - 1)
    corners = found.corners[..., 0]
    first = max(0, math.floor(float(corners.min())))
    last = min(geometry.shape[1] - 1, math.ceil(float(corners.max())))
    widest = float(place[[first, last]].abs().max())
    needed = 180.0 + 2 * math.degrees(widest)
    if span + 1.01 * step < needed:
        raise GeometryError(
            f"a short scan must cover 180 degrees and the fan angle, here {needed:.4g} degrees, "
            f"got {span:.4g}: use an iterative method for limited angles"
        )
    if span > 360.0 + 1e-6:
        raise GeometryError(
            f"a short scan must not exceed one turn, got {span:.4g} degrees: use scan='full'"
        )
    axis = torch.tensor(geometry.axis, dtype=torch.float64)
    iso = torch.tensor(geometry.isocentre_mm, dtype=torch.float64)
    motion = torch.linalg.cross(axis, geometry.source[0] - iso)
    sense = math.copysign(1.0, float(motion @ geometry.u[0]))
    return RayWeights(parker(angles, place, sense=sense), short_shares(angles), 1.0)
