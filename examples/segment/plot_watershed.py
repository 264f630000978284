"""
Cells that touch: cut where they are narrow
===========================================

A threshold makes one region of cells that touch. The distance to its border has a summit in each
of them, and a pass where they meet. How deep a pass must lie to be a border is the decision: too
little, and bumps of an outline become cells; too much, and neighbours stay one.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid, Labels
from vesalius.measure.evaluate import compare_objects
from vesalius.physics import Ellipsoid, Phantom, add_noise, phantom_labels, rasterise
from vesalius.segment import Hints, segment
from vesalius.segment.regions import Watershed

# %%
# Clumps of three to five cells, none of them quite round, under noise.

grid = Grid.from_spacing((1, 200, 200), (1.0, 1.0, 1.0), origin_mm=(-99.5, -99.5, 0.0))
draw = np.random.default_rng(1)
bodies = []
for down, across in np.ndindex(3, 3):
    for turn in range(draw.integers(3, 6)):
        angle = 1.35 * turn + draw.uniform(0, 6)
        left = 64 * (across - 1) + 18 * np.cos(angle) * (turn > 0)
        back = 64 * (down - 1) + 18 * np.sin(angle) * (turn > 0)
        size = (draw.uniform(7, 11), draw.uniform(7, 11), 9.0)
        spin = (0.0, 0.0, draw.uniform(0, 180))
        bodies.append(Ellipsoid((left, back, 0.0), size, 1.0, spin, f"cell {len(bodies)}"))
phantom = Phantom(tuple(bodies))
truth = phantom_labels(phantom, grid)
noise = torch.Generator().manual_seed(2)
image = add_noise(rasterise(phantom, grid), 0.12, generator=noise)

# %%
# The same threshold, split at three depths; below, all depths against the truth.


def score(found: Labels) -> float:
    return compare_objects(found, truth, thresholds=(0.5,)).at(0.5).average_precision


depths = (0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 3.0, 4.0)
start = segment(image, Watershed(depth_mm=9.0)).labels  # every clump is one object
found = [segment(image, Watershed(depth_mm=d), hints=Hints(start=start)).labels for d in depths]
figure, axes = plt.subplots(1, 5, figsize=(14, 3.1), width_ratios=(1, 1, 1, 1, 1.3))
colours = np.vstack([[0, 0, 0, 0], plt.get_cmap("tab20")(np.arange(400) % 20)])
axes[0].imshow(image.data[0, 0])
axes[0].set_title(f"{len(bodies)} cells")
for axis, k in zip(axes[1:4], (0, 2, 10), strict=True):
    axis.imshow(image.data[0, 0], alpha=0.4)
    axis.imshow(colours[found[k].data[0, 0].numpy()], alpha=0.8, interpolation="nearest")
    axis.set_title(f"{depths[k]:g} mm: {len(found[k].values)} cells")
for axis in axes[:4]:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
axes[4].plot(depths, [score(labels) for labels in found], "o-")
axes[4].set(title="AP at an overlap of 0.5", xlabel="depth of a pass, mm", ylim=(0, 1))
plt.show()
