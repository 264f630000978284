"""
Resampling makes small things rounder
=====================================

Radiomics are measured on a common voxel size, and the size is a choice. A small nodule with
spicules loses them on coarse voxels: it looks rounder, its surface shrinks. At 4 mm the shape is
that of the lattice, and all numbers are its numbers.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import numpy as np

from vesalius import Grid, Image
from vesalius.core import centred_grid, resample
from vesalius.measure import Config, extract
from vesalius.physics import Ellipsoid, Phantom, phantom_labels, rasterise

# %%
# A nodule with spikes, made of ellipsoids, on voxels of 0.5 mm.

spikes = [
    Ellipsoid(
        (9 * math.cos(t), 9 * math.sin(t), 0.0), (5.0, 1.6, 2.2), 60.0, (0, 0, math.degrees(t))
    )
    for t in np.linspace(0, 2 * math.pi, 9)[:-1]
]
nodule = Phantom((Ellipsoid.sphere((0, 0, 0), 17.0, value=60.0, name=""), *spikes), -800.0, "HU")
grid = Grid.from_spacing((64, 72, 72), (0.5, 0.5, 0.5), origin_mm=(-17.75, -17.75, -15.75))
image, labels = rasterise(nodule, grid, supersample=3), phantom_labels(nodule, grid)

# %%
# Measure it on voxels of 0.5 to 4 mm.

sizes = np.array([0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0])
names = {"morph_sphericity": "sphericity", "morph_area_mesh": "surface", "morph_volume": "volume"}
found = {name: [] for name in names}
for size in sizes:
    settings = {
        "resample": {"spacing_mm": (size, size, size)},
        "features": {"families": ("morphology",), "spatial_autocorrelation": False},
    }
    result = extract(image, labels, config=Config.model_validate(settings))
    values = result.table.set_index("feature").value
    for name in names:
        found[name].append(values[name])

# %%
# Above, the nodule on three lattices; below, what the choice does to the numbers.

figure, axes = plt.subplot_mosaic([["a", "b", "c"], ["plot"] * 3], figsize=(8, 6.2))
inside = Image((labels.data > 0).double(), grid)
for key, size in zip("abc", (0.5, 2.0, 4.0), strict=True):
    coarse = centred_grid(grid, (size, size, size))
    part = resample(inside, coarse, anti_alias=False).data[0] >= 0.5
    axes[key].imshow(part[coarse.shape[0] // 2], cmap="Reds", vmax=1.6)
    axes[key].set(title=f"{size:g} mm", xticks=[], yticks=[])
    axes[key].grid(False)
for (name, word), mark in zip(names.items(), "os^", strict=True):
    axes["plot"].plot(sizes, np.array(found[name]) / found[name][0], mark + "-", label=word)
axes["plot"].set(xlabel="voxel size after resampling, mm", ylabel="relative to 0.5 mm")
axes["plot"].legend(loc="lower left")
plt.show()
