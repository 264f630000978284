"""Where the voxels of a mask lie: count, centre and spread, summed in integers."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import RegionError
from vesalius.ops._jit import kernel


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """The moments of the voxel positions of a mask, in samples.

    Attributes:
        count: Number of voxels.
        centre: (3,) float64, mean position (z, y, x).
        scatter: (3, 3) float64, sum of products of deviations from the centre; not divided.
        rank: Dimension of the flat that the voxels span: 0 for a single one, 3 for a body.
    """

    count: int
    centre: Float[Tensor, "3"]
    scatter: Float[Tensor, "3 3"]
    rank: int


def lattice_moments(mask: Bool[Tensor, "z y x"]) -> Lattice:
    """Sum positions and their products over a mask; exact until the last division.

    Args:
        mask: (z, y, x), True inside.

    Returns:
        The moments.

    Raises:
        RegionError: The mask is empty.
    """
    sums = _sums(mask.detach().cpu().contiguous().numpy().view(np.uint8)).tolist()
    count = sums[0]
    if count == 0:
        raise RegionError("mask must have a voxel inside to have a centre, got an empty one")
    first, (zz, yy, xx, zy, zx, yx) = sums[1:4], sums[4:]
    second = [[zz, zy, zx], [zy, yy, yx], [zx, yx, xx]]
    # Python integers do not overflow: count * sum of squares leaves 64 bits in large regions
    exact = [[count * second[i][j] - first[i] * first[j] for j in range(3)] for i in range(3)]
    scatter = torch.tensor([[v / count for v in row] for row in exact], dtype=torch.float64)
    centre = torch.tensor([s / count for s in first], dtype=torch.float64)
    return Lattice(count, centre, scatter, _rank(exact))


def weighted_centre(
    values: Float[Tensor, "z y x"], mask: Bool[Tensor, "z y x"]
) -> tuple[int, float, Float[Tensor, "3"]]:
    """Count the voxels of a mask, sum values over it, and positions times values.

    Args:
        values: (z, y, x) floating point, finite inside the mask.
        mask: (z, y, x), True inside.

    Returns:
        The count, the sum of the values, and the (3,) sum of value times position, counted from the
        middle of the block.
    """
    samples = values.detach().to("cpu", torch.float64).numpy()
    inside = mask.detach().cpu().contiguous().numpy().view(np.uint8)
    count, total, z, y, x = _weighted(samples, inside)
    return int(count), float(total), torch.tensor([z, y, x], dtype=torch.float64)


def _rank(m: list[list[int]]) -> int:
    """Rank of a symmetric positive semidefinite integer matrix."""
    minors = [m[i][i] * m[j][j] - m[i][j] ** 2 for i in range(3) for j in range(i)]
    determinant = (
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] ** 2)
        - m[0][1] * (m[0][1] * m[2][2] - m[1][2] * m[0][2])
        + m[0][2] * (m[0][1] * m[1][2] - m[1][1] * m[0][2])
    )
    if determinant:
        return 3
    return 2 if any(minors) else int(any(m[i][i] for i in range(3)))


@kernel
@no_type_check
def _sums(inside):
    sums = np.zeros(10, np.int64)
    for z in range(inside.shape[0]):
        for y in range(inside.shape[1]):
            row = inside[z, y]
            n, sx, sxx = 0, 0, 0
            for x in range(len(row)):
                n += row[x]
                sx += row[x] * x
                sxx += row[x] * x * x
            if n == 0:
                continue
            sums[0] += n
            sums[1] += n * z
            sums[2] += n * y
            sums[3] += sx
            sums[4] += n * z * z
            sums[5] += n * y * y
            sums[6] += sxx
            sums[7] += n * z * y
            sums[8] += sx * z
            sums[9] += sx * y
    return sums


@kernel
@no_type_check
def _weighted(values, inside):
    middle_z = (values.shape[0] - 1) / 2
    middle_y = (values.shape[1] - 1) / 2
    middle_x = (values.shape[2] - 1) / 2
    count, total, sum_z, sum_y, sum_x = 0, 0.0, 0.0, 0.0, 0.0
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            row, along = 0.0, 0.0
            for x in range(values.shape[2]):
                if inside[z, y, x]:
                    count += 1
                    row += values[z, y, x]
                    along += values[z, y, x] * (x - middle_x)
            total += row
            sum_z += row * (z - middle_z)
            sum_y += row * (y - middle_y)
            sum_x += along
    return count, total, sum_z, sum_y, sum_x
