"""
Back to the picture: which voxels move a prediction
===================================================

A model says that a tumour is likely to spread. Its features are numbers of the whole region; a
doctor asks where. Cut the region into pieces, give one piece after another the mean of the rest,
measure and predict again: what the prediction loses, that piece had brought.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from vesalius import Grid, Image, Labels
from vesalius.measure import Config, extract, wide
from vesalius.predict import Description, Recipe, as_table
from vesalius.predict.estimators import Ridge
from vesalius.predict.explain import Pieces, voxel_map
from vesalius.predict.models import fit_model
from vesalius.predict.select import Scale

# %%
# Discs of one slice; those that spread have a bright spot somewhere inside.

grid = Grid.from_spacing((1, 40, 40), (1.0, 1.0, 1.0))
y, x = np.mgrid[:40, :40]
disc = torch.from_numpy((np.hypot(y - 20, x - 20) < 15).astype(np.uint8))[None, None]
labels = Labels(disc, grid, {(0, 1): "tumour"})
features = {"families": ("statistics",)}
config = Config.model_validate({"features": features})
draw = np.random.default_rng(1)


def tumour(spreads: bool) -> Image:
    values = draw.normal(100, 10, (40, 40))
    angle, radius = draw.uniform(0, 2 * np.pi), draw.uniform(4, 10)
    spot = np.hypot(y - 20 - radius * np.sin(angle), x - 20 - radius * np.cos(angle))
    values += spreads * draw.uniform(20, 50) * np.exp(-((spot / 3) ** 2))
    return Image(torch.from_numpy(values)[None, None], grid, "HU")


spread = np.arange(40) % 2 == 0
images = [tumour(bool(one)) for one in spread]
rows = [wide(extract(image, labels, config=config).table) for image in images]
frame = pd.concat(rows, ignore_index=True).drop(columns=["subject", "label"])
description = Description(outcome="spread")
table = as_table(frame.assign(spread=spread.astype(int)), description)
recipe = Recipe((Scale(),), Ridge())
generator = torch.Generator().manual_seed(0)
model = fit_model(table.rows(range(34)), description, recipe, generator=generator)

# %%
# Three tumours that the model has not seen; red pieces speak for spread, blue ones against it.

figure, axes = plt.subplots(2, 3, figsize=(9.5, 6.4))
for column, k in enumerate((34, 36, 35)):
    found = voxel_map(
        images[k], labels, model, table.rows([k]), config=config, pieces=Pieces(count=40)
    )
    axes[0, column].imshow(images[k].data[0, 0], vmin=70, vmax=150)
    axes[1, column].imshow(found.image.data[0, 0], cmap="RdBu_r", vmin=-0.2, vmax=0.2)
    word = "spread" if spread[k] else "did not"
    axes[0, column].set(title=f"Chance {found.before:.2f}; {word}")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
plt.show()
