"""
Depth from one light-field frame
================================

Lenslets in front of the camera keep the direction of light, so that one exposure holds a volume.
The wave-optics PSF says what a point at each depth throws on the sensor; Richardson-Lucy finds the
volume behind the frame. Here: three beads at known depths, and where they are found.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius.physics.noise import poisson
from vesalius.physics.optics import LightField, MicrolensArray, Objective, lightfield_psf
from vesalius.reconstruct.optics import RichardsonLucy, lightfield_volume

# %%
# Three beads between the planes and voxels that will be reconstructed: finer depths, finer voxels.

objective = Objective(na=1.0, index=1.33, wavelength_nm=520.0, magnification=40.0)
array = MicrolensArray(pitch_mm=0.1, focal_mm=2.0, pixels=9, oversample=2)
beads = {-0.007: (40, 28), 0.003: (60, 45), 0.009: (30, 60)}  # depth in mm: fine voxel (y, x)
lenslets, fine = (13, 13), 7
frame = torch.ones(117, 117)
for depth, (row, column) in beads.items():
    psf = lightfield_psf(objective, array, torch.tensor([depth]), voxels=fine)
    camera = LightField(psf, array.pixels, lenslets)
    point = torch.zeros(camera.domain)
    point[0, row, column] = 3e4
    frame += camera(point).clamp_min(0)
frame = poisson(frame, generator=torch.Generator().manual_seed(9))

# %%
# The volume in steps of 3 um.

depths = torch.arange(-12.0, 13.0, 3.0).double() * 1e-3
options = RichardsonLucy(steps=8, background=1.0)
found = lightfield_volume(frame, objective, array, depths_mm=depths, voxels=3, options=options)
volume = found.image.data[0]

# %%
# Crosses are the truth. One micrometre is 1e-3 mm.

pitch = 1e3 * array.pitch_mm / objective.magnification
half = pitch * lenslets[0] / 2
figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.9))
axes[0].imshow(frame.sqrt(), cmap="magma")
axes[0].set(title="The frame: discs behind lenslets", xticks=[], yticks=[])
axes[1].imshow(volume.amax(dim=0).sqrt(), cmap="magma", extent=(-half, half, half, -half))
axes[1].set(title="Along the axis", xlabel="x, um", ylabel="y, um")
look = {"cmap": "magma", "extent": (-half, half, 13.5, -13.5), "aspect": "auto"}
axes[2].imshow(volume.amax(dim=1).sqrt(), **look)
axes[2].set(title="From the side", xlabel="x, um", ylabel="z, um")
for depth, (row, column) in beads.items():
    y, x = (((k + 0.5) / fine - lenslets[0] / 2) * pitch for k in (row, column))
    axes[1].plot(x, y, "+", color="white", ms=9, mew=0.8)
    axes[2].plot(x, depth * 1e3, "+", color="white", ms=9, mew=0.8)
for axis in axes:
    axis.grid(False)
plt.show()
