"""Thin-plate spline: the map through landmark pairs that bends least."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

from torch import Tensor

from vesalius.core import Points
from vesalius.ops._radial_sum import Form
from vesalius.register._landmark_fit import Dimension
from vesalius.register._radial import RadialKernel, RadialSpline, radial_spline


@final
@dataclass(frozen=True, slots=True)
class Plate(RadialKernel):
    """The fundamental solution of the bending energy: ``r^2 log r`` in 2-D, ``-r`` in 3-D.

    Attributes:
        dimension: 2 or 3.
    """

    dimension: Dimension = 3

    def value(self, squared: Tensor) -> Tensor:
        """Give phi at squared distances, mm^2."""
        safe = squared.clamp_min(1e-24)
        return 0.5 * squared * safe.log() if self.dimension == 2 else -safe.sqrt()

    def slope(self, squared: Tensor) -> Tensor:
        """Give phi'(r) / r at squared distances, mm^2; the kink at r = 0 in 3-D counts as flat."""
        safe = squared.clamp_min(1e-24)
        if self.dimension == 2:
            return safe.log() + 1
        return -safe.rsqrt() * (squared > 0)

    def compiled(self) -> tuple[Form, float]:
        """Name the compiled loop that sums this phi; it has no scale."""
        return ("r^2 log r" if self.dimension == 2 else "-r"), 1.0


def thin_plate(
    fixed: Points,
    moving: Points,
    *,
    smoothing: float = 0.0,
    error_mm: tuple[float, ...] = (),
    dimension: Dimension = 3,
) -> RadialSpline:
    """Fit a thin-plate spline to landmark pairs.

    In 3-D its derivative jumps at the landmarks themselves (phi = -r has a kink).

    Args:
        fixed: (N, 3), mm; at least ``dimension + 1``, not on one plane (line in 2-D).
        moving: (N, 3), mm; row i is the same place as row i of ``fixed``.
        smoothing: 0 goes through every pair; large ends at the affine fit.
        error_mm: Standard deviation of each pair, mm: those with larger ones are missed by more;
            empty takes 1 for all.
        dimension: 2 for landmarks of a plane (a 2-D image), 3 for those of a volume.

    Returns:
        The map, fixed to moving.

    Raises:
        ShapeError: The landmarks or their errors do not pair up.
        GeometryError: They are too few, on one line or plane, in one place, or not finite.

    Example:
        >>> import torch
        >>> corners = torch.tensor([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]])
        >>> moved = corners + torch.tensor([0.0, 0, 1])
        >>> found = thin_plate(Points(corners), Points(moved))
        >>> found(torch.tensor([2.0, 3.0, 4.0])).round(decimals=3)
        tensor([2., 3., 5.])

    References:
        Bookstein (1989), doi:10.1109/34.24792; Rohr et al. (2001), doi:10.1109/42.929618
        (smoothing by the errors of the landmarks, isotropic).
    """
    return radial_spline(
        fixed,
        moving,
        kernel=Plate(dimension),
        smoothing=smoothing,
        error_mm=error_mm,
        dimension=dimension,
    )
