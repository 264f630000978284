"""Connected components: equal values that hang together, numbered in one pass over their runs."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from vesalius.ops._jit import kernel


class Components(NamedTuple):
    """Components numbered from 1 in the order in which their first voxel comes.

    Attributes:
        numbers: (z, y, x) int32 number of the component of each voxel, 0 for none.
        sizes: (n,) voxels of each.
        values: (n,) value that each has in the input.
    """

    numbers: NDArray[np.int32]
    sizes: NDArray[np.int64]
    values: NDArray[np.int64]


def components(
    labels: Integer[Tensor, "z y x"] | Bool[Tensor, "z y x"], *, full: bool
) -> Components:
    """Number the connected parts of each value that is not 0; different values never join.

    Args:
        labels: (z, y, x) integers or a mask.
        full: Whether voxels that share an edge or a corner hang together (26 neighbours, 8 in a
            plane); otherwise only those that share a face (6, or 4).

    Returns:
        The components, on the CPU.

    References:
        He, Chao, Suzuki (2008), doi:10.1109/TIP.2008.919369: runs and union-find; here in 3-D.
    """
    volume = labels.detach().cpu().contiguous().numpy()
    if volume.dtype == np.bool_:
        volume = volume.view(np.uint8)
    numbers = np.zeros(volume.shape, np.int32)
    sizes, values = _label(volume, full, numbers)
    return Components(numbers, sizes, values)


def kept(
    found: Components, keep: NDArray[np.bool_], like: Integer[Tensor, "z y x"]
) -> NDArray[np.generic]:
    """Give the labels back without the components that are not kept.

    Args:
        found: The components of ``like``.
        keep: (n,) which ones stay.
        like: The labels.

    Returns:
        (z, y, x), same number type as ``like``.
    """
    values = like.detach().cpu().contiguous().numpy()
    table = np.concatenate([np.zeros(1, np.bool_), keep])
    out = np.zeros_like(values)
    _keep(values.reshape(-1), found.numbers.reshape(-1), table, out.reshape(-1))
    return out


def largest_of_each(found: Components) -> NDArray[np.bool_]:
    """Mark the largest component of each value; of equal ones the first."""
    order = np.lexsort((np.arange(len(found.sizes)), -found.sizes, found.values))
    first = np.ones(len(order), np.bool_)
    first[1:] = found.values[order][1:] != found.values[order][:-1]
    keep = np.zeros(len(order), np.bool_)
    keep[order[first]] = True
    return keep


def touching_border(found: Components) -> NDArray[np.bool_]:
    """Mark the components with a voxel on the border; an axis of one sample has no border."""
    touches = np.zeros(len(found.sizes) + 1, np.bool_)
    for axis, size in enumerate(found.numbers.shape):
        if size > 1:
            faces = np.moveaxis(found.numbers, axis, 0)[[0, -1]]
            touches[np.unique(faces)] = True
    return touches[1:]


@kernel
@no_type_check
def _keep(values, numbers, table, out):
    for i in range(len(values)):
        if numbers[i] != 0 and table[numbers[i]]:
            out[i] = values[i]


@kernel
@no_type_check
def _label(volume, full, numbers):
    nz, ny, nx = volume.shape
    rows = volume.reshape(nz * ny, nx)
    first = np.zeros(nz * ny + 1, np.int64)  # of the runs of each row
    for row in range(nz * ny):
        first[row + 1] = first[row] + _count_runs(rows[row])
    count = first[nz * ny]
    starts, stops = np.empty(count, np.int32), np.empty(count, np.int32)
    values, parent = np.empty(count, volume.dtype), np.empty(count, np.int32)
    reach = 1 if full else 0
    for row in range(nz * ny):
        a, b = first[row], first[row + 1]
        if a == b:
            continue
        _list_runs(rows[row], a, b, starts, stops, values, parent)
        y = row % ny
        for k in range(4 if full else 2):
            # the row before, the one above, and those beside it
            back = 1 if k == 0 else ny + (0 if k == 1 else 2 * k - 5)
            gone = (y == 0 and (k == 0 or k == 3)) or (y == ny - 1 and k == 2) or back > row
            if not gone and first[row - back] < first[row - back + 1]:
                c, d = first[row - back], first[row - back + 1]
                _join(starts, stops, values, parent, (a, b, c, d, reach))
    return _number(starts, stops, values, parent, first, numbers.reshape(nz * ny, nx))


@kernel
@no_type_check
def _count_runs(row):
    n = np.int32(row[0] != 0)
    now, before = row[1:], row[: len(row) - 1]
    for i in range(len(now)):
        n += np.int32((now[i] != before[i]) & (now[i] != 0))
    return n


@kernel
@no_type_check
def _list_runs(row, a, b, starts, stops, values, parent):
    x, n = 0, len(row)
    for k in range(a, b):
        while row[x] == 0:
            x += 1
        value = row[x]
        starts[k], values[k], parent[k] = x, value, k
        while x < n and row[x] == value:
            x += 1
        stops[k] = x


@kernel
@no_type_check
def _join(starts, stops, values, parent, span):
    """Unite the runs a to b of one row with those of another, c to d, that touch them."""
    a, b, c, d, reach = span
    i, j = a, c
    while i < b and j < d:
        if starts[i] < stops[j] + reach and starts[j] < stops[i] + reach:
            _unite(values, parent, i, j)
        if stops[i] < stops[j]:
            i += 1
        elif stops[i] > stops[j]:
            j += 1
        else:
            # corners may still touch what comes next, where two values lie side by side
            if reach > 0 and j + 1 < d and starts[j + 1] == stops[i]:
                _unite(values, parent, i, j + 1)
            if reach > 0 and i + 1 < b and starts[i + 1] == stops[j]:
                _unite(values, parent, i + 1, j)
            i += 1
            j += 1


@kernel
@no_type_check
def _unite(values, parent, i, j):
    if values[i] == values[j] and parent[i] != parent[j]:
        p, q = _root(parent, i), _root(parent, j)
        parent[max(p, q)] = min(p, q)


@kernel
@no_type_check
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
@no_type_check
def _number(starts, stops, values, parent, first, rows):
    count = 0
    for i in range(len(parent)):
        if parent[i] == i:
            count += 1
    sizes, kinds = np.zeros(count, np.int64), np.zeros(count, np.int64)
    at = 0
    # a parent always comes earlier, so that it already has its number
    for i in range(len(parent)):
        if parent[i] == i:
            kinds[at] = values[i]
            at += 1
            parent[i] = -at
        else:
            parent[i] = parent[parent[i]]
        sizes[-parent[i] - 1] += stops[i] - starts[i]
    for row in range(len(rows)):
        for i in range(first[row], first[row + 1]):
            rows[row, starts[i] : stops[i]] = -parent[i]
    return sizes, kinds
