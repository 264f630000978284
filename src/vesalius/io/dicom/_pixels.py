"""Pixels: the stored values of frames of a DICOM file, whatever packs them."""
# SPDX-License-Identifier: Apache-2.0

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Array
from vesalius.io.dicom._codecs import LIBRARY, NATIVE, SYNTAXES, decode, is_native
from vesalius.io.dicom._colour import Palette, ybr_to_rgb
from vesalius.io.dicom._fragments import Element, find_pixels, frame_spans, read_span
from vesalius.io.dicom._packed import Packed, pack

__all__ = ["Packed", "cannot_read", "check_packed", "clean", "pack", "read_frames"]

PHOTOMETRIC = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
LITTLE = NATIVE[:2]
THREADS = min(4, os.cpu_count() or 1)


@lru_cache(maxsize=256)
def cannot_read(syntax: str) -> str:
    """Say why pixels of a transfer syntax cannot be decoded here.

    Args:
        syntax: Transfer syntax UID; empty counts as uncompressed.

    Returns:
        Empty where they can; else the rest of a sentence that begins with the file's name.
    """
    from importlib.util import find_spec

    from pydicom.uid import UID

    if not syntax or syntax in NATIVE or SYNTAXES.get(syntax) in ("rle", "deflate"):
        return ""
    title = UID(syntax).name
    if syntax not in SYNTAXES:
        return (
            f"must be uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000, its transfer syntax is "
            f"{title}: convert it first"
        )
    if find_spec(LIBRARY) is None:
        return (
            f"must be uncompressed to be read without the extra 'dicom', it is {title}: "
            "pip install vesalius[dicom]"
        )
    return ""


def check_packed(packed: Packed) -> None:
    """Check that pixels of this kind can be read, before any of them is.

    Args:
        packed: What the header says.

    Raises:
        FormatError: The transfer syntax, colour model or sample size is not one read here.
    """
    name = packed.path.name
    reason = cannot_read(packed.syntax)
    if reason:
        raise FormatError(f"{name!r} {reason}")
    if PHOTOMETRIC.get(packed.photometric) != packed.samples:
        raise FormatError(
            f"{name!r} must be one of {', '.join(PHOTOMETRIC)} with 1 or 3 samples, it is "
            f"{packed.photometric} with {packed.samples}: convert it first"
        )
    allocated, bits, high = packed.bits_allocated, packed.bits_stored, packed.high_bit
    if allocated not in (1, 8, 16, 32, 64) or not 0 < bits <= high + 1 <= allocated:
        raise FormatError(
            f"{name!r} must have samples of 1, 8, 16, 32 or 64 bits that hold their values, it "
            f"has {bits} bits up to bit {high} of {allocated}: its header is damaged"
        )
    odd = packed.samples == 3 and (allocated == 1 or (packed.photometric != "RGB" and bits > 16))
    if odd or (allocated == 1 and not is_native(packed.syntax)):
        raise FormatError(
            f"{name!r} must have colours of 8 or 16 bits and single bits uncompressed, it has "
            f"{packed.photometric} of {allocated} bits: convert it first"
        )


def read_frames(packed: Packed, first: int, count: int, budget: Budget) -> Array:
    """Read the stored values of frames.

    Bits above the highest one (old overlays) are cleared, negative values extended, planes
    interleaved; YBR and palettes come out as RGB (PS3.3 C.7.6.3.1.2, C.7.9). No rescale.

    Args:
        packed: What the header says.
        first: First frame, from 0.
        count: Number of frames.
        budget: What reading may cost.

    Returns:
        (count, rows, columns, channels) of type ``packed.dtype``.

    Raises:
        FormatError: It cannot be read here, or is damaged, truncated or beyond the budget.
    """
    check_packed(packed)
    name = packed.path.name
    if not 0 <= first < first + count <= packed.frames:
        raise FormatError(
            f"{name!r} must hold frames {first + 1} to {first + count}, its header promises "
            f"{packed.frames}: the file is damaged"
        )
    shape = (count, packed.rows, packed.columns, packed.channels)
    budget.check_size(name, shape, packed.dtype.itemsize)
    try:
        if packed.offset >= 0 and packed.syntax in LITTLE and not packed.floats:
            size = packed.path.stat().st_size - packed.offset
            element = Element(packed.path, packed.offset, size)
        else:
            element = find_pixels(packed.path, packed.syntax, _promised(packed), budget)
        values = _values(packed, element, range(first, first + count))
        if packed.photometric == "PALETTE COLOR":
            return Palette.of(element.header).paint(values[..., 0])
    except FormatError:
        raise
    except Exception as error:  # codecs raise whatever a damaged stream meets first
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = reason.replace(str(packed.path), name)
        raise FormatError(
            f"{name!r} must hold all samples that its header promises, it does not: "
            f"{reason}: the file is truncated or damaged, copy it again"
        ) from error
    return values


def _promised(packed: Packed) -> int:
    """Bytes of all native samples, at most."""
    area = packed.rows * packed.columns * packed.samples * packed.frames
    return area * packed.stored.itemsize


def _values(packed: Packed, element: Element, frames: range) -> Array:
    if is_native(packed.syntax):
        return _native(packed, element, frames)
    out = np.empty((len(frames), packed.rows, packed.columns, packed.samples), packed.stored)
    spans = frame_spans(element, packed.frames, SYNTAXES[packed.syntax])

    def one(k: int) -> None:
        data = read_span(element, spans[frames[k]])
        out[k] = _settle(*decode(data, packed), packed)

    if len(frames) == 1:
        one(0)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            # each call checks itself; list() brings its error here
            list(pool.map(one, range(len(frames))))
    return out


