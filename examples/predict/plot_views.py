"""
When near means little
======================

With a thousand features of which three mean something, the nearest case is hardly nearer than the
farthest: distances concentrate. Pictures of one table differ by the method, and each hides most of
it. So every view comes with its trustworthiness: how far neighbours in the picture are neighbours
in the features.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vesalius.predict import Description, as_table
from vesalius.predict.views import ViewSettings, concentration, embed

# %%
# The more features of noise beside three that tell two groups apart, the less is "near".

draw = np.random.default_rng(0)
group = np.repeat([0, 1], 100)
meant = draw.normal(size=(200, 3)) + 3.0 * group[:, None]
noise = draw.normal(size=(200, 1000))
counts = (0, 3, 10, 30, 100, 300, 1000)
contrast, right = [], []
for count in counts:
    values = np.hstack([meant / meant.std(axis=0), noise[:, :count]])
    contrast.append(concentration(values).contrast)
    apart = np.linalg.norm(values[:, None] - values[None], axis=2) + np.diag(np.full(200, np.inf))
    right.append((group[apart.argmin(axis=1)] == group).mean())
figure, axis = plt.subplots(figsize=(7.5, 4))
axis.plot(range(len(counts)), contrast, "o-", label="(farthest - nearest) / nearest")
axis.plot(range(len(counts)), right, "o-", label="nearest case is of the same group")
axis.axhline(0.5, color="#2b2622", lw=1, ls=":")
axis.set_xticks(range(len(counts)), [str(count) for count in counts])
axis.set(yscale="log", xlabel="features of noise", title="Distances concentrate")
axis.legend()

# %%
# Views of the table with 30 features of noise, by three methods, and how far to believe them.

frame = pd.DataFrame(np.hstack([meant, noise[:, :30]])).add_prefix("feature_")
table = as_table(frame.assign(group=group), Description(outcome="group"))
figure, axes = plt.subplots(1, 3, figsize=(12, 3.9))
for axis, method in zip(axes, ("pca", "isomap", "tsne"), strict=True):
    view = embed(table, ViewSettings(method=method))
    for k, colour in enumerate(("#1f6f8b", "#8a1c1c")):
        axis.plot(*view.coordinates[group == k].T, "o", alpha=0.6, color=colour)
    axis.set(xlabel=view.names[0], ylabel=view.names[1])
    axis.set_title(f"{method}: trustworthiness {view.faithful.trustworthiness:.2f}")
plt.show()
