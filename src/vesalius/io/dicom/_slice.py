"""One DICOM file: what its header says, and its samples after the modality rescale."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._handle import Array

SUFFIXES = (".dcm", ".ima")
ACQUISITION = (
    "Modality",
    "SeriesNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "PatientPosition",
    "SliceThickness",
    "SpacingBetweenSlices",
    "KVP",
    "XRayTubeCurrent",
    "Exposure",
    "ConvolutionKernel",
    "ReconstructionDiameter",
    "GantryDetectorTilt",
    "MagneticFieldStrength",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "Units",
    "DecayCorrection",
    "CorrectedImage",
    "RescaleType",
    "PixelPaddingValue",
    "LossyImageCompression",
)
IDENTIFYING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AccessionNumber",
    "StudyDate",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)
NEEDED = (
    "SOPClassUID",
    "SeriesInstanceUID",
    "ImageType",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
)


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What the header of one DICOM image says.

    Attributes:
        path: The file.
        series: SeriesInstanceUID.
        size: (rows, columns, samples for each pixel).
        position_mm: (3,) centre of the first pixel, LPS, or None.
        axes: (3, 2) directions of a row (x) and of a column (y), or None.
        spacing_mm: Distance between (rows, columns), mm, or None.
        slope: Modality rescale slope.
        intercept: Modality rescale intercept.
        bits: Bits that hold the value.
        signed: Whether stored values are signed.
        syntax: Transfer syntax UID.
        image_type: Words of ImageType.
        photometric: PhotometricInterpretation.
        acquisition: Header entries that identify nobody.
        identifying: Header entries that may identify a patient.
    """

    path: Path = field(repr=False)
    series: str
    size: tuple[int, int, int]
    position_mm: Array | None
    axes: Array | None
    spacing_mm: tuple[float, float] | None
    slope: float
    intercept: float
    bits: int
    signed: bool
    syntax: str
    image_type: tuple[str, ...]
    photometric: str
    acquisition: Mapping[str, object]
    identifying: Mapping[str, object]

    @property
    def is_whole(self) -> bool:
        """Whether rescaled values are whole numbers."""
        return self.slope.is_integer() and self.intercept.is_integer()

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value that the stored bits allow, rescaled."""
        low = -(1 << (self.bits - 1)) if self.signed else 0
        ends = [self.slope * v + self.intercept for v in (low, low + (1 << self.bits) - 1)]
        return min(ends), max(ends)


def is_dicom(path: Path) -> bool:
    """Say whether a file looks like DICOM: by the four letters at byte 128, or by its suffix."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_slice(path: Path) -> Slice | None:
    """Read the header of one DICOM file.

    Args:
        path: The file.

    Returns:
        The slice, or None for a DICOM file that is no image (RTSTRUCT, DICOMDIR, report, ...).

    Raises:
        FormatError: The file is damaged, or a kind of image not read here.
    """
    import pydicom

    tags = [*NEEDED, *ACQUISITION, *IDENTIFYING]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
        if "Rows" not in header:
            if "SOPClassUID" in header:
                return None
            raise ValueError("it has neither an SOP class nor rows")
        _check_kind(path.name, header)
        return _slice(path, header)
    except FormatError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        reason = str(error).replace(str(path), path.name) or type(error).__name__
        raise FormatError(
            f"{path.name!r} must be a readable DICOM file, it is not: {reason}: "
            "the file is truncated or damaged, copy it again"
        ) from error


def read_samples(one: Slice) -> Array:
    """Read the samples of one DICOM file and apply its rescale.

    Args:
        one: The slice.

    Returns:
        (c, rows, columns); int64 where slope and intercept are whole, else float64.

    Raises:
        FormatError: The samples are absent, truncated, or packed in a way that cannot be undone.
    """
    import pydicom

    try:
        file = pydicom.dcmread(one.path, force=True)
        if "TransferSyntaxUID" not in file.file_meta:
            # files without a preamble: pydicom has seen how they are encoded
            implicit = bool(file.original_encoding[0])
            syntaxes = pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian
            file.file_meta.TransferSyntaxUID = syntaxes[implicit]
        samples = np.asarray(file.pixel_array)
        if samples.size != math.prod(one.size):
            raise ValueError(f"{samples.size} samples for {one.size[0]} x {one.size[1]} pixels")
    except Exception as error:  # see read_slice
        reason = str(error).replace(str(one.path), one.path.name).splitlines()[0]
        raise FormatError(
            f"{one.path.name!r} must hold all samples that its header promises, it does not: "
            f"{reason}: the file is truncated or damaged, copy it again"
        ) from error
    planes = np.moveaxis(samples.reshape(one.size), -1, 0)
    if one.is_whole:
        return planes.astype(np.int64) * int(one.slope) + int(one.intercept)
    return np.asarray(planes.astype(np.float64) * one.slope + one.intercept)


