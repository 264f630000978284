"""Small images, labels and registrations with known figures, for the tests of the evaluation."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import torch

from vesalius.core import Grid, Image, Labels, Linear, Transform

GRID = Grid.from_spacing((14, 16, 18), (2.0, 1.0, 1.5), origin_mm=(-5.0, 3.0, 7.0))
STILL = Linear.identity()


@dataclass(frozen=True)
class Judged:
    """The fields that ``evaluate`` needs."""

    transform: Transform
    start: Transform
    fixed: Image
    moving: Image
    seconds: float = 1.5


def texture(grid=GRID, seed=0):
    from scipy.ndimage import gaussian_filter

    noise = torch.rand(grid.shape, generator=torch.Generator().manual_seed(seed))
    return Image(torch.from_numpy(gaussian_filter(noise.double().numpy(), 1.5))[None], grid)


def boxes(grid=GRID, shift=(0, 0, 0)):
    """Two boxes, labels 1 and 4, moved by a whole number of voxels."""
    data = torch.zeros((1, *grid.shape), dtype=torch.int16)
    data[0, 3:7, 3:8, 3:9] = 1
    data[0, 8:11, 9:12, 10:14] = 4
    return Labels(data.roll(shift, (1, 2, 3)), grid, {(0, 1): "one", (0, 4): "four"})
