"""Geometries of the Reconstruction Toolkit (RTK): to its XML text and back."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.errors import FormatError, GeometryError
from vesalius.physics.ct._geometry import Geometry

_CYCLE = [1, 2, 0]
"""RTK's axes (x, y, z) are (P, S, L): it turns about y and starts on +z; angles stay the same."""

_NAMES = (
    "SourceToIsocenterDistance",
    "SourceToDetectorDistance",
    "GantryAngle",
    "ProjectionOffsetX",
    "ProjectionOffsetY",
    "OutOfPlaneAngle",
    "InPlaneAngle",
    "SourceOffsetX",
    "SourceOffsetY",
)
"""The nine numbers of a view, in the order of RTK's ``AddProjection``; degrees and mm."""

_AFAR_MM = 1000.0
"""Where RTK puts the source of parallel rays; nothing depends on it."""


@final
@dataclass(frozen=True, slots=True)
class RtkGeometry:
    """What RTK needs to read projections ordered (view, row, column) as they are.

    A volume must be handed over with its axes cycled: the ITK image whose array is indexed
    (z, y, x) = (L, S, P), which is ``data.permute(2, 0, 1)`` of an array (S, P, L), with spacing
    and origin in the order (P, S, L).

    Attributes:
        xml: Text of RTK's geometry file, version 3.
        origin_mm: Origin of the stack of projections along (x, y): columns, then rows.
        spacing_mm: Its spacing along (x, y).
        shape: Elements (rows, columns).
    """

    xml: str
    origin_mm: tuple[float, float]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]


def to_rtk(geometry: Geometry) -> RtkGeometry:
    """Describe a geometry in RTK's nine numbers per view.

    Args:
        geometry: Parallel or cone (or a fan of one row); rows across columns, one pitch for all
            views. An arc must be centred at the source.

    Returns:
        The XML text, and where the stack of projections lies.

    Raises:
        GeometryError: Each row is a fan of its own, rows are not across columns, the pitch
            changes, parallel rays are not across the detector, or the arc's radius is not the
            distance from source to detector.
    """
    _check(geometry)
    numbers = _nine(geometry)
    lines = ['<?xml version="1.0"?>', "<!DOCTYPE RTKGEOMETRY>"]
    lines.append('<RTKThreeDCircularGeometry version="3">')
    if geometry.arc_mm > 0:
        lines.append(
            f"  <RadiusCylindricalDetector>{geometry.arc_mm!r}</RadiusCylindricalDetector>"
        )
    for view in numbers.tolist():
        lines.append("  <Projection>")
        lines += [f"    <{k}>{x!r}</{k}>" for k, x in zip(_NAMES, view, strict=True)]
        rows = [" ".join(repr(x) for x in row) for row in _matrix(view).tolist()]
        lines += ["    <Matrix>", *(f"      {row}" for row in rows), "    </Matrix>"]
        lines.append("  </Projection>")
    lines.append("</RTKThreeDCircularGeometry>")
    dv, du = geometry.pitch_mm
    return RtkGeometry(
        "\n".join(lines) + "\n",
        (-geometry.middle[1] * du, -geometry.middle[0] * dv),
        (du, dv),
        geometry.shape,
    )


def from_rtk(description: RtkGeometry) -> Geometry:
    """Read a geometry from RTK's XML text.

    Args:
        description: The text, and where the stack of projections lies.

    Returns:
        The geometry; the nominal angles are the gantry angles.

    Raises:
        FormatError: The text is not RTK's geometry of version 3, or a number cannot be read.
    """
    numbers, radius = _parse(description.xml)
    rotations = torch.stack([_rotation(*view[[2, 5, 6]].tolist()) for view in numbers])
    across, up, toward = rotations.unbind(dim=1)
    sid, sdd, angles, px, py, _, _, sx, sy = (c[:, None] for c in numbers.T)
    parallel = bool((sdd == 0).all())
    source = -toward if parallel else sx * across + sy * up + sid * toward
    depth = torch.zeros_like(sid) if parallel else sid - sdd
    centre = px * across + py * up + depth * toward
    back = torch.argsort(torch.tensor(_CYCLE))
    du, dv = description.spacing_mm
    return Geometry(
        "parallel" if parallel else "cone",
        source=source[:, back],
        centre=centre[:, back],
        u=across[:, back] * du,
        v=up[:, back] * dv,
        shape=description.shape,
        middle=(-description.origin_mm[1] / dv, -description.origin_mm[0] / du),
        angles_deg=angles[:, 0],
        arc_mm=radius,
    )


def _check(geometry: Geometry) -> None:
    if geometry.beam == "fan" and geometry.shape[0] > 1:
        raise GeometryError(
            f"RTK has no stack of fans, got {geometry.shape[0]} rows: export one row at a time"
        )
    pitch_u, pitch_v = geometry.u.norm(dim=1), geometry.v.norm(dim=1)
    even = float((pitch_u - pitch_u[0]).abs().max() + (pitch_v - pitch_v[0]).abs().max())
    skew = float(((geometry.u * geometry.v).sum(dim=1) / (pitch_u * pitch_v)).abs().max())
    if even > 1e-6 or skew > 1e-6:
        raise GeometryError(
            "RTK needs rows across columns and one pitch for all views, got another detector: "
            "resample the projections"
        )
    toward = torch.linalg.cross(geometry.u, geometry.v) / (pitch_u * pitch_v)[:, None]
    if geometry.beam == "parallel":
        unit = geometry.source / geometry.source.norm(dim=1, keepdim=True)
        if float((unit + toward).norm(dim=1).max()) > 1e-6:
            raise GeometryError(
                "parallel rays must run from u x v straight onto the detector for RTK, got "
                "slanted ones"
            )
        return
    distance = ((geometry.source - geometry.centre) * toward).sum(dim=1)
    if float(distance.min()) <= 0:
        raise GeometryError("u x v must point to the source for RTK: reverse v and the rows")
    if geometry.arc_mm > 0 and float((distance - geometry.arc_mm).abs().max()) > 1e-6:
        raise GeometryError(
            f"an arc must have the radius of its distance for RTK, got {geometry.arc_mm:g} mm "
            f"at {float(distance[0]):g} mm"
        )


