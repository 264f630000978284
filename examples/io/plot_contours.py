"""
From an outline to voxels
=========================

Radiotherapy stores regions as polygons. A hole is tied to its rim by a cut that is walked there and
back; and whether a voxel at the rim belongs to the region is a policy, which should have a name.
"""

# SPDX-License-Identifier: Apache-2.0

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.io import Contours, Outline, Roi, rasterise
from vesalius.io.dicom import save_rtstruct, save_series

# %%
# An outline with a hole, joined by a key-hole: along the rim, in, round the hole, and out again;
# and one with thin spikes. Both on voxels of 2 mm.

turn = np.linspace(0, 2 * np.pi, 121)[:-1, None]
circle = np.column_stack((np.cos(turn), np.sin(turn)))
rim, hole = 11 * circle * (1 + 0.18 * np.cos(3 * turn)), 5 * circle * (1, -1)
spikes = circle * (6 + 8 * np.cos(4.5 * turn + 0.2) ** 14)
shapes = {"key-hole": np.vstack((rim, rim[:1], hole, hole[:1])), "spikes": spikes}
grid = Grid.from_spacing((1, 15, 15), (3.0, 2.0, 2.0), origin_mm=(-13.7, -13.9, 0.0))
drawn = {}
for name, shape in shapes.items():
    outline = Outline(torch.from_numpy(np.pad(shape, ((0, 0), (0, 1)))))
    contours = Contours("drawn", (Roi(name, (outline,), 1),), {})
    for policy in ("centre", "area"):
        drawn[name, policy] = rasterise(contours, grid, policy=policy).labels.data[0]

# %%
# To an RTSTRUCT and back no voxel changes: outlines that vesalius writes run along voxel edges.

folder = Path(tempfile.mkdtemp())
save_series(Image(torch.zeros(1, *grid.shape, dtype=torch.int16), grid, "HU"), folder / "ct")
labels = Labels(drawn["key-hole", "centre"][None], grid, {(0, 1): "ring"})
save_rtstruct(labels, folder / "rs.dcm", like=folder / "ct")
back = io.open_labels(folder / "rs.dcm", like=grid, roi="ring")
print("voxels that changed:", int((back.data != labels.data).sum()), "of", back.data.numel())

# %%
# By its centre a voxel is in or out at once; by area it is in where more than half of it is.

kinds = {"neither": "#ffffff", "centre only": "#c98a2b", "area only": "#1f6f8b", "both": "#e6cfc8"}
left, top = (grid.origin_mm[k] - 1.0 for k in (0, 1))
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.8), sharey=True)
for panel, (name, shape) in zip(axes, shapes.items(), strict=True):
    shown = drawn[name, "centre"][0].int() + 2 * drawn[name, "area"][0].int()
    look = {"cmap": ListedColormap(list(kinds.values())), "vmin": 0, "vmax": 3}
    panel.imshow(shown, extent=(left, left + 30, top + 30, top), **look)
    panel.plot(*np.vstack((shape, shape[:1])).T, color="#8a1c1c", linewidth=1.5)
    panel.set(title=name, xlabel="L, mm")
for word, colour in list(kinds.items())[1:]:
    axes[1].plot([], [], "s", color=colour, markersize=9, label=word)
axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="inside by")
axes[0].set_ylabel("P, mm")
plt.show()
