"""
Which way a transform leads: points go there, images come back
==============================================================

A transform maps points of the *fixed* world to the *moving* world, in mm. To lay the moving image
on the fixed one, each fixed voxel asks the transform where to look: the image is pulled, against
the arrows. Points of the moving world come back through the inverse, which every transform has.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import ConnectionPatch

from vesalius import Grid
from vesalius.core import Linear, resample
from vesalius.physics import chest_phantom, rasterise
from vesalius.register import register

# %%
# A slice of the chest phantom, and the same patient turned by 20 degrees in another scanner, whose
# pixels are larger. The turn is known, and found again from the images.

fixed_grid = Grid.from_spacing((1, 210, 240), (5.0, 2.0, 2.0), origin_mm=(-240.0, -210.0, 30.0))
moving_grid = Grid.from_spacing((1, 150, 170), (5.0, 3.0, 3.0), origin_mm=(-250.0, -220.0, 30.0))
truth = Linear.rigid((0.0, 0.0, 20.0), (15.0, 30.0, 0.0), centre_mm=(0.0, 0.0, 30.0))
fixed = rasterise(chest_phantom(), fixed_grid)
moving = resample(fixed, moving_grid, transform=truth.inverse(), fill=-1000.0)

found = register(fixed, moving, plan="rigid")
places = torch.tensor([[-90.0, -20.0, 30.0], [20.0, -70.0, 30.0], [100.0, 60.0, 30.0]])
there = found.transform(places)  # fixed points, in the moving world
back = found.inverse(there)
print(f"error: {float((there - truth(places)).norm(dim=1).max()):.2f} mm")
print(f"there and back: {float((back - places).norm(dim=1).max()):.1e} mm")

# %%
# Beside them, the moving image pulled onto the fixed grid: it lies as the fixed image does.

figure, axes = plt.subplots(1, 3, figsize=(11.5, 4.1), sharey=True)
shown = {"Fixed": fixed, "Moving": moving, "Moving, pulled onto the fixed grid": found.warped}
for axis, (title, image) in zip(axes, shown.items(), strict=True):
    (left, top), (_, dy, dx) = image.grid.origin_mm[:2], image.grid.spacing_mm
    _, rows, columns = image.grid.shape
    extent = (left - dx / 2, left + (columns - 0.5) * dx, top + (rows - 0.5) * dy, top - dy / 2)
    axis.imshow(image.data[0, 0], vmin=-1000, vmax=400, extent=extent)
    axis.set(title=title, xlabel="L, mm")
    axis.set(xlim=(-240, 240), ylim=(210, -210))
    axis.grid(False)
axes[0].set(ylabel="P, mm")
for k, (a, b) in enumerate(zip(places.tolist(), there.tolist(), strict=True)):
    colour = ("#e08a6d", "#5cb8d6", "#e6c15c")[k]
    for axis, point in zip(axes, (a, b, a), strict=True):
        axis.plot(*point[:2], "o", color=colour, mec="white", ms=8)
    style = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 6, "shrinkB": 6}
    arrow = ConnectionPatch(a[:2], b[:2], "data", "data", axesA=axes[0], axesB=axes[1], **style)
    figure.add_artist(arrow)
plt.show()
