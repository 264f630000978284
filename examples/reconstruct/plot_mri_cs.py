"""
An eighth of k-space
====================

Eight coils, an eighth of the samples. Filling the rest with zeros leaves aliasing that looks like
noise, because the samples are scattered. SENSE uses what the coils see differently; a wavelet
prior takes most of what is left. The coil maps come from the data themselves, by ESPIRiT, and the
data from a grid three times as fine as the image's.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.mri import KSpace, fourier, inverse_fourier, poisson_disk, simulated_maps
from vesalius.physics.noise import gaussian
from vesalius.reconstruct.mri import Espirit, Sense, espirit, root_sum_of_squares, sense

# %%
# What an infinite field would send, as far as the scanner's k-space reaches; noise; a mask.

n, fine, generator = 128, 384, torch.Generator().manual_seed(3)
lattice = Grid.from_spacing((1, fine, fine), (1.0, 0.55, 0.55), origin_mm=(-105.6, -105.6, 0.0))
head = rasterise(shepp_logan(half_size_mm=95.0, per_mm=1.0), lattice).data[0].to(torch.complex64)
coils = simulated_maps((1, fine, fine), coils=8).to(torch.complex64)
middle = slice((fine - n) // 2, (fine + n) // 2)
full = fourier(coils * head, axes=(-2, -1))[..., middle, middle] / 3
noisy = gaussian(full, 0.005, generator=generator)
mask = poisson_disk((n, n), acceleration=8.0, centre=24, generator=generator)[None]
grid = Grid.from_spacing((1, n, n), (1.0, 1.65, 1.65), origin_mm=(-105.6, -105.6, 0.0))
kspace = KSpace(noisy * mask, mask, grid)

# %%
# Calibrate, reconstruct.

maps = espirit(kspace.data, mask=mask, options=Espirit(soft=0.1)).maps
truth = root_sum_of_squares(inverse_fourier(full, axes=(-2, -1)))
found = {
    "Zeros": root_sum_of_squares(inverse_fourier(kspace.data, axes=(-2, -1))),
    "SENSE, L2": sense(kspace, maps=maps, options=Sense("tikhonov", 0.01)).image.data[0],
    "SENSE, wavelets": sense(kspace, maps=maps, options=Sense("wavelet", 0.002)).image.data[0],
    "All of k-space": truth,
}

figure, axes = plt.subplots(2, 4, figsize=(11, 5.7))
for column, (name, image) in zip(axes.T, found.items(), strict=True):
    error = float((image - truth).norm() / truth.norm())
    column[0].imshow(image[0], vmin=0.0, vmax=0.5)
    column[0].set(title=f"{name}\nerror {error:.1%}" if error else name)
    column[1].imshow((image - truth)[0].abs(), cmap="magma", vmin=0.0, vmax=0.15)
    for axis in column:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
axes[1, 3].imshow(mask[0], vmin=0, vmax=1)
axes[1, 3].set_title("Samples")
axes[1, 0].set_ylabel("difference")
plt.show()
