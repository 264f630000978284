"""
What each filter of IBSI-2 looks for
====================================

The same phantom through the filters of the standard: mean, Laplacian of Gaussian, Laws' kernels,
Gabor, a separable and a non-separable wavelet. Red is positive, blue is negative; each panel has
its own scale.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.enhance import (
    GaborFilter,
    LawsFilter,
    LogFilter,
    MeanFilter,
    NonseparableFilter,
    WaveletFilter,
    apply_filter,
)
from vesalius.physics import Ellipsoid, Phantom, add_noise, rasterise

# %%
# A round, a flat and three thin things, with a little noise, in voxels of 1 mm.

parts = [
    Ellipsoid.sphere((-14.0, -12.0, 0.0), 20.0, value=100.0),
    Ellipsoid((14.0, -14.0, 0.0), (12.0, 4.0, 10.0), 100.0, (0.0, 0.0, 35.0)),
    *[Ellipsoid((x, 15.0, 0.0), (1.4, 11.0, 11.0), 100.0) for x in (-14.0, -7.0, 0.0, 7.0, 14.0)],
]
grid = Grid.from_spacing((32, 64, 64), (1.0, 1.0, 1.0), origin_mm=(-31.5, -31.5, -15.5))
generator = torch.Generator().manual_seed(2)
clean = rasterise(Phantom(tuple(parts)), grid)
image = add_noise(clean, 4.0, generator=generator).map(lambda x: x.double())

# %%
# Filters are frozen records; ``apply_filter`` runs any of them.

stripes = {"sigma_mm": 4.0, "wavelength_mm": 7.0, "gamma": 1.0}
filters = {
    "Mean, 5 voxels": MeanFilter(size=5),
    "LoG, sigma 2 mm": LogFilter(sigma_mm=2.0),
    "LoG, sigma 4 mm": LogFilter(sigma_mm=4.0),
    "Laws L5E5, energy": LawsFilter(kernels="L5E5", rotation="max", energy_distance=2),
    "Gabor, 7 mm": GaborFilter(**stripes, rotation="max", step_deg=45.0),
    "Wavelet db3 LLH": WaveletFilter(family="db3", band="LLH", rotation="max"),
    "Simoncelli, level 2": NonseparableFilter(level=2, boundary="mirror"),
}
figure, axes = plt.subplots(2, 4, figsize=(10.5, 5.6))
panels = [("Phantom", image), *((n, apply_filter(image, f)) for n, f in filters.items())]
for axis, (name, shown) in zip(axes.flat, panels, strict=False):
    view = shown.data[0, 16]
    reach = float(view.abs().max())
    signed = bool(view.min() < -0.2 * reach)
    axis.imshow(
        view, cmap="RdBu_r" if signed else "magma", vmin=-reach if signed else 0, vmax=reach
    )
    axis.set_title(name, fontsize=10)
for axis in axes.flat:
    axis.set_axis_off()
plt.show()
