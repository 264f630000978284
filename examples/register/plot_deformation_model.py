"""
What shapes a group has: a model of its deformations
====================================================

Register one reference to every member of a group, and take the principal components of the
*velocities*: what they stand for can always be inverted; means of displacements can fold. A few
numbers then are a shape. They can be read, drawn at random, and searched for
(``PrincipalBasis``).
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.core import Velocity, resample
from vesalius.physics import chest_phantom, rasterise
from vesalius.register import Greedy, Plan, Scale, Stage, register
from vesalius.register.atlas import DeformationModel
from vesalius.register.regularise import Sobolev
from vesalius.register.similarity import LocalNcc

# %%
# Fourteen people whose chests are wider or narrower and twisted to one side or the other.

grid = Grid.from_spacing((1, 80, 100), (5.0, 4.5, 4.5), origin_mm=(-222.75, -177.75, 20.0))
reference = rasterise(chest_phantom(), grid)
axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
points = grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
left, back = points[..., 0], points[..., 1]
near = torch.exp(-((left**2 + back**2) / 150.0**2))
widen = torch.stack([left * near, 0.6 * back * near, 0 * left]).float()
twist = torch.stack([-back * near, left * near, 0 * left]).float()
truth = torch.tensor([[0.12], [0.05]]) * torch.randn(
    2, 14, generator=torch.Generator().manual_seed(4)
)

# %%
# Find their velocities from the images alone, and fit the model.

stage = Stage(
    "velocity",
    LocalNcc(),
    Greedy(Sobolev(12.0), total=Sobolev(4.0)),
    (Scale(9.0, 60), Scale(4.5, 20)),
)
velocities = []
for a, b in truth.T.tolist():
    person = Velocity(a * widen + b * twist, grid)
    scan = resample(reference, grid, transform=person.inverse(), fill=-1000.0)
    found = register(reference, scan, plan=Plan((stage,))).transform
    velocities.append(found.parts[-1])  # the start comes after the deformation: start @ velocity
model = DeformationModel(components=3).fit(velocities)
scores = torch.stack([model.project(v) for v in velocities]).double()

# %%
# The reference two standard deviations along each mode, and what the first two scores mean.

figure, axes = plt.subplots(2, 4, figsize=(12, 4.6), width_ratios=(1, 1, 1, 0.9))
for mode, row in enumerate(axes):
    share = model.explained_variance_ratio_[mode]
    for axis, times in zip(row, (-2, 0, 2), strict=False):
        shift = torch.zeros(3)
        shift[mode] = times * model.variance_[mode].sqrt()
        shape = model.velocity(shift).inverse()
        seen = resample(reference, grid, transform=shape, fill=-1000.0)
        axis.imshow(seen.data[0, 0], vmin=-1000, vmax=400)
        axis.set(title=f"mode {mode + 1}, {times:+d} sd" if times else "mean", xticks=[], yticks=[])
        axis.grid(False)
    row[3].plot(truth[mode], scores[:, mode], "o")
    row[3].set(xlabel=("widening", "twist")[mode], ylabel=f"score {mode + 1}, mm")
    row[3].set_title(f"{100 * share:.0f} % of the variance")
plt.show()
