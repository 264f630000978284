"""
An X-ray of a CT, and the pose found back from it
=================================================

``drr`` renders what an X-ray machine would see of a CT, and has derivatives in the volume and in
the six numbers of the patient's pose. So a pose can be found by following the gradient: here the
patient is turned and moved, and the optimiser sees only the radiograph.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import chest_phantom, rasterise
from vesalius.physics.ct import cone, drr

# %%
# Source behind the patient (P is +y, so 90 degrees), detector in front.

grid = Grid.from_spacing((44, 32, 48), (8.0, 10.0, 10.0), origin_mm=(-235.0, -155.0, -172.0))
chest = rasterise(chest_phantom(), grid)
camera = cone(
    torch.tensor([90.0]),
    shape=(40, 46),
    pitch_mm=(12.0, 12.0),
    source_mm=1000.0,
    detector_mm=1300.0,
)
truth = torch.tensor([3.0, -4.0, 5.0, 12.0, -8.0, 15.0])  # degrees about (L, P, S), then mm
target = drr(chest, camera, pose=truth, quantity="line integral").data

# %%
# Adam on the pose, with shrinking steps; degrees and mm are of one size here.

pose = torch.zeros(6, requires_grad=True)
optimiser = torch.optim.Adam([pose], lr=2.0, betas=(0.7, 0.95))
schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.94)
views, path = [], []
for _ in range(45):
    optimiser.zero_grad()
    seen = drr(chest, camera, pose=pose, quantity="line integral").data
    (seen - target).square().mean().backward()
    views.append(seen.detach())
    path.append((pose.detach() - truth).clone())
    optimiser.step()
    schedule.step()
path = torch.stack(path)

# %%
# Radiograph as it was taken, what differs before and after, and the way there.

figure, axes = plt.subplots(1, 4, figsize=(12, 3.6), width_ratios=(1, 1, 1, 1.3))
look = {"origin": "lower"}  # rows run along +z, towards the head
axes[0].imshow(target[0], cmap="gray", **look)
for axis, image in zip(axes[1:3], (views[0], views[-1]), strict=True):
    axis.imshow((image - target)[0], cmap="RdBu_r", vmin=-1, vmax=1, **look)
for axis, title in zip(axes, ("Line integrals", "Difference, first", "Last"), strict=False):
    axis.set(title=title, xticks=[], yticks=[])
    axis.grid(False)
for k, name in enumerate("LPS"):
    axes[3].plot(path[:, k], f"C{k}-", label=f"turn {name}, deg")
    axes[3].plot(path[:, 3 + k], f"C{k}--", label=f"shift {name}, mm")
axes[3].set(title="Error of the pose", xlabel="step")
axes[3].legend(fontsize=7, ncols=2)
plt.show()
