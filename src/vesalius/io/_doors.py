"""Doors: hand images to and take them from nibabel (RAS) and SimpleITK (LPS)."""
# SPDX-License-Identifier: Apache-2.0

from importlib import import_module
from typing import Any

import numpy as np

from vesalius.core import Image, Labels
from vesalius.errors import ExtraError, FormatError
from vesalius.io import _note
from vesalius.io._frames import RAS_TO_LPS, affine_xyz, compose, decompose, grid_from_xyz
from vesalius.io._handle import Array
from vesalius.io._nifti import comment, nifti_header
from vesalius.io._samples import to_numpy, to_tensor


def from_nibabel(volume: Any) -> Image:
    """Take an image from nibabel; RAS becomes LPS, (x, y, z) becomes (z, y, x).

    Args:
        volume: A ``nibabel`` spatial image of 2 or 3 axes, or 5 with channels on the last. Its
            ``affine`` is taken as it is, in mm; its scaling is applied.

    Returns:
        The image; unit ``"1"`` unless it came from here. ``as_labels`` turns it into labels.

    Raises:
        FormatError: It has frames in time, or samples that are not real numbers.
    """
    samples = np.asanyarray(volume.dataobj)
    if samples.dtype.kind not in "iuf" or not 2 <= samples.ndim <= 5:
        raise FormatError(
            f"the nibabel image must hold real numbers on 2 to 5 axes, it holds {samples.dtype} "
            f"of shape {samples.shape}: take one part of it first"
        )
    x, y, z, t, c = (*samples.shape, 1, 1, 1)[:5]
    if t > 1:
        raise FormatError(
            f"the nibabel image must hold one volume, it holds {t} frames: "
            "take one with image.slicer[..., k]"
        )
    data = to_tensor(samples.T.reshape(c, z, y, x))
    content = _note.decode(comment(volume.header), unit="", channels=c)
    affine = RAS_TO_LPS @ np.asarray(volume.affine, dtype=np.float64)
    grid = grid_from_xyz("the nibabel image", (x, y, z), affine)
    return Image(data, grid, content.unit, content.channels)


def to_nibabel(obj: Image | Labels) -> Any:
    """Hand an image or labels to nibabel; LPS becomes RAS, (z, y, x) becomes (x, y, z).

    Args:
        obj: What to hand over; several channels go to the fifth axis, as NIfTI wants vectors.

    Returns:
        A ``nibabel.Nifti1Image`` (``Nifti2Image`` for axes longer than 32767).

    Raises:
        FormatError: The number type has no place in NIfTI.
    """
    import nibabel

    header = nifti_header(obj)
    note = _note.encode(obj)
    if note:
        header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", note.encode()))
    samples = to_numpy(obj.data).T
    samples = samples[..., 0] if samples.shape[-1] == 1 else samples[:, :, :, None, :]
    two = isinstance(header, nibabel.Nifti2Header)
    kind = nibabel.Nifti2Image if two else nibabel.Nifti1Image
    return kind(samples, RAS_TO_LPS @ affine_xyz(obj.grid), header, dtype=samples.dtype)


def from_simpleitk(volume: Any) -> Image:
    """Take an image from SimpleITK; both are LPS, its vectors become channels.

    Args:
        volume: A ``SimpleITK.Image`` of 2 or 3 axes.

    Returns:
        The image; unit ``"1"`` unless it came from here. ``as_labels`` turns it into labels.

    Raises:
        FormatError: It has more axes, or samples that are not real numbers.
        ExtraError: SimpleITK is not installed.
    """
    sitk = _simpleitk()
    n = volume.GetDimension()
    samples: Array = sitk.GetArrayFromImage(volume)
    if n not in (2, 3) or samples.dtype.kind not in "iuf":
        raise FormatError(
            f"the SimpleITK image must hold real numbers on 2 or 3 axes, it holds "
            f"{volume.GetPixelIDTypeAsString()} on {n}: take one part of it first"
        )
    channels = volume.GetNumberOfComponentsPerPixel()
    x, y, z = (*volume.GetSize(), 1)[:3]
    data = to_tensor(np.moveaxis(samples.reshape(z, y, x, channels), -1, 0))
    direction = np.array(volume.GetDirection()).reshape(n, n)
    affine = compose(np.array(volume.GetSpacing()), direction, np.array(volume.GetOrigin()))
    grid = grid_from_xyz("the SimpleITK image", (x, y, z), affine)
    note = volume.GetMetaData(_note.KEY) if volume.HasMetaDataKey(_note.KEY) else ""
    content = _note.decode(note, unit="", channels=channels)
    return Image(data, grid, content.unit, content.channels)


def to_simpleitk(obj: Image | Labels) -> Any:
    """Hand an image or labels to SimpleITK; both are LPS, channels become a vector.

    Args:
        obj: What to hand over.

    Returns:
        A 3-D ``SimpleITK.Image``; unit and names travel in its meta-data ``"vesalius"``.

    Raises:
        FormatError: The number type has no place in a file.
        ExtraError: SimpleITK is not installed.
    """
    sitk = _simpleitk()
    samples = np.moveaxis(to_numpy(obj.data), 0, -1)
    several = samples.shape[-1] > 1
    flat = np.ascontiguousarray(samples if several else samples[..., 0])
    volume = sitk.GetImageFromArray(flat, isVector=several)
    spacing, direction, origin = decompose(affine_xyz(obj.grid))
    volume.SetSpacing(spacing.tolist())
    volume.SetDirection(direction.reshape(-1).tolist())
    volume.SetOrigin(origin.tolist())
    note = _note.encode(obj)
    if note:
        volume.SetMetaData(_note.KEY, note)
    return volume


def _simpleitk() -> Any:
    try:
        return import_module("SimpleITK")
    except ImportError as error:
        raise ExtraError(
            "SimpleITK must be installed to exchange images with it, it is not: "
            "pip install SimpleITK, or pip install vesalius[dev]"
        ) from error
