"""JPEG: 8 bits, grey or colour; read only, for its samples are approximations."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._frames import grid_from_xyz
from vesalius.io._handle import Array, Finding, Handle, Rules, whole

CHANNELS = {"L": 1, "RGB": 3}
NAMES = {1: (), 3: ("R", "G", "B")}
ORIENTATION, UPRIGHT = 0x0112, 1


def open_jpeg(path: Path, rules: Rules) -> Handle:
    """Read the header of a JPEG file.

    Args:
        path: A .jpg or .jpeg file.
        rules: ``budget`` bounds the size.

    Returns:
        The handle; 1 mm is assumed. Rows and columns are those of the file: what EXIF says about
        turning the camera is told in a finding and not followed.

    Raises:
        FormatError: The file is not JPEG, is damaged, or has four colours.
    """
    size, mode, turned = _header(path)
    if mode not in CHANNELS:
        raise FormatError(
            f"{path.name!r} must be grey or RGB, it is {mode}: convert it first, such as to PNG"
        )
    width, height = size
    channels = CHANNELS[mode]
    claimed = rules.budget.check_size(path.name, (width, height, channels), 1)
    rules.budget.check_growth(path.name, claimed, path.stat().st_size)
    text = "JPEG has no spacing in mm, what it says is for screen or print: 1 mm assumed"
    findings = [Finding("warning", "no-spacing", text)]
    text = "JPEG keeps an approximation of the samples that were measured"
    findings.append(Finding("warning", "lossy", text))
    if turned != UPRIGHT:
        text = f"EXIF asks to show it turned (orientation {turned}): rows and columns are as stored"
        findings.append(Finding("warning", "turned", text))
    content = _note.decode("", unit=rules.unit, channels=channels)
    content = replace(content, channels=NAMES[channels])
    meta = {"format": "JPEG", "stored": "uint8", "bits": 8, "channels": channels}

    def load() -> Array:
        samples = _samples(path).reshape(height, width, channels)
        return np.moveaxis(samples, -1, 0)[None, :, None]

    grid = grid_from_xyz(path.name, (width, height, 1), np.eye(4))
    return Handle(path.name, grid, meta, tuple(findings), content, whole(load))


def _header(path: Path) -> tuple[tuple[int, int], str, int]:
    try:
        with _opened(path) as picture:
            turned = picture.getexif().get(ORIENTATION, UPRIGHT)
            return picture.size, picture.mode, turned if isinstance(turned, int) else UPRIGHT
    except Exception as error:  # Pillow and its EXIF parser raise whatever they meet
        raise FormatError(
            f"{path.name!r} must be a JPEG file, its header is not: {_reason(path, error)}: "
            "check that the file is complete and that its suffix is right"
        ) from error


def _samples(path: Path) -> Array:
    try:
        with _opened(path) as picture:
            return np.array(picture)
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise FormatError(
            f"{path.name!r} must hold all samples that its header promises, it does not: "
            f"{_reason(path, error)}: the file is truncated or damaged, copy it again"
        ) from error


def _opened(path: Path) -> Any:
    from PIL.JpegImagePlugin import JpegImageFile

    # the class itself, for Pillow.open has a limit of its own: here it is the budget
    return JpegImageFile(path)


def _reason(path: Path, error: Exception) -> str:
    text = str(error).replace(str(path), path.name)
    return text.splitlines()[0] if text else type(error).__name__
