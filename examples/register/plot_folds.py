"""
Folds that central differences cannot see
=========================================

The determinant of a map's derivative should be above 0 everywhere. Central differences take it
from the two neighbours of a voxel and skip the voxel itself: a field that goes up and down from
voxel to voxel has derivative 0 for them, however far the voxels jump over each other. The
triangles (in space, tetrahedra) between neighbouring voxels see it.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid
from vesalius.core import Displacement
from vesalius.register.evaluate import folding

# %%
# Every second pixel goes right and down, the others left and up.

grid = Grid.from_spacing((1, 24, 24), (1.0, 1.0, 1.0))
y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
sign = torch.cos(torch.pi * (x + y))


def checkered(pixels: float) -> Displacement:
    flow = torch.stack([0 * sign, pixels * sign, pixels * sign])[:, None]
    return Displacement.from_flow(flow, grid)


jumps = np.linspace(0.0, 1.0, 41)
folds = [folding(checkered(float(a)), grid) for a in jumps]

# %%
# The map of 0.4 pixels, its turned triangles in colour, and yet no voxel is said to be folded.
# What central differences find beyond 0.5 pixels stands at the border, where they are one-sided.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
jump = 0.4
found = folding(checkered(jump), grid)
down, across = (y + jump * sign).numpy(), (x + jump * sign).numpy()
for k in range(24):
    left.plot(across[k], down[k], color="#8c8279", lw=1)
    left.plot(across[:, k], down[:, k], color="#8c8279", lw=1)
corners = ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0), (0, 1))  # of a cell, one after the other
for row, column in np.ndindex(23, 23):
    for k in range(4):
        r, c = np.add(corners[k : k + 3], (row, column)).T
        u, v = across[r, c], down[r, c]
        if (u[1] - u[0]) * (v[2] - v[0]) < (u[2] - u[0]) * (v[1] - v[0]):
            left.fill(u, v, color="#c98a2b", alpha=0.5, lw=0)
left.plot(across.ravel(), down.ravel(), "o", color="#8a1c1c", ms=4)
left.set(xlim=(6.5, 15.5), ylim=(15.5, 6.5), aspect="equal", xticks=[], yticks=[])
left.set(title=f"0.4 pixels: {found.folded_percent:.0f} % of voxels folded?")
left.grid(False)
right.plot(jumps, [f.folded_percent for f in folds], label="voxels, central differences")
right.plot(jumps, [f.folded_cells_percent for f in folds], label="cells with a turned triangle")
right.plot(jumps, [f.non_diffeomorphic_percent for f in folds], label="non-diffeomorphic area")
right.axvline(jump, color="#2b2622", lw=1, ls=":")
right.set(xlabel="jump, pixels", ylabel="%", title="Three ways to count")
right.legend(loc="upper left", bbox_to_anchor=(0.3, 0.95))
plt.show()
