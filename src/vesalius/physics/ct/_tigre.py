"""Geometries of TIGRE: to the attributes of its circular scanner and back."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import GeometryError
from vesalius.physics.ct._geometry import Geometry, cone, parallel

Pair = tuple[float, float]
Triple = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class TigreGeometry:
    """What ``tigre.geometry`` holds, under TIGRE's names; lengths in mm.

    TIGRE's axes (x, y, z) are (L, P, S): its source starts on +x and turns counter-clockwise, its
    volume is an array (z, y, x) and its projections are ordered (view, v, u). Written from TIGRE's
    documentation; it runs on GPUs alone and was not run against it.

    Attributes:
        mode: ``"cone"`` or ``"parallel"``.
        angles: (view,) radians.
        DSD: Source to detector.
        DSO: Source to rotation axis.
        nDetector: Elements (v, u).
        dDetector: Pitch (v, u).
        offDetector: Shift of the detector (v, u).
        nVoxel: Voxels (z, y, x).
        dVoxel: Voxel size (z, y, x).
        offOrigin: Middle of the volume (z, y, x) from the isocentre.
    """

    mode: Literal["cone", "parallel"]
    angles: Float[Tensor, " view"]
    DSD: float
    DSO: float
    nDetector: tuple[int, int]  # noqa: N815 - TIGRE's names
    dDetector: Pair  # noqa: N815
    offDetector: Pair  # noqa: N815
    nVoxel: tuple[int, int, int]  # noqa: N815
    dVoxel: Triple  # noqa: N815
    offOrigin: Triple  # noqa: N815


def to_tigre(geometry: Geometry, grid: Grid) -> TigreGeometry:
    """Describe a circular scan about S through the origin as TIGRE does.

    Args:
        geometry: Parallel or cone, flat, as :func:`parallel` and :func:`cone` make it.
        grid: Axes along L, P, S, in this order and sense.

    Returns:
        TIGRE's attributes.

    Raises:
        GeometryError: The scan is not circular about S through the origin with a flat detector, or
            the grid is turned.
    """
    dz, dy, dx = grid.spacing_mm
    straight = torch.zeros(3, 3, dtype=torch.float64)
    straight[0, 2], straight[1, 1], straight[2, 0] = dx, dy, dz
    if not torch.allclose(grid.affine[:3, :3], straight, atol=1e-9):
        raise GeometryError(
            f"axes must run along (S, P, L) for TIGRE, this grid is {grid.orientation}: resample"
        )
    middle = grid.to_world(torch.tensor([[(n - 1) / 2 for n in grid.shape]]).double())[0]
    x, y, z = middle.tolist()
    pitch = geometry.pitch_mm
    rows, columns = (
        ((n - 1) / 2 - m) * p
        for n, m, p in zip(geometry.shape, geometry.middle, pitch, strict=True)
    )
    is_parallel = geometry.beam == "parallel"
    near = 1000.0 if is_parallel else float(geometry.source[0].norm())
    far = 1500.0 if is_parallel else near + float(geometry.centre[0].norm())
    made = TigreGeometry(
        "parallel" if is_parallel else "cone",
        torch.deg2rad(geometry.angles_deg),
        far,
        near,
        geometry.shape,
        pitch,
        (rows, columns),
        grid.shape,
        grid.spacing_mm,
        (z, y, x),
    )
    _check_same(geometry, from_tigre(made))
    return made


def from_tigre(description: TigreGeometry) -> Geometry:
    """Read a geometry from TIGRE's attributes.

    Args:
        description: A circular scan.

    Returns:
        The geometry.

    Raises:
        GeometryError: A distance or a pitch is not positive.
    """
    angles = torch.rad2deg(description.angles.double())
    if description.mode == "parallel":
        return parallel(
            angles,
            shape=description.nDetector,
            pitch_mm=description.dDetector,
            offset_mm=description.offDetector,
        )
    return cone(
        angles,
        shape=description.nDetector,
        pitch_mm=description.dDetector,
        source_mm=description.DSO,
        detector_mm=description.DSD,
        offset_mm=description.offDetector,
    )


def _check_same(geometry: Geometry, circular: Geometry) -> None:
    if geometry.beam == "fan" and geometry.shape[0] > 1:
        raise GeometryError(
            f"TIGRE has no stack of fans, got {geometry.shape[0]} rows: export one row at a time"
        )
    size = float(circular.centre.abs().max() + circular.source.abs().max())
    names = ("source", "centre", "u", "v")
    off = max(float((getattr(geometry, n) - getattr(circular, n)).abs().max()) for n in names)
    if not (off <= 1e-9 * size and geometry.arc_mm == 0 and math.isfinite(off)):
        raise GeometryError(
            "TIGRE needs a circle about S through the origin with a flat detector, this geometry "
            f"is up to {off:.3g} mm off it: use ASTRA's vectors instead"
        )
