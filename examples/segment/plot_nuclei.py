"""
Nuclei in a volume, by the packaged model
=========================================

The package has models that run offline. This one learned flows in made volumes and works natively
in 3-D: no slices are stacked. A threshold with a watershed, which needs no model, is printed beside
it, as it should be. An image unlike the training data is flagged; nothing is promised for it.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import Image, Labels
from vesalius.measure.evaluate import compare_objects
from vesalius.physics.optics import nuclei
from vesalius.segment import segment
from vesalius.segment.instances import DistanceWatershed
from vesalius.segment.networks import Trained, load_packaged

# %%
# A volume that no training has seen, and its truth; slices are thicker than pixels are wide.

made = nuclei((28, 84, 84), generator=torch.Generator().manual_seed(2026))
model = load_packaged("nuclei3d")
found = segment(made.image, Trained(model)).labels
plain = segment(made.image, DistanceWatershed()).labels


def score(labels: Labels) -> str:
    at = compare_objects(labels, made.labels, thresholds=(0.5,)).at(0.5)
    return f"{len(labels.values)}, AP@0.5 {at.average_precision:.2f}"


colours = np.vstack([[0, 0, 0, 1], plt.get_cmap("tab20")(np.arange(999) % 20)])
shown = {
    "Image": None,
    f"Truth: {len(made.labels.values)}": made.labels,
    f"Model: {score(found)}": found,
    f"Watershed: {score(plain)}": plain,
}
figure, axes = plt.subplots(2, 4, figsize=(13, 4.6), height_ratios=(84, 28))
for column, (title, labels) in zip(axes.T, shown.items(), strict=True):
    data = made.image.data[0] if labels is None else labels.data[0]
    for axis, plane in zip(column, (data[14], data[:, 42]), strict=True):
        axis.imshow(plane if labels is None else colours[plane.numpy()], interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    column[0].set_title(title, fontsize=10)

# %%
# The same picture with black and white exchanged: what the model says of it, it says with a flag.

inverted = Image(made.image.data.max() - made.image.data, made.image.grid)
figure, axis = plt.subplots(figsize=(7, 1.8))
for row, image in enumerate((made.image, inverted)):
    told = segment(image, Trained(model))
    axis.barh(row, told.values["distance from training data"], height=0.5)
    flags = [text for text in told.remarks if "unlike" in text]
    print("\n".join(flags) or "not flagged")
axis.axvline(told.values["training data reach"], color="#2b2622", ls=":")
axis.set(yticks=[0, 1], yticklabels=["as it is", "inverted"], xlabel="distance from training data")
plt.show()
