"""
Error bars of a nodule
======================

One scan, one contour, and still a number with an error bar: the nodule is measured again under shifts and
rotations, under noise at the level of the image, and with contours that a careful colleague might have drawn.
The bars shrink as the nodule grows, and the truth lies in them.
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
tags = ("morph_vol_approx", "morph_sphericity", "stat_mean")
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
# Dots are the measured value, bars run from the 2.5 % to the 97.5 % percentile of the repeats.

truth = [np.pi / 6 * diameters**3, np.ones(len(diameters)), np.full(len(diameters), 40.0)]
titles = ("Volume / truth", "Sphericity (mesh)", "Mean, HU")
figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.8))
for axis, tag, title, exact in zip(axes, tags, titles, truth, strict=True):
    value, low, high = (
        np.array([r.loc[tag, column] for r in rows])
        for column in ("value", "perturb_p2_5", "perturb_p97_5")
    )
    scale = exact if axis is axes[0] else 1.0
    axis.axhline((exact / scale)[0], color="#8c8279", linestyle=":", label="truth")
    axis.vlines(diameters, low / scale, high / scale, linewidth=5, alpha=0.35, color="#8a1c1c")
    axis.plot(diameters, value / scale, "o", color="#8a1c1c", label="measured")
    axis.set(title=title, xlabel="diameter, mm")
axes[0].legend()
plt.show()
