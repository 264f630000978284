"""
When the scanner's idea of water drifts
=======================================

A CT number is mu relative to water. If the calibration of water is off by a fraction e, every
voxel moves by dHU = -(HU + 1000) e / (1 + e): air stays, water moves by 10 HU for each per cent,
bone by more. Shape does not care; a mean does, and a texture with bins that start at a fixed
place does as well.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius.measure import Config, extract
from vesalius.physics import add_noise, chest_grid, chest_phantom, phantom_labels, rasterise

# %%
# The chest phantom with noise of 15 HU; five of its parts.

phantom = chest_phantom()
grid = chest_grid((4.0, 3.0, 3.0))
generator = torch.Generator().manual_seed(5)
scan = add_noise(rasterise(phantom, grid), 15.0, generator=generator, psf_mm=2.0)
labels = phantom_labels(phantom, grid)
parts = ["lung_right", "heart", "liver", "aorta", "vertebrae"]
regions = tuple(phantom.names.index(name) + 1 for name in parts)

# %%
# Measure it as it is and with the water of the scanner off by up to 2 %.

settings = {
    "resegment": {"range": (-1000, 400)},
    "discretise": {"method": "bin_width", "bin_width": 25.0},
    "features": {"families": ("statistics", "glcm"), "aggregations": ("3D_comb",)},
}
config = Config.model_validate(settings)
drifts = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
mean, contrast = [], []
for e in drifts:
    moved = scan.map(lambda x, e=e: x - (x + 1000) * e / (1 + e))
    table = extract(moved, labels, config=config, regions=regions).table
    by = table.pivot(index="label", columns="feature", values="value").loc[parts]
    mean.append(by["stat_mean"])
    contrast.append(by["cm_contrast"])
mean, contrast = np.array(mean), np.array(contrast)

# %%
# Points are measured, lines are the formula: they agree because the mean is linear. Contrast
# should not move at all, and moves, because the tissue slides over the edges of the bins.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2))
fine = np.linspace(-0.021, 0.021, 50)
for k, name in enumerate(parts):
    line = left.plot(100 * fine, -(mean[2, k] + 1000) * fine / (1 + fine))[0]
    style = {"color": line.get_color(), "label": f"{name} ({mean[2, k]:.0f} HU)"}
    left.plot(100 * drifts, mean[:, k] - mean[2, k], "o", **style)
    right.plot(100 * drifts, 100 * (contrast[:, k] / contrast[2, k] - 1), "o-", **style)
left.set(xlabel="drift e, %", ylabel="change, HU", title="Mean")
right.set(xlabel="drift e, %", ylabel="change, %", title="GLCM contrast, bins of 25 HU")
left.legend(fontsize=8)
plt.show()
