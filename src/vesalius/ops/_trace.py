"""Tracing: the boundary of a plane mask along the edges of its pixels, exactly."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.ops._jit import kernel


def trace_edges(
    mask: Bool[Tensor, "y x"],
) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " k"]]:
    """Trace the boundary of a mask along pixel edges, corners only.

    Filling the polygons (``fill_polygons``) gives the mask back, exactly: no vertex and no edge
    touches a pixel centre. Pixels that touch at a corner only lie in polygons of their own.

    Args:
        mask: (y, x), True inside.

    Returns:
        (n, 2) float64 vertices (y, x), pixel centres at whole numbers, so that vertices lie at
        halves; and (k,) the index of the first vertex of each polygon. With y downwards outer
        boundaries run clockwise, holes anticlockwise; each begins at the left of its top edge.
    """
    plain = mask.detach().cpu().contiguous().numpy().view(np.uint8)
    points, starts = _trace(plain)
    return torch.from_numpy(points - 0.5), torch.from_numpy(starts)


@kernel
@no_type_check
def _leaving(mask):
    """Mark, at each corner of the pixels, the edges that leave it: right 1, down 2, left 4, up 8.

    Edges run with the inside on their right hand (y downwards).
    """
    rows, columns = mask.shape
    out = np.zeros((rows + 1, columns + 1), np.uint8)
    for y in range(rows + 1):
        for x in range(columns + 1):
            here = y < rows and x < columns and mask[y, x] != 0
            above = y > 0 and x < columns and mask[y - 1, x] != 0
            before = x > 0 and y < rows and mask[y, x - 1] != 0
            if here and not above:
                out[y, x] |= 1
            elif above and not here:
                out[y, x + 1] |= 4
            if before and not here:
                out[y, x] |= 2
            elif here and not before:
                out[y + 1, x] |= 8
    return out


@kernel
@no_type_check
def _trace(mask):
    out = _leaving(mask)
    seen = np.zeros_like(out)
    count = 0
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for d in range(4):
                count += (out[y, x] >> d) & 1
    points, starts = np.empty((count, 2)), np.empty(count // 4 + 1, np.int64)
    step_y, step_x = np.array([0, 1, 0, -1]), np.array([1, 0, -1, 0])
    n, loops = 0, 0
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for first in range(4):
                bit = 1 << first
                if not out[y, x] & bit or seen[y, x] & bit:
                    continue
                starts[loops] = n
                loops += 1
                at_y, at_x, d, turned = y, x, first, True
                while not seen[at_y, at_x] & (1 << d):
                    seen[at_y, at_x] |= 1 << d
                    if turned:
                        points[n, 0], points[n, 1] = at_y, at_x
                        n += 1
                    at_y, at_x = at_y + step_y[d], at_x + step_x[d]
                    # right first, so that a loop stays with its pixel where two touch
                    right = (d + 1) % 4
                    if out[at_y, at_x] & (1 << right):
                        d, turned = right, True
                    elif out[at_y, at_x] & (1 << d):
                        turned = False
                    else:
                        d, turned = (d + 3) % 4, True
    return points[:n].copy(), starts[:loops].copy()
