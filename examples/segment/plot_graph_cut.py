"""
A few strokes, and what each method makes of them
=================================================

Some strokes of a pen say what is inside and what outside. A random walker asks which stroke a walk
from each pixel meets first. A graph cut learns the values of both sides and finds the cheapest
border, exactly. A dense random field lets every pixel hear all that are near in place and value.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid, Labels
from vesalius.physics import Ellipsoid, Phantom, add_noise, phantom_labels, rasterise
from vesalius.segment import Hints, Method, segment
from vesalius.segment.graphs import DenseCrf, GraphCut
from vesalius.segment.regions import RandomWalker
from vesalius.segment.threshold import Otsu

# %%
# A body with a brighter neighbour, in noise.

grid = Grid.from_spacing((1, 120, 150), (1.0, 1.0, 1.0), origin_mm=(-74.5, -59.5, 0.0))
body = (
    Ellipsoid((-25.0, 0.0, 0.0), (35.0, 44.0, 9.0), 1.0, name="organ"),
    Ellipsoid((5.0, -12.0, 0.0), (35.0, 25.0, 9.0), 1.0, (0.0, 0.0, -25.0), name="organ"),
    Ellipsoid((38.0, 28.0, 0.0), (22.0, 20.0, 9.0), 2.4, name="neighbour"),
)
phantom = Phantom(body)
truth = phantom_labels(phantom, grid).data == 1
noise = torch.Generator().manual_seed(4)
image = add_noise(rasterise(phantom, grid), 0.4, generator=noise)

# %%
# Strokes: 1 is outside, 2 inside. One of them lies on the neighbour.

strokes = torch.zeros(1, *grid.shape, dtype=torch.uint8)
strokes[0, 0, 4:6, 10:140] = 1
strokes[0, 0, 114:116, 10:140] = 1
strokes[0, 0, 4:116, 3:5] = 1
strokes[0, 0, 4:116, 145:147] = 1
strokes[0, 0, 88:91, 102:122] = 1
strokes[0, 0, 25:95, 44:47] = 2
strokes[0, 0, 46:49, 60:105] = 2
marks = Labels(strokes, grid, {(0, 1): "outside", (0, 2): "organ"})


def dice(inside: torch.Tensor) -> float:
    return 2 * int((inside & truth).sum()) / int(inside.sum() + truth.sum())


crf = DenseCrf(smooth_weight=4.0, smooth_voxel=1.5, edge_sd=1.0)
methods: tuple[Method, ...] = (Otsu(), RandomWalker(beta=5.0), GraphCut(weight=8.0), crf)
figure, axes = plt.subplots(1, 5, figsize=(14.5, 2.8))
axes[0].imshow(image.data[0, 0])
axes[0].imshow(np.ma.masked_equal(strokes[0, 0], 0), cmap="autumn", interpolation="nearest")
axes[0].set_title("Strokes")
for axis, method in zip(axes[1:], methods, strict=True):
    labels = segment(image, method, hints=Hints(marks=marks)).labels.data
    inside = labels == labels.max()
    axis.imshow(image.data[0, 0])
    axis.contour(inside[0, 0], [0.5], colors="#e08a6d", linewidths=1.5)
    axis.set_title(f"{type(method).__name__}: {dice(inside):.2f}")
for axis in axes:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
plt.show()
