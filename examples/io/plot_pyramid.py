"""
A pyramid knows where it is
===========================

A large microscopy image is kept at several resolutions. A region is read from any of them, without
reading the rest, and every level says where its voxels are, to a fraction of a micrometre.
"""

# SPDX-License-Identifier: Apache-2.0

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Rectangle

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.io.micro import save_ome_zarr
from vesalius.ops import gaussian

# %%
# 400 cells on 1600 x 1600 pixels of 0.25 um (a grid is always in mm).

generator = torch.Generator().manual_seed(3)
grid = Grid.from_spacing((1, 1600, 1600), (1e-3, 2.5e-4, 2.5e-4), origin_mm=(0.1, 0.2, 0.0))
centres = torch.randint(40, 1560, (400, 2), generator=generator)
dots = torch.zeros(1, 1600, 1600)
dots[0, centres[:, 0], centres[:, 1]] = 0.5 + torch.rand(400, generator=generator)
cells = gaussian(dots, (0.0, 9.0, 9.0)) * 4e5 + gaussian(dots, (0.0, 3.0, 3.0)) * 1.5e4
noisy = torch.poisson(cells + 60, generator=generator).clamp(max=4095).to(torch.int16)
path = Path(tempfile.mkdtemp()) / "cells.ome.zarr"
save_ome_zarr(Image(noisy[None], grid), path)

# %%
# Nothing was read yet: shapes and places of the levels come from the header.

handle = io.open(path)
levels = (handle.grid, *handle.coarser)
for level, one in enumerate(levels):
    print(level, one.shape, [f"{1e3 * s:.3g} um" for s in one.spacing_mm[1:]])

# %%
# One window of 50 um, read from the finest level and from the third. The crosses are the cells'
# true places in the world: they meet the cells at both.

window = {0: (slice(600, 800), slice(700, 900)), 2: (slice(150, 200), slice(175, 225))}
views = {len(levels) - 1: handle.read(level=len(levels) - 1)}
views |= {k: handle.read((slice(0, 1), *box), level=k) for k, box in window.items()}
true = grid.to_world(torch.cat((torch.zeros(400, 1), centres), dim=1).double()) * 1e3

figure, axes = plt.subplots(1, 3, figsize=(11.5, 4))
for panel, (level, image) in zip(axes, views.items(), strict=True):
    (_, low, left), (_, dy, dx) = image.grid.origin_mm[::-1], image.grid.spacing_mm
    rows, columns = image.grid.shape[1:]
    ends = [left - dx / 2, left + (columns - 0.5) * dx, low + (rows - 0.5) * dy, low - dy / 2]
    extent = [1e3 * end for end in ends]
    panel.imshow(image.data[0, 0], cmap="inferno", extent=extent, interpolation="nearest")
    panel.set(title=f"level {level}: {columns} x {rows} pixels", xlabel="x, um")
    panel.grid(False)
    if level in window:
        panel.plot(true[:, 0], true[:, 1], "+", color="#7fd6e8", markersize=10)
        panel.set(xlim=extent[:2], ylim=extent[2:])
corner = [min(axes[1].get_xlim()), min(axes[1].get_ylim())]
axes[0].add_patch(Rectangle(corner, 50, 50, fill=False, edgecolor="#7fd6e8", linewidth=2))
axes[0].set_ylabel("y, um")
plt.show()
