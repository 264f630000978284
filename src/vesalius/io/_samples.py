"""Samples between NumPy, as files hold them, and torch, as the house holds them."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.errors import FormatError

Array = npt.NDArray[Any]
WIDENED = {"u2": "i4", "u4": "i8", "u8": "i8"}
STORED = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
SAVED = frozenset(
    {torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8}
    | {torch.int16, torch.int32, torch.int64, torch.float32, torch.float64}
)


def to_tensor(array: Array) -> Tensor:
    """Hand an array over to torch in native byte order; unsigned 16 bits and up are widened.

    Args:
        array: Real numbers, any shape, any byte order.

    Returns:
        The same values; uint16 becomes int32, uint32 and uint64 become int64.

    Raises:
        FormatError: A uint64 value does not fit int64.
    """
    kind = array.dtype.str[1:]
    if kind == "u8" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise FormatError(
            f"uint64 samples must fit int64, the largest is {int(array.max())}: "
            "rescale them before saving"
        )
    wanted = np.dtype(WIDENED.get(kind, kind))
    native = np.ascontiguousarray(array, dtype=wanted)
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def widened(stored: "np.dtype[Any]") -> str:
    """Say what reading does to a stored type that torch computes poorly with; empty if nothing."""
    kind = stored.str[1:]
    if kind not in WIDENED:
        return ""
    native = np.dtype(WIDENED[kind]).name
    return f"stored as {stored.newbyteorder('=').name}, widened without loss to {native}"


def whole_numbers(data: Tensor, name: str) -> Tensor:
    """Turn samples into label numbers; floats only where every value is whole.

    Args:
        data: Any shape.
        name: What to call the data in the error.

    Returns:
        ``data`` itself if it is integer, else the smallest integer type that holds it.

    Raises:
        FormatError: A value is not finite or not whole.
    """
    if not data.is_floating_point():
        return data
    wrong = ~torch.isfinite(data) | (data != data.round())
    if bool(wrong.any()):
        raise FormatError(
            f"labels must be whole numbers, {name!r} holds {float(data[wrong][0]):g} and "
            f"{int(wrong.sum())} such values in all: read it as an image and threshold it"
        )
    low, high = (int(data.min()), int(data.max())) if data.numel() else (0, 0)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        if torch.iinfo(dtype).min <= low and high <= torch.iinfo(dtype).max:
            return data.to(dtype)
    return data.to(torch.int64)


def as_labels(image: Image) -> Labels:
    """Take an image of whole numbers as labels, one layer for each channel.

    Args:
        image: Integer, or floating point with whole values only.

    Returns:
        Labels on the same grid, without names.

    Raises:
        FormatError: A value is not finite or not whole.
    """
    return Labels(whole_numbers(image.data, "the image"), image.grid)


def to_numpy(data: Tensor) -> Array:
    """Give samples to a writer as a contiguous array in memory order.

    Args:
        data: Any shape, any device.

    Returns:
        The same values.

    Raises:
        FormatError: The number type has no place in a file (float16, bfloat16, ...).
    """
    if data.dtype not in SAVED:
        raise FormatError(
            f"samples must be integer, float32 or float64 to be saved, got {data.dtype}: "
            "convert them first, such as image.map(torch.Tensor.float)"
        )
    array: Array = data.detach().cpu().contiguous().numpy()
    return array
