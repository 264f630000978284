"""Pixels of a de-identified file: the samples and nothing else; burned-in text blanked on request.

Where text stands is known for some scanners by make, model and size (facts that the RSNA's Clinical
Trial Processor collected), for ultrasound by the regions that the header itself declares (PS3.3
C.8.5.5), else by rectangles that the user names. Text is not searched for.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np

from vesalius.io._budget import Budget
from vesalius.io._handle import Array

Box = tuple[int, int, int, int]
"""A rectangle of pixels: x and y of its first pixel, width, height."""
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
NATIVE = ("1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.1.99", BIG)
CODECS = {"rle": "rle", "jpeg2k": "j2k", "jpegls": "jpeg", "jpeg": "jpeg", "lossless": "jpeg"}


@final
@dataclass(frozen=True, slots=True)
class Layout:
    """Where a scanner writes text into its pictures.

    Attributes:
        modality: Modality.
        maker: Part of Manufacturer, upper case.
        model: Part of ManufacturerModelName, upper case; empty for any.
        size: (rows, columns); 0 for any.
        boxes: The rectangles.
        kind: Word that ImageType must hold; empty for any.
    """

    modality: str
    maker: str
    model: str
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    kind: str = ""


LAYOUTS = (
    Layout("US", "GE", "LOGIQ9", (0, 0), ((0, 0, 640, 30),)),
    Layout("US", "GE", "LOGIQE9", (0, 0), ((0, 0, 960, 70),)),
    Layout("US", "GE", "V830", (0, 0), ((0, 0, 960, 70),)),
    Layout("US", "GE", "LOGIQE", (614, 0), ((0, 0, 1150, 75),)),
    Layout("US", "PHILIPS", "IU22", (480, 0), ((0, 0, 640, 47),)),
    Layout("US", "PHILIPS", "IU22", (600, 0), ((0, 0, 800, 59),)),
    Layout("US", "PHILIPS", "IU22", (786, 0), ((0, 0, 1024, 75),)),
    Layout("US", "PHILIPS", "EPIQ", (600, 0), ((0, 0, 1024, 49),)),
    Layout("US", "PHILIPS", "EPIQ", (768, 0), ((0, 0, 1024, 49),)),
    Layout("US", "PHILIPS", "EPIQ", (825, 0), ((0, 0, 800, 59),)),
    Layout("US", "PHILIPS", "AFFINITI 70G", (768, 0), ((0, 0, 1024, 22),)),
    Layout("US", "PHILIPS", "AFFINITI 70G", (825, 0), ((0, 0, 1140, 70),)),
    Layout("US", "PHILIPS", "CX50", (0, 0), ((0, 0, 800, 59),)),
    Layout("US", "ZONARE", "Z_ONE", (600, 0), ((0, 0, 800, 65),)),
    Layout("US", "ZONARE", "ZS3", (600, 0), ((0, 0, 1150, 55),)),
    Layout("US", "ATL", "HDI 5000", (476, 640), ((40, 0, 200, 40), (240, 0, 190, 16))),
    Layout("US", "SIEMENS", "S2000", (768, 1024), ((0, 0, 1024, 60),)),
    Layout("US", "SIEMENS", "S3000", (768, 0), ((0, 0, 1040, 60),)),
    Layout("US", "SIEMENS", "X150", (600, 0), ((0, 0, 1145, 50),)),
    Layout("US", "SIEMENS", "ACUSON", (600, 800), ((0, 0, 800, 43), (128, 56, 16, 16))),
    Layout("US", "ACUSON", "SEQUOIA", (480, 640), ((0, 0, 640, 30),)),
    Layout("US", "TOSHIBA", "A400", (720, 960), ((0, 0, 960, 60),)),
    Layout("US", "TOSHIBA", "A500", (720, 960), ((0, 0, 960, 60),)),
    Layout("US", "TOSHIBA", "TUS-A300", (632, 0), ((0, 0, 1150, 72),)),
    Layout("US", "SUPERSONIC", "AIXPLORER", (1050, 1400), ((0, 0, 1400, 89),)),
    Layout("CT", "GE", "", (512, 512), ((0, 0, 512, 200),), "SCREEN SAVE"),
    Layout("CT", "PHILIPS", "", (512, 512), ((0, 0, 512, 135),), "DOSE"),
    Layout("CT", "SIEMENS", "", (860, 0), ((0, 0, 1132, 60),), "SECONDARY"),
    Layout("CT", "TOSHIBA", "AQUILION ONE", (512, 512), ((0, 0, 410, 240),), "SECONDARY"),
    Layout("NM", "SIEMENS", "", (860, 0), ((0, 0, 1132, 90), (0, 780, 1132, 80)), "SECONDARY"),
)


@final
@dataclass(frozen=True, slots=True)
class Mask:
    """What of each frame is blanked.

    Attributes:
        blank: Rectangles to blank.
        keep: Rectangles outside which all is blanked; none blanks nothing there.
        why: Where the rectangles come from.
    """

    blank: tuple[Box, ...] = ()
    keep: tuple[Box, ...] = ()
    why: str = ""

    def array(self, rows: int, columns: int) -> Array:
        """Give the mask, (rows, columns), true where a pixel is blanked."""
        gone = np.full((rows, columns), bool(self.keep))
        for x, y, width, height in self.keep:
            gone[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = False
        for x, y, width, height in self.blank:
            gone[y : y + height, x : x + width] = True
        return gone


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels to be written.

    Attributes:
        keyword: Which of the three elements of pixels it is.
        vr: Its VR.
        value: Its value.
        syntax: Transfer syntax that it is in.
        header: Elements that change with it.
    """

    keyword: str
    vr: str
    value: bytes
    syntax: str
    header: dict[str, object] = field(default_factory=dict)


