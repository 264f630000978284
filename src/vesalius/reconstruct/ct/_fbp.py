"""Filtered back-projection of parallel rays and fans."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.core import Grid
from vesalius.errors import GeometryError
from vesalius.physics.ct import Projections
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct._analytic import Choice, analytic
from vesalius.reconstruct.ct._filters import Ramp, Window
from vesalius.reconstruct.ct._truncation import Truncation
from vesalius.reconstruct.ct._weights import Scan


def fbp(
    projections: Projections,
    *,
    like: Grid,
    window: Window = "ram-lak",
    cutoff: float = 1.0,
    scan: Scan = "full",
    truncation: Truncation = "none",
) -> Reconstruction:
    """Reconstruct parallel rays or fans, flat or on an arc, by filtered back-projection.

    Each view weighs as much as the angle it stands for, so angles may be unevenly spaced; views
    of parallel rays may run over half a turn or any number of turns. Filtered rows are
    interpolated linearly. Slices between detector rows are blended from the two.

    Args:
        projections: Line integrals of mu.
        like: Grid of the image. On the CPU, a grid whose z axis is the rotation axis is fastest.
        window: What the ramp filter is multiplied by.
        cutoff: Highest frequency that passes, as a part of the Nyquist frequency, in (0, 1].
        scan: ``"full"``: half a turn of parallel rays, a whole turn of fans. ``"short"``: fans
            over 180 degrees and the fan angle (Parker's weights). ``"half-fan"``: a whole turn
            with the detector moved to one side.
        truncation: How rows go on beyond the detector.

    Returns:
        mu in 1/mm, in the dtype and on the device of the projections; differentiable where they
        require a gradient. A remark tells of half turns that were not covered, and of rows that
        are cut by the detector's edge.

    Raises:
        UnitError: The projections are not line integrals.
        ConfigError: The cutoff is out of range.
        GeometryError: Rays form a cone, views do not cover what the scan needs, views differ, the
            detector leans against the axis, or the volume misses the detector.

    References:
        Kak, Slaney (1988), doi:10.1137/1.9780898719277, ch. 3 eq. 61; Parker (1982),
        doi:10.1118/1.595078; Wang (2002), doi:10.1118/1.1489043.
    """
    geometry = projections.geometry
    if geometry.beam == "cone" and geometry.shape[0] > 1:
        raise GeometryError(
            f"fbp takes parallel rays, fans or a cone of a single row, got a cone of "
            f"{geometry.shape[0]} rows: use fdk"
        )
    choice = Choice(Ramp(window, cutoff), scan, truncation)
    return analytic(projections, like=like, choice=choice, method="fbp")
