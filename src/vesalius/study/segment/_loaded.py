"""Loaded: an image and what a person said about it, from their files."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path

from vesalius import io
from vesalius.core import Image, Labels
from vesalius.errors import ConfigError, FormatError
from vesalius.io.transforms import load_points
from vesalius.segment import Hints
from vesalius.study.segment._job import HintFiles, Job


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What the files hold.

    Attributes:
        image: With the channels that are used.
        hints: What was said about it.
        remarks: What was noticed while reading.
    """

    image: Image
    hints: Hints
    remarks: tuple[str, ...] = ()


def load(path: Path, job: Job, files: HintFiles) -> Loaded:
    """Read an image and its hints.

    Args:
        path: Image file, or folder with one DICOM series.
        job: Says which channel is used.
        files: What is known beside it.

    Returns:
        What they hold.

    Raises:
        FormatError: A file cannot be read, or holds a series.
        ConfigError: The image does not have the channel.
    """
    handle = io.open(path)
    if handle.content.frames != 1:
        raise FormatError(
            f"{path.name!r} must hold one image, it holds {handle.content.frames} frames: write "
            "the frames as files of their own with 'vesalius convert'"
        )
    noticed = tuple(f.message for f in handle.findings if f.severity != "info")
    return Loaded(_channel(handle.read(), job.channel), _hints(files), noticed)


def _channel(image: Image, channel: int) -> Image:
    if channel < 0:
        return image
    count = image.data.shape[0]
    if channel >= count:
        raise ConfigError(f"the channel must be below {count}, counted from 0, got {channel}")
    names = image.channels[channel : channel + 1]
    return Image(image.data[channel : channel + 1], image.grid, image.unit, names)


def _hints(files: HintFiles) -> Hints:
    def labels(path: Path | None) -> Labels | None:
        return None if path is None else io.open_labels(path)

    return Hints(
        seeds_mm=files.seeds_mm,
        outside_mm=files.outside_mm,
        marks=labels(files.marks),
        mask=labels(files.mask),
        start=labels(files.start),
        contour=None if files.contour is None else load_points(files.contour),
        fixed=None if files.fixed is None else load_points(files.fixed),
    )
