"""One slice of a DICOM file: what its header says of place, kind and values."""
# SPDX-License-Identifier: Apache-2.0

import io
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Array
from vesalius.io.dicom._header import NATIVE, Header, inflated, read_header
from vesalius.io.dicom._pixels import Packed, check_packed
from vesalius.io.dicom._reason import reason_of
from vesalius.io.dicom._tags import ACQUISITION, IDENTIFYING, PER_SLICE, TAGS

SUFFIXES = (".dcm", ".ima")
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
HOSTILE = {
    b"MZ": "a Windows program",
    b"\x7fELF": "a Linux program",
    b"#!": "a script",
    b"%PDF": "a PDF",
    b"PK": "an archive",
    b"<": "a web page",
    b"\xca\xfe\xba\xbe": "a program",
    b"\xcf\xfa\xed\xfe": "a macOS program",
    b"\xfe\xed\xfa": "a macOS program",
}
"""First bytes of what a preamble may hide; TIFF is what it was made for (PS3.10 7.1)."""
LARGEST = 1e280
"""A rescale beyond it gives no finite values."""
PLAIN = {keyword: TAGS[keyword][0] for keyword in ACQUISITION + PER_SLICE}
TELLING = {keyword: TAGS[keyword][0] for keyword in IDENTIFYING}
Kind = Literal["image", "outlines", "segmentation", "map", "other"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What the header of one DICOM image, or of one frame or tile of it, says.

    Attributes:
        packed: How the pixels of its file are packed; shared by all slices of a file.
        series: SeriesInstanceUID.
        instance: SOPInstanceUID.
        size: (rows, columns, samples for each pixel) of this slice.
        position_mm: (3,) centre of the first pixel, LPS, or None.
        axes: (3, 2) directions of a row (x) and of a column (y), or None.
        spacing_mm: Distance between (rows, columns), mm, or None.
        slope: Modality rescale slope.
        intercept: Modality rescale intercept.
        image_type: Words of ImageType.
        acquisition: Header entries that identify nobody.
        identifying: Header entries that may identify a patient.
        frame: Frame of its file, from 0.
        box: (first row, first column, rows, columns) of a tile in its frame, or None.
        table: Modality lookup table: (n,) values, the first for the stored value ``first``.
        first: See ``table``.
        broken: Why the samples cannot be whole, or empty.
        preamble: What the preamble of its file hides, or empty.
    """

    packed: Packed = field(repr=False)
    series: str
    instance: str
    size: tuple[int, int, int]
    position_mm: Array | None
    axes: Array | None
    spacing_mm: tuple[float, float] | None
    slope: float
    intercept: float
    image_type: tuple[str, ...]
    acquisition: Mapping[str, object]
    identifying: Mapping[str, object]
    frame: int = 0
    box: tuple[int, int, int, int] | None = None
    table: Array | None = None
    first: int = 0
    broken: str = ""
    preamble: str = ""

    @property
    def path(self) -> Path:
        """The file."""
        return self.packed.path

    @property
    def is_whole(self) -> bool:
        """Whether rescaled values are whole numbers."""
        if self.packed.floats:
            return False
        return self.slope.is_integer() and self.intercept.is_integer()

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value that the stored bits allow, rescaled."""
        if self.table is not None:
            return float(self.table.min()), float(self.table.max())
        bits = 16 if self.packed.photometric == "PALETTE COLOR" else self.packed.bits_stored
        low = -(1 << (bits - 1)) if self.packed.signed else 0
        ends = [self.slope * v + self.intercept for v in (low, low + (1 << bits) - 1)]
        return min(ends), max(ends)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What one DICOM file is.

    Attributes:
        kind: An image, outlines (RTSTRUCT), a segmentation, a parametric map, or none of these.
        slices: Its slices, where it is an image.
    """

    kind: Kind
    slices: tuple[Slice, ...] = ()


def is_dicom(path: Path) -> bool:
    """Say whether a file looks like DICOM: by the four letters at byte 128, or by its suffix."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def look(path: Path, budget: Budget) -> Looked:
    """Read the header of one DICOM file.

    Args:
        path: The file.
        budget: What reading it may cost.

    Returns:
        Its kind; its slices where it is an image: one, or the tiles of a mosaic, or the frames of
        a multi-frame image.

    Raises:
        FormatError: The file is damaged, or a kind of image not read here.
    """
    header = read_header(path, budget)
    try:
        sop_class = header.text("SOPClassUID")
        if not header.values("Rows"):
            if not sop_class:
                raise ValueError("it has neither an SOP class nor rows")
            return Looked("outlines" if sop_class == RTSTRUCT else "other")
        if sop_class in SEGMENTATIONS:
            return Looked("segmentation")
        if sop_class == PARAMETRIC_MAP:
            return Looked("map")
        one = _slice(path, header, budget)
        check_packed(one.packed)
        return Looked("image", _expanded(one, header, budget))
    except FormatError:
        raise
    except Exception as error:  # a damaged value may fail anywhere
        raise FormatError(
            f"{path.name!r} must be a readable DICOM file, it is not: {reason_of(error, path)}: "
            "the file is truncated or damaged, copy it again"
        ) from error


def series_of(path: Path, budget: Budget) -> str:
    """Give the SeriesInstanceUID of a file that could not be read, empty where it has none."""
    try:
        # as it stands: in a damaged file it may be told to be a number, and is none
        return read_header(path, budget).raw_text("SeriesInstanceUID")
    except FormatError:
        return ""


def full_header(path: Path, budget: Budget) -> Any:
    """Read the whole header of a DICOM file with pydicom, not its pixels.

    Args:
        path: The file.
        budget: What unpacking may cost.

    Returns:
        A pydicom dataset.

    Raises:
        FormatError: It unpacks beyond the budget.
    """
    import pydicom

    packed = inflated(path, budget)
    if packed is None:
        with warnings.catch_warnings(action="ignore"):
            return pydicom.dcmread(path, stop_before_pixels=True, force=True)
    data = pydicom.filereader.read_dataset(
        io.BytesIO(packed), is_implicit_VR=False, is_little_endian=True
    )
    data.file_meta = pydicom.filereader.read_file_meta_info(path)
    return data


def _expanded(one: Slice, header: Header, budget: Budget) -> tuple[Slice, ...]:
    """Split a mosaic or a multi-frame image into slices."""
    words = {word.upper() for word in one.image_type}
    if "MOSAIC" in words:
        from vesalius.io.dicom._mosaic import expand as expand_mosaic

        return tuple(expand_mosaic(one, full_header(one.path, budget)))
    # ultrasound keeps its pixel spacing in regions
    uncalibrated = one.spacing_mm is None and header.text("Modality") == "US"
    grouped = header.has("PerFrameFunctionalGroupsSequence")
    if one.packed.frames > 1 or grouped or uncalibrated:
        from vesalius.io.dicom._multiframe import expand as expand_frames

        return tuple(expand_frames(one, full_header(one.path, budget)))
    return (one,)


def _slice(path: Path, header: Header, budget: Budget) -> Slice:
    packed = _packed(path, header)
    slope, intercept = _rescale(header)
    orientation = _numbers(header, "ImageOrientationPatient", 6)
    spacing = _numbers(header, "PixelSpacing", 2)
    at_detector = spacing is None
    if spacing is None:
        spacing = _numbers(header, "ImagerPixelSpacing", 2)
    check_spacing(spacing)
    table, first, kind = _table(packed, header, budget)
    if table is not None and (slope, intercept) != (1.0, 0.0):
        raise ValueError("it has both a rescale and a modality lookup table")
    own: dict[str, object] = {"rescaled": header.has("RescaleSlope") or table is not None}
    own |= {"AtDetector": True} if at_detector and spacing is not None else {}
    own |= {"ExtraBytes": extra} if (extra := _extra(header, packed)) else {}
    own |= {"RescaleType": kind} if table is not None else {}
    return Slice(
        packed=packed,
        series=header.text("SeriesInstanceUID"),
        instance=header.text("SOPInstanceUID"),
        size=(packed.rows, packed.columns, packed.channels),
        position_mm=_numbers(header, "ImagePositionPatient", 3),
        axes=None if orientation is None else orientation.reshape(2, 3).T,
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        slope=slope,
        intercept=intercept,
        image_type=tuple(str(word) for word in header.values("ImageType")),
        acquisition=_entries(header, PLAIN) | own,
        identifying=_entries(header, TELLING),
        table=table,
        first=first,
        broken=_broken(header, packed),
        preamble=_hidden(header.preamble),
    )


def _packed(path: Path, header: Header) -> Packed:
    allocated = int(header.number("BitsAllocated", 16))
    floats = header.element in (0x7FE00008, 0x7FE00009) or (
        allocated >= 32 and not header.values("BitsStored")
    )
    bits = allocated if floats else int(header.number("BitsStored", allocated))
    native = header.syntax in NATIVE and header.length >= 0
    sign = header.number("PixelRepresentation", 0)
    if sign not in (0, 1):
        raise ValueError(f"PixelRepresentation must be 0 or 1, it is {sign:g}")
    return Packed(
        path=path,
        syntax=header.syntax,
        rows=int(header.number("Rows", 0)),
        columns=int(header.number("Columns", 0)),
        samples=int(header.number("SamplesPerPixel", 1)),
        bits_allocated=allocated,
        bits_stored=bits,
        high_bit=int(header.number("HighBit", bits - 1)) if not floats else bits - 1,
        signed=bool(sign) and not floats,
        photometric=header.text("PhotometricInterpretation") or "MONOCHROME2",
        planar=int(header.number("PlanarConfiguration", 0)),
        frames=max(1, int(header.number("NumberOfFrames", 1))),
        offset=header.pixels if native else -1,
        floats=floats,
    )


def _rescale(header: Header) -> tuple[float, float]:
    """Give slope and intercept of the modality rescale (PS3.3 C.11.1), 1 and 0 where absent."""
    slopes, intercepts = (
        _numbers(header, word, 1) for word in ("RescaleSlope", "RescaleIntercept")
    )
    slope = 1.0 if slopes is None else float(slopes[0])
    intercept = 0.0 if intercepts is None else float(intercepts[0])
    if slope == 0 or not max(abs(slope), abs(intercept)) < LARGEST:
        raise ValueError(f"its rescale slope is {slope:g} and its intercept {intercept:g}")
    if slopes is None and intercept != 0:
        raise ValueError(f"it has a rescale intercept of {intercept:g} and no slope")
    return slope, intercept


def check_spacing(spacing: Array | None) -> None:
    """Check distances between pixels, which would mirror or flatten the image if they were not.

    Raises:
        ValueError: One is not positive.
    """
    if spacing is not None and not float(spacing.min()) > 0:
        raise ValueError(f"its pixel spacing must be positive, it is {spacing.tolist()}")


def _needed(packed: Packed) -> int:
    """Bytes that uncompressed samples take."""
    bits = packed.bits_allocated * packed.samples
    if packed.photometric == "YBR_FULL_422":
        bits = 2 * packed.bits_allocated
    return -(-packed.rows * packed.columns * packed.frames * bits // 8)


def _extra(header: Header, packed: Packed) -> int:
    """Bytes of uncompressed samples that the header does not account for, padding aside."""
    needed = _needed(packed)
    return max(header.length - needed - needed % 2, 0) if header.syntax in NATIVE else 0


def _broken(header: Header, packed: Packed) -> str:
    """Say why the samples cannot be whole; empty where they can."""
    if header.element == 0:
        return f"it ends at byte {header.size} without pixels"
    if header.pixels < 0:
        return ""
    if header.length < 0:
        return "" if header.pixels < header.size else f"it ends at byte {header.size}"
    needed = _needed(packed)
    there = min(header.length, header.size - header.pixels)
    if header.syntax in NATIVE and needed > 0 and there >= 2 * needed + needed % 2:
        return f"it holds {there} bytes of samples where its header describes {needed}"
    if header.syntax not in NATIVE or there >= needed:
        return ""
    return (
        f"its {needed} bytes of samples begin at byte {header.pixels}, it ends after {there} of "
        f"them at byte {header.pixels + there}"
    )


def _hidden(preamble: bytes) -> str:
    start = preamble.lstrip()
    return next((what for mark, what in HOSTILE.items() if start.startswith(mark)), "")


def _table(packed: Packed, header: Header, budget: Budget) -> tuple[Array | None, int, str]:
    """Read a modality lookup table (PS3.3 C.11.1): values, what the first is for, their type."""
    if not header.has("ModalityLUTSequence"):
        return None, 0, ""
    items = full_header(packed.path, budget).ModalityLUTSequence
    if not items:
        return None, 0, ""
    if len(items) > 1:
        raise ValueError(f"it has {len(items)} modality lookup tables")
    count, first, bits = (int(v) for v in items[0].LUTDescriptor)
    count, raw = count or 1 << 16, items[0].LUTData
    if packed.signed and first >= 1 << 15:  # written as if it had no sign
        first -= 1 << 16
    if isinstance(raw, bytes):
        raw = np.frombuffer(raw, "<u2" if len(raw) >= 2 * count else "u1")
    values = np.atleast_1d(np.asarray(raw)).astype(np.int64)
    if len(values) < count or not 8 <= bits <= 16:
        raise ValueError(f"its modality lookup table has {len(values)} of {count} entries")
    kind = str(items[0].get("ModalityLUTType", "") or "US")
    return values[:count], first, "unspecified" if kind == "US" else kind


def _numbers(header: Header, keyword: str, count: int) -> Array | None:
    values = header.values(keyword)
    if not values:
        return None
    if len(values) != count or not all(map(math.isfinite, map(float, values))):
        raise ValueError(f"{keyword} must be {count} numbers, it is {list(values)}")
    return np.array(values, dtype=np.float64)


def _entries(header: Header, keywords: Mapping[str, int]) -> dict[str, object]:
    found: dict[str, object] = {}
    for keyword, tag in keywords.items():
        if tag not in header.entries:
            continue
        try:
            values = header.values(keyword)
        except ValueError:  # a number that is none stays the text that it is
            found[keyword] = header.raw_text(keyword)
            continue
        if len(values) == 1:
            found[keyword] = values[0]
        elif values:
            found[keyword] = ", ".join(map(str, values))
    return found
