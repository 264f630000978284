"""
Two contrasts, and what still sees that they belong together
============================================================

A loss should be least where the images lie on each other. Correlation asks for values that lie on
one straight line: between two contrasts it is least somewhere else, here three pixels to either
side. Local correlation asks it of small windows alone, where two tissues always make a line. Mutual
information asks that one value foretells the other, MIND that places look like their neighbours
in the same way, gradient fields that edges run along each other.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid
from vesalius.core import Image
from vesalius.physics import add_noise, rasterise, shepp_logan
from vesalius.register.similarity import GradientFields, LocalNcc, Mind, MutualInformation, Ncc

# %%
# A head in two contrasts: the second is no line in the first, and dark where that one is bright.

grid = Grid.from_spacing((1, 150, 150), (2.0, 1.4, 1.4), origin_mm=(-104.3, -104.3, 0.0))
first = rasterise(shepp_logan(per_mm=1.0), grid)
second = first.map(lambda v: torch.exp(-((v - 0.25) ** 2) / 0.02) + 0.3 * (v > 0.9))
noise = torch.Generator().manual_seed(1)
pair = [add_noise(image, 0.03, generator=noise) for image in (first, second)]

# %%
# Shift the second by up to 25 pixels and compare what both have in common.

shifts = np.arange(-25, 26)
ways = {
    "NCC": Ncc(),
    "Local NCC": LocalNcc(radius=3),
    "Mutual information": MutualInformation(),
    "MIND-SSC": Mind(),
    "Gradient fields": GradientFields(),
}


def losses(similarity, one: Image, two: Image) -> np.ndarray:
    f, m = (similarity.features(image.data, grid.spacing_mm) for image in (one, two))
    at = [similarity(f[..., 25:-25], m[..., 25 + s : 125 + s]) for s in shifts.tolist()]
    values = np.array([float(v) for v in at])
    return (values - values.min()) / np.ptp(values)


figure, axes = plt.subplot_mosaic(
    [["a", "b", "same", "two"]], figsize=(13, 3.4), width_ratios=(0.8, 0.8, 1.3, 1.3)
)
for name, image in zip("ab", pair, strict=True):
    axes[name].imshow(image.data[0, 0])
    axes[name].set(title=f"Contrast {name.upper()}", xticks=[], yticks=[])
    axes[name].grid(False)
for name, two, title in (("same", pair[0], "A with A"), ("two", pair[1], "A with B")):
    for label, similarity in ways.items():
        axes[name].plot(shifts, losses(similarity, pair[0], two), label=label)
    axes[name].set(xlabel="shift, pixels", title=f"{title}: loss, scaled to 0 to 1")
axes["two"].legend(fontsize=8, loc="lower left")
plt.show()
