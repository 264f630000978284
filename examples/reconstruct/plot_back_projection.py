"""
Back-projection alone blurs with 1/r
====================================

Smear every ray's value back along the ray, and add. A point then becomes 1/r: each of the views
lays one line through it, and the lines thin out like spokes. The ramp filter, f, is the inverse of
that blur, since the two-dimensional transform of 1/r is 1/f.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import Ellipsoid, Phantom, shepp_logan
from vesalius.physics.ct import Projector, exact_projections, parallel
from vesalius.reconstruct.ct import fbp

# %%
# A thin rod and a head, in closed form, seen in 360 views.

grid = Grid.from_spacing((1, 255, 255), (1.0, 0.8, 0.8), origin_mm=(-101.6, -101.6, 0.0))
views = parallel(torch.arange(360) * 0.5, shape=(1, 361), pitch_mm=(1.0, 0.8))
rod = Phantom((Ellipsoid.sphere((0.0, 0.0, 0.0), 2.0, value=1.0),), 0.0, "1/mm")
smear = Projector(views, grid).H

found = {}
for name, phantom in (("rod", rod), ("head", shepp_logan(half_size_mm=98.0))):
    seen = exact_projections(phantom, views, subrays=(1, 8))
    # pi / views is the step of the integral over angles; the voxel's size is that of the transpose
    plain = smear(seen.data) * math.pi / views.views / 0.8
    found[name] = (plain[0], fbp(seen, like=grid).image.data[0, 0])

# %%
# The rod's profile follows volume / r over two decades.

r = torch.arange(1, 120) * 0.8
blurred, sharp = (image[127, 128:247] for image in found["rod"])
area = float(exact_projections(rod, views.take(slice(0, 1)), subrays=(1, 8)).data.sum() * 0.8)

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
axes[0].loglog(r, blurred, label="back-projection alone")
axes[0].loglog(r, area / r, ":", label="1/r")
axes[0].loglog(r, sharp.abs().clamp_min(1e-6), lw=1, label="filtered, magnitude")
axes[0].set(xlabel="distance from the rod, mm", ylabel="value, 1/mm", title="A thin rod")
axes[0].legend(fontsize=8, loc="lower left")
for axis, image, title in zip(axes[1:], found["head"], ("Smeared", "Filtered"), strict=True):
    axis.imshow(image, vmin=0, vmax=float(image.quantile(0.995)))
    axis.set(title=f"{title} back-projection", xticks=[], yticks=[])
    axis.grid(False)
plt.show()
