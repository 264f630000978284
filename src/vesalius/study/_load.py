"""Load: an image and its labels from two files, on one grid."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vesalius import io
from vesalius.core import Image, Labels, differences
from vesalius.errors import FormatError
from vesalius.measure import Config

_NAME_LINE = re.compile(
    r"\s*(?P<value>-?\d+)\s*(?:[,;\t]|(?:\s+[\d.]+){6}\s+(?=\x22))(?P<name>.*)$"
)
"""A label and its name: a line of a table, or of ITK-SNAP (colour, visibility, name)."""

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
    names: Mapping[int, str] | None = None,
    roi: str = "",
) -> Pair:
    """Read an image and its labels.

    Args:
        image_path: The image.
        labels_path: The labels: a label map, a DICOM SEG (laid on the image's grid where both
            share a lattice), outlines (drawn on it), a folder of masks, or a folder with one file
            of these and the series that it was made on.
        config: For ``modality: CT`` a file that tells no unit is taken to be in HU.
        unit: Unit of the image; empty takes what file and configuration tell.
        on_mismatch: ``"resample"`` brings labels on another grid to the image's grid;
            ``"error"`` leaves them, so that the measurement refuses them.
        names: Name of each label, in any layer; none keeps those of the file.
        roi: Regular expression that the name of a region in the file must match, whole; empty
            takes all.

    Returns:
        Both, and what was noticed.

    Raises:
        FormatError: A file cannot be read, or no region has such a name.
        GeometryError: The labels cannot be resampled, or outlines do not lie on the image.
    """
    handle = io.open(image_path, unit=unit)
    notes = [f"image: {f.message}" for f in handle.findings if f.severity != "info"]
    image = handle.read()
    if image.unit == "1" and config.modality == "CT" and not unit:
        image = Image(image.data, image.grid, "HU", image.channels)
    frame = str(handle.meta.get("frame_of_reference", ""))
    drawn = io.open_regions(labels_path, like=image.grid, roi=roi, frame=frame)
    labels = _named(drawn.labels, names or {})
    found = differences(image.grid, labels.grid)
    resampled = bool(found) and on_mismatch == "resample"
    told = [f for f in drawn.findings if not (resampled and f.code == "other-lattice")]
    notes += [f"labels: {f.message}" for f in told if f.severity != "info"]
    if resampled:
        from vesalius.core import resample_labels

        labels = resample_labels(labels, like=image.grid)
        notes.append("labels were resampled to the image's grid, as asked: " + "; ".join(found))
    return Pair(image, labels, tuple(notes))


def read_names(path: Path) -> dict[int, str]:
    """Read the names of labels from a table or a label description of ITK-SNAP.

    Args:
        path: Lines of value and name with a comma, semicolon or tab between, a heading allowed;
            or lines of ITK-SNAP: value, six numbers and the name in quotes.

    Returns:
        Name of each value; 0 is the background and left out.

    Raises:
        FormatError: The file cannot be read, a line has no value and name, or a value two names.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(
            f"names must be a readable text file, {path.name} is not ({type(error).__name__})"
        ) from error
    names: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        found = _NAME_LINE.match(line)
        if found is None:
            if number == 1 or not line.strip() or line.lstrip().startswith("#"):
                continue
            raise FormatError(
                f"each line of {path.name} must hold a label and its name, such as 3,liver; "
                f"line {number} is {line[:40]!r}"
            )
        value, name = int(found["value"]), found["name"].strip().strip('"').strip()
        if names.setdefault(value, name) != name:
            raise FormatError(
                f"label {value} must have one name in {path.name}, it has {names[value]!r} and "
                f"{name!r}: keep one of them"
            )
    return {value: name for value, name in names.items() if value and name}


def _named(labels: Labels, names: Mapping[int, str]) -> Labels:
    if not names:
        return labels
    found = {(k, v): names[v] for k, v in labels.values if v in names}
    return Labels(labels.data, labels.grid, {**labels.names, **found})
