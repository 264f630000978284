"""
Features that come out alike when measured again
================================================

An error bar says how far a feature moves when contour, noise and sampling move. Beside the spread
between patients it gives the intraclass correlation: the share of a feature's variance that is
the patients'. What is below .75 is mostly luck, whatever it promises in training. The filter
needs no outcome, so it may be given once for all folds.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid
from vesalius.measure import Config, cohort_table, extract
from vesalius.physics import Ellipsoid, Phantom, add_noise, phantom_labels, rasterise
from vesalius.predict.select import stability_from

# %%
# Ten nodules that differ in size, shape and density; each measured with eight perturbations.

grid = Grid.from_spacing((24, 36, 36), (1.6, 1.2, 1.2), origin_mm=(-21.0, -21.0, -18.4))
settings = {
    "discretise": {"method": "bin_width", "bin_width": 25.0},
    "features": {
        "families": ("morphology", "statistics", "glcm", "ngtdm"),
        "aggregations": ("3D_comb", "3D"),
        "spatial_autocorrelation": False,
    },
    "perturb": {"count": 8},
}
config = Config.model_validate(settings)
draw, generator = np.random.default_rng(2), torch.Generator().manual_seed(2)
measured = []
for _ in range(10):
    a, b, c = draw.uniform(5, 13, 3).tolist()
    nodule = Ellipsoid((0.3, -0.2, 0.4), (a, b, c), float(draw.normal(30, 25)))
    lung = Phantom((nodule,), -850.0, "HU")
    scan = add_noise(rasterise(lung, grid), 25.0, generator=generator, psf_mm=0.8)
    labels = phantom_labels(lung, grid)
    measured.append(extract(scan, labels, config=config, uncertainty=True))
table = cohort_table(measured)

# %%
# Points are the coefficients, bars their 95 % intervals. The filter reads the lower end.

known = table.drop_duplicates("feature").dropna(subset=["icc"]).sort_values("icc")
filter_ = stability_from(table, least=0.75)
kept = (known.icc_low >= filter_.least).to_numpy()
figure, axis = plt.subplots(figsize=(9, 4.2))
place = np.arange(len(known))
for chosen, colour, word in ((kept, "#1f6f8b", "kept"), (~kept, "#8a1c1c", "dropped")):
    axis.vlines(place[chosen], known.icc_low[chosen], known.icc[chosen], color=colour, alpha=0.4)
    label = f"{word}: {chosen.sum()}"
    axis.plot(place[chosen], known.icc[chosen], "o", color=colour, label=label, ms=4)
axis.axhline(0.75, color="#2b2622", lw=1, ls=":")
some = np.linspace(0, len(known) - 1, 14).astype(int)
axis.set_xticks(some, known.feature.to_numpy()[some], rotation=35, ha="right", fontsize=8)
axis.set(ylabel="intraclass correlation", ylim=(-0.2, 1.05))
axis.legend()
plt.show()
