"""
Error bars of a nodule
======================

One scan, one contour, and still a number with an error bar: the nodule is measured again under
shifts and rotations, under noise at the level of the image, and with contours that a careful
colleague might have drawn. The measured value lies within its own bar, or near
its end where moving the scan blurs its edges.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid
from vesalius.measure import Config, extract
from vesalius.physics import Ellipsoid, Phantom, add_noise, phantom_labels, rasterise

# %%
# Balls of 6 to 24 mm in lung, seen by a CT with 1.25 x 0.8 x 0.8 mm voxels.

grid = Grid.from_spacing((40, 60, 60), (1.25, 0.8, 0.8), origin_mm=(-23.6, -23.6, -24.4))
config = Config.model_validate(
    {
        "features": {"families": ("morphology", "statistics"), "spatial_autocorrelation": False},
        "perturb": {"count": 16},
    }
)
tags = {
    "morph_vol_approx": "volume / truth",
    "morph_sphericity": "sphericity of the mesh",
    "stat_mean": "mean, HU",
    "morph_diam": "largest diameter / truth",
}
diameters = np.array([6.0, 9.0, 12.0, 16.0, 20.0, 24.0])
rows = []
for diameter in diameters:
    ball = Ellipsoid.sphere((0.3, -0.2, 0.4), diameter, value=40.0)
    lung = Phantom((ball,), -850.0, "HU")
    generator = torch.Generator().manual_seed(1)
    scan = add_noise(rasterise(lung, grid), 20.0, generator=generator, psf_mm=0.6)
    result = extract(scan, phantom_labels(lung, grid), config=config, uncertainty=True)
    rows.append(result.table.set_index("feature").loc[list(tags)])

# %%
# Dots are the measured values, bars run from the 2.5 % to the 97.5 % percentile of the repeats.
# The dotted line is the truth; a ball of voxels has a rougher surface than a ball, and its
# darker edge counts to the mean.

truths = {"morph_vol_approx": np.pi / 6 * diameters**3, "morph_diam": diameters}
figure, panels = plt.subplots(2, 2, figsize=(9.5, 7), sharex=True, layout="constrained")
for panel, (tag, word) in zip(panels.flat, tags.items(), strict=True):
    scale = truths.get(tag, np.ones_like(diameters))
    value, low, high = (
        np.array([row.loc[tag, column] for row in rows]) / scale
        for column in ("value", "perturb_p2_5", "perturb_p97_5")
    )
    panel.vlines(diameters, low, high, "#8a1c1c", linewidth=7, alpha=0.35)
    panel.plot(diameters, value, "o", color="#8a1c1c")
    panel.axhline(40 if tag == "stat_mean" else 1, color="#8c8279", linestyle=":")
    panel.set(ylabel=word)
for panel in panels[1]:
    panel.set_xlabel("diameter, mm")
plt.show()
