"""GeoJSON as QuPath writes it: outlines in pixels of an image, in and out."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from vesalius.core import Labels
from vesalius.errors import FormatError, OutputError
from vesalius.io._atomic import staged
from vesalius.io._contours import FAR, Contours, Outline, Roi
from vesalius.io._handle import Finding, Rules
from vesalius.io._rasterise import rasterise
from vesalius.io._trace import trace

Floats = npt.NDArray[np.float64]
ObjectType = Literal["annotation", "detection", "cell"]
CLOSED = ("Polygon", "MultiPolygon")
VALUE = "vesalius_label"
GROWTH = 40
"""Bytes that a parsed file takes for each byte of it, at most."""


def read_geojson(path: Path, rules: Rules) -> Contours:
    """Read the objects of a GeoJSON file (RFC 7946, with pixels in place of degrees).

    QuPath counts from the corner of the first pixel, x to the right and y downwards; here pixel
    centres are at whole numbers, so half a pixel is taken off. ``geometry.plane.z`` is the slice.

    Args:
        path: The file: a FeatureCollection, a Feature, a list of features, or a bare geometry.
        rules: The budget bounds the file.

    Returns:
        One region for each feature, valued from 1 in their order; features that ``save_geojson``
        wrote for slices of one label are one region, with its value. The name is
        ``properties.name``, else that of the classification, else ``object n``.

    Raises:
        FormatError: The file is no GeoJSON, or damaged.
    """
    rules.budget.check_size(path.name, (max(path.stat().st_size, 1) * GROWTH,), 1)
    findings: list[Finding] = []
    try:
        parsed = json.loads(path.read_bytes())
        features = list(_features(parsed))
        rois = _joined([_roi(one, number) for number, one in enumerate(features, start=1)])
    except FormatError:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        ArithmeticError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:80]
        raise FormatError(
            f"{path.name!r} must be GeoJSON with features in pixels, it is not: {reason}: "
            "export it again"
        ) from error
    kept = tuple(roi for roi in rois if roi.outlines)
    if len(kept) < len(rois):
        text = f"{len(rois) - len(kept)} objects without outlines were left out"
        findings.append(Finding("info", "no-contours", text))
    meta = {"format": "GeoJSON", "regions": len(kept)}
    return Contours(path.name, kept, meta, tuple(findings), space="pixel")


def save_geojson(labels: Labels, path: str | Path, *, kind: ObjectType = "annotation") -> None:
    """Write labels as outlines for QuPath, along pixel edges; equal labels give equal bytes.

    Args:
        labels: Any grid; each region becomes a feature for each slice that it lies in. Its value
            is kept in ``properties.metadata``.
        path: Where it goes; an existing file is replaced.
        kind: What the objects are in QuPath.

    Raises:
        OutputError: The folder is absent or not writable, or what was read back differs.
    """
    contours = trace(labels, space="pixel")
    features = [one for roi in contours.rois for one in _written(roi, kind)]
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
    target = Path(path)
    with staged(target) as stage:
        stage.write_text(text + "\n", encoding="utf-8")
        _compare(stage, contours, labels)


def _features(parsed: Any) -> Iterator[dict[str, Any]]:
    if isinstance(parsed, list):
        for one in parsed:
            yield from _features(one)
        return
    kind = parsed["type"]
    if kind == "FeatureCollection":
        for one in parsed["features"]:
            yield from _features(one)
    elif kind == "Feature":
        yield parsed
    else:
        yield {"type": "Feature", "geometry": parsed, "properties": {}}


def _joined(rois: list[tuple[Roi, int]]) -> list[Roi]:
    """Join the slices of labels that were written here; give the others values from 1."""
    own: dict[int, Roi] = {}
    if any(value == 0 for _, value in rois):
        return [replace(roi, value=k) for k, (roi, _) in enumerate(rois, start=1)]
    for roi, value in rois:
        before = own[value].outlines if value in own else ()
        own[value] = replace(roi, outlines=before + roi.outlines, value=value)
    return list(own.values())


def _roi(feature: dict[str, Any], number: int) -> tuple[Roi, int]:
    """Read a feature; also give the value that it was written with, 0 where there is none."""
    properties = feature.get("properties") or {}
    told = str((properties.get("metadata") or {}).get(VALUE, "0"))
    sort = properties.get("classification") or {}
    name = properties.get("name") or sort.get("name") or " ".join(sort.get("names") or [])
    roi = Roi(
        name=str(name or f"object {number}"),
        outlines=tuple(_outlines(feature.get("geometry") or {})),
        value=number,
        colour=_colour(properties.get("color", sort.get("color", sort.get("colorRGB")))),
    )
    return roi, int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0


def _outlines(geometry: dict[str, Any]) -> Iterator[Outline]:
    if not geometry:
        return
    kind = geometry["type"]
    z = float((geometry.get("plane") or {}).get("z", 0))
    if kind == "GeometryCollection":
        for one in geometry["geometries"]:
            yield from _outlines(one)
        return
    places = geometry["coordinates"]
    if kind in CLOSED:
        for polygon in [places] if kind == "Polygon" else places:
            for ring in polygon:
                points = _points(ring, z)
                ends = len(points) > 1 and bool((points[0] == points[-1]).all())
                yield Outline(torch.from_numpy(points[:-1].copy() if ends else points))
    elif kind in ("LineString", "MultiLineString"):
        for line in [places] if kind == "LineString" else places:
            yield Outline(torch.from_numpy(_points(line, z)), "open")
    elif kind in ("Point", "MultiPoint"):
        points = _points([places] if kind == "Point" else places, z)
        yield Outline(torch.from_numpy(points), "point")
    else:
        raise ValueError(f"the geometry {str(kind)[:40]!r} is unknown")


def _points(ring: Sequence[Sequence[float]], z: float) -> Floats:
    points = np.array([[z, float(p[1]) - 0.5, float(p[0]) - 0.5] for p in ring], dtype=np.float64)
    points = points.reshape(-1, 3)
    if len(points) and not float(np.abs(points).max()) <= FAR:
        raise ValueError("a coordinate is not finite or too large")
    return points


def _colour(value: Any) -> tuple[int, ...]:
    """Read [r, g, b], or the packed integer of older QuPath."""
    if isinstance(value, int):
        return ((value >> 16) & 255, (value >> 8) & 255, value & 255)
    if isinstance(value, list) and len(value) == 3 and all(isinstance(v, int) for v in value):
        return tuple(min(max(v, 0), 255) for v in value)
    return ()


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """An outer ring and the holes in it."""

    rings: list[Floats]

    def written(self) -> list[list[list[float]]]:
        # GeoJSON closes a ring by repeating its first point; pixels count from the corner
        return [[[x + 0.5, y + 0.5] for y, x in (*ring, ring[0])] for ring in self.rings]


def _written(roi: Roi, kind: ObjectType) -> Iterator[dict[str, Any]]:
    """Give a feature for each slice of a region."""
    slices: dict[int, list[Floats]] = {}
    for line in roi.outlines:
        points = line.points.numpy()
        slices.setdefault(round(float(points[0, 0])), []).append(points[:, 1:])
    for z, rings in slices.items():
        bodies = [body.written() for body in _bodies(rings)]
        several = len(bodies) > 1
        shape = {
            "type": "MultiPolygon" if several else "Polygon",
            "coordinates": bodies if several else bodies[0],
            "plane": {"c": -1, "z": z, "t": 0},
        }
        sort = {"name": roi.name, "color": list(roi.colour)}
        properties: dict[str, object] = {"objectType": kind, "name": roi.name}
        properties |= {"classification": sort, "metadata": {VALUE: str(roi.value)}}
        yield {"type": "Feature", "geometry": shape, "properties": properties}


def _bodies(rings: list[Floats]) -> list[_Body]:
    """Give each hole to the smallest outer ring around it."""
    from vesalius.ops._polygon import inside_polygons

    areas = [_area(ring) for ring in rings]
    outer = [(area, _Body([ring])) for area, ring in zip(areas, rings, strict=True) if area > 0]
    outer.sort(key=lambda pair: pair[0])
    for area, ring in zip(areas, rings, strict=True):
        if area > 0:
            continue
        # the first edge of a hole runs down its left side: a point left of it is in the body
        at = torch.from_numpy((ring[:1] + ring[1:2]) / 2 - np.array([[0.0, 0.25]]))
        start = torch.zeros(1, dtype=torch.int64)
        around = (
            b for _, b in outer if inside_polygons(at, torch.from_numpy(b.rings[0]), start)[0]
        )
        next(around).rings.append(ring)
    return sorted((b for _, b in outer), key=lambda b: tuple(b.rings[0][0]))


def _area(ring: Floats) -> float:
    y, x = ring.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def _compare(stage: Path, contours: Contours, labels: Labels) -> None:
    """Draw what was written and what was traced, and compare."""
    if not contours.rois:
        return
    drawn = rasterise(read_geojson(stage, Rules()), labels.grid).labels
    wanted = rasterise(contours, labels.grid).labels
    if drawn.names != wanted.names or not torch.equal(drawn.data, wanted.data):
        raise OutputError(
            f"output {stage.name!r} must hold what was written, its outlines read back differ: "
            "the disk may be damaged; nothing was replaced"
        )
