"""Saving: the suffix names the format; what was written is read back before it takes its name."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError, OutputError
from vesalius.io._atomic import staged
from vesalius.io._budget import Budget
from vesalius.io._frames import affine_xyz, corner_distance
from vesalius.io._handle import Handle, Rules
from vesalius.io._metaimage import open_metaimage, save_metaimage
from vesalius.io._nifti import open_nifti, save_nifti
from vesalius.io._nrrd import open_nrrd, save_nrrd
from vesalius.io._png import open_png, save_png
from vesalius.io._samples import to_numpy, to_tensor
from vesalius.io.micro._imagej import save_imagej
from vesalius.io.micro._ometiff import save_ometiff
from vesalius.io.micro._omezarr import open_omezarr
from vesalius.io.micro._omezarr_save import write_omezarr
from vesalius.io.micro._tiff import open_tiff

Volume = Image | Labels | Series
SAME_MM = 1e-4
NO_LIMIT = Rules(budget=Budget(1 << 62, 1 << 62, ratio=1 << 62))


@final
@dataclass(frozen=True, slots=True)
class Writer:
    """How a format is written and what it keeps.

    Attributes:
        write: Writes an object at a path; what else it writes goes beside it in the same folder.
        read: Opens it again, to compare.
        series: Whether it holds several frames.
        place: Whether it holds the grid.
    """

    write: Callable[[Any, Path], None]
    read: Callable[[Path, Rules], Handle | tuple[Handle, ...]]
    series: bool = False
    place: bool = True


WRITERS: dict[str, Writer] = {
    ".nii": Writer(save_nifti, open_nifti, series=True),
    ".nii.gz": Writer(save_nifti, open_nifti, series=True),
    ".nrrd": Writer(save_nrrd, open_nrrd),
    ".nhdr": Writer(save_nrrd, open_nrrd),
    ".mha": Writer(save_metaimage, open_metaimage),
    ".mhd": Writer(save_metaimage, open_metaimage),
    ".png": Writer(save_png, open_png),
    ".ome.tif": Writer(save_ometiff, open_tiff, series=True),
    ".ome.tiff": Writer(save_ometiff, open_tiff, series=True),
    ".tif": Writer(save_imagej, open_tiff, series=True),
    ".tiff": Writer(save_imagej, open_tiff, series=True),
    ".zarr": Writer(write_omezarr, open_omezarr, series=True),
}
"""Writers of images, labels and series by suffix."""


def save(obj: Volume, path: str | Path) -> None:
    """Write an object in the format that the suffix of the path names.

    Values, number type and position are kept; unit, channel and label names travel in a comment
    that other programs pass over. Equal objects give equal bytes. What was written is read back
    and compared before it takes its name, so that a file that is there is whole and right.

    Args:
        obj: An image, labels, or (in some formats) a series.
        path: Where it goes; the error for an unknown suffix lists those that are known. An
            existing file is replaced, whole, at the last moment. ``.nhdr`` and ``.mhd`` put their
            samples in a ``.raw`` file beside it, which appears first.

    Raises:
        FormatError: The suffix is unknown, or the format cannot hold the object.
        OutputError: The folder is absent or not writable, the disk is full, or what was read back
            differs from what was written.
    """
    target = Path(path)
    writer = _writer(target)
    if isinstance(obj, Series) and not writer.series:
        fitting = ", ".join(suffix for suffix, one in WRITERS.items() if one.series)
        raise FormatError(
            f"a series must be saved as one of {fitting}, got {target.name!r}: "
            "or save its frames one by one"
        )
    with staged(target) as stage:
        writer.write(obj, stage)
        compare(obj, writer, stage)


def formats() -> tuple[str, ...]:
    """Give the suffixes that ``save`` knows, such as ``".nii.gz"``."""
    return tuple(WRITERS)


def _writer(target: Path) -> Writer:
    name = target.name.lower()
    suffix = next((s for s in sorted(WRITERS, key=len, reverse=True) if name.endswith(s)), "")
    if not suffix:
        raise FormatError(
            f"output must end in one of {', '.join(WRITERS)}, got {target.name!r}: "
            "choose a format by its suffix"
        )
    return WRITERS[suffix]


def compare(obj: Volume, writer: Writer, path: Path) -> None:
    """Read back what was written and compare samples and place.

    Args:
        obj: What was to be written.
        writer: How it was written.
        path: Where it is.

    Raises:
        OutputError: They differ.
    """
    found = writer.read(path, NO_LIMIT)
    handle = found[0] if isinstance(found, tuple) else found
    back = _read(handle, obj)
    wanted = to_tensor(to_numpy(obj.data))
    if wanted.shape != back.shape or not _same(wanted, back):
        raise OutputError(
            f"output {path.name!r} must hold what was written, its samples read back differ: "
            "the disk may be damaged; nothing was replaced"
        )
    z, y, x = obj.grid.shape
    if writer.place:
        apart = corner_distance((x, y, z), affine_xyz(obj.grid), affine_xyz(handle.grid))
        if not apart <= SAME_MM * max(1.0, float(obj.grid.affine.abs().max()) / 1e3):
            raise OutputError(
                f"output {path.name!r} must keep its place to {SAME_MM:g} mm, read back it is "
                f"{apart:.3g} mm away: choose another format; nothing was replaced"
            )


def _read(handle: Handle, obj: Volume) -> Tensor:
    if isinstance(obj, Series):
        return handle.read_series().data
    return handle.read_labels().data if isinstance(obj, Labels) else handle.read().data


def _same(first: Tensor, second: Tensor) -> bool:
    if torch.equal(first, second.to(first.dtype)):
        return True
    both = torch.isnan(first) & torch.isnan(second)
    return bool(((first == second) | both).all())
