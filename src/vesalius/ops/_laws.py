"""Laws' kernels: level, edge, spot, wave and ripple, and the energy of their response."""
# SPDX-License-Identifier: Apache-2.0

import math
import re

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._convolve import Boundary, Chain, Taps, convolve_separable

Stack = Float[Tensor, "*batch z y x"]

LAWS: dict[str, tuple[int, ...]] = {
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}
"""Kernels before they are scaled to unit Euclidean norm."""


def laws_kernels(name: str) -> tuple[Chain, ...]:
    """Read the name of a Laws filter.

    Args:
        name: Two (x, y) or three (x, y, z) kernels, such as ``"L5E5"`` or ``"E5L5S5"``.

    Returns:
        One kernel for each letter and digit, in the order of the name, of unit Euclidean norm.

    Raises:
        ShapeError: The name is not made of two or three known kernels.

    References:
        IBSI reference manual, chapter 2 (arXiv:2006.05470), Laws kernels.
    """
    parts = re.findall(r"[A-Z]\d", name)
    if "".join(parts) != name or len(parts) not in (2, 3) or not set(parts) <= set(LAWS):
        raise ShapeError(
            f"name must be two or three of {', '.join(LAWS)}, got {name!r}: "
            "write for example 'L5E5' in the plane or 'E5L5S5' in space"
        )
    return tuple((_normalised(LAWS[part]),) for part in parts)


def _normalised(values: tuple[int, ...]) -> Taps:
    norm = math.sqrt(sum(v * v for v in values))
    return Taps.of(tuple(v / norm for v in values))


def box(size: int) -> Chain:
    """Give the kernel that averages ``size`` samples; centred for an odd size."""
    return (Taps.of((1.0 / size,) * size),)


def energy(x: Stack, distance: int, boundary: Boundary, *, in_plane: bool) -> Stack:
    """Average the absolute response over the neighbours within a Chebyshev distance.

    Args:
        x: (*batch, z, y, x), a filter response.
        distance: Largest distance of a neighbour, samples; the window is 2 distance + 1 wide.
        boundary: What lies beyond the border.
        in_plane: Average over (y, x) only.

    Returns:
        Same shape and unit as ``x``.
    """
    window = box(2 * distance + 1)
    return convolve_separable(torch.abs(x), (() if in_plane else window, window, window), boundary)
