"""
Sparse slopes beat small ones
=============================

An image is blurred, sampled at half the rate and measured with noise. Both priors look at the same
thing, the slopes: L2 asks that their squares be small, which forbids edges; L1 (total
variation) asks that few of them differ from 0, which edges obey. Both strengths are the best that
this truth allows, so that the priors are compared and not the tuning.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.optics import Blur, Downsample
from vesalius.physics.sparse import Gradient
from vesalius.reconstruct.solve import TV, fista, tikhonov

# %%
# Blur by a Gaussian of 1.2 pixels, average blocks of 2 x 2, add noise of 1 % of the maximum.

shape = (1, 96, 96)
grid = Grid.from_spacing(shape, (1.0, 2.1, 2.1), origin_mm=(-99.75, -99.75, 0.0))
truth = rasterise(shepp_logan(half_size_mm=98.0, per_mm=1.0), grid).data[0].double()
camera = Downsample(shape, (1, 2, 2)) @ Blur(shape, sigma=(0.0, 1.2, 1.2))
generator = torch.Generator().manual_seed(2)
seen = camera(truth)
seen = seen + 0.01 * torch.randn(seen.shape, generator=generator, dtype=torch.float64)


def psnr(x: torch.Tensor) -> float:
    return 10 * math.log10(float(truth.max()) ** 2 / float((x - truth).square().mean()))


# %%
# Try strengths, keep the best of each prior.

slopes, few = Gradient(shape, (1.0, 1.0)), TV((1.0, 1.0), lower=0.0, steps=10)
strengths = (5e-4, 1e-3, 2e-3)
small = [tikhonov(camera, seen, weight=w, analysis=slopes, steps=25).x for w in strengths]
sparse = [fista(camera, seen, few, weight=w, steps=80).x for w in strengths]
l2, l1 = max(small, key=psnr), max(sparse, key=psnr)
nearest = seen.repeat_interleave(2, 1).repeat_interleave(2, 2)

figure, axes = plt.subplots(1, 4, figsize=(11.5, 3.4))
views = {"Measured": nearest, "L2, small slopes": l2, "L1, few slopes": l1, "Truth": truth}
for axis, (name, x) in zip(axes, views.items(), strict=True):
    title = name if name == "Truth" else f"{name}\n{psnr(x):.1f} dB"
    axis.imshow(x[0, 14:74, 18:78], vmin=0.0, vmax=0.45)
    axis.set(title=title, xticks=[], yticks=[])
    axis.grid(False)
plt.show()
