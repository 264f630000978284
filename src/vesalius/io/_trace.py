"""Trace: labels become outlines along the edges of voxels, so that drawing them gives them back."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vesalius.core import Labels
from vesalius.io._contours import Contours, Outline, Roi, Space
from vesalius.ops._trace import trace_edges

DENSE = 1 << 20
PALETTE: tuple[tuple[int, int, int], ...] = (
    (230, 60, 60),
    (60, 160, 230),
    (70, 190, 80),
    (240, 170, 40),
    (160, 90, 210),
    (40, 190, 180),
    (240, 110, 170),
    (150, 130, 60),
)


def trace(labels: Labels, *, name: str = "labels", space: Space = "world") -> Contours:
    """Outline every region slice by slice, along voxel edges.

    ``rasterise(trace(labels), labels.grid)`` gives the regions back, voxel for voxel.

    Args:
        labels: Any grid; holes are outlines inside others.
        name: What to call the contours.
        space: What the points speak of.

    Returns:
        One region for each label of each layer, in that order. A negative value, and one that an
        earlier layer uses, is replaced by a new one.
    """
    rois: list[Roi] = []
    taken: set[int] = set()
    for layer, part in enumerate(labels.data):
        for value, corner, mask in _regions(part):
            outlines = tuple(_outlines(labels, corner, mask, space))
            own = value if value > 0 and value not in taken else max(taken, default=0) + 1
            taken.add(own)
            colour = PALETTE[len(rois) % len(PALETTE)]
            title = labels.name(value, layer)
            title = title if title.strip() else f"label {value}"
            rois.append(Roi(title, outlines, own, colour))
    return Contours(name, tuple(rois), {"format": "traced"}, space=space)


def _regions(part: Tensor) -> Iterator[tuple[int, tuple[int, int, int], Tensor]]:
    """Give each value of a layer, the first voxel of its box, and its mask there."""
    from scipy.ndimage import find_objects

    data = part.detach().cpu().numpy()
    values, dense = _dense(data)
    for k, box in enumerate(find_objects(dense)):
        if box is not None:
            corner = (box[0].start, box[1].start, box[2].start)
            yield int(values[k]), corner, torch.from_numpy(dense[box] == k + 1)


def _dense(
    data: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Number values from 1 where they are negative or large; 0 stays."""
    low, high = int(data.min()), int(data.max())
    if low >= 0 and high <= DENSE:
        small = data.astype(np.int32, copy=False)
        return np.arange(1, high + 1), small
    values = np.unique(data)
    values = values[values != 0]
    places = np.searchsorted(values, data).clip(0, len(values) - 1)
    return values, np.where(data == 0, 0, places + 1).astype(np.int32)


def _outlines(
    labels: Labels, corner: tuple[int, int, int], mask: Tensor, space: Space
) -> Iterator[Outline]:
    z0, y0, x0 = corner
    for z, plane in enumerate(mask):
        points, starts = trace_edges(plane)
        height = torch.full((len(points), 1), float(z0 + z), dtype=torch.float64)
        index = torch.cat([height, points + torch.tensor([y0, x0])], dim=1)
        placed = index if space == "pixel" else labels.grid.to_world(index)
        for a, b in pairwise([*starts.tolist(), len(points)]):
            yield Outline(placed[a:b].clone())
