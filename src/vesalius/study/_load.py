"""Load: an image and its labels from two files, on one grid."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vesalius import io
from vesalius.core import Image, Labels, differences
from vesalius.measure import Config

OnMismatch = Literal["error", "resample"]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An image and its labels.

    Attributes:
        image: The image.
        labels: On the image's grid, unless they differ and nothing was to be done about it.
        findings: What was noticed about the files, and what was done.
    """

    image: Image
    labels: Labels
    findings: tuple[str, ...] = ()


def load_pair(
    image_path: Path,
    labels_path: Path,
    *,
    config: Config,
    unit: str = "",
    on_mismatch: OnMismatch = "error",
) -> Pair:
    """Read an image and its labels.

    Args:
        image_path: The image.
        labels_path: The labels.
        config: For ``modality: CT`` a file that tells no unit is taken to be in HU.
        unit: Unit of the image; empty takes what file and configuration tell.
        on_mismatch: ``"resample"`` brings labels on another grid to the image's grid;
            ``"error"`` leaves them, so that the measurement refuses them.

    Returns:
        Both, and what was noticed.

    Raises:
        FormatError: A file cannot be read.
        GeometryError: The labels cannot be resampled.
    """
    handle = io.open(image_path, unit=unit)
    notes = [f"image: {f.message}" for f in handle.findings if f.severity != "info"]
    image = handle.read()
    if image.unit == "1" and config.modality == "CT" and not unit:
        image = Image(image.data, image.grid, "HU", image.channels)
    labels = io.open_labels(labels_path)
    found = differences(image.grid, labels.grid)
    if found and on_mismatch == "resample":
        from vesalius.core import resample_labels

        labels = resample_labels(labels, like=image.grid)
        notes.append("labels were resampled to the image's grid, as asked: " + "; ".join(found))
    return Pair(image, labels, tuple(notes))
