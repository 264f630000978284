"""Packed flow: a flow of vectors no longer than 1 in one byte a component, 0 outside a mask."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._jit import kernel

UNIT = 127
"""The byte of a component of 1: directions are kept to half a degree."""

PackedFlow = Int8[np.ndarray, "z y x 3"]


def packed(flow: Float[Tensor, "c z2 y2 x2"], mask: Bool[Tensor, "z y x"]) -> PackedFlow:
    """Pack a flow: a quarter of the memory, and the components of a sample side by side.

    Args:
        flow: (3, z, y, x), components along (z, y, x); vectors longer than 1 are cut to 1, and in
            2-D (``z == 1``) the first component counts as 0.
        mask: (z, y, x), where the flow counts.

    Returns:
        (z, y, x, 3), on the CPU.

    Raises:
        ShapeError: Flow and mask have different shapes.
    """
    if tuple(flow.shape) != (3, *mask.shape):
        raise ShapeError(
            f"flow must have shape (3, *mask) = {(3, *mask.shape)}, got {tuple(flow.shape)}"
        )
    field = np.ascontiguousarray(flow.detach().cpu().numpy(), dtype=np.float32)
    inside = np.ascontiguousarray(mask.detach().cpu().numpy())
    out: npt.NDArray[np.int8] = _pack(field, inside)
    return out


def unpacked(flow: PackedFlow) -> Float[Tensor, "3 z y x"]:
    """Give a packed flow back as numbers.

    Args:
        flow: From :func:`packed`.
    """
    return torch.from_numpy(np.moveaxis(flow, -1, 0).astype(np.float32) / UNIT)


@kernel
@no_type_check
def _pack(field, inside):
    """Round the components of each sample of the mask to bytes."""
    nz, ny, nx = inside.shape
    out = np.zeros((nz, ny, nx, 3), np.int8)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if inside[z, y, x]:
                    a, b, c = field[0, z, y, x], field[1, z, y, x], field[2, z, y, x]
                    if nz == 1:
                        a = np.float32(0)
                    length = np.sqrt(a * a + b * b + c * c)
                    unit = UNIT / max(length, np.float32(1))
                    out[z, y, x, 0] = np.int8(np.rint(a * unit))
                    out[z, y, x, 1] = np.int8(np.rint(b * unit))
                    out[z, y, x, 2] = np.int8(np.rint(c * unit))
    return out
