"""Small level volumes and dense matrices for the tests of the texture operators."""

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from vesalius.ops._counts import Counts

# Kernels are compiled by the first example, which no deadline allows for.
patient = settings(deadline=None, max_examples=60)


@st.composite
def level_volumes(draw: st.DrawFn, pad: int = 1, top: int = 4, largest: int = 5) -> Tensor:
    """Draw (z, y, x) int16 levels in a border of ``pad`` zeros, at least one voxel not 0."""
    shape = tuple(draw(st.integers(1, largest)) for _ in range(3))
    seed = draw(st.integers(0, 2**31 - 1))
    share = draw(st.sampled_from([0.3, 0.8, 1.0]))
    return random_levels(seed, shape, share=share, top=draw(st.integers(1, top)), pad=pad)


def random_levels(
    seed: int, shape: tuple[int, ...], *, share: float, top: int, pad: int = 1
) -> Tensor:
    """Make a random level volume; the share of voxels that are in the region is given."""
    random = np.random.default_rng(seed)
    data = random.integers(1, top + 1, shape) * (random.random(shape) < share)
    data.flat[random.integers(data.size)] = top
    return torch.from_numpy(np.pad(data, pad).astype(np.int16))


def cells(counts: Counts) -> dict[tuple[int, int, int], int]:
    """Give counts as a dictionary {(matrix, row, column): count}; refuse repeated cells."""
    columns = (counts.matrix, counts.row, counts.column, counts.count)
    listed = [(m, r, c, n) for m, r, c, n in zip(*(a.tolist() for a in columns), strict=True)]
    found = {(m, r, c): n for m, r, c, n in listed}
    assert len(found) == len(listed)
    assert list(found) == sorted(found)
    return found


def voxels_of(levels: Tensor) -> list[tuple[int, int, int]]:
    """List the voxels of the region in raster order."""
    return [(z, y, x) for z, y, x in torch.nonzero(levels).tolist()]


def ranks(levels: Tensor) -> dict[int, int]:
    """Number the slices of the region."""
    return {z: k for k, z in enumerate(sorted({v[0] for v in voxels_of(levels)}))}
