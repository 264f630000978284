"""
Where in a tumour is the texture?
=================================

A texture feature is one number for a whole region. Measured anew in the cube around every voxel it
becomes a map. Levels are those of the whole region; voxels outside it never count.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid, Image
from vesalius.measure import Config, feature_maps
from vesalius.ops import gaussian

# %%
# A ball: coarse grain above, fine grain of the same mean and spread below, and a smooth core.

size = 56
axis = torch.arange(size, dtype=torch.float64) - size / 2 + 0.5
z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
tumour = z**2 + y**2 + x**2 <= 25**2
core = (y - 2) ** 2 + (x + 9) ** 2 + z**2 <= 8**2

generator = torch.Generator().manual_seed(8)
noise = torch.randn(2, size, size, size, generator=generator).double()
fine, coarse = gaussian(noise[0], (0.7,) * 3), gaussian(noise[1], (2.2,) * 3)
grain = torch.where(y > 0, fine / fine.std(), coarse / coarse.std())
values = torch.where(core, 5 + 4 * grain, 50 + 25 * grain)
values = torch.where(tumour, values, -90 + 4 * fine / fine.std())
image = Image(values[None], Grid.from_spacing((size,) * 3), "HU")

# Three maps from 65,752 cubes of 5 voxels.
config = Config.model_validate({"discretise": {"method": "bin_width", "bin_width": 10.0}})
names = ("cm_contrast_3D_avg", "cm_corr_3D_comb", "cm_joint_entr_3D_comb")
maps = feature_maps(image, tumour, features=names, radius=2, config=config)

# %%
# Contrast finds the fine grain, correlation the coarse one, entropy the core.

titles = ("contrast", "correlation", "joint entropy, bit")
figure, axes = plt.subplots(1, 4, figsize=(12.5, 3.5), layout="constrained")
axes[0].imshow(values[size // 2], cmap="gray", vmin=-100, vmax=130)
axes[0].set_title("image")
for word, row in (("coarse", 9), ("smooth core", 30), ("fine", 47)):
    plate = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 2}
    axes[0].text(28 if row != 30 else 18.5, row, word, ha="center", va="center", bbox=plate)
for panel, name, title in zip(axes[1:], names, titles, strict=True):
    found = maps[name].data[0]
    shown = found[found.shape[0] // 2]
    panel.imshow(values[size // 2], cmap="gray", vmin=-100, vmax=400)
    box = (2.5, 2.5 + shown.shape[1], 2.5 + shown.shape[0], 2.5)
    drawn = panel.imshow(shown, cmap="magma", extent=box)
    panel.set(title=title, xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    figure.colorbar(drawn, ax=panel, shrink=0.82)
    panel.set_axis_off()
axes[0].set_axis_off()
plt.show()
