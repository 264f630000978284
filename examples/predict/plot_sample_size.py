"""
How many patients a model needs
===============================

Every feature that is looked at costs patients, also those that are thrown away afterwards.
Riley's criteria ask that the model shrinks by no more than a tenth, that its fit is not much
better than the truth, and that the overall risk is known; the largest of the answers counts.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vesalius.predict import Description, Recipe, as_table
from vesalius.predict.estimators import Ridge
from vesalius.predict.select import Scale
from vesalius.predict.validate import Split, learning_curve, sample_size_binary

# %%
# Cases by features and by the AUC that one hopes for; an event in 30 % of the patients.

features = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
for auc in (0.65, 0.75, 0.85):
    needed = [sample_size_binary(count, share=0.3, auc=auc).cases for count in features]
    left.plot(features, needed, "o-", label=f"AUC {auc}")
left.axhline(300, color="#2b2622", lw=1, ls=":")
left.annotate("300 patients", (250, 330), fontsize=8)
left.set(xscale="log", yscale="log", xlabel="features looked at", ylabel="patients needed")
left.set(title="Before the study")
left.legend()

# %%
# What a table of 300 says itself: the gap between both curves is what more patients would close.

draw = np.random.default_rng(0)
values = draw.normal(size=(300, 50))
risk = values[:, :6] @ np.full(6, 0.6) - 1
frame = pd.DataFrame(values, columns=[f"feature_{k:02d}" for k in range(50)])
frame["relapse"] = (draw.random(300) < 1 / (1 + np.exp(-risk))).astype(int)
description = Description(outcome="relapse")
recipe = Recipe((Scale(),), Ridge())
table = as_table(frame, description)
found = learning_curve(table, description, recipe, split=Split(repeats=2))
for curve, label in ((found.training, "patients trained on"), (found.test, "patients held out")):
    right.plot(curve.x, curve.y, "o-", label=label)
    right.fill_between(curve.x, curve.low, curve.high, alpha=0.15)
right.set(xlabel="patients in training", ylabel=found.score, title="After it")
right.legend()
plt.show()