def _native(packed: Packed, element: Element, frames: range) -> Array:
    per_frame = packed.rows * packed.columns * packed.samples
    if packed.photometric == "YBR_FULL_422":
        per_frame = packed.rows * packed.columns * 2
    if packed.bits_allocated == 1:
        return _bits(packed, element, frames)
    stored = packed.stored.newbyteorder(">" if element.big else "<")
    element.check_floats(packed.floats, stored.itemsize)
    size = per_frame * stored.itemsize
    raw = element.read(frames.start * size, len(frames) * size)
    if element.big and element.words and stored.itemsize == 1:
        # OW of 8-bit samples in big endian: two samples a word, swapped (PS3.5 A.3)
        raw = np.frombuffer(raw, "<u2").byteswap().view(np.uint8)
    values = np.frombuffer(raw, stored).astype(packed.stored, copy=False)
    if packed.photometric == "YBR_FULL_422":
        values = _upsampled(values.reshape(len(frames), packed.rows, packed.columns // 2, 4))
    values = _planes(values, packed, len(frames))
    return values if packed.floats else _coloured(_trim(values, packed, 0), packed)


def _planes(values: Array, packed: Packed, count: int) -> Array:
    if packed.planar == 1 and packed.samples > 1 and packed.photometric != "YBR_FULL_422":
        shape = (count, packed.samples, packed.rows, packed.columns)
        return np.ascontiguousarray(np.moveaxis(values.reshape(shape), 1, -1))
    return values.reshape(count, packed.rows, packed.columns, packed.samples)


def _upsampled(pairs: Array) -> Array:
    """Give Y, Cb, Cr of each pixel from Y1, Y2, Cb, Cr of each pair (PS3.3 C.7.6.3.1.2)."""
    count, rows, half, _ = pairs.shape
    out = np.empty((count, rows, half, 2, 3), pairs.dtype)
    out[..., 0] = pairs[..., :2]
    out[..., 1:] = pairs[..., None, 2:]
    return out


def _bits(packed: Packed, element: Element, frames: range) -> Array:
    """Read single bits; frames do not begin at whole bytes (PS3.5 8.1.1)."""
    area = packed.rows * packed.columns
    start, stop = frames.start * area, frames.stop * area
    raw = np.frombuffer(element.read(start // 8, -(-stop // 8) - start // 8), np.uint8)
    bits = np.unpackbits(raw, bitorder="little")[start % 8 :][: stop - start]
    return bits.reshape(len(frames), packed.rows, packed.columns, 1)


def _settle(values: Array, precision: int, packed: Packed) -> Array:
    """Bring what a codec gave to the stored type: (rows, columns, samples)."""
    shape = (packed.rows, packed.columns, packed.samples)
    if values.size != math.prod(shape) or values.dtype.itemsize > packed.stored.itemsize:
        raise ValueError(
            f"its codestream gives {values.shape} samples of {values.dtype} "
            f"where the header promises {shape} of {packed.stored}"
        )
    same_sign = values.astype(packed.stored, copy=False).reshape(shape)
    return _coloured(_trim(same_sign, packed, precision), packed)


def _trim(values: Array, packed: Packed, precision: int) -> Array:
    """Clear the bits that are not the value's and extend its sign.

    ``precision`` is that of a codestream, 0 for native samples; some writers pack signed values
    as fewer bits without a sign.
    """
    bits, high = packed.bits_stored, packed.high_bit
    if precision and precision <= high:
        bits, high = min(bits, precision), min(bits, precision) - 1
    if bits == 8 * values.dtype.itemsize:
        return values
    if not values.flags.writeable:
        values = values.copy()
    clean(values, packed, high, bits)
    return values


def clean(values: Array, packed: Packed, high: int, bits: int) -> None:
    """Clear the bits that are not the value's and extend its sign, in place.

    Args:
        values: Samples as they are stored.
        packed: What the header says.
        high: Highest bit of a value.
        bits: Number of its bits.

    Raises:
        FormatError: Bits below the value's are set where it does not begin at the lowest, so that
            the header may be wrong (PS3.5 8.1.1 wants the lowest bits).
    """
    width, kind = 8 * values.dtype.itemsize, values.dtype.kind
    plain = values.view(f"u{values.dtype.itemsize}")
    if high >= bits and (plain & plain.dtype.type((1 << (high + 1 - bits)) - 1)).any():
        raise FormatError(
            f"{packed.path.name!r} must say which bits hold its values, it says bits "
            f"{high + 1 - bits} to {high}, and bits below those are set: repair its HighBit "
            f"({bits - 1} is usual for {bits} bits)"
        )
    if bits == width:
        return
    if kind == "u" and high == bits - 1:
        plain &= plain.dtype.type((1 << bits) - 1)
        return
    # upwards to drop what is above, downwards to drop what is below and copy the sign
    np.left_shift(plain, width - 1 - high, out=plain)
    np.right_shift(values, width - bits, out=values)


def _coloured(values: Array, packed: Packed) -> Array:
    lossy = SYNTAXES.get(packed.syntax, "")
    if packed.photometric not in ("YBR_FULL", "YBR_FULL_422") or lossy == "jpeg":
        return values
    return ybr_to_rgb(values, packed.bits_stored)
