"""
The same model in another hospital
==================================

A model of a hospital where every second patient relapses goes to one where every fifth does. It
still puts patients into the right order, and states risks that are too high for everybody. Moving
the log odds by one number, learned from a hundred cases of the new hospital, mends that; the
order stays.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from vesalius.predict import Description, Table, as_table
from vesalius.predict.models import default_recipe, fit_model, recalibrate
from vesalius.predict.validate import external

description = Description(outcome="relapse")
weights = np.array([1.0, -0.8, 0.6, 0.4])


def hospital(seed: int, cases: int, base: float) -> Table:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(cases, 30))
    risk = 1 / (1 + np.exp(-values[:, :4] @ weights - base))
    frame = pd.DataFrame(values, columns=[f"feature_{k:02d}" for k in range(30)])
    return as_table(frame.assign(relapse=(draw.random(cases) < risk).astype(int)), description)


# %%
# Fit at home; judge abroad as it is, and after recalibration on other patients of that place.

generator = torch.Generator().manual_seed(0)
model = fit_model(hospital(0, 300, 0.0), description, default_recipe(), generator=generator)
here, abroad = hospital(1, 400, 0.0), hospital(2, 400, -2.0)
few = hospital(3, 100, -2.0)
moved = recalibrate(model, few, description, method="intercept")
judged = {
    "at home, new patients": (model, here),
    "abroad, as it is": (model, abroad),
    "abroad, recalibrated": (moved, abroad),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True)
for axis, (name, (one, table)) in zip(axes, judged.items(), strict=True):
    card = external(one, table, description, generator=generator).card
    curve = card.curves["calibration"]
    axis.plot(curve.x, curve.y)
    axis.fill_between(curve.x, curve.low, curve.high, alpha=0.15)
    axis.plot([0, 1], [0, 1], color="#2b2622", lw=1, ls=":")
    auc, large = card.scores["auc"].value, card.scores["calibration_intercept"]
    axis.set(title=f"{name}\nAUC {auc:.2f}", xlabel="stated risk", xlim=(0, 1), ylim=(0, 1))
    said = f"intercept {large.value:.2f}\n[{large.low:.2f}, {large.high:.2f}]"
    axis.text(0.05, 0.83, said, color="#8a1c1c")
axes[0].set(ylabel="observed share")
plt.show()
