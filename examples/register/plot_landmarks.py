"""
One landmark moves: how far its neighbours follow
=================================================

Landmarks say where a few places go; the spline says what happens between them. A thin plate bends
as little as it can and is felt everywhere. An elastic body gives way to the sides as a solid
would. A Wendland function ends: beyond its support nothing moves, which is local, and folds when
the landmark moves too far for it.
"""

# SPDX-License-Identifier: Apache-2.0

from itertools import product

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.core import Points
from vesalius.register.evaluate import Plane, deformed_grid, folding, jacobian_map
from vesalius.register.landmarks import WendlandKernel, elastic_body, radial_spline, thin_plate

# %%
# Landmarks 40 mm apart; the one in the middle moves by 16 mm, the others stay.

fixed = torch.tensor(list(product((-40.0, 0.0, 40.0), repeat=3)), dtype=torch.float64)
moving = fixed.clone()
moving[13, 0] += 16.0
pair = Points(fixed), Points(moving)
splines = {
    "Thin plate": thin_plate(*pair),
    "Elastic body, r": elastic_body(*pair, force="r"),
    "Elastic body, 1/r": elastic_body(*pair, force="1/r"),
    "Wendland, 40 mm": radial_spline(*pair, kernel=WendlandKernel(40.0)),
    "Wendland, 25 mm": radial_spline(*pair, kernel=WendlandKernel(25.0)),
}

# %%
# The plane of the landmark: lines show where a square grid goes, colour how area and volume change
# (red grows, blue shrinks, yellow is turned inside out).

grid = Grid.from_spacing((5, 101, 101), (1.0, 1.0, 1.0), origin_mm=(-50.0, -50.0, -2.0))
figure, axes = plt.subplots(1, 5, figsize=(13, 3.2))
for axis, (name, spline) in zip(axes, splines.items(), strict=True):
    axis.imshow(jacobian_map(spline, grid, Plane(0, 2)))
    for line in deformed_grid(spline, grid, Plane(0, 2), step_mm=5.0):
        axis.plot(line[:, 1], line[:, 0], color="#2b2622", lw=0.6)
    here = fixed[:, 2] == 0
    axis.plot(*(fixed[here][:, :2] + 50).T, "o", color="#1f6f8b", ms=5)
    axis.plot(66, 50, "o", color="#8a1c1c", ms=6)
    axis.set(title=name, xticks=[], yticks=[], xlim=(0, 100), ylim=(100, 0))
    axis.set_xlabel(f"smallest det {folding(spline, grid).smallest:.2f}")
    axis.grid(False)
plt.show()
