"""
A disc into a C: what each smoother lets happen
===============================================

The classic test of a deformable method: the moving disc must open into the letter C. Elastic
material pulls back the more, the further it has come, and does not get there; diffusion and
curvature hold back the whole way as well, and stall. A viscous fluid forgets where it came from
and flows as far as needed, at the price of stretching a point into an edge.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid, Image
from vesalius.physics import Cylinder, Phantom, rasterise
from vesalius.register import Greedy, Plan, Scale, Stage, register
from vesalius.register.evaluate import Plane, deformed_grid, folding
from vesalius.register.regularise import (
    CurvatureSolver,
    DiffusionSolver,
    ElasticSolver,
    FluidSolver,
)
from vesalius.register.similarity import MeanSquare

# %%
# A disc, and a ring with a gap.

grid = Grid.from_spacing((1, 96, 96), (1.0, 1.0, 1.0), origin_mm=(-47.5, -47.5, 0.0))
disc = rasterise(Phantom((Cylinder((0.0, 0.0, 0.0), (30.0, 30.0, 9.0), 1.0),)), grid)
ring = Cylinder((0.0, 0.0, 0.0), (15.0, 15.0, 9.0), 0.0)
p, across = torch.meshgrid(torch.arange(96) - 47.5, torch.arange(96) - 47.5, indexing="ij")
gap = (across > 0) & (p.abs() < 8)
letter = Image(
    rasterise(Phantom((Cylinder((0.0, 0.0, 0.0), (30.0, 30.0, 9.0), 1.0), ring)), grid).data * ~gap,
    grid,
)

# %%
# The same forces, four materials. Elastic-like ones smooth the whole field after each step, the
# fluid only the update.

gentle = DiffusionSolver(2.0)
ways = {
    "Diffusion": Greedy(gentle, total=DiffusionSolver(0.5)),
    "Elastic": Greedy(gentle, total=ElasticSolver(0.3, mu=1.0, lame=1.0)),
    "Curvature": Greedy(gentle, total=CurvatureSolver(0.5)),
    "Fluid": Greedy(FluidSolver(1.0, 0.0, 0.02)),
}
figure, axes = plt.subplots(2, 5, figsize=(12.5, 5.4))
for axis, image, title in zip(axes[:, 0], (letter, disc), ("Fixed", "Moving"), strict=True):
    axis.imshow(image.data[0, 0])
    axis.set_title(title)
for (top, bottom), (name, optimiser) in zip(axes.T[1:], ways.items(), strict=True):
    scales = (Scale(2.0, 300), Scale(1.0, 300))
    stage = Stage("displacement", MeanSquare(), optimiser, scales, tol=1e-6)
    found = register(letter, disc, plan=Plan((stage,)))
    alike, target = found.warped.data > 0.5, letter.data > 0.5
    dice = 2 * float((alike & target).sum() / (alike.sum() + target.sum()))
    top.imshow(found.warped.data[0, 0])
    top.set_title(f"{name}: Dice {dice:.2f}")
    for line in deformed_grid(found.transform, grid, Plane(0, 0), step_mm=4.0):
        bottom.plot(line[:, 1], line[:, 0], color="#2b2622", lw=0.6)
    bottom.set_title(f"smallest det {folding(found.transform, grid).smallest:.2f}", fontsize=10)
    bottom.set(xlim=(0, 95), ylim=(95, 0), aspect="equal")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
plt.show()