def _nine(geometry: Geometry) -> Tensor:
    """RTK's numbers (view, 9) in the order of its ``AddProjection``."""
    across = (geometry.u / geometry.u.norm(dim=1, keepdim=True))[:, _CYCLE]
    up = (geometry.v / geometry.v.norm(dim=1, keepdim=True))[:, _CYCLE]
    toward = torch.linalg.cross(across, up)
    tilt = torch.asin((-toward[:, 1]).clamp(-1, 1))
    gantry = torch.atan2(toward[:, 0], toward[:, 2])
    # the nominal angle is kept where it is the same direction, so that turns are not lost
    turns = torch.round((geometry.angles_deg - torch.rad2deg(gantry)) / 360.0)
    level = torch.stack([gantry.cos(), torch.zeros_like(gantry), -gantry.sin()], dim=1)
    spin = torch.atan2(
        (across * torch.linalg.cross(toward, level)).sum(dim=1), (across * level).sum(dim=1)
    )
    centre = geometry.centre[:, _CYCLE]
    parallel = geometry.beam == "parallel"
    source = toward * _AFAR_MM if parallel else geometry.source[:, _CYCLE]
    sid = (source * toward).sum(dim=1)
    sdd = torch.zeros_like(sid) if parallel else sid - (centre * toward).sum(dim=1)
    return torch.stack(
        [
            sid,
            sdd,
            torch.rad2deg(gantry) + 360.0 * turns,
            (centre * across).sum(dim=1),
            (centre * up).sum(dim=1),
            torch.rad2deg(tilt),
            torch.rad2deg(spin),
            (source * across).sum(dim=1),
            (source * up).sum(dim=1),
        ],
        dim=1,
    )


def _rotation(gantry_deg: float, tilt_deg: float, spin_deg: float) -> Tensor:
    """Rows are the detector's column step, row step and normal in RTK's axes."""
    g, o, i = (math.radians(a) for a in (gantry_deg, tilt_deg, spin_deg))
    about_y = [[math.cos(g), 0.0, -math.sin(g)], [0.0, 1.0, 0.0], [math.sin(g), 0.0, math.cos(g)]]
    about_x = [[1.0, 0.0, 0.0], [0.0, math.cos(o), math.sin(o)], [0.0, -math.sin(o), math.cos(o)]]
    about_z = [[math.cos(i), math.sin(i), 0.0], [-math.sin(i), math.cos(i), 0.0], [0.0, 0.0, 1.0]]
    z, x, y = (torch.tensor(m, dtype=torch.float64) for m in (about_z, about_x, about_y))
    rows: Tensor = z @ x @ y
    return rows


def _matrix(view: list[float]) -> Tensor:
    """RTK's projection matrix (3, 4), which its reader compares with the nine numbers."""
    sid, sdd, gantry, px, py, tilt, spin, sx, sy = view
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = _rotation(gantry, tilt, spin)
    shift = torch.eye(4, dtype=torch.float64)
    shift[0, 3], shift[1, 3] = -sx, -sy
    magnify = torch.zeros(3, 4, dtype=torch.float64)
    if sdd == 0:
        magnify[0, 0] = magnify[1, 1] = magnify[2, 3] = 1.0
    else:
        magnify[0, 0] = magnify[1, 1] = -sdd
        magnify[2, 2], magnify[2, 3] = 1.0, -sid
    place = torch.eye(3, dtype=torch.float64)
    place[0, 2], place[1, 2] = sx - px, sy - py
    matrix: Tensor = place @ magnify @ shift @ turn
    return matrix


def _parse(xml: str) -> tuple[Tensor, float]:
    from xml.etree import ElementTree

    if "<!ENTITY" in xml:
        raise FormatError("RTK geometry must not define entities")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as wrong:
        raise FormatError(f"RTK geometry must be well-formed XML: {wrong}") from None
    if root.tag != "RTKThreeDCircularGeometry" or root.get("version") != "3":
        raise FormatError(
            f"RTK geometry must be RTKThreeDCircularGeometry of version 3, got {root.tag} of "
            f"version {root.get('version')}"
        )
    views = root.findall("Projection")
    if not views:
        raise FormatError("RTK geometry must have at least one Projection")
    try:
        shared = {name: float(root.findtext(name) or 0.0) for name in _NAMES}
        numbers = [[float(v.findtext(n) or shared[n]) for n in _NAMES] for v in views]
        radius = float(root.findtext("RadiusCylindricalDetector") or 0.0)
    except ValueError as wrong:
        raise FormatError(f"RTK geometry must hold numbers: {wrong}") from None
    return torch.tensor(numbers, dtype=torch.float64), radius
