"""Geometries of the ASTRA toolbox: to its dictionaries and back."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import FormatError, GeometryError
from vesalius.physics.ct._geometry import Beam, Geometry

Description = dict[str, Any]


def to_astra(geometry: Geometry) -> Description:
    """Describe a geometry as ASTRA's dictionary of vectors.

    One row of parallel rays or of a fan across the plane S = 0 becomes ``parallel_vec`` or
    ``fanflat_vec``; ASTRA's plane is then (X, Y) = (L, -P), since its row 0 has the largest Y, so
    that an array keeps its order. Everything else becomes ``parallel3d_vec`` or ``cone_vec`` with
    (X, Y, Z) = (L, P, S), an array (z, y, x) and projections that ASTRA orders (row, view, column).

    Args:
        geometry: Flat detector.

    Returns:
        What ``astra.create_projector`` and its kin take; lengths in mm, so that the volume must be
        given in mm too: :func:`astra_volume`.

    Raises:
        GeometryError: The detector is an arc, or each row is a fan of its own.
    """
    if geometry.arc_mm > 0:
        raise GeometryError(
            f"ASTRA knows flat detectors alone, this one is an arc of {geometry.arc_mm:g} mm: "
            "resample its columns first"
        )
    rows, columns = geometry.shape
    half = ((rows - 1) / 2 - geometry.middle[0], (columns - 1) / 2 - geometry.middle[1])
    centre = geometry.centre + half[0] * geometry.v + half[1] * geometry.u
    if rows == 1 and geometry.beam != "cone" and _in_plane(geometry, centre):
        parts = [geometry.source, centre, geometry.u]
        flat = torch.cat([p[:, :2] * torch.tensor([1.0, -1.0]).double() for p in parts], dim=1)
        kind = "parallel_vec" if geometry.beam == "parallel" else "fanflat_vec"
        return {"type": kind, "DetectorCount": columns, "Vectors": flat.numpy()}
    if geometry.beam == "fan" and rows > 1:
        raise GeometryError(
            f"ASTRA has no stack of fans, got {rows} rows: export one row at a time"
        )
    vectors = torch.cat([geometry.source, centre, geometry.u, geometry.v], dim=1)
    return {
        "type": "parallel3d_vec" if geometry.beam == "parallel" else "cone_vec",
        "DetectorRowCount": rows,
        "DetectorColCount": columns,
        "Vectors": vectors.numpy(),
    }


def astra_volume(grid: Grid) -> Description:
    """Describe a grid as ASTRA's volume in mm; the order of samples stays.

    Args:
        grid: Axes along L, P, S, in this order and sense; one slice makes a plane.

    Returns:
        What ``astra.create_vol_geom`` would make.

    Raises:
        GeometryError: The axes are turned or flipped.
    """
    step = torch.tensor(grid.spacing_mm, dtype=torch.float64)
    straight = torch.zeros(3, 3, dtype=torch.float64)
    straight[0, 2], straight[1, 1], straight[2, 0] = step[2], step[1], step[0]
    if not torch.allclose(grid.affine[:3, :3], straight, atol=1e-9):
        raise GeometryError(
            f"axes must run along (S, P, L) for ASTRA, this grid is {grid.orientation}: resample"
        )
    nz, ny, nx = grid.shape
    dz, dy, dx = grid.spacing_mm
    x, y, z = grid.origin_mm
    low = (x - dx / 2, y - dy / 2, z - dz / 2)
    high = (low[0] + nx * dx, low[1] + ny * dy, low[2] + nz * dz)
    volume: Description = {"GridRowCount": ny, "GridColCount": nx}
    window = {"WindowMinX": low[0], "WindowMaxX": high[0]}
    if nz == 1:
        window |= {"WindowMinY": -high[1], "WindowMaxY": -low[1]}
    else:
        volume["GridSliceCount"] = nz
        window |= {"WindowMinY": low[1], "WindowMaxY": high[1]}
        window |= {"WindowMinZ": low[2], "WindowMaxZ": high[2]}
    return {**volume, "option": window}


def from_astra(description: Mapping[str, Any]) -> Geometry:
    """Read a geometry from ASTRA's dictionary.

    Args:
        description: Of type ``parallel``, ``parallel_vec``, ``fanflat``, ``fanflat_vec``,
            ``parallel3d_vec`` or ``cone_vec``; lengths in mm. Axes as in :func:`to_astra`.

    Returns:
        The geometry. Gantry angles are those of the sources; rows of a plane are 1 mm high.

    Raises:
        FormatError: The type is not one of these, a key is missing, or the vectors have the wrong
            length.

    Example:
        >>> import numpy as np
        >>> flat = {"type": "parallel", "DetectorWidth": 1.0, "DetectorCount": 5}
        >>> from_astra({**flat, "ProjectionAngles": np.array([0.0])})
        Geometry(parallel, 1 views over 0 deg, 1 x 5 elements of 1 x 1 mm, magnification 1)
    """
    kind = str(description.get("type"))
    counts = ("DetectorRowCount", "DetectorColCount") if "3d" in kind or "cone" in kind else ()
    try:
        if kind in ("parallel", "fanflat"):
            vectors = _plane_vectors(description)
        elif kind in ("parallel_vec", "fanflat_vec", "parallel3d_vec", "cone_vec"):
            vectors = torch.from_numpy(np.asarray(description["Vectors"], dtype=np.float64))
        else:
            raise FormatError(
                f"ASTRA geometry must be parallel, fanflat, parallel3d_vec, cone_vec or the "
                f"vectors of a plane, got '{kind}': use astra.geom_2vec"
            )
        found = [int(description[name]) for name in counts or ("DetectorCount",)]
    except KeyError as absent:
        raise FormatError(f"ASTRA geometry '{kind}' must have the key {absent}") from None
    width = 12 if counts else 6
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise FormatError(
            f"vectors of '{kind}' must have shape (views, {width}), got {tuple(vectors.shape)}"
        )
    shape = (found[0], found[1]) if counts else (1, found[0])
    beam = cast(Beam, {"p": "parallel", "f": "fan", "c": "cone"}[kind[0]])
    return _from_vectors(beam, vectors, shape)


def _from_vectors(beam: Beam, vectors: Tensor, shape: tuple[int, int]) -> Geometry:
    if vectors.shape[1] == 6:
        flip = torch.tensor([1.0, -1.0], dtype=torch.float64)
        zero = torch.zeros(len(vectors), 1, dtype=torch.float64)
        source, centre, u = (
            torch.cat([part * flip, zero], dim=1) for part in torch.split(vectors, 2, dim=1)
        )
        v = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand_as(source)
    else:
        source, centre, u, v = torch.split(vectors, 3, dim=1)
    if beam == "parallel":
        source = source / source.norm(dim=1, keepdim=True)
    away = -source if beam == "parallel" else source
    angles = torch.rad2deg(torch.atan2(away[:, 1], away[:, 0]))
    rows, columns = shape
    middle = ((rows - 1) / 2, (columns - 1) / 2)
    return Geometry(beam, source, centre, u, v, shape, middle, angles)


def _plane_vectors(description: Mapping[str, Any]) -> Tensor:
    """Vectors of an equally spaced plane geometry, as ASTRA defines its angles."""
    angle = np.asarray(description["ProjectionAngles"], dtype=np.float64)
    width = float(description["DetectorWidth"])
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    down = np.stack([np.sin(angle), -np.cos(angle)], axis=1)
    if description["type"] == "parallel":
        parts = [down, np.zeros_like(down), along * width]
    else:
        near = float(description["DistanceOriginSource"])
        far = float(description["DistanceOriginDetector"])
        parts = [down * near, -down * far, along * width]
    return torch.from_numpy(np.concatenate(parts, axis=1))


def _in_plane(geometry: Geometry, centre: Tensor) -> bool:
    """Whether every ray lies in the plane S = 0."""
    parts = torch.cat([geometry.source, centre, geometry.u])
    return math.isclose(float(parts[:, 2].abs().max()), 0.0, abs_tol=1e-9)
