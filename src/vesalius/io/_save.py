"""Saving: the suffix names the format; the file appears complete or not at all."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from pathlib import Path

from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io._metaimage import save_metaimage
from vesalius.io._nifti import save_nifti
from vesalius.io._nrrd import save_nrrd
from vesalius.io._png import save_png

WRITERS: dict[str, Callable[[Image | Labels, Path], None]] = {
    ".nii": save_nifti,
    ".nii.gz": save_nifti,
    ".nrrd": save_nrrd,
    ".nhdr": save_nrrd,
    ".mha": save_metaimage,
    ".mhd": save_metaimage,
    ".png": save_png,
}


def save(obj: Image | Labels | Series, path: str | Path) -> None:
    """Write an object in the format that the suffix of the path names.

    Values, number type and position are kept; unit, channel and label names travel in a comment
    that other programs pass over. Equal objects give equal bytes.

    Args:
        obj: An image, labels, or (NIfTI only) a series.
        path: Where it goes (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .png); an existing file is
            replaced, whole, at the last moment. ``.nhdr`` and ``.mhd`` put their samples in a
            ``.raw`` file beside it, which appears first.

    Raises:
        FormatError: The suffix is unknown, or the format cannot hold the object.
        OutputError: The folder is absent or not writable, or the disk is full.
    """
    target = Path(path)
    name = target.name.lower()
    suffix = next((s for s in sorted(WRITERS, key=len, reverse=True) if name.endswith(s)), "")
    if not suffix:
        raise FormatError(
            f"output must end in one of {', '.join(WRITERS)}, got {target.name!r}: "
            "choose a format by its suffix"
        )
    if isinstance(obj, Series):
        if not suffix.startswith(".nii"):
            raise FormatError(
                f"a series must be saved as .nii or .nii.gz, got {target.name!r}: "
                "or save its frames one by one"
            )
        save_nifti(obj, target)
        return
    WRITERS[suffix](obj, target)