def known_mask(header: Any, user: tuple[Box, ...]) -> Mask:
    """Say what to blank in a picture that may have text burned in.

    Args:
        header: Its dataset.
        user: Rectangles that the user named.

    Returns:
        The mask; its ``why`` is empty where nothing is known.
    """
    size = int(header.get("Rows", 0) or 0), int(header.get("Columns", 0) or 0)
    found = [one for one in LAYOUTS if _fits(one, header, size)]
    boxes = tuple(box for one in found for box in one.boxes)
    keep = _regions(header)
    sources = {"rectangles of the user": user, "a known layout": boxes, "declared regions": keep}
    why = " and ".join(name for name, there in sources.items() if there)
    return Mask((*user, *boxes), keep, why)


def _fits(layout: Layout, header: Any, size: tuple[int, int]) -> bool:
    words = [str(word).upper() for word in header.get("ImageType", None) or []]
    return (
        str(header.get("Modality", "")) == layout.modality
        and layout.maker in str(header.get("Manufacturer", "")).upper()
        and layout.model in str(header.get("ManufacturerModelName", "")).upper()
        and all(want in (0, is_) for want, is_ in zip(layout.size, size, strict=True))
        and (not layout.kind or any(layout.kind in word for word in words))
    )


def _regions(header: Any) -> tuple[Box, ...]:
    names = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    found = []
    for item in header.get("SequenceOfUltrasoundRegions", None) or []:
        ends = [item.get(f"RegionLocation{name}", None) for name in names]
        if all(isinstance(end, int) for end in ends):
            x, y, right, bottom = ends
            found.append((x, y, right - x + 1, bottom - y + 1))
    return tuple(found)


def clean_pixels(path: Path, header: Any, mask: Mask | None, budget: Budget) -> Pixels | None:
    """Give the pixels of a file without what is no pixel, and without what is masked.

    Bits that hold no value, bytes behind the last sample, and comments and application data of
    compressed frames are dropped. Masked pictures are written uncompressed, as are compressed grey
    ones with something in such bits, as old overlays are.

    Args:
        path: The file.
        header: Its dataset, with the pixels.
        mask: What is blanked in every frame, or None.
        budget: What decoding may cost.

    Returns:
        The pixels, or None for a file without any.

    Raises:
        ValueError: They are truncated, not understood, or cannot be blanked.
        FormatError: They cannot be decoded.
    """
    there = [keyword for keyword in PIXELS if keyword in header]
    if not there:
        return None
    if len(there) > 1 or not int(header.get("Rows", 0) or 0):
        raise ValueError("pixels without a size, or of two kinds")
    if mask is not None:
        return _blanked(path, header, mask, budget)
    if str(header.file_meta.get("TransferSyntaxUID", "")) in ("", *NATIVE):
        return _native(header, there[0])
    return _encapsulated(header, budget)


