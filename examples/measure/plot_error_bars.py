"""
Error bars of a nodule
======================

One scan, one contour, and still a number with an error bar: the nodule is measured again under
shifts and rotations, under noise at the level of the image, and with contours that a careful
colleague might have drawn. The bars of the volume hold the truth, and what one scan can show of a
change shrinks as the nodule grows.
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
        "features": {"families": ("morphology",), "spatial_autocorrelation": False},
        "perturb": {"count": 16},
    }
)
tags = {"morph_vol_approx": "volume", "morph_area_mesh": "surface", "morph_diam": "diameter"}
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
# On the left, dots are the measured volume and bars run from the 2.5 % to the 97.5 % percentile
# of the repeats. On the right, mdc95 is the smallest change between two such scans that is not
# noise.

truth = np.pi / 6 * diameters**3
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2))
columns = ("value", "perturb_p2_5", "perturb_p97_5")
volume = {c: [r.loc["morph_vol_approx", c] for r in rows] / truth for c in columns}
left.axhline(1, color="#8c8279", linestyle=":", label="truth")
left.vlines(
    diameters, volume["perturb_p2_5"], volume["perturb_p97_5"], "#8a1c1c", linewidth=7, alpha=0.35
)
left.plot(diameters, volume["value"], "o", color="#8a1c1c", label="measured")
left.set(xlabel="diameter, mm", ylabel="volume / truth", title="Volume with its error bar")
left.legend()
for (tag, word), mark in zip(tags.items(), "os^", strict=True):
    percent = [100 * r.loc[tag, "mdc95"] / r.loc[tag, "value"] for r in rows]
    right.plot(diameters, percent, mark + "-", label=word)
right.set(xlabel="diameter, mm", ylabel="mdc95, % of the value", title="Smallest change to be seen")
right.set_ylim(0)
right.legend()
plt.show()
