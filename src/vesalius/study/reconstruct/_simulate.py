"""Simulate: what a scanner would have measured of an image, with its photons counted."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from vesalius.core import Grid, Image, Linear, Step
from vesalius.errors import ConfigError
from vesalius.io.raw import RawProjections
from vesalius.physics.ct import Geometry, Projections

Point = tuple[float, float, float]
OnStep = Callable[[Step], None]

FINER = 2
"""Rays per element along each side of the detector: an element sees an area, not a line."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much light there is.

    Attributes:
        photons: Photons that reach an element where nothing is in the way; 0 measures line
            integrals without noise.
        electronic: Standard deviation of the readout, photons.
        kev: Effective energy at which HU become attenuation, keV.
        seed: Which of the possible noises.

    Raises:
        ConfigError: A number is negative or no energy.
    """

    photons: float = 0.0
    electronic: float = 0.0
    kev: float = 70.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.photons >= 0 and self.electronic >= 0 and self.kev > 0):
            raise ConfigError(
                f"photons and electronic noise must not be negative and kev must be positive, got "
                f"{self.photons:g}, {self.electronic:g} and {self.kev:g}"
            )


def place(geometry: Geometry, isocentre_mm: Point) -> Geometry:
    """Move a scanner so that it turns about a point of the patient.

    Args:
        geometry: The scanner, wherever it is.
        isocentre_mm: World point (L, P, S), mm.

    Returns:
        The moved geometry.
    """
    a, b, c = (t - f for t, f in zip(isocentre_mm, geometry.isocentre_mm, strict=True))
    return geometry.moved(Linear.translation((a, b, c)))


def middle(image: Image) -> Point:
    """Give the middle of an image, (L, P, S), mm."""
    half = (torch.tensor(image.grid.shape, dtype=torch.float64) - 1) / 2
    a, b, c = image.grid.to_world(half).tolist()
    return (a, b, c)


def simulate(
    image: Image, geometry: Geometry, *, exposure: Exposure, on_step: OnStep | None = None
) -> RawProjections:
    """Measure an image: four rays per element, averaged as light, then photons counted.

    Each element's signal is the mean of exp(-line integral) over its rays, so that edges are
    blurred as by a real detector, and a reconstruction on the same grid does not meet its own
    projector again. Values below air (padding) count as air. Scatter, the focal spot and the
    tube's spectrum are not simulated.

    Args:
        image: One channel, HU or 1/mm.
        geometry: Where the rays run.
        exposure: How much light there is.
        on_step: Told of each block of views.

    Returns:
        Counts with flat and dark frames; line integrals where there is no noise to be made.

    Raises:
        UnitError: The image is in neither HU nor 1/mm.
        GeometryError: No ray meets the image.
    """
    from vesalius.physics.ct._drr import attenuation

    mu = attenuation(image.map(lambda x: x.float()), kev=exposure.kev)[0]
    passed = torch.empty(geometry.codomain, dtype=torch.float32)
    block = max(1, (1 << 24) // (geometry.shape[0] * geometry.shape[1] * FINER**2))
    blocks = range(0, geometry.views, block)
    for done, start in enumerate(blocks, start=1):
        views = slice(start, min(start + block, geometry.views))
        passed[views] = _light(mu, image.grid, geometry.take(views))
        if on_step is not None:
            on_step(Step("simulate: rays", done, len(blocks)))
    if exposure.photons == 0:
        sums = -torch.log(passed.clamp_min(torch.finfo(torch.float32).tiny))
        return RawProjections(
            sums, angles_deg=geometry.angles_deg, geometry=geometry, quantity="line integral"
        )
    return _counted(passed, geometry, exposure)


def _light(mu: torch.Tensor, grid: Grid, geometry: Geometry) -> torch.Tensor:
    """Part of the light that reaches each element, averaged over its rays."""
    from vesalius.physics.ct import Projector

    rows, columns = geometry.shape
    # one row of one slice is a plane: it is not cut finer along z
    along = 1 if rows == 1 else FINER
    fine = replace(
        geometry,
        u=geometry.u / FINER,
        v=geometry.v / along,
        shape=(rows * along, columns * FINER),
        middle=(
            along * (geometry.middle[0] + 0.5) - 0.5,
            FINER * (geometry.middle[1] + 0.5) - 0.5,
        ),
    )
    sums = Projector(fine, grid)(mu)
    light = torch.exp(-sums).reshape(geometry.views, rows, along, columns, FINER)
    return light.mean(dim=(2, 4))


def _counted(passed: torch.Tensor, geometry: Geometry, exposure: Exposure) -> RawProjections:
    from vesalius.physics.noise import scan

    seen = scan(
        Projections(passed, geometry, "transmission"),
        photons=exposure.photons,
        electronic=exposure.electronic,
        generator=torch.Generator().manual_seed(exposure.seed),
    )
    flat = torch.full((1, *geometry.shape), exposure.photons)
    return RawProjections(
        seen.data,
        flats=flat,
        darks=torch.zeros_like(flat),
        angles_deg=geometry.angles_deg,
        geometry=geometry,
        quantity="counts",
    )