def _native(header: Any, keyword: str) -> Pixels:
    from vesalius.io.dicom._packed import pack

    packed = pack(Path(), header)
    value = bytes(header[keyword].value or b"")
    bits = packed.rows * packed.columns * packed.samples * packed.frames * packed.bits_allocated
    if packed.photometric == "YBR_FULL_422":
        bits = bits // 3 * 2
    size = (bits + 7) // 8
    if len(value) < size or size == 0:
        raise ValueError("fewer samples than the header promises")
    value = value[:size]
    if packed.bits_allocated in (8, 16, 32, 64):
        big = str(header.file_meta.get("TransferSyntaxUID", "")) == BIG
        value = _in_range(value, packed, big=big)
    vr = {"FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}.get(keyword, "")
    vr = vr or ("OW" if packed.bits_allocated > 8 else "OB")
    return Pixels(keyword, vr, value + b"\0" * (len(value) % 2), EXPLICIT)


def _in_range(value: bytes, packed: Any, *, big: bool) -> bytes:
    """Clear the bits that hold no value, or fill them with the sign; little endian."""
    stored = np.frombuffer(value, packed.stored.newbyteorder(">" if big else "<"))
    width = packed.bits_allocated
    unused = width - packed.high_bit - 1
    if packed.floats or unused <= 0:
        return stored.astype(packed.stored.newbyteorder("<")).tobytes()
    shifted = stored.astype(packed.stored) << unused
    kept = (shifted >> unused).astype(packed.stored.newbyteorder("<"))
    low = packed.high_bit + 1 - packed.bits_stored
    value = (kept >> low << low if low > 0 else kept).tobytes()
    return bytes(value)


def _encapsulated(header: Any, budget: Budget) -> Pixels:
    from pydicom.encaps import encapsulate, generate_frames

    from vesalius.io.dicom._codecs import SYNTAXES
    from vesalius.io.dicom._deid_codestream import clean_frame

    syntax = str(header.file_meta.TransferSyntaxUID)
    codec = CODECS.get(SYNTAXES.get(syntax, ""), "")
    if not codec:
        raise ValueError("compressed in a way that is not understood")
    frames = int(header.get("NumberOfFrames", 1) or 1)
    plane = int(header.Rows) * int(header.Columns)
    tables = [header.get(f"ExtendedOffsetTable{part}", None) for part in ("", "Lengths")]
    offsets = (tables[0], tables[1]) if all(tables) else None
    found = generate_frames(header.PixelData, number_of_frames=frames, extended_offsets=offsets)
    cleaned = [clean_frame(frame, codec, plane) for frame in found]
    if len(cleaned) != frames:
        raise ValueError("another number of frames than the header promises")
    plain = _without_overlays(cleaned, header, budget)
    if plain:
        return Pixels("PixelData", "OW", plain, EXPLICIT)
    fits = sum(map(len, cleaned)) < (1 << 32) - 16 * frames
    return Pixels("PixelData", "OB", encapsulate(cleaned, has_bot=fits), syntax)


def _without_overlays(frames: list[bytes], header: Any, budget: Budget) -> bytes:
    """Give the samples where bits beside the value are set (PS3.5 8.1.2), else nothing."""
    from vesalius.io.dicom._codecs import decode
    from vesalius.io.dicom._packed import pack

    packed = pack(Path(), header)
    if packed.samples != 1 or packed.bits_allocated != 16 or packed.bits_stored == 16:
        return b""
    budget.check_size("pixels", (len(frames), packed.rows, packed.columns), 2)
    found, kept = [], []
    for frame in frames:
        values, precision = decode(frame, packed)
        if 0 < precision <= packed.bits_stored:
            return b""
        found.append(values.astype(packed.stored).tobytes())
        kept.append(_in_range(found[-1], packed, big=False))
    return b"" if kept == found else b"".join(kept)


def _blanked(path: Path, header: Any, mask: Mask, budget: Budget) -> Pixels:
    from vesalius.io.dicom._packed import pack
    from vesalius.io.dicom._pixels import read_frames

    packed = pack(path, header)
    if packed.bits_allocated not in (8, 16) or packed.floats:
        raise ValueError("pixels of another size than 8 or 16 bits cannot be blanked")
    samples = np.array(read_frames(packed, 0, packed.frames, budget))
    gone = mask.array(packed.rows, packed.columns)
    bits = packed.bits_stored if packed.channels == packed.samples else 16
    low = -(1 << (bits - 1)) if packed.signed else 0
    black = low + (1 << bits) - 1 if packed.photometric == "MONOCHROME1" else low
    samples[:, gone] = black
    width = samples.dtype.itemsize * 8
    changes: dict[str, object] = {
        "BitsAllocated": width,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "BurnedInAnnotation": "NO",
        "SamplesPerPixel": packed.channels,
    }
    if packed.channels == 3:
        changes |= {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    value = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    vr = "OW" if width > 8 else "OB"
    return Pixels("PixelData", vr, value + b"\0" * (len(value) % 2), EXPLICIT, changes)