def _check_kind(name: str, header: Any) -> None:
    frames = int(header.get("NumberOfFrames", 1) or 1)
    mosaic = "MOSAIC" in [str(word).upper() for word in header.get("ImageType", None) or []]
    if frames > 1 or mosaic:
        what = "a Siemens mosaic" if mosaic else f"a multi-frame image of {frames} frames"
        raise FormatError(
            f"{name!r} must hold one slice, it is {what}: convert it to NIfTI (dcm2niix) first"
        )
    if "ModalityLUTSequence" in header:
        raise FormatError(
            f"{name!r} must have a rescale slope and intercept, it has a modality lookup table: "
            "convert it first"
        )
    photometric = str(header.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric not in ("MONOCHROME1", "MONOCHROME2", "RGB"):
        raise FormatError(
            f"{name!r} must be MONOCHROME1, MONOCHROME2 or RGB, it is {photometric}: "
            "convert it first"
        )
    _check_syntax(name, str(header.file_meta.get("TransferSyntaxUID", "")))


def _check_syntax(name: str, syntax: str) -> None:
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax)
    if not syntax or (not uid.is_private and uid.is_transfer_syntax and not uid.is_encapsulated):
        return
    try:
        # Pillow cuts some depths without a word, so it does not count
        plugins = set(get_decoder(uid).available_plugins) - {"pillow"}
    except RuntimeError:  # pydicom knows no decoder of that name
        plugins = set()
    if not plugins:
        raise FormatError(
            f"{name!r} must be uncompressed to be read without the extra 'dicom', "
            f"it is {uid.name}: pip install vesalius[dicom]"
        )


def _slice(path: Path, header: Any) -> Slice:
    slope, intercept = (float(header.get(k, d)) for k, d in _RESCALE)
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope != 0):
        raise ValueError(f"its rescale slope is {slope:g} and its intercept {intercept:g}")
    bits = int(header.get("BitsStored", header.get("BitsAllocated", 16)))
    if not 1 <= bits <= 64:
        raise ValueError(f"it has {bits} bits for each sample")
    orientation = _numbers(header, "ImageOrientationPatient", 6)
    spacing = _numbers(header, "PixelSpacing", 2)
    if spacing is None:
        spacing = _numbers(header, "ImagerPixelSpacing", 2)
    return Slice(
        path=path,
        series=str(header.get("SeriesInstanceUID", "")),
        size=(int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel", 1))),
        position_mm=_numbers(header, "ImagePositionPatient", 3),
        axes=None if orientation is None else orientation.reshape(2, 3).T,
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        slope=slope,
        intercept=intercept,
        bits=bits,
        signed=bool(header.get("PixelRepresentation", 0)),
        syntax=str(header.file_meta.get("TransferSyntaxUID", "")),
        image_type=tuple(str(word) for word in header.get("ImageType", None) or ()),
        photometric=str(header.get("PhotometricInterpretation", "MONOCHROME2")),
        acquisition=_entries(header, ACQUISITION) | {"rescaled": "RescaleSlope" in header},
        identifying=_entries(header, IDENTIFYING),
    )


_RESCALE = (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))


def _numbers(header: Any, keyword: str, count: int) -> Array | None:
    value = header.get(keyword)
    if value is None or value == "":
        return None
    numbers = np.array([float(v) for v in value])
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{keyword} must be {count} numbers, it is {list(value)}")
    return numbers


def _entries(header: Any, keywords: tuple[str, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    for keyword in keywords:
        value = header.get(keyword)
        if value in (None, ""):
            continue
        try:
            whole = int if isinstance(value, int) else float
            found[keyword] = str(value) if isinstance(value, str) else whole(value)
        except (TypeError, ValueError):
            several = isinstance(value, MutableSequence)
            found[keyword] = ", ".join(map(str, value)) if several else str(value)
    return found
