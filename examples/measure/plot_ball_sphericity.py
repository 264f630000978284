"""
A ball is not round to a mesh
=============================

The sphericity of a ball is 1. The standard's mesh on a binary mask finds .90 to .93, however fine
the voxels are, because the surface of a staircase does not converge to the surface of the ball.
The surface at zero of the signed distance to the mask does better; vesalius gives both, under
their own names.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid, Image, Labels
from vesalius.measure import Config, extract

# %%
# Balls of 3 to 24 voxels radius, their centres off the lattice.

radii = np.array([3, 4, 6, 8, 11, 15, 20, 24])
families = {"families": ("morphology", "distance_shape"), "spatial_autocorrelation": False}
config = Config.model_validate({"features": families})


def ball(radius: float) -> np.ndarray:
    """Give the mask of a ball in a cube that just holds it."""
    size = int(2 * radius + 7)
    axis = np.arange(size) - size / 2 + 0.3
    return axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= radius**2


mesh, distance = [], []
for radius in radii:
    mask = torch.from_numpy(ball(radius))[None]
    grid = Grid.from_spacing(tuple(mask.shape[1:]))
    table = extract(Image(mask.double(), grid), Labels(mask, grid), config=config).table
    values = table.set_index("feature").value
    mesh.append(values["morph_sphericity"])
    distance.append(values["sdf_sphericity"])

# %%
# On the left the slice that both see; on the right what they make of it.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), width_ratios=(1, 1.7))
left.imshow(ball(8)[11], cmap="Reds", vmax=1.6)
left.set(title="radius 8 voxels", xticks=[], yticks=[])
left.grid(False)
right.axhline(1, color="#8c8279", linestyle=":", label="truth")
right.plot(radii, distance, "s-", color="#1f6f8b", label="signed distance (sdf_sphericity)")
right.plot(radii, mesh, "o-", color="#8a1c1c", label="binary mesh (morph_sphericity, IBSI)")
right.set(
    xlabel="radius, voxels", ylabel="sphericity", ylim=(0.86, 1.02), title="Sphericity of a ball"
)
right.legend(loc="center right")
plt.show()
