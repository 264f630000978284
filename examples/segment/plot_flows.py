"""
Objects as flows, and flows as objects
======================================

A network cannot learn the *number* of an object, which is arbitrary. It learns a flow: heat is let
in at the middle of each object and spreads within it, and every pixel points up the heat. Followed
along the flow, all pixels of an object end in one place, however bent it is. The displacement to
the centre, which these flows are often taken for, leads out of a bent object.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid, Labels
from vesalius.measure.evaluate import compare_objects
from vesalius.segment.instances import FlowHead

# %%
# A crescent around a disc, and two cells that touch.

y, x = torch.meshgrid(torch.arange(72.0), torch.arange(110.0), indexing="ij")


def disc(row: float, column: float, radius: float) -> torch.Tensor:
    return (y - row) ** 2 + (x - column) ** 2 < radius**2


shape = torch.zeros(1, 72, 110, dtype=torch.int32)
shape[0][disc(36, 34, 27) & ~disc(36, 44, 20)] = 1
shape[0][disc(36, 46, 9)] = 2
shape[0][disc(26, 82, 15)] = 3
shape[0][disc(49, 90, 14) & (shape[0] == 0)] = 4

# %%
# To flows and back. A network would give five times the flow, and a logit of being in an object.

head = FlowHead()
targets = head.targets(shape, (1.0, 1.0, 1.0))
flow, inside = targets[:2], targets[2:]
found = head.decode(torch.cat([5 * flow, 10 * inside - 5]), (1.0, 1.0, 1.0))
grid = Grid.from_spacing((1, 72, 110))
match = compare_objects(Labels(found[None], grid), Labels(shape[None], grid), thresholds=(0.9,))


def draw(axis, vectors: np.ndarray, title: str) -> None:
    rows, columns = np.nonzero((shape[0] > 0).numpy())
    kept = (rows % 3 == 0) & (columns % 3 == 0)
    at = rows[kept], columns[kept]
    axis.imshow(np.ma.masked_equal(shape[0], 0), cmap="Set3", interpolation="nearest")
    axis.quiver(at[1], at[0], vectors[1][at], vectors[0][at], angles="xy", scale=32, width=0.004)
    axis.set_title(title)


centre = np.zeros((2, 72, 110), np.float32)
for value in range(1, 5):
    mine = shape[0] == value
    to = np.stack([float(y[mine].mean()) - y, float(x[mine].mean()) - x]) * mine.numpy()
    centre += to / np.maximum(np.hypot(*to), 1e-6)
figure, axes = plt.subplots(1, 3, figsize=(13.5, 3.4))
draw(axes[0], centre, "To the centre: leaves the crescent")
draw(axes[1], flow[:, 0].numpy(), "Flow of heat")
axes[2].imshow(np.ma.masked_equal(found[0], 0), cmap="Set3", interpolation="nearest")
axes[2].set_title(f"Followed back: AP@0.9 = {match.at(0.9).average_precision:.2f}")
for axis in axes:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
plt.show()
