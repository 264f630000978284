"""Files: simulated scans and radiographs, from images on disk to files on disk."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from vesalius import io
from vesalius.core import Step
from vesalius.errors import ConfigError
from vesalius.io.raw import RawProjections, open_geometry, save_projections
from vesalius.physics.ct import cone
from vesalius.study.reconstruct._plan import open_image
from vesalius.study.reconstruct._simulate import Exposure, middle, place, simulate

OnStep = Callable[[Step], None]
Point = tuple[float, float, float]


def run_simulate(
    image: Path,
    geometry: Path,
    out: Path,
    *,
    exposure: Exposure,
    isocentre: Point | Literal["image", "file"] = "image",
    unit: str = "",
    on_step: OnStep | None = None,
) -> RawProjections:
    """Measure an image file as a scanner would, and write the raw data with their geometry.

    Args:
        image: CT in HU or attenuation in 1/mm.
        geometry: Geometry file; its angles are in it.
        out: A .h5 file.
        exposure: How much light there is.
        isocentre: Where the scanner turns: the image's middle, as the file says, or (L, P, S) mm.
        unit: Unit of the image where its file does not tell.
        on_step: Told of each step.

    Returns:
        What was written.

    Raises:
        ConfigError: The image's unit is not known, or the geometry file has no angles.
        OutputError: The file cannot be written.
    """
    volume = open_image(image, unit)
    rays = open_geometry(geometry).geometry
    if isocentre != "file":
        rays = place(rays, middle(volume) if isocentre == "image" else isocentre)
    raw = simulate(volume, rays, exposure=exposure, on_step=on_step)
    save_projections(raw, out, title=f"simulated: {image.name}")
    return raw


@dataclass(frozen=True, slots=True)
class Camera:
    """An X-ray tube and a flat detector about the middle of the patient.

    Attributes:
        angle_deg: Where the tube is: 0 at the patient's left, 90 behind, 270 in front.
        source_mm: Tube to the middle of the patient, mm.
        detector_mm: Tube to detector, mm.
        shape: Elements (rows, columns).
        pitch_mm: Size of an element, mm.
        kev: Effective energy, keV.

    Raises:
        ConfigError: A size is not positive.
    """

    angle_deg: float = 270.0
    source_mm: float = 1000.0
    detector_mm: float = 1500.0
    shape: tuple[int, int] = (512, 512)
    pitch_mm: float = 1.0
    kev: float = 70.0

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or not self.pitch_mm > 0:
            raise ConfigError(
                f"a detector must have at least one element of positive size, got {self.shape} of "
                f"{self.pitch_mm:g} mm"
            )


def run_drr(
    image: Path, out: Path, *, camera: Camera, pose: tuple[float, ...], unit: str = ""
) -> None:
    """Draw a radiograph of a CT file.

    Args:
        image: CT in HU or attenuation in 1/mm.
        out: A .png file: dark where much light arrives, as on a film turned negative.
        camera: Tube and detector.
        pose: Rotation vector (L, P, S), degrees, about the middle of the image, and shift
            (L, P, S), mm, of the patient.
        unit: Unit of the image where its file does not tell.

    Raises:
        ConfigError: ``out`` is no .png, or the unit is not known.
    """
    from vesalius.physics.ct import drr
    from vesalius.study._views import png

    if out.suffix.lower() != ".png":
        raise ConfigError(f"a radiograph must be written to a .png file, got {out.name!r}")
    volume = open_image(image, unit).map(lambda x: x.float())
    rays = cone(
        torch.tensor([camera.angle_deg], dtype=torch.float64),
        shape=camera.shape,
        pitch_mm=(camera.pitch_mm, camera.pitch_mm),
        source_mm=camera.source_mm,
        detector_mm=camera.detector_mm,
    )
    rays = place(rays, middle(volume))
    placed = torch.tensor(pose, dtype=torch.float64)
    view = drr(volume, rays, pose=placed, kev=camera.kev, quantity="line integral")
    # rows run towards +z (the head): a picture's first row is its top
    film = view.data[0].flip(0)
    grey = (255 * film / film.max().clamp_min(1e-12)).round().to(torch.uint8)
    with io.atomic_write(out) as file:
        file.write(png(grey.numpy()))
