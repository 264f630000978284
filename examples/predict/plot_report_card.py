"""
The report card of a model
==========================

An AUC says that cases are put into the right order. It does not say that a stated risk of 30 %
comes true in three of ten, nor that acting on it helps more than treating everybody. A report
card shows all of it, on cases that no training has seen, with intervals over patients.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from vesalius.predict import Description, as_table
from vesalius.predict.models import default_recipe
from vesalius.predict.validate import Split, validate

# %%
# 300 patients, 60 features of which five matter; five folds, everything learned inside of them.

draw = np.random.default_rng(4)
values = draw.normal(size=(300, 60))
risk = values[:, :5] @ np.array([0.9, -0.7, 0.6, 0.5, 0.5]) - 0.8
frame = pd.DataFrame(values, columns=[f"feature_{k:02d}" for k in range(60)])
frame["relapse"] = (draw.random(300) < 1 / (1 + np.exp(-risk))).astype(int)
description = Description(outcome="relapse")
table = as_table(frame, description)
generator = torch.Generator().manual_seed(0)
found = validate(table, description, default_recipe(), split=Split(), generator=generator)
card, curves = found.card, found.card.curves


def told(name: str) -> str:
    one = card.scores[name]
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"


# %%
# Order, truth of the stated risk, use, and the errors at the threshold that the training chose.

figure, ((roc, calibration), (benefit, errors)) = plt.subplots(2, 2, figsize=(9.5, 8))
for axis, name in ((roc, "roc"), (calibration, "calibration")):
    one = curves[name]
    axis.plot(one.x, one.y)
    axis.fill_between(one.x, one.low, one.high, alpha=0.15)
    axis.plot([0, 1], [0, 1], color="#2b2622", lw=1, ls=":")
    axis.set(aspect="equal", xlim=(0, 1), ylim=(0, 1))
bins = curves["calibration_bins"]
calibration.errorbar(bins.x, bins.y, (bins.y - bins.low, bins.high - bins.y), fmt="o", lw=1)
roc.set(xlabel="1 - specificity", ylabel="sensitivity", title=f"AUC {told('auc')}")
slope = f"Calibration slope {told('calibration_slope')}"
calibration.set(xlabel="stated risk", ylabel="observed", title=slope)
for name, label in (("net_benefit", "by the model"), ("net_benefit_all", "treat all")):
    benefit.plot(curves[name].x, curves[name].y, label=label)
benefit.axhline(0, color="#2b2622", lw=1, ls=":", label="treat nobody")
benefit.set(xlabel="risk from which one would treat", ylabel="net benefit", ylim=(-0.05, 0.4))
benefit.set(title="Decision curve", xlim=(0, 0.8))
benefit.legend()
errors.imshow(card.confusion, cmap="Reds", vmin=0, vmax=300)
for (row, column), count in np.ndenumerate(np.array(card.confusion)):
    errors.text(column, row, count, ha="center", va="center", fontsize=16)
errors.set_xticks([0, 1], ["said: none", "said: relapse"])
errors.set_yticks([0, 1], ["none", "relapse"])
errors.set(title=f"Sensitivity {told('sensitivity')}")
errors.grid(False)
plt.show()
