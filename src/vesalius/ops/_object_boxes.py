"""Objects of a label volume: their values, sizes and the boxes that bound work on each of them."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
import numpy.typing as npt
from jaxtyping import Int32, Int64, Integer
from torch import Tensor

from vesalius.ops._jit import kernel


class ObjectBoxes(NamedTuple):
    """Objects numbered 1 to n in the order of their values.

    Attributes:
        numbers: (z, y, x) number of the object of each sample, 0 for none.
        values: The label that each object had.
        boxes: First and after-last sample along z, y, x of each object.
        sizes: Samples of each object.
    """

    numbers: Int32[np.ndarray, "z y x"]
    values: Int64[np.ndarray, " n"]
    boxes: Int64[np.ndarray, "n 6"]
    sizes: Int64[np.ndarray, " n"]


def object_boxes(labels: Integer[Tensor, "z y x"]) -> ObjectBoxes:
    """Number the objects of a label volume and find the box of each, in a few passes.

    Args:
        labels: Any integer type; 0 and negative values (not known) are no objects.

    Returns:
        Arrays on the CPU; a box is as tight as can be.
    """
    values_of = np.ascontiguousarray(labels.detach().cpu().numpy()).astype(np.int64, copy=False)
    highest = int(values_of.max()) if values_of.size else 0
    if highest <= 8 * values_of.size + 1024:
        present = _present(values_of.ravel(), max(highest, 0))
        values = np.flatnonzero(present).astype(np.int64)
        table = np.cumsum(present, dtype=np.int32) * present
        numbers = _looked_up(values_of.ravel(), table)
    else:  # few values far apart: sort them
        values = np.unique(values_of[values_of > 0])
        found = np.searchsorted(values, values_of.ravel(), side="right")
        numbers = np.where(values_of.ravel() > 0, found, 0).astype(np.int32)
    shaped = numbers.reshape(values_of.shape)
    boxes, sizes = _boxes(shaped, len(values))
    return ObjectBoxes(shaped, values, boxes, sizes)


def equivalent_diameters(sizes: Int64[np.ndarray, " n"], dims: int) -> npt.NDArray[np.float64]:
    """Give the diameters of the discs (2) or balls (3) that hold as many samples.

    Args:
        sizes: Samples of each object.
        dims: Spatial axes.
    """
    size = sizes.astype(np.float64)
    found: npt.NDArray[np.float64] = (
        2 * np.sqrt(size / np.pi) if dims == 2 else np.cbrt(6 * size / np.pi)
    )
    return found


@kernel
@no_type_check
def _present(values, highest):
    """Mark the values from 1 to ``highest`` that occur."""
    present = np.zeros(highest + 1, np.bool_)
    for value in values:
        if value > 0:
            present[value] = True
    return present


@kernel
@no_type_check
def _looked_up(values, table):
    """Replace values by their numbers."""
    numbers = np.zeros(len(values), np.int32)
    for i in range(len(values)):
        if values[i] > 0:
            numbers[i] = table[values[i]]
    return numbers


@kernel
@no_type_check
def _boxes(numbers, count):
    """Bound and count each object."""
    nz, ny, nx = numbers.shape
    boxes = np.empty((count, 6), np.int64)
    boxes[:, 0], boxes[:, 2], boxes[:, 4] = nz, ny, nx
    boxes[:, 1], boxes[:, 3], boxes[:, 5] = 0, 0, 0
    sizes = np.zeros(count, np.int64)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                k = numbers[z, y, x] - 1
                if k < 0:
                    continue
                sizes[k] += 1
                boxes[k, 0], boxes[k, 1] = min(boxes[k, 0], z), max(boxes[k, 1], z + 1)
                boxes[k, 2], boxes[k, 3] = min(boxes[k, 2], y), max(boxes[k, 3], y + 1)
                boxes[k, 4], boxes[k, 5] = min(boxes[k, 4], x), max(boxes[k, 5], x + 1)
    return boxes, sizes
