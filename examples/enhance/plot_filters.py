"""
What each filter answers to
===========================

The convolutional filters of the IBSI standard on one axial slice of the analytic chest: each
responds to another trait of the image, and the statistics of the response are features.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius.enhance import (
    GaborFilter,
    LawsFilter,
    LogFilter,
    MeanFilter,
    NonseparableFilter,
    WaveletFilter,
    apply_filter,
)
from vesalius.physics import add_noise, chest_grid, chest_phantom, rasterise

# %%
# One noisy slice.

grid = chest_grid()
generator = torch.Generator().manual_seed(7)
scan = add_noise(rasterise(chest_phantom(), grid), 25.0, generator=generator, psf_mm=1.0)
scan = scan.map(lambda x: x.double()).crop((grid.shape[0] // 2, 0, 0), (1, *grid.shape[1:]))

# %%
# Widths are given in mm; "2D" and two letters mean slice by slice.

filters = {
    "mean, 5 voxels": MeanFilter(size=5, dimension="2D"),
    "Laplacian of Gaussian, 3 mm": LogFilter(sigma_mm=3.0, dimension="2D"),
    "Laws L5E5, energy": LawsFilter(kernels="L5E5", rotation="max", energy_distance=3),
    "Gabor, 6 mm, all directions": GaborFilter(
        sigma_mm=4.0, wavelength_mm=6.0, rotation="mean", step_deg=22.5
    ),
    "wavelet coif1 LH, level 2": WaveletFilter(band="LH", level=2, rotation="mean"),
    "Simoncelli, level 2": NonseparableFilter(level=2, dimension="2D"),
}
responses = {name: apply_filter(scan, spec).data[0, 0] for name, spec in filters.items()}
for name, response in responses.items():
    print(f"{name:<30} mean {response.mean():8.2f}  sd {response.std():8.2f}")

# %%

figure, axes = plt.subplots(2, 3, figsize=(10, 6.4))
for axis, (name, response) in zip(axes.flat, responses.items(), strict=True):
    low, high = response.quantile(torch.tensor([0.02, 0.98], dtype=torch.float64)).tolist()
    axis.imshow(response.numpy(), vmin=low, vmax=high, cmap="gray", interpolation="nearest")
    axis.set(title=name, xticks=[], yticks=[])
    axis.grid(False)
figure.suptitle("Six filters, one slice", x=0.01, ha="left")
plt.show()
