"""
The cone artefact: far from the mid-plane, data are missing
===========================================================

A circular orbit sees its own plane completely. Above and below it some frequencies are never
measured, those of flat things that lie across the axis, and no filter can bring them back. FDK is
exact in the mid-plane and loses thin discs as they get further away; a chest, which has few flat
things, hides this well.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import Cylinder, Phantom, chest_phantom, rasterise, to_attenuation
from vesalius.physics.ct import cone, exact_projections
from vesalius.physics.quality import mu_water, to_hu
from vesalius.reconstruct.ct import fdk

# %%
# The chest, and a stack of discs of soft tissue in air, both in closed form.

levels = [24.0 * k for k in range(-6, 7)]
discs = [Cylinder((0.0, 0.0, s), (120.0, 120.0, 6.0), 0.0, name="disc") for s in levels]
objects = {"chest": chest_phantom(), "discs": Phantom(tuple(discs), -1000.0, "HU")}
grid = Grid.from_spacing((88, 60, 100), (4.0, 5.0, 5.0), origin_mm=(-247.5, -147.5, -174.0))
views = cone(
    torch.arange(120) * 3.0,
    shape=(144, 128),
    pitch_mm=(7.5, 8.4),
    source_mm=650.0,
    detector_mm=1200.0,
)

# %%
# FDK of both, the coronal plane through the middle; and how many HU are left of each disc.

figure, axes = plt.subplots(1, 5, figsize=(12.5, 3.4), width_ratios=(1, 1, 1, 1, 0.8))
look = {"origin": "lower", "extent": (-250, 250, -176, 176), "vmin": -1000, "vmax": 300}
water = mu_water(70.0)
for pair, (name, phantom) in zip((axes[:2], axes[2:4]), objects.items(), strict=True):
    seen = exact_projections(to_attenuation(phantom, water_per_mm=water), views)
    found = to_hu(fdk(seen, like=grid, window="shepp-logan").image, kev=70.0)
    truth = rasterise(phantom, grid, supersample=3)
    for axis, image, kind in zip(pair, (truth, found), ("truth", "FDK"), strict=True):
        axis.imshow(image.data[0, :, 30], **look)
        axis.axhline(0, color="C2", lw=1, ls="--")
        axis.set(title=f"{name.capitalize()}, {kind}", xticks=[], yticks=[])
        axis.grid(False)

height = 4.0 * torch.arange(88) - 174.0
core = found.data[0, :, 25:35, 45:55].mean(dim=(1, 2))
exact = truth.data[0, :, 25:35, 45:55].mean(dim=(1, 2))
axes[4].plot(exact, height, color="C5", lw=1.2)
axes[4].plot(core, height)
axes[4].axhline(0, color="C2", lw=1, ls="--")
axes[4].set(title="On the axis", xlabel="HU", ylabel="S, mm", ylim=(-176, 176))
plt.show()
