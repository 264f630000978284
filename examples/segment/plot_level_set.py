"""
One contour becomes four
========================

A level set is a function of which the contour is the line of zero: contours split and merge
without being told to. Chan and Vese's needs no edges, only that inside and outside differ in the
mean; its energy falls until the contour rests. A geodesic contour shrinks until edges hold it.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid, Image
from vesalius.physics import Ellipsoid, Phantom, add_noise, rasterise
from vesalius.segment import Hints, segment
from vesalius.segment.contours import ChanVese, GeodesicContour
from vesalius.segment.morphology import components

# %%
# Four bodies in noise, and one ball around all of them.

grid = Grid.from_spacing((1, 140, 140), (1.0, 1.0, 1.0), origin_mm=(-69.5, -69.5, 0.0))
bodies = (
    Ellipsoid((-24.0, -20.0, 0.0), (17.0, 12.0, 9.0), 1.0, (0.0, 0.0, 30.0)),
    Ellipsoid((22.0, -24.0, 0.0), (11.0, 14.0, 9.0), 1.0),
    Ellipsoid((-20.0, 24.0, 0.0), (10.0, 10.0, 9.0), 1.0),
    Ellipsoid((22.0, 20.0, 0.0), (17.0, 15.0, 9.0), 1.0, (0.0, 0.0, 60.0)),
)
clean = rasterise(Phantom(bodies), grid)
image = add_noise(clean, 0.2, generator=torch.Generator().manual_seed(2))
around = Hints(seeds_mm=((0.0, 0.0, 0.0),))

# %%
# The same search, stopped after more and more steps.


def show(axis, image: Image, labels, title: str) -> None:
    axis.imshow(image.data[0, 0])
    axis.contour(labels.data[0, 0], [0.5], colors="#e08a6d", linewidths=1.8)
    count = len(components(labels).values)
    axis.set(title=f"{title}: {count} region{'s' * (count != 1)}", xticks=[], yticks=[])
    axis.grid(False)


figure, axes = plt.subplots(1, 5, figsize=(13.5, 2.9), width_ratios=(1, 1, 1, 1, 1.2))
for axis, steps in zip(axes[:4], (1, 50, 90, 300), strict=True):
    method = ChanVese(weight=1.5, radius_mm=40.0, steps=steps)
    found = segment(image, method, hints=around)
    show(axis, image, found.labels, f"Step {found.values['steps']:.0f}")
curve = found.curves[0]
axes[4].plot(curve.x, curve.y)
axes[4].set(title="Energy", xlabel="step")

# %%
# A geodesic contour needs edges: it shrinks over flat ground and stops where the slope is steep.

quiet = add_noise(clean, 0.1, generator=torch.Generator().manual_seed(3))
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.2))
for axis, steps in zip(axes, (20, 60, 300), strict=True):
    method = GeodesicContour(balloon=-1.0, radius_mm=60.0, steps=steps)
    found = segment(quiet, method, hints=around)
    show(axis, quiet, found.labels, f"Step {found.values['steps']:.0f}")
plt.show()
