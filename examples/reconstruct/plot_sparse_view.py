"""
Sixty views and few photons
===========================

Sixty views of ten thousand photons each are too little for filtered back-projection: it puts
streaks and noise into the image, whichever window it has. SIRT, stopped early, is smoother. Total
variation, its strength chosen from the noise of the data alone, finds the flat regions. None of
the three knew the truth, and the data do not come from the projector that SIRT and TV use.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.ct import exact_projections, parallel
from vesalius.physics.noise import scan, to_transmission
from vesalius.reconstruct.ct import Iterative, fbp, iterate, to_line_integrals

# %%
# Exact line integrals, averaged over each element; then photons are counted.

head = shepp_logan(half_size_mm=98.0)
grid = Grid.from_spacing((1, 128, 128), (1.0, 1.55, 1.55), origin_mm=(-98.4, -98.4, 0.0))
truth = rasterise(head, grid).data[0]
views = parallel(torch.arange(60) * 3.0, shape=(1, 191), pitch_mm=(1.0, 1.5))
exact = exact_projections(head, views, subrays=(1, 4))
counts = scan(exact, photons=1e4, generator=torch.Generator().manual_seed(1))
lines = to_line_integrals(to_transmission(counts, photons=1e4, least=1.0))

# %%
# Three methods; ``photons`` lets the iterative ones weigh each ray by its noise.

sirt = Iterative("sirt", steps=40, photons=1e4)
sparse = Iterative("tv", steps=25, strength="discrepancy", photons=1e4)
found = {
    "FBP, Ram-Lak": fbp(lines, like=grid),
    "FBP, Hann": fbp(lines, like=grid, window="hann"),
    "SIRT, 40 steps": iterate(lines, like=grid, method=sirt),
    "TV, discrepancy": iterate(lines, like=grid, method=sparse),
}

figure, axes = plt.subplots(2, 4, figsize=(11.5, 6.2))
for column, (name, result) in zip(axes.T, found.items(), strict=True):
    image = result.image.data[0]
    error = image - truth
    psnr = 10 * math.log10(float(truth.max()) ** 2 / float(error.square().mean()))
    column[0].imshow(image[0], vmin=0.002, vmax=0.009)
    column[0].set(title=f"{name}\n{psnr:.1f} dB")
    column[1].imshow(error[0], cmap="RdBu_r", vmin=-0.003, vmax=0.003)
    for axis in column:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
axes[0, 0].set_ylabel("image, 0.002 to 0.009 /mm")
axes[1, 0].set_ylabel("error, +- 0.003 /mm")
plt.show()
