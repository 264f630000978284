"""
A projection is a slice of the spectrum
=======================================

The one-dimensional transform of a parallel view equals the two-dimensional transform of the
object along the line through the origin in the direction of the detector: the central-slice
theorem. Enough views fill the plane of frequencies, and one inverse transform gives the image.
Between the spokes, far from the origin, nothing was measured.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.ct import exact_projections, parallel
from vesalius.reconstruct.ct import gridding

# %%
# One view at 30 degrees, in closed form, and its spectrum.

step, count, angle = 0.5, 401, 30.0
head = shepp_logan(half_size_mm=95.0)
view = parallel(torch.tensor([angle]), shape=(1, count), pitch_mm=(1.0, step))
s = (np.arange(count) - count // 2) * step
frequency = np.linspace(0.0, 0.25, 300)
kernel = np.exp(-2j * math.pi * frequency[:, None] * s)
slice_1d = kernel @ exact_projections(head, view, subrays=(1, 4)).data[0, 0].numpy() * step

# %%
# The object on a grid, transformed in two dimensions at the same frequencies: along u, which at
# gantry angle a is (-sin a, cos a).

grid = Grid.from_spacing((1, count, count), (1.0, step, step), origin_mm=(s[0], s[0], 0.0))
image = rasterise(head, grid).data[0, 0].numpy()
ux, uy = -math.sin(math.radians(angle)), math.cos(math.radians(angle))
along_x = np.exp(-2j * math.pi * frequency[:, None] * ux * s)
along_y = np.exp(-2j * math.pi * frequency[:, None] * uy * s)
slice_2d = np.einsum("fy,yx,fx->f", along_y, image, along_x) * step**2

# %%
# The lines lie on each other; below, images from 18 and from 360 such slices.

figure, axes = plt.subplot_mosaic("AAB;AAC", figsize=(9.5, 5))
axes["A"].semilogy(
    frequency, np.abs(slice_2d), lw=4, alpha=0.4, label="2-D transform of the object"
)
axes["A"].semilogy(frequency, np.abs(slice_1d), lw=1.2, label="1-D transform of the view")
axes["A"].set(xlabel="frequency along the detector, 1/mm", ylabel="magnitude, mm")
axes["A"].set_title("The view at 30 degrees, and the slice at 30 degrees")
axes["A"].legend()
coarse = Grid.from_spacing((1, 200, 200), (1.0, 1.0, 1.0), origin_mm=(-99.5, -99.5, 0.0))
for name, number in (("B", 18), ("C", 360)):
    fan = parallel(torch.arange(number) * 180.0 / number, shape=(1, 281), pitch_mm=(1.0, 0.75))
    found = gridding(exact_projections(head, fan, subrays=(1, 4)), like=coarse).image
    axes[name].imshow(found.data[0, 0], vmin=0.0, vmax=0.009)
    axes[name].set(title=f"{number} slices", xticks=[], yticks=[])
    axes[name].grid(False)
plt.show()
