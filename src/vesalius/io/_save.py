"""Saving: the suffix names the format; the file appears complete or not at all."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write
from vesalius.io._nifti import save_nifti

SUFFIXES = (".nii", ".nii.gz")


def save(obj: Image | Labels | Series, path: str | Path) -> None:
    """Write an object in the format that the suffix of the path names.

    Values, number type and position are kept; unit, channel and label names travel in a comment
    that other programs pass over. Equal objects give equal bytes.

    Args:
        obj: An image, labels, or (NIfTI only) a series.
        path: Where it goes; an existing file is replaced, whole, at the last moment.

    Raises:
        FormatError: The suffix is unknown, or the format cannot hold the object.
        OutputError: The folder is absent or not writable, or the disk is full.
    """
    target = Path(path)
    name = target.name.lower()
    if not name.endswith(SUFFIXES):
        raise FormatError(
            f"output must end in one of {', '.join(SUFFIXES)}, got {target.name!r}: "
            "choose a format by its suffix"
        )
    with atomic_write(target) as file:
        save_nifti(obj, file, gzipped=name.endswith(".gz"))
