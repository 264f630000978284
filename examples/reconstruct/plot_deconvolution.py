"""
Filaments out of the blur
=========================

A widefield microscope smears the light of every plane into its neighbours. The Born-Wolf PSF says
how; Richardson-Lucy finds the most likely object behind the photons, with total variation if noise
must be kept down. Wiener's filter is one division, rings, and goes below 0.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid, Image
from vesalius.physics import filaments, rasterise
from vesalius.physics.noise import poisson
from vesalius.physics.optics import Convolution, Objective, born_wolf
from vesalius.reconstruct.optics import RichardsonLucy, richardson_lucy, wiener

# %%
# Rods of 150 nm, photons counted behind an objective of 1.2 NA. The scene is wider than the field,
# so that light also comes in from outside.

step, around = (2.5e-4, 1e-4, 1e-4), (20, 80, 92)
scene = Grid.from_spacing(around, step)
rods = filaments(
    scene,
    count=16,
    diameter_mm=1.5e-4,
    length_mm=6e-3,
    generator=torch.Generator().manual_seed(5),
)
objective = Objective(na=1.2, index=1.33, wavelength_nm=520.0)
psf = born_wolf(objective, shape=(13, 31, 31), spacing_mm=step)
light = rasterise(rods, scene).data[0] * 400.0
blur = Convolution(psf.data[0].float(), around)
counts = poisson(blur(light).clamp_min(0) + 2.0, generator=torch.Generator().manual_seed(6))
field = (slice(4, 16), slice(12, 68), slice(12, 80))
grid = Grid.from_spacing((12, 56, 68), step)
seen = Image(counts[field][None].contiguous(), grid, "photon")

# %%
# Three ways back; planes across and along the optical axis.

plain = RichardsonLucy(steps=20, accelerated=True, background=2.0)
gentle = RichardsonLucy(steps=20, weight=0.004, accelerated=True, background=2.0)
found = {
    "Measured": seen.data[0] - 2.0,
    "Wiener": wiener(seen.map(lambda x: x - 2.0), psf, weight=0.02).image.data[0],
    "Richardson-Lucy": richardson_lucy(seen, psf, options=plain).image.data[0],
    "with total variation": richardson_lucy(seen, psf, options=gentle).image.data[0],
    "Truth": light[field],
}

figure, axes = plt.subplots(2, 5, figsize=(12, 4.4), height_ratios=(1, 0.65))
for (top, bottom), (name, volume) in zip(axes.T, found.items(), strict=True):
    high = float(volume.max()) * 0.7
    top.imshow(volume.amax(dim=0), cmap="magma", vmin=0, vmax=high)
    bottom.imshow(volume.amax(dim=1), cmap="magma", vmin=0, vmax=high, aspect=2.5)
    top.set_title(name)
    for axis in (top, bottom):
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
axes[0, 0].set_ylabel("along z, brightest")
axes[1, 0].set_ylabel("along y")
plt.show()
