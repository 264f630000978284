"""Objective: what a PSF needs to know of the microscope."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

from vesalius.errors import GeometryError


@final
@dataclass(frozen=True, slots=True)
class Objective:
    """A fluorescence objective at one emission wavelength.

    Attributes:
        na: Numerical aperture, ``index * sin(half angle)``.
        index: Refractive index of the immersion medium, and of the specimen.
        wavelength_nm: Emission wavelength in vacuum, nm.
        magnification: Lateral magnification at the camera.

    Raises:
        GeometryError: A value is not positive, or ``na`` is not below ``index``.
    """

    na: float
    index: float
    wavelength_nm: float
    magnification: float = 1.0

    def __post_init__(self) -> None:
        values = (self.na, self.index, self.wavelength_nm, self.magnification)
        if not all(math.isfinite(v) and v > 0 for v in values) or self.na >= self.index:
            raise GeometryError(
                "na, index, wavelength_nm and magnification must be positive and na below index, "
                f"got {values}: an oil objective needs the index of oil, about 1.515"
            )

    @property
    def wavelength_mm(self) -> float:
        """Wavelength in vacuum, mm."""
        return self.wavelength_nm * 1e-6

    @property
    def wavenumber(self) -> float:
        """Wavenumber in vacuum, 2 pi / wavelength, rad/mm."""
        return 2 * math.pi / self.wavelength_mm

    @property
    def half_angle(self) -> float:
        """Largest angle of a ray to the optical axis in the specimen, rad."""
        return math.asin(self.na / self.index)
