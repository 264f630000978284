"""The Shepp-Logan head phantom in two and three dimensions, as first printed and as usual now."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal

from vesalius.errors import GeometryError, IntensityError
from vesalius.physics._phantom import Phantom
from vesalius.physics._solids import Cylinder, Ellipsoid

Contrast = Literal["modified", "original"]

_PLANE = (
    # semi-axes a, b; centre x, y; turn in degrees; as fractions of the half size
    (0.69, 0.92, 0.0, 0.0, 0.0),
    (0.6624, 0.874, 0.0, -0.0184, 0.0),
    (0.11, 0.31, 0.22, 0.0, -18.0),
    (0.16, 0.41, -0.22, 0.0, 18.0),
    (0.21, 0.25, 0.0, 0.35, 0.0),
    (0.046, 0.046, 0.0, 0.1, 0.0),
    (0.046, 0.046, 0.0, -0.1, 0.0),
    (0.046, 0.023, -0.08, -0.605, 0.0),
    (0.023, 0.023, 0.0, -0.606, 0.0),
    (0.023, 0.046, 0.06, -0.605, 0.0),
)
_PLANE_VALUES = {
    "original": (2.0, -0.98, -0.02, -0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01),
    "modified": (1.0, -0.8, -0.2, -0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1),
}
_SPACE = (
    # semi-axes a, b, c; centre x, y, z; turn in degrees about z
    (0.69, 0.92, 0.9, 0.0, 0.0, 0.0, 0.0),
    (0.6624, 0.874, 0.88, 0.0, 0.0, 0.0, 0.0),
    (0.41, 0.16, 0.21, -0.22, 0.0, -0.25, 108.0),
    (0.31, 0.11, 0.22, 0.22, 0.0, -0.25, 72.0),
    (0.21, 0.25, 0.5, 0.0, 0.35, -0.25, 0.0),
    (0.046, 0.046, 0.046, 0.0, 0.1, -0.25, 0.0),
    (0.046, 0.023, 0.02, -0.08, -0.65, -0.25, 0.0),
    (0.046, 0.023, 0.02, 0.06, -0.65, -0.25, 90.0),
    (0.056, 0.04, 0.1, 0.06, -0.105, 0.625, 90.0),
    (0.056, 0.056, 0.1, 0.0, 0.1, 0.625, 0.0),
)
_SPACE_VALUES = {
    "original": (2.0, -0.98, -0.02, -0.02, 0.02, 0.02, 0.01, 0.01, 0.02, -0.02),
    "modified": (1.0, -0.8, -0.2, -0.2, 0.2, 0.2, 0.1, 0.1, 0.2, -0.2),
}


def shepp_logan(
    *,
    half_size_mm: float = 100.0,
    per_mm: float = 0.0206,
    contrast: Contrast = "modified",
    length_mm: float = 1000.0,
) -> Phantom:
    """Make the two-dimensional head phantom: ten elliptic cylinders along S whose values add.

    Args:
        half_size_mm: Half the side of the square that the printed coordinates -1 to 1 span, mm.
        per_mm: Attenuation of a printed value of 1, 1/mm. In the original 1 is water.
        contrast: ``"original"`` (Shepp and Logan) or ``"modified"`` (Toft), in which the soft
            parts can be told apart by eye.
        length_mm: Length of the cylinders, mm; any ray that stays inside it sees a plane figure.

    Returns:
        The phantom, in 1/mm. The printed x runs along L and y against P, so that a rasterised
        slice looks as printed.

    Raises:
        GeometryError: A length is not positive.
        IntensityError: ``per_mm`` is not positive.

    References:
        Shepp, Logan (1974), doi:10.1109/TNS.1974.6499235, table 1. Modified values: Toft (1996),
        The Radon Transform, PhD thesis, Technical University of Denmark, table B.3.
    """
    _check(half_size_mm, per_mm, length_mm)
    parts = []
    rows = zip(_PLANE, _PLANE_VALUES[contrast], strict=True)
    for number, ((a, b, x, y, turn), value) in enumerate(rows):
        centre = (x * half_size_mm, -y * half_size_mm, 0.0)
        semi = (a * half_size_mm, b * half_size_mm, length_mm / 2)
        name = f"ellipse_{number}"
        parts.append(Cylinder(centre, semi, value * per_mm, (0.0, 0.0, -turn), name))
    return Phantom(tuple(parts), 0.0, "1/mm", "add")


def shepp_logan_3d(
    *,
    half_size_mm: float = 100.0,
    per_mm: float = 0.0206,
    contrast: Contrast = "modified",
) -> Phantom:
    """Make the three-dimensional head phantom: ten ellipsoids whose values add.

    Args:
        half_size_mm: Half the side of the cube that the printed coordinates -1 to 1 span, mm.
        per_mm: Attenuation of a printed value of 1, 1/mm.
        contrast: ``"original"``, or ``"modified"``: a skull of 1 around a brain of .2, and every
            other contrast ten times as large, as in the plane.

    Returns:
        The phantom, in 1/mm; x along L, y against P, z along S.

    Raises:
        GeometryError: A length is not positive.
        IntensityError: ``per_mm`` is not positive.

    References:
        Kak, Slaney (1988), Principles of Computerized Tomographic Imaging, table 3.1,
        doi:10.1137/1.9780898719277. The modified values are ours, after Toft's for the plane.
    """
    _check(half_size_mm, per_mm, 1.0)
    parts = []
    rows = zip(_SPACE, _SPACE_VALUES[contrast], strict=True)
    for number, ((a, b, c, x, y, z, turn), value) in enumerate(rows):
        centre = (x * half_size_mm, -y * half_size_mm, z * half_size_mm)
        semi = (a * half_size_mm, b * half_size_mm, c * half_size_mm)
        name = f"ellipsoid_{number}"
        parts.append(Ellipsoid(centre, semi, value * per_mm, (0.0, 0.0, -turn), name))
    return Phantom(tuple(parts), 0.0, "1/mm", "add")


def _check(half_size_mm: float, per_mm: float, length_mm: float) -> None:
    if not (0 < half_size_mm < math.inf and 0 < length_mm < math.inf):
        raise GeometryError(
            f"half_size_mm and length_mm must be positive, got {half_size_mm:g} and {length_mm:g}"
        )
    if not 0 < per_mm < math.inf:
        raise IntensityError(f"per_mm must be positive, got {per_mm:g}: water is .0206 at 60 keV")
