"""Label boxes: the box that holds each label, of all labels in one pass."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from vesalius.errors import UnitError
from vesalius.ops._jit import kernel
from vesalius.ops._surface_distance import thick_enough

Box = tuple[slice, slice, slice]

_DENSE = 1 << 20  # labels from 0 to this are found by a table, others by bisection


def label_boxes(labels: Integer[Tensor, "z y x"], values: tuple[int, ...]) -> Int[Tensor, "n 3 2"]:
    """Find the first and last index of each label along (z, y, x).

    Args:
        labels: (z, y, x), any integer type.
        values: Different labels.

    Returns:
        (n, 3, 2) int64 in the order of ``values``: first index, and one past the last; 0 and 0
        where a label does not occur.

    Raises:
        UnitError: ``values`` are not different.
    """
    if len(set(values)) != len(values):
        raise UnitError(f"values must be different labels to have a box each, got {values}")
    order = np.argsort(np.asarray(values, dtype=np.int64), kind="stable")
    table = np.asarray(values, dtype=np.int64)[order]
    found = np.empty((len(values), 3, 2), dtype=np.int64)
    found[:, :, 0], found[:, :, 1] = np.iinfo(np.int64).max, 0
    samples = labels.detach().cpu().contiguous().numpy()
    if len(table):
        for z, plane in enumerate(samples):
            _stretch(_ranks(plane, table), z, found)
    found[found[:, 0, 1] == 0] = 0
    boxes = np.empty_like(found)
    boxes[order] = found
    return torch.from_numpy(boxes)


def joined_box(first: Int[Tensor, "3 2"], second: Int[Tensor, "3 2"], *, depth: int) -> Box | None:
    """Give the box that holds two boxes.

    Args:
        first: Of one label, see ``label_boxes``.
        second: Of another.
        depth: Slices of the volume; where it has several, so has the box: a block of one slice
            would be taken for a plane.

    Returns:
        The box; None where both are empty.
    """
    held = [box for box in (first, second) if bool((box[:, 1] > box[:, 0]).all())]
    if not held:
        return None
    both = torch.stack(held)
    low, high = both[:, :, 0].amin(dim=0).tolist(), both[:, :, 1].amax(dim=0).tolist()
    z, y, x = (slice(a, b) for a, b in zip(low, high, strict=True))
    return (thick_enough(z, depth), y, x)


def _ranks(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Give the place of each sample in the sorted table, -1 where it is not there."""
    if table[0] >= 0 and table[-1] < _DENSE:
        lookup = np.full(int(table[-1]) + 2, -1, dtype=np.int32)
        lookup[table] = np.arange(len(table))
        top = len(lookup) - 1  # stands for everything above the table
        if plane.dtype.kind == "u":
            return np.asarray(lookup[np.minimum(plane, top)])
        return np.asarray(lookup[np.where((plane < 0) | (plane > top), top, plane)])
    at = np.searchsorted(table, plane).clip(max=len(table) - 1)
    return np.where(table[at] == plane, at, -1).astype(np.int32)


@kernel
@no_type_check
def _stretch(ranks, z, found):
    for y in range(ranks.shape[0]):
        x, last = 0, ranks.shape[1]
        while x < last:
            rank = ranks[y, x]
            end = x + 1
            while end < last and ranks[y, end] == rank:
                end += 1
            if rank >= 0:
                box = found[rank]
                box[0, 0], box[0, 1] = min(box[0, 0], z), z + 1
                box[1, 0], box[1, 1] = min(box[1, 0], y), max(box[1, 1], y + 1)
                box[2, 0], box[2, 1] = min(box[2, 0], x), max(box[2, 1], end)
            x = end
