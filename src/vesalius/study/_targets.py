"""Targets: which writer an output is for, by its suffix or by a word."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from vesalius import io
from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError

Volume = Image | Labels | Series
ZARR_04 = ".zarr:0.4"
"""Word for OME-Zarr 0.4; the suffix alone is 0.5."""
WORDS = {"dicom": ".dcm", "seg": ".dcm", "rtstruct": ".dcm", "map": ".dcm"}
"""Words for DICOM objects, with the suffix that their files have."""


@final
@dataclass(frozen=True, slots=True)
class Dicom:
    """What DICOM needs and a volume does not hold.

    Attributes:
        source: Series that the volume was made from; its patient, study and frame of reference
            are taken over. Empty makes anonymous ones.
        quantise: Whether a series may hold rounded values.
    """

    source: str = ""
    quantise: bool = False


def is_format(word: str) -> bool:
    """Say whether a word or suffix names a format that can be written."""
    return word in WORDS or word in (*io.formats(), ".geojson", ".roi.zip", ZARR_04)


def suffix_of(word: str) -> str:
    """Give the suffix of the files that a word or suffix names."""
    return ".zarr" if word == ZARR_04 else WORDS.get(word, word)


def format_of(name: str) -> str:
    """Give the format that a file name asks for, or empty."""
    low = name.lower()
    known = (*io.formats(), ".geojson", ".roi.zip", ".dcm")
    fitting = [suffix for suffix in known if low.endswith(suffix)]
    return max(fitting, key=len) if fitting else ""


def write(volume: Volume, target: Path, word: str, dicom: Dicom) -> Path:
    """Write a volume in the format that a word or suffix names.

    Args:
        volume: What to write.
        target: Where; an image as DICOM becomes a folder without the suffix.
        word: ``"dicom"`` (a series for images, SEG for labels), ``"seg"``, ``"rtstruct"``,
            ``"map"`` (parametric map), or a suffix; ``".dcm"`` takes labels only.
        dicom: What DICOM needs.

    Returns:
        What was written.

    Raises:
        FormatError: The format does not hold such a volume.
    """
    if word == ".dcm" and not isinstance(volume, Labels):
        raise FormatError(
            f"{target.name!r} must hold labels, an image becomes a folder of DICOM files: name a "
            "folder with --to dicom, or take --to map for one file"
        )
    if word in WORDS or word == ".dcm":
        return _write_dicom(volume, target, "dicom" if word == ".dcm" else word, dicom)
    if word == ".geojson":
        io.micro.save_geojson(_labels(volume, word), target)
    elif word == ZARR_04:
        io.micro.save_ome_zarr(volume, target, version="0.4")
    elif word == ".roi.zip":
        io.micro.save_imagej_rois(_labels(volume, word), target)
    else:
        io.save(volume, target)
    return target


def _write_dicom(volume: Volume, target: Path, word: str, dicom: Dicom) -> Path:
    from vesalius.io import dicom as room

    if word == "rtstruct":
        room.save_rtstruct(_labels(volume, word), target, like=_source(dicom, word))
        return target
    if word == "seg" or isinstance(volume, Labels):
        room.save_seg(_labels(volume, word), target, like=dicom.source)
        return target
    if not isinstance(volume, Image):
        raise FormatError(
            f"{target.name!r} must be one volume to be written as DICOM, it has several frames: "
            "convert them with --frames channels, or to .nii.gz"
        )
    if word == "map":
        exact = volume if volume.dtype.is_floating_point else volume.map(torch.Tensor.double)
        room.save_parametric_map(exact, target, like=dicom.source)
        return target
    folder = target.with_name(target.name.removesuffix(".dcm"))
    room.save_series(volume, folder, like=dicom.source, quantise=dicom.quantise)
    return folder


def _labels(volume: Volume, word: str) -> Labels:
    if isinstance(volume, Labels):
        return volume
    raise FormatError(f"{word} must be made of labels, got an image: say --labels if it holds them")


def _source(dicom: Dicom, word: str) -> str:
    if dicom.source:
        return dicom.source
    raise FormatError(f"{word} must refer to a DICOM series: name its folder with --source")
