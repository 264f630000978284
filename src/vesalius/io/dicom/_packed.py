"""Packed: what a DICOM header says about how its pixels are packed."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np


@final
@dataclass(frozen=True, slots=True)
class Packed:
    """What the header says about how pixels are packed (PS3.3 C.7.6.3, PS3.5 8).

    Attributes:
        path: The file.
        syntax: Transfer syntax UID; empty for a file without a preamble.
        rows: Height of a frame.
        columns: Width of a frame.
        samples: SamplesPerPixel.
        bits_allocated: Bits that each sample takes: 1, 8, 16, 32 or 64.
        bits_stored: Bits of them that hold the value.
        high_bit: Where the highest of these lies.
        signed: Whether values are two's complement.
        photometric: PhotometricInterpretation.
        planar: 1 where a frame keeps its colours in planes.
        frames: Number of frames in the file.
        offset: File byte of the first sample where they are native and that is known, else -1.
        floats: Whether they are FloatPixelData or DoubleFloatPixelData.
    """

    path: Path = field(repr=False)
    syntax: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: int
    frames: int = 1
    offset: int = -1
    floats: bool = False

    @property
    def channels(self) -> int:
        """Colours of each pixel as they are read: a palette gives three."""
        return 3 if self.photometric == "PALETTE COLOR" else self.samples

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Number type of the values as they are read; a palette gives uint16."""
        if self.photometric == "PALETTE COLOR":
            return np.dtype(np.uint16)
        return self.stored

    @property
    def stored(self) -> "np.dtype[Any]":
        """Number type of a sample in the file, native byte order."""
        kind = "f" if self.floats else "i" if self.signed else "u"
        return np.dtype(f"{kind}{max(self.bits_allocated // 8, 1)}")


def pack(path: Path, header: Any, offset: int = -1) -> Packed:
    """Take from a header what decoding its pixels needs.

    Args:
        path: The file.
        header: Gives values by keyword with ``get``, as a pydicom dataset does, and holds
            ``TransferSyntaxUID`` itself or in its ``file_meta``.
        offset: See ``Packed``.

    Returns:
        The description, unchecked: ``read_frames`` checks it.
    """
    meta = getattr(header, "file_meta", header)
    allocated = int(header.get("BitsAllocated", None) or 16)
    floats = allocated >= 32 and header.get("BitsStored", None) in (None, "")
    bits = int(allocated if floats else header.get("BitsStored", None) or allocated)
    high = header.get("HighBit", None)
    return Packed(
        path=path,
        syntax=str(meta.get("TransferSyntaxUID", "")),
        rows=int(header.get("Rows", None) or 0),
        columns=int(header.get("Columns", None) or 0),
        samples=int(header.get("SamplesPerPixel", None) or 1),
        bits_allocated=allocated,
        bits_stored=bits,
        high_bit=bits - 1 if high in (None, "") else int(high),
        signed=bool(header.get("PixelRepresentation", None) or 0) and not floats,
        photometric=str(header.get("PhotometricInterpretation", None) or "MONOCHROME2").strip(),
        planar=int(header.get("PlanarConfiguration", None) or 0),
        frames=int(header.get("NumberOfFrames", None) or 1),
        offset=offset,
        floats=floats,
    )
