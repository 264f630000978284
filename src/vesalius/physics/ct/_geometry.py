"""Geometry: where each ray of a CT, tomosynthesis or X-ray acquisition runs, in millimetres."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Linear
from vesalius.errors import GeometryError, ShapeError

Beam = Literal["parallel", "fan", "cone"]
Vectors = Float[Tensor, "..."]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Rays as vectors, one set per view, in the world (L, P, S), mm.

    The convention, written once: at angle 0 the source is on +x (L); it moves counter-clockwise
    seen from +z (S), which is clockwise in the radiological view, where one looks from the feet.
    ``u`` runs along a detector row in the sense of the motion, ``v`` along +z, so that u x v
    points from the detector to the source. Element (row r, column c) lies at
    ``centre + (r - middle[0]) v + (c - middle[1]) u``.

    Attributes:
        beam: ``"parallel"``: all rays of a view run along ``source``. ``"cone"``: rays leave the
            point ``source``. ``"fan"``: rays of a row leave ``source`` moved by the row's step
            along ``v``, so each row is a fan of its own; a single row is the same as a cone.
        source: (view, 3) float64. Source points, mm; for ``"parallel"`` unit vectors along the
            rays, from the source to the detector.
        centre: (view, 3) float64. The detector's point at index ``middle``, mm.
        u: (view, 3) float64. Step from one column to the next, mm.
        v: (view, 3) float64. Step from one row to the next, mm.
        shape: Number of elements (rows, columns).
        middle: Index (row, column) that lies at ``centre``; fractional.
        arc_mm: 0 for a flat detector; else its radius about the source: columns are then
            ``|u| / arc_mm`` radians apart on a circle that is tangent to ``u`` at ``centre``.
        angles_deg: (view,) float64. Nominal gantry angle of each view, not wrapped.
        isocentre_mm: Point (L, P, S) that the orbit turns about, mm.
        axis: Unit vector (L, P, S) that the orbit turns about, right-handed.

    Raises:
        ShapeError: The arrays do not have one entry per view, or there is no view or element.
        GeometryError: A value is NaN or infinite, a step has no length, rays run along the
            detector, or an arc is used with parallel rays.
    """

    beam: Beam
    source: Vectors
    centre: Vectors
    u: Vectors
    v: Vectors
    shape: tuple[int, int]
    middle: tuple[float, float]
    angles_deg: Vectors
    arc_mm: float = 0.0
    isocentre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if self.angles_deg.ndim != 1 or self.angles_deg.numel() == 0:
            raise ShapeError(
                f"a geometry must have at least one view, got angles of shape "
                f"{tuple(self.angles_deg.shape)}: give one angle per view"
            )
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ShapeError(f"shape must be (rows, columns) of at least 1, got {self.shape}")
        expected = (self.views, 3)
        for name in ("source", "centre", "u", "v"):
            value = getattr(self, name).double().cpu()
            if tuple(value.shape) != expected:
                raise ShapeError(
                    f"{name} must have shape {expected}, one vector per view, "
                    f"got {tuple(value.shape)}"
                )
            if not bool(torch.isfinite(value).all()):
                raise GeometryError(f"{name} must be finite, got NaN or infinity: check the angles")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "angles_deg", self.angles_deg.double().cpu())
        self._check_rays()

    def _check_rays(self) -> None:
        numbers = (*self.middle, self.arc_mm, *self.isocentre_mm, *self.axis)
        if not (all(map(math.isfinite, numbers)) and bool(self.angles_deg.isfinite().all())):
            raise GeometryError(
                f"middle, arc_mm, isocentre_mm, axis and angles_deg must be finite, got {numbers} "
                "and such angles"
            )
        if self.arc_mm < 0 or (self.arc_mm > 0 and self.beam == "parallel"):
            raise GeometryError(
                f"arc_mm must be 0 for parallel rays and never negative, got {self.arc_mm:g} mm "
                f"for '{self.beam}'"
            )
        normal = torch.linalg.cross(self.u, self.v)
        area = normal.norm(dim=1)
        if not bool((area > 0).all()):
            raise GeometryError(
                "u and v must span the detector, got parallel or zero steps: give pitches in mm"
            )
        ray = self.source if self.beam == "parallel" else self.centre - self.source
        across = (normal * ray).sum(dim=1).abs() / (area * ray.norm(dim=1).clamp_min(1e-300))
        if not bool((across > 1e-6).all()):
            raise GeometryError(
                "rays must cross the detector, got a view whose central ray runs along it or "
                "whose source lies on it: check source and detector distances"
            )

    @property
    def views(self) -> int:
        """Number of views."""
        return int(self.angles_deg.numel())

    @property
    def pitch_mm(self) -> tuple[float, float]:
        """Distance between neighbouring (rows, columns) of the first view, mm."""
        return float(self.v[0].norm()), float(self.u[0].norm())

    @property
    def codomain(self) -> tuple[int, int, int]:
        """Shape (views, rows, columns) of what is measured."""
        return (self.views, *self.shape)

    @property
    def magnification(self) -> float:
        """Source to detector over source to isocentre, first view; 1 for parallel rays."""
        if self.beam == "parallel":
            return 1.0
        iso = torch.tensor(self.isocentre_mm, dtype=torch.float64)
        axis = torch.tensor(self.axis, dtype=torch.float64)
        normal = torch.linalg.cross(self.u[0], self.v[0])
        normal = normal / normal.norm()
        iso = iso + axis * ((self.source[0] - iso) @ axis)  # a helix: same height as the source
        return float(
            ((self.centre[0] - self.source[0]) @ normal) / ((iso - self.source[0]) @ normal)
        )

    def take(self, views: Tensor | slice) -> "Geometry":
        """Keep some views.

        Args:
            views: Indices or a slice.

        Returns:
            A geometry of these views alone.
        """
        names = ("source", "centre", "u", "v", "angles_deg")
        return replace(self, **{name: getattr(self, name)[views] for name in names})

    def moved(self, pose: Linear) -> "Geometry":
        """Move source and detector rigidly in the world, as if the patient moved the other way.

        Args:
            pose: Rigid map of world points, mm.

        Returns:
            The moved geometry.

        Raises:
            GeometryError: The pose is not rigid.
        """
        matrix = pose.matrix.double()
        turn, shift = matrix[:3, :3], matrix[:3, 3]
        if not torch.allclose(turn @ turn.T, torch.eye(3).double(), atol=1e-6) or turn.det() < 0:
            raise GeometryError(
                "pose must be rigid to move a scanner, this one scales, shears or mirrors: use "
                "Linear.rotation and Linear.translation"
            )
        source = self.source @ turn.T + (0.0 if self.beam == "parallel" else shift)
        iso = turn @ torch.tensor(self.isocentre_mm, dtype=torch.float64) + shift
        axis = turn @ torch.tensor(self.axis, dtype=torch.float64)
        a, b, c = iso.tolist()
        d, e, f = axis.tolist()
        return replace(
            self,
            source=source,
            centre=self.centre @ turn.T + shift,
            u=self.u @ turn.T,
            v=self.v @ turn.T,
            isocentre_mm=(a, b, c),
            axis=(d, e, f),
        )

    def rays(self, views: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Give every ray by a point and a unit direction.

        Args:
            views: Which views; all of a large geometry need much memory.

        Returns:
            Starts and unit directions from source to detector, each (views, rows, columns, 3)
            float64, mm. The start is the source point; for parallel rays the element itself.
        """
        rows, columns = self.shape
        r = torch.arange(rows, dtype=torch.float64) - self.middle[0]
        c = torch.arange(columns, dtype=torch.float64) - self.middle[1]
        u, v, centre, source = (t[views] for t in (self.u, self.v, self.centre, self.source))
        along_v = r[None, :, None, None] * v[:, None, None, :]
        if self.arc_mm > 0:
            place = self._on_arc(c, centre, source, u)[:, None] + along_v
        else:
            place = centre[:, None, None] + c[None, None, :, None] * u[:, None, None, :] + along_v
        if self.beam == "parallel":
            unit = source / source.norm(dim=1, keepdim=True)
            return place, unit[:, None, None].expand_as(place)
        start = source[:, None, None] + (along_v if self.beam == "fan" else 0.0)
        start = start.expand_as(place)
        ray = place - start
        return start, ray / ray.norm(dim=-1, keepdim=True)

    def _on_arc(self, c: Tensor, centre: Tensor, source: Tensor, u: Tensor) -> Tensor:
        """Points of one row on the arc, (view, column, 3)."""
        pitch = u.norm(dim=1, keepdim=True)
        inward = centre - source
        # the arc may be closer or further than `centre`: its radius is about the source
        inward = self.arc_mm * inward / inward.norm(dim=1, keepdim=True)
        angle = c[None, :] * pitch / self.arc_mm
        tangent = u / pitch
        points: Tensor = (
            source[:, None]
            + angle.cos()[..., None] * inward[:, None]
            + self.arc_mm * angle.sin()[..., None] * tangent[:, None]
        )
        return points

    def __repr__(self) -> str:
        rows, columns = self.shape
        span = float(self.angles_deg.max() - self.angles_deg.min())
        kind = f"{self.beam}, arc" if self.arc_mm else self.beam
        v, u = self.pitch_mm
        return (
            f"Geometry({kind}, {self.views} views over {span:.4g} deg, {rows} x {columns} elements "
            f"of {v:.4g} x {u:.4g} mm, magnification {self.magnification:.4g})"
        )


def parallel(
    angles_deg: Tensor,
    *,
    shape: tuple[int, int],
    pitch_mm: tuple[float, float] = (1.0, 1.0),
    offset_mm: tuple[float, float] = (0.0, 0.0),
) -> Geometry:
    """Make parallel rays that turn about +z through the origin.

    Args:
        angles_deg: (view,) gantry angles, degrees; the "source" is at this angle, at infinity.
        shape: Elements (rows, columns); rows lie along +z.
        pitch_mm: Distance between (rows, columns), mm.
        offset_mm: How far the detector's middle is moved along (v, u) from where the rotation
            axis projects to, mm.

    Returns:
        The geometry. A column at signed distance s measures the line of points
        ``-x sin(angle) + y cos(angle) = s``.

    Raises:
        GeometryError: A pitch is not positive.
    """
    out, along = _orbit(angles_deg)
    return Geometry(
        "parallel",
        source=-out,
        centre=torch.zeros_like(out),
        u=along * pitch_mm[1],
        v=_up(out) * pitch_mm[0],
        shape=shape,
        middle=_middle(shape, pitch_mm, offset_mm),
        angles_deg=angles_deg.double(),
    )


def fan(
    angles_deg: Tensor,
    *,
    shape: tuple[int, int],
    pitch_mm: tuple[float, float],
    source_mm: float,
    detector_mm: float,
    offset_mm: tuple[float, float] = (0.0, 0.0),
    arc: bool = False,
) -> Geometry:
    """Make fans, one per detector row, whose source turns about +z.

    Args:
        angles_deg: (view,) angle of the source, degrees.
        shape: Elements (rows, columns); rows lie along +z, each with its own fan.
        pitch_mm: Distance between (rows, columns) at the detector, mm.
        source_mm: Source to rotation axis, mm.
        detector_mm: Source to detector, mm.
        offset_mm: Shift of the detector along (v, u), mm; half a detector makes a half-fan.
        arc: Columns lie on a circle about the source instead of on a line.

    Returns:
        The geometry.

    Raises:
        GeometryError: A distance or pitch is not positive, or the detector is nearer than the axis.
    """
    return _divergent(
        "fan", angles_deg, shape, pitch_mm, (source_mm, detector_mm), offset_mm, arc=arc
    )


def cone(
    angles_deg: Tensor,
    *,
    shape: tuple[int, int],
    pitch_mm: tuple[float, float],
    source_mm: float,
    detector_mm: float,
    offset_mm: tuple[float, float] = (0.0, 0.0),
    arc: bool = False,
) -> Geometry:
    """Make a cone beam on a circle about +z.

    Args:
        angles_deg: (view,) angle of the source, degrees.
        shape: Elements (rows, columns).
        pitch_mm: Distance between (rows, columns) at the detector, mm.
        source_mm: Source to rotation axis, mm.
        detector_mm: Source to detector, mm.
        offset_mm: Shift of the detector along (v, u), mm.
        arc: The detector is a cylinder about the source (a clinical CT) instead of a plane.

    Returns:
        The geometry.

    Raises:
        GeometryError: A distance or pitch is not positive, or the detector is nearer than the axis.
    """
    return _divergent(
        "cone", angles_deg, shape, pitch_mm, (source_mm, detector_mm), offset_mm, arc=arc
    )


def helical(circular: Geometry, *, pitch_mm_per_turn: float) -> Geometry:
    """Turn a circular cone beam into a helix: source and detector climb along the axis.

    Args:
        circular: A cone beam; its angles run over as many turns as there are.
        pitch_mm_per_turn: Climb for each 360 degrees of increasing angle, mm; may be negative.

    Returns:
        The helix; the middle of the climb is at the isocentre.

    Raises:
        GeometryError: The rays are parallel: they have no source that could climb.
    """
    if circular.beam == "parallel":
        raise GeometryError("a helix needs a source point, got parallel rays: use cone(...)")
    climb = pitch_mm_per_turn * circular.angles_deg / 360.0
    climb = climb - (climb.max() + climb.min()) / 2
    shift = climb[:, None] * torch.tensor(circular.axis, dtype=torch.float64)
    return replace(circular, source=circular.source + shift, centre=circular.centre + shift)


def tomosynthesis(
    angles_deg: Tensor,
    *,
    shape: tuple[int, int],
    pitch_mm: tuple[float, float],
    source_mm: float,
    detector_mm: float,
) -> Geometry:
    """Make a source on an arc over a detector that stands still.

    Args:
        angles_deg: (view,) angle of the source, degrees; 0 is straight above the detector.
        shape: Elements (rows, columns).
        pitch_mm: Distance between (rows, columns), mm.
        source_mm: Source to the pivot (the isocentre), mm.
        detector_mm: Source to detector at angle 0, mm.

    Returns:
        The geometry; the detector faces +x (L), the source swings in the L-P plane.

    Raises:
        GeometryError: A distance is not positive, the detector is nearer than the pivot, or an
            angle reaches 90 degrees.
    """
    widest = float(angles_deg.abs().max()) if angles_deg.numel() else 0.0
    if widest >= 90.0:
        raise GeometryError(
            f"angles_deg must stay within 90 degrees of the still detector, got {widest:g}"
        )
    moving = cone(
        angles_deg, shape=shape, pitch_mm=pitch_mm, source_mm=source_mm, detector_mm=detector_mm
    )
    still = cone(
        torch.zeros(1, dtype=torch.float64),
        shape=shape,
        pitch_mm=pitch_mm,
        source_mm=source_mm,
        detector_mm=detector_mm,
    )
    names = ("centre", "u", "v")
    return replace(
        moving, **{name: getattr(still, name).expand_as(moving.source) for name in names}
    )


def _divergent(
    beam: Beam,
    angles_deg: Tensor,
    shape: tuple[int, int],
    pitch_mm: tuple[float, float],
    distances: tuple[float, float],
    offset_mm: tuple[float, float],
    *,
    arc: bool,
) -> Geometry:
    source_mm, detector_mm = distances
    if not (0 < source_mm < math.inf and source_mm <= detector_mm < math.inf):
        raise GeometryError(
            f"source_mm must be positive and detector_mm at least as large, got {source_mm:g} and "
            f"{detector_mm:g} mm: both are measured from the source"
        )
    out, along = _orbit(angles_deg)
    return Geometry(
        beam,
        source=out * source_mm,
        centre=out * (source_mm - detector_mm),
        u=along * pitch_mm[1],
        v=_up(out) * pitch_mm[0],
        shape=shape,
        middle=_middle(shape, pitch_mm, offset_mm),
        angles_deg=angles_deg.double(),
        arc_mm=float(detector_mm) if arc else 0.0,
    )


def _orbit(angles_deg: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors to the source and along its motion, each (view, 3)."""
    angle = torch.deg2rad(angles_deg.double())
    zero = torch.zeros_like(angle)
    out = torch.stack([angle.cos(), angle.sin(), zero], dim=-1)
    return out, torch.stack([-angle.sin(), angle.cos(), zero], dim=-1)


def _up(out: Tensor) -> Tensor:
    return torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand_as(out)


def _middle(
    shape: tuple[int, int], pitch_mm: tuple[float, float], offset_mm: tuple[float, float]
) -> tuple[float, float]:
    """Index of the point where the axis projects to, when the detector is moved by an offset."""
    if not min(pitch_mm) > 0:
        raise GeometryError(f"pitch_mm must be positive along (rows, columns), got {pitch_mm} mm")
    rows, columns = (
        (n - 1) / 2 - o / p for n, p, o in zip(shape, pitch_mm, offset_mm, strict=True)
    )
    return rows, columns
