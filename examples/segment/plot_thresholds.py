"""
Where a histogram is cut, and by what
=====================================

A threshold is decided on the histogram alone. Each method gives every possible cut a score and
takes the best. Otsu's score wants two classes of like size: where the object is small, the
ground itself is cut in two. A valley needs a second peak: without one, chance decides.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import torch

from vesalius import Grid, Image
from vesalius.physics import Cylinder, Phantom, add_noise, rasterise
from vesalius.segment import segment
from vesalius.segment.threshold import Isodata, Li, MaximumEntropy, Otsu, Valley, Yen

# %%
# A disc of 100 on a ground of 40, under noise: the best cut lies near 70, whatever its size.

grid = Grid.from_spacing((1, 160, 160), (1.0, 1.0, 1.0), origin_mm=(-79.5, -79.5, 0.0))


def scene(share: float) -> Image:
    radius = 160 * math.sqrt(share / math.pi)
    disc = Cylinder((0.0, 0.0, 0.0), (radius, radius, 9.0), 100.0)
    noise = torch.Generator().manual_seed(1)
    return add_noise(rasterise(Phantom((disc,), background=40.0), grid), 12.0, generator=noise)


image = scene(0.01)
figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), width_ratios=(0.8, 1, 1, 1))
axes[0].imshow(image.data[0, 0])
axes[0].set(title="1 % object", xticks=[], yticks=[])
axes[0].grid(False)
for axis, method in zip(axes[1:], (Otsu(), MaximumEntropy(), Li()), strict=True):
    histogram, why = segment(image, method).curves
    axis.fill_between(histogram.x, histogram.y / histogram.y.max(), color="#e0d8ce")
    axis.plot(why.x, (why.y - why.y.min()) / (why.y.max() - why.y.min()))
    axis.axvline(why.marks[0], color="#2b2622", lw=1, ls=":")
    axis.set(title=f"{type(method).__name__}: {why.marks[0]:.0f}", xlabel="value", yticks=[])

# %%
# The same disc from a two hundredth to half of the image.

shares = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.35, 0.5)
images = [scene(share) for share in shares]
figure, axis = plt.subplots(figsize=(7.5, 4))
for method in (Otsu(), Isodata(), Li(), MaximumEntropy(), Yen(), Valley()):
    cuts = [segment(image, method).values["threshold"] for image in images]
    axis.plot([100 * s for s in shares], cuts, "o-", label=type(method).__name__)
axis.axhline(70, color="#2b2622", lw=1, ls=":")
axis.set(xscale="log", xlabel="share of the object, %", ylabel="threshold")
axis.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
axis.legend(ncols=2)
plt.show()
