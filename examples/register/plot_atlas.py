"""
Five atlases vote, and two of them are wrong
============================================

To label an image, register atlases to it and carry their labels over. A majority takes them all
for equal. Locally weighted votes listen more to atlases whose *image* looks like the target around
a voxel, which cannot tell that labels were drawn badly. STAPLE looks at the labels alone and finds
out who can be trusted.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid, Image, Labels
from vesalius.core import Linear, Velocity, resample, resample_labels
from vesalius.physics import add_noise, chest_phantom, phantom_labels, rasterise
from vesalius.register import register
from vesalius.register.atlas import locally_weighted, majority, staple, transfer_labels
from vesalius.register.evaluate import compare_labels
from vesalius.register.regularise import Sobolev

# %%
# Patients are warps of one phantom, with noise. Two hands drew the labels 7 mm away.

grid = Grid.from_spacing((1, 90, 100), (5.0, 4.0, 4.0), origin_mm=(-198.0, -178.0, 20.0))
image, labels = rasterise(chest_phantom(), grid), phantom_labels(chest_phantom(), grid)
generator = torch.Generator().manual_seed(2)
flat = torch.tensor([1.0, 1.0, 0.0])[:, None, None, None]


def patient(drift_mm: tuple[float, float, float]) -> tuple[Image, Labels]:
    flow = Sobolev(30.0)(torch.randn((3, *grid.shape), generator=generator), grid) * flat
    shape = Velocity(flow * (18.0 / flow.norm(dim=0).max()), grid)
    scan = resample(image, grid, transform=shape, fill=-1000.0)
    drawn = resample_labels(labels, grid, transform=shape @ Linear.translation(drift_mm))
    return add_noise(scan, 40.0, generator=generator), drawn


# %%
# Register each to the target, carry its image and labels over, fuse.

target, truth = patient((0.0, 0.0, 0.0))
drifts = [(0.0, 0.0, 0.0)] * 3 + [(7.0, 0.0, 0.0), (5.0, 5.0, 0.0)]
images, votes = [], []
for drift in drifts:
    scan, drawn = patient(drift)
    found = register(target, scan, plan="smooth")
    images.append(found.warped)
    votes.append(transfer_labels(drawn, grid, transform=found.transform))
trusted = staple(votes, disputed_only=True)
fused = {
    "Majority": majority(votes).labels,
    "Locally weighted": locally_weighted(votes, images, target).labels,
    "STAPLE": trusted.labels,
}


def dice(found: Labels) -> float:
    kept = [s.dice for s in compare_labels(truth, found, Linear.identity()) if s.fixed_mm3 > 0]
    return sum(kept) / len(kept)


figure, axes = plt.subplots(1, 4, figsize=(13, 3.3), width_ratios=(1, 1, 1, 0.9))
for axis, (name, found) in zip(axes[:3], fused.items(), strict=True):
    axis.imshow(target.data[0, 0], vmin=-1000, vmax=400)
    wrong = (found.data != truth.data)[0, 0].numpy()
    axis.imshow(np.ma.masked_where(~wrong, wrong), cmap="autumn", interpolation="nearest")
    axis.set(title=f"{name}: Dice {dice(found):.3f}", xticks=[], yticks=[])
    axis.grid(False)
there = [k for k, value in enumerate(trusted.values) if value]
rates = trusted.sensitivity[:, there].mean(dim=1)
axes[3].bar(range(1, 6), rates, color=["#1f6f8b"] * 3 + ["#8a1c1c"] * 2)
axes[3].set(xlabel="atlas", title="Sensitivity, says STAPLE", ylim=(0, 1))
plt.show()
