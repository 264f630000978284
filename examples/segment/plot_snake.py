"""
A snake that must enter a bay
=============================

An elastic line is drawn to edges by a field of forces. The slope of the edge map reaches as far as
its blur: a line that starts outside it feels nothing, and inside a bay the forces of both walls
cancel. Gradient vector flow spreads the field from the edges over the whole image, and leads in.
Even so, a snake finds what lies near its start: it is not insensitive to it, but very sensitive.
"""

# SPDX-License-Identifier: Apache-2.0

import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid, Image
from vesalius.core import Points
from vesalius.segment import Hints, segment
from vesalius.segment.contours import Snake

# %%
# A U, and circles to start from.

grid = Grid.from_spacing((1, 96, 96), (1.0, 1.0, 1.0))
shape = torch.zeros(1, 1, 96, 96)
shape[..., 26:70, 26:70] = 1.0
shape[..., 22:56, 40:56] = 0.0
image = Image(shape, grid)


def circle(radius: float, left: float = 48.0) -> Points:
    turn = torch.arange(0, 2 * math.pi, 2 * math.pi / 120, dtype=torch.float64)
    ring = (left + radius * turn.cos(), 48 + radius * turn.sin(), torch.zeros_like(turn))
    return Points(torch.stack(ring, dim=1))


def show(axis, method: Snake, start: Points, title: str) -> None:
    found = segment(image, method, hints=Hints(contour=start)).labels.data
    both = int((found.bool() & (shape > 0)).sum())
    dice = 2 * both / int(found.sum() + shape.sum())
    axis.imshow(shape[0, 0], vmax=1.6)
    axis.plot(*np.vstack([start.data, start.data[:1]])[:, :2].T, ":", color="#e6c15c")
    axis.contour(found[0, 0], [0.5], colors="#e08a6d", linewidths=2)
    axis.set(title=f"{title}: {dice:.2f}", xticks=[], yticks=[])
    axis.grid(False)


# %%
# From the same circle (dotted), with Dice to the U.

figure, axes = plt.subplots(1, 4, figsize=(12.5, 3.5))
soft = {"elasticity": 0.05, "rigidity": 0.0, "steps": 2000}
show(axes[0], Snake(field="gradient", **soft), circle(40.0), "Slope alone")
show(axes[1], Snake(field="vector flow", **soft), circle(40.0), "Vector flow")
show(axes[2], Snake(field="generalised", **soft), circle(40.0), "Generalised")
show(axes[3], Snake(field="vector flow", **soft), circle(22.0, 72.0), "From the side")
plt.show()
