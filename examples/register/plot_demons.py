"""
Demons, greedy and B-splines on one pair
========================================

Three ways to bend an image. Demons push each pixel along the gradient by the difference of values;
the greedy search climbs the local correlation and keeps its field smooth; a free-form deformation
moves control points 30 mm apart and pays for bending. The truth is known here: close images are
not yet a right map, and flat regions get whatever the smoother gives them.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.core import Velocity, resample
from vesalius.physics import chest_phantom, rasterise
from vesalius.register import Demons, Greedy, Lbfgs, Plan, Scale, Stage, register
from vesalius.register.evaluate import Plane, deformed_grid, edge_overlay, folding, jacobian_map
from vesalius.register.fields import FreeForm
from vesalius.register.regularise import Bending, Sobolev
from vesalius.register.similarity import LocalNcc, MeanSquare

# %%
# A slice of the chest, breathed by a known flow of up to 14 mm.

grid = Grid.from_spacing((1, 120, 140), (5.0, 3.0, 3.0), origin_mm=(-210.0, -180.0, 30.0))
generator = torch.Generator().manual_seed(3)
rough = torch.randn((3, *grid.shape), generator=generator)
smooth = Sobolev(30.0)(rough, grid) * torch.tensor([1.0, 1.0, 0.0])[:, None, None, None]
truth = Velocity(smooth * (14.0 / smooth.norm(dim=0).max()), grid)
fixed = rasterise(chest_phantom(), grid)
moving = resample(fixed, grid, transform=truth.inverse(), fill=-1000.0)
body = fixed.data[0] > -900

# %%
# One stage each; scales in mm, coarse to fine.

scales = (Scale(12, 100), Scale(6, 60), Scale(3, 40))
gentle = Sobolev(5.0)
stages = {
    "Demons": Stage("displacement", MeanSquare(), Demons(total=gentle), scales),
    "Greedy, local NCC": Stage("displacement", LocalNcc(), Greedy(gentle, total=gentle), scales),
    "B-spline": Stage(FreeForm(30.0), LocalNcc(), Lbfgs(), scales, (Bending(20.0),)),
}
maps = {"Truth": truth}
for name, stage in stages.items():
    maps[name] = register(fixed, moving, plan=Plan((stage,))).transform

figure, axes = plt.subplots(2, 4, figsize=(13, 5.9))
for (top, bottom), (name, found) in zip(axes.T, maps.items(), strict=True):
    warped = resample(moving, grid, transform=found, fill=-1000.0)
    miss = (found.to_field(grid).data - truth.to_field(grid).data).norm(dim=0)[body]
    top.imshow(edge_overlay(fixed, warped, Plane(0, 0)))
    top.set(title=f"{name}: {float(miss.mean()):.1f} mm off")
    bottom.imshow(jacobian_map(found, grid, Plane(0, 0)))
    for line in deformed_grid(found, grid, Plane(0, 0), step_mm=18.0):
        bottom.plot(line[:, 1], line[:, 0], color="#2b2622", lw=0.7)
    bottom.set_title(f"smallest det {folding(found, grid).smallest:.2f}", fontsize=10)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[], xlim=(0, 139), ylim=(119, 0))
    axis.grid(False)
plt.show()
