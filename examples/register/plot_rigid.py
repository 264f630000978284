"""
Where a search begins decides where it ends
===========================================

A search goes downhill from its start. From the headers it finds turns up to some tens of degrees
and shifts up to about the size of the body. ``init="moments"`` lays the centres of mass on each
other first, which heals shifts and not turns; ``init="search"`` tries orientations as well.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.core import Linear, resample
from vesalius.physics import chest_phantom, rasterise
from vesalius.register import Registration, register
from vesalius.register.evaluate import Plane, checkerboard

# %%
# A slice of the chest phantom, and the same patient turned or shifted on a larger field of view.

grid = Grid.from_spacing((1, 110, 130), (5.0, 4.0, 4.0), origin_mm=(-260.0, -220.0, 30.0))
wide = Grid.from_spacing((1, 200, 260), (5.0, 5.0, 5.0), origin_mm=(-450.0, -500.0, 30.0))
fixed = rasterise(chest_phantom(), grid)
places = grid.to_world(torch.tensor([[0.0, 27, 32], [0, 27, 97], [0, 82, 32], [0, 82, 97]]))


def moved(angle: float, shift: float) -> Linear:
    return Linear.rigid((0.0, 0.0, angle), (shift, 0.0, 0.0), centre_mm=(0.0, 0.0, 30.0))


def search(truth: Linear, init: str) -> Registration:
    moving = resample(fixed, wide, transform=truth.inverse(), fill=-1000.0)
    return register(fixed, moving, plan="rigid", init=init)


def error_mm(truth: Linear, init: str) -> float:
    return float((search(truth, init).transform(places) - truth(places)).norm(dim=1).mean())


angles, shifts = (0, 15, 30, 45, 60, 75, 90, 120, 150, 180), (0, 40, 80, 120, 160, 200, 240)
ways = ("header", "moments", "search")
by_angle = {init: [error_mm(moved(a, 40), init) for a in angles] for init in ways}
by_shift = {init: [error_mm(moved(10, s), init) for s in shifts] for init in ways}

# %%
# In a checkerboard of both images, lines run on where they agree. Below: 0 is found, the rest lost.

figure, axes = plt.subplot_mosaic([["before", "after"], ["turn", "shift"]], figsize=(9.5, 7))
found = search(moved(30, 40), "header")
before = resample(found.moving, grid, transform=found.start, fill=-1000.0)
for name, image in (("before", before), ("after", found.warped)):
    axes[name].imshow(checkerboard(fixed, image, Plane(0, 0), tile_mm=60.0))
    axes[name].set(title=f"30 degrees, {name}", xticks=[], yticks=[])
    axes[name].grid(False)
for name, at, curves in (("turn", angles, by_angle), ("shift", shifts, by_shift)):
    for init, mark in zip(ways, "o^s", strict=True):
        axes[name].plot(at, curves[init], mark + "-", ms=8, mfc="none", label=f'init="{init}"')
    axes[name].set(ylabel="mean error, mm", xticks=at[::2])
axes["turn"].set(xlabel="turn, degrees (and 40 mm)")
axes["shift"].set(xlabel="shift, mm (and 10 degrees)")
axes["turn"].legend()
plt.show()
