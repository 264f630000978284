"""Artefacts of CT put in on purpose: beam hardening and metal, rings, motion of the patient."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
import torch

from vesalius.core import Linear
from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.physics._phantom import Phantom
from vesalius.physics.ct._exact import material_paths
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._projections import Projections

Material = Literal["air", "water", "bone", "iron"]

_KEV = (40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
_PER_MM = {
    # mass attenuation, cm^2/g, times density, g/cm^3, over 10
    "water": tuple(0.1 * x for x in (0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505)),
    "bone": tuple(0.192 * x for x in (0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480)),
    "iron": tuple(0.7874 * x for x in (3.629, 1.958, 1.205, 0.5952, 0.3717, 0.1964)),
}


@final
@dataclass(frozen=True, slots=True)
class Spectrum:
    """What leaves the tube, as lines.

    Attributes:
        energies_keV: Photon energies, 40 to 150 keV.
        weights: Part of the detected signal at each energy; the sum does not matter.

    Raises:
        ShapeError: There is no line, or not one weight for each.
        IntensityError: An energy is outside the tables, a weight is negative, or all are 0.
    """

    energies_keV: tuple[float, ...]  # noqa: N815 - the unit's own spelling
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.energies_keV or len(self.energies_keV) != len(self.weights):
            raise ShapeError(
                f"a spectrum must have one weight for each energy, got {len(self.weights)} for "
                f"{len(self.energies_keV)}"
            )
        if not all(_KEV[0] <= e <= _KEV[-1] for e in self.energies_keV):
            raise IntensityError(
                f"energies must lie in the tables, 40 to 150 keV, got {self.energies_keV}"
            )
        if not (all(0 <= w < math.inf for w in self.weights) and sum(self.weights) > 0):
            raise IntensityError(
                f"weights must be at least 0 and one of them positive, got {self.weights}"
            )

    def per_mm(self, material: Material) -> tuple[float, ...]:
        """Give the attenuation of a material at each energy, 1/mm.

        Interpolated in the logarithms of both. Air is 0.

        References:
            Hubbell, Seltzer (1995), NISTIR 5632, doi:10.18434/T4D01F: water, cortical bone
            (ICRU-44, 1.92 g/cm^3), iron (7.874 g/cm^3).
        """
        if material == "air":
            return (0.0,) * len(self.energies_keV)
        found = np.interp(np.log(self.energies_keV), np.log(_KEV), np.log(_PER_MM[material]))
        return tuple(float(x) for x in np.exp(found))

    def effective_per_mm(self, material: Material) -> float:
        """Give the attenuation that a very thin layer of a material shows, 1/mm."""
        pairs = zip(self.weights, self.per_mm(material), strict=True)
        return sum(w * mu for w, mu in pairs) / sum(self.weights)


def polychromatic(
    phantom: Phantom,
    geometry: Geometry,
    *,
    spectrum: Spectrum,
    materials: Mapping[str, Material],
    subrays: tuple[int, int] = (1, 1),
) -> Projections:
    """Send a whole spectrum through a phantom: exact paths, Beer-Lambert at each energy.

    Beam hardening follows of itself; an ``"iron"`` part makes metal artefacts, with photon
    starvation once the result is scanned with few photons (``physics.noise.scan``).

    Args:
        phantom: Painted; its values are not used.
        geometry: Where the rays run.
        spectrum: What leaves the tube.
        materials: The material of each name of the phantom.
        subrays: As in :func:`exact_projections`; paths are averaged, not intensities.

    Returns:
        Transmissions, float64.

    Raises:
        UnitError: A name has no material, or values of the phantom add up.
    """
    absent = [name for name in phantom.names if name not in materials]
    if absent:
        raise UnitError(f"every part must have a material, got none for {absent}")
    paths = material_paths(phantom, geometry, subrays=subrays)
    table = [spectrum.per_mm(materials[name]) for name in phantom.names]
    mu = torch.tensor(table, dtype=torch.float64).reshape(-1, len(spectrum.weights))
    passed = torch.zeros(geometry.codomain, dtype=torch.float64)
    for line, weight in enumerate(spectrum.weights):
        passed += weight * torch.exp(-(paths @ mu[:, line]))
    return Projections(passed / sum(spectrum.weights), geometry, "transmission")


def rings(projections: Projections, *, spread: float, generator: torch.Generator) -> Projections:
    """Give each detector element a wrong gain, the same in all views: rings after reconstruction.

    Args:
        projections: Any quantity.
        spread: Standard deviation of the logarithm of the gain; .01 shows plainly.
        generator: Source of the gains.

    Returns:
        Counts and transmissions times the gain; line integrals less its logarithm.

    Raises:
        IntensityError: ``spread`` is negative or not finite.
    """
    if not 0 <= spread < math.inf:
        raise IntensityError(f"spread must be at least 0 and finite, got {spread:g}")
    log = spread * torch.randn(projections.geometry.shape, generator=generator, dtype=torch.float64)
    log = log.to(projections.data.device, projections.data.dtype)
    if projections.quantity == "line integral":
        return replace(projections, data=projections.data - log)
    return replace(projections, data=projections.data * log.exp())


def patient_motion(geometry: Geometry, poses: Sequence[Linear]) -> Geometry:
    """Describe a scan of a patient who moves rigidly, as seen by the patient.

    Simulate with the result, then give the data the nominal geometry to get the artefact, or this
    one to reconstruct without it.

    Args:
        geometry: Nominal scan.
        poses: For each view, where the patient's points have gone, mm.

    Returns:
        The scan in the patient's own frame: each view moved by the inverse of its pose.

    Raises:
        ShapeError: There is not one pose for each view.
        GeometryError: A pose is not rigid.
    """
    if len(poses) != geometry.views:
        raise ShapeError(
            f"poses must be one for each of the {geometry.views} views, got {len(poses)}"
        )
    moved = [geometry.take(slice(i, i + 1)).moved(pose.inverse()) for i, pose in enumerate(poses)]
    return replace(
        geometry,
        source=torch.cat([one.source for one in moved]),
        centre=torch.cat([one.centre for one in moved]),
        u=torch.cat([one.u for one in moved]),
        v=torch.cat([one.v for one in moved]),
    )
