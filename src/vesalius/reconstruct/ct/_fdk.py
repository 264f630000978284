"""Feldkamp, Davis and Kress: filtered back-projection of a circular cone beam."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.core import Grid
from vesalius.errors import GeometryError
from vesalius.physics.ct import Projections
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct._analytic import Choice, analytic
from vesalius.reconstruct.ct._filters import Ramp, Window
from vesalius.reconstruct.ct._truncation import Truncation
from vesalius.reconstruct.ct._weights import Scan


def fdk(
    projections: Projections,
    *,
    like: Grid,
    window: Window = "ram-lak",
    cutoff: float = 1.0,
    scan: Scan = "full",
    truncation: Truncation = "none",
) -> Reconstruction:
    """Reconstruct a circular cone beam, detector flat or on an arc, approximately.

    Exact in the plane of the orbit; away from it, density falls and horizontal edges smear as the
    cone angle grows. In the central plane it is the fan's filtered back-projection.

    Args:
        projections: Line integrals of mu.
        like: Grid of the volume. On the CPU, a grid whose z axis is the rotation axis is fastest.
        window: What the ramp filter is multiplied by.
        cutoff: Highest frequency that passes, as a part of the Nyquist frequency, in (0, 1].
        scan: ``"full"``: a whole turn. ``"short"``: 180 degrees and the fan (Parker's weights).
            ``"half-fan"``: a whole turn with the detector moved to one side.
        truncation: How rows go on beyond the detector.

    Returns:
        mu in 1/mm, in the dtype and on the device of the projections. Voxels that no view sees
        are 0; those that only part of the views see are too low. A remark tells of rows that are
        cut by the detector's edge.

    Raises:
        UnitError: The projections are not line integrals.
        ConfigError: The cutoff is out of range.
        GeometryError: Rays do not form a cone, the source climbs, views do not cover what the
            scan needs, views differ, the detector leans against the axis, or the volume misses
            the detector.

    References:
        Feldkamp, Davis, Kress (1984), doi:10.1364/JOSAA.1.000612, eq. 25-29; the arc after Kak,
        Slaney (1988), doi:10.1137/1.9780898719277, ch. 3; Parker (1982), doi:10.1118/1.595078.
    """
    geometry = projections.geometry
    if geometry.beam != "cone":
        raise GeometryError(f"fdk takes a cone beam, got {geometry.beam} rays: use fbp")
    heights = geometry.source @ geometry.source.new_tensor(geometry.axis)
    climb = float(heights.max() - heights.min())
    if climb > 0.5 * geometry.pitch_mm[0]:
        raise GeometryError(
            f"fdk needs a source that stays in one plane, got a climb of {climb:.4g} mm: "
            "use an iterative method for a helix"
        )
    choice = Choice(Ramp(window, cutoff), scan, truncation)
    return analytic(projections, like=like, choice=choice, method="fdk")
