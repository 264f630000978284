"""
What is left of an image with one view, two, and more
=====================================================

Filtered back-projection assumes that views cover the half turn. With one view it can only smear
it; with two it draws a cross. The streaks go when there are about as many views as detector
elements. ``iterate`` says of itself when the data do not decide the image.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.ct import exact_projections, parallel
from vesalius.reconstruct.ct import Iterative, fbp, iterate

# %%
# The same head, more and more views, no noise.

grid = Grid.from_spacing((1, 192, 192), (1.0, 1.05, 1.05), origin_mm=(-100.3, -100.3, 0.0))
head = shepp_logan(half_size_mm=98.0)
truth = rasterise(head, grid).data[0]


def measure(views: int):
    angles = torch.arange(views) * 180.0 / views
    geometry = parallel(angles, shape=(1, 281), pitch_mm=(1.0, 0.75))
    return exact_projections(head, geometry, subrays=(1, 4))


def psnr(x: torch.Tensor) -> float:
    return 10 * math.log10(float(truth.max()) ** 2 / float((x - truth).square().mean()))


numbers = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
analytic = {k: fbp(measure(k), like=grid).image.data[0] for k in numbers}
fitted = {
    k: iterate(measure(k), like=grid, method=Iterative("sirt", steps=40)) for k in (2, 8, 32, 128)
}

# %%
# Hollow points are results that say of themselves "not identifiable".

figure, axes = plt.subplot_mosaic([["1", "2", "8", "64"], ["curve"] * 4], figsize=(10, 6.4))
for k in (1, 2, 8, 64):
    axes[str(k)].imshow(analytic[k][0], vmin=0.0, vmax=0.01)
    axes[str(k)].set(title=f"FBP, {k} view{'s' * (k > 1)}", xticks=[], yticks=[])
    axes[str(k)].grid(False)
curve = axes["curve"]
curve.semilogx(numbers, [psnr(analytic[k]) for k in numbers], "o-", base=2, label="FBP")
quality = [psnr(found.image.data[0]) for found in fitted.values()]
(line,) = curve.semilogx(list(fitted), quality, "-", base=2, label="SIRT, 40 steps")
for k, value in zip(fitted, quality, strict=True):
    fill = line.get_color() if fitted[k].identifiable else "white"
    curve.plot(k, value, "s", mec=line.get_color(), mfc=fill, ms=7)
curve.set(xlabel="views over 180 degrees", ylabel="PSNR, dB", xticks=numbers, xticklabels=numbers)
curve.legend()
plt.show()
