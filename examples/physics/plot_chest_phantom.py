"""
A chest that is known exactly
=============================

The analytic chest is made of ellipsoids, so that the volume of each part has a closed form. Here
is what a scanner with voxels of 2.5 x 1.5 x 1.5 mm, a point spread function and noise would make
of it, beside the truth.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius.physics import add_noise, chest_grid, chest_phantom, phantom_labels, rasterise, truth

# %%
# Sample the phantom as a scanner with a box-shaped voxel would, and add correlated noise.

phantom = chest_phantom()
grid = chest_grid()
image = rasterise(phantom, grid)
generator = torch.Generator().manual_seed(7)
scan = add_noise(image, 25.0, generator=generator, psf_mm=1.0)
labels = phantom_labels(phantom, grid)

# %%
# The table of truth: visible volumes, less what later ellipsoids cover.

exact = {t.name: t.volume_mm3 / 1000 for t in truth(phantom) if t.name != "body"}
for name, millilitre in sorted(exact.items(), key=lambda item: -item[1]):
    print(f"{name:<24} {millilitre:10.2f} mL")

# %%
# Three planes through the middle, bone and soft tissue window, with the outlines of the parts.

dz, dy, dx = grid.spacing_mm
middle = [n // 2 for n in grid.shape]
planes = {
    "axial": (lambda v: v[middle[0]], dy / dx, False),
    "coronal": (lambda v: v[:, middle[1]], dz / dx, True),
    "sagittal": (lambda v: v[:, :, middle[2]], dz / dy, True),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 4.2))
for axis, (name, (cut, aspect, upright)) in zip(axes, planes.items(), strict=True):
    samples = cut(scan.data[0]).numpy()
    parts = cut(labels.data[0]).numpy()
    edges = np.zeros(parts.shape, dtype=bool)
    edges[:-1] |= parts[:-1] != parts[1:]
    edges[:, :-1] |= parts[:, :-1] != parts[:, 1:]
    axis.imshow(samples, vmin=-1000, vmax=400, aspect=aspect, interpolation="nearest")
    axis.imshow(np.ma.masked_where(~edges, edges), cmap="autumn", aspect=aspect, alpha=0.55)
    axis.set(title=name, xticks=[], yticks=[])
    axis.grid(False)
    if upright:
        axis.invert_yaxis()
figure.suptitle(f"{len(exact)} parts, every volume known in closed form", x=0.01, ha="left")
plt.show()
