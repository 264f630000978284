"""
Teach by scribbles what a tissue looks like
===========================================

Three tissues of the same mean: no threshold can tell them apart, their texture can. The classifier
describes each pixel by its surroundings at several scales, here by edge strength and structure
tensor, and learns from the scribbled ones alone. It says how sure it is.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Grid, Image, Labels
from vesalius.ops import gaussian
from vesalius.segment import Hints, segment
from vesalius.segment.pixels import Pixels
from vesalius.segment.threshold import MultiOtsu

# %%
# Fine grain, coarse grain, and stripes, in wavy layers; all of mean 0 and deviation 1.

generator = torch.Generator().manual_seed(3)
y, x = torch.meshgrid(torch.arange(180.0), torch.arange(180.0), indexing="ij")
tissue = 1 + (y + 14 * torch.sin(x / 25) > 60).long() + (y - 12 * torch.cos(x / 30) > 120)


def grain(sigma: float) -> torch.Tensor:
    rough = gaussian(torch.randn(1, 1, 180, 180, generator=generator), (0.0, sigma, sigma))
    return ((rough - rough.mean()) / rough.std())[0, 0]


stripes = 1.4 * torch.sin((x + y) / 2.2)
layers = torch.stack([grain(0.8), grain(2.5), stripes])
values = layers.gather(0, tissue[None] - 1)[0] + 0.3 * grain(0.5)
grid = Grid.from_spacing((1, 180, 180))
image = Image(values[None, None], grid)
scribbles = torch.zeros(1, 1, 180, 180, dtype=torch.uint8)
for row, column in ((4, 0), (35, 110), (75, 0), (98, 110), (140, 0), (174, 110)):
    scribbles[0, 0, row : row + 4, column : column + 70] = int(tissue[row + 2, column + 35])
method = Pixels(sigmas_voxel=(0.7, 1.0, 2.0, 4.0), features=("gradient", "structure"))
found = segment(image, method, hints=Hints(marks=Labels(scribbles, grid)))

# %%
# Right pixels beside what three thresholds would make of it.

cut = segment(image, MultiOtsu()).labels.data[0, 0]
figure, axes = plt.subplots(1, 4, figsize=(13, 3.4))
axes[0].imshow(values, vmin=-3, vmax=3)
axes[0].imshow(np.ma.masked_equal(scribbles[0, 0], 0), cmap="brg", interpolation="nearest")
axes[0].set_title(f"{100 * float((scribbles > 0).float().mean()):.1f} % scribbled")
axes[1].imshow(cut, cmap="viridis", interpolation="nearest")
axes[1].set_title("Thresholds")
labels = found.labels.data[0, 0]
axes[2].imshow(labels, cmap="viridis", interpolation="nearest")
axes[2].set_title(f"Classifier: {100 * float((labels == tissue).float().mean()):.1f} % right")
shown = axes[3].imshow(found.maps["probability"].data.amax(dim=0)[0], vmin=1 / 3, vmax=1)
axes[3].set_title("How sure it is")
figure.colorbar(shown, ax=axes[3], shrink=0.8)
for axis in axes:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
plt.show()
