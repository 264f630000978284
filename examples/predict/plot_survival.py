"""
Times, and patients who were lost before
========================================

Of some patients one knows when they died, of the others how long they lived at least. Both count.
A Cox model gives each a risk; the test of the model is whether patients that it has not seen die in
the order of their risks, and whether the survival that it states comes true.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from vesalius.predict import Description, as_table, target_of
from vesalius.predict.models import default_recipe, fit_model
from vesalius.predict.survival import (
    concordance,
    kaplan_meier,
    log_rank,
    survival_curve,
    time_auc,
)

# %%
# 400 patients, 30 features of which three matter; half to learn from and half to be judged.

draw = np.random.default_rng(5)
values = pd.DataFrame(draw.normal(size=(400, 30))).add_prefix("feature_")
hazard = np.exp(values.to_numpy()[:, :3] @ np.array([0.8, -0.6, 0.4]))
death, lost = draw.exponential(36 / hazard), draw.uniform(12, 84, 400)
frame = values.assign(dead=(death <= lost).astype(int), months=np.minimum(death, lost))
description = Description(outcome="dead", kind="survival", time="months")
table = as_table(frame, description)
learn, judge = table.rows(range(200)), table.rows(range(200, 400))
generator = torch.Generator().manual_seed(0)
model = fit_model(learn, description, default_recipe("survival"), generator=generator)

# %%
# Thirds of the risk, with cuts from the learning half; steps are what happened (Kaplan-Meier),
# dotted lines the mean of what was stated for each third. The penalty makes it too moderate.

truth, risk = target_of(judge, description), model.fitted.predict(judge)[:, 0]
cuts = np.quantile(model.fitted.predict(learn)[:, 0], [1 / 3, 2 / 3])
third = np.digitize(risk, cuts)
months = np.linspace(0, 60, 61)
stated = survival_curve(model.fitted, judge, months)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), width_ratios=(1.3, 1))
colours = ("#1f6f8b", "#c98a2b", "#8a1c1c")
for k, (name, colour) in enumerate(zip(("low", "middle", "high"), colours, strict=True)):
    seen = kaplan_meier(truth.rows(np.flatnonzero(third == k)))
    left.step(seen.times, seen.survival, where="post", color=colour, label=f"{name} risk")
    left.fill_between(seen.times, seen.low, seen.high, step="post", color=colour, alpha=0.12)
    left.plot(months, stated[third == k].mean(axis=0), ":", color=colour)
p = log_rank(truth, third).p_value
left.set(xlim=(0, 60), ylim=(0, 1), xlabel="months", ylabel="alive", title=f"Log-rank p = {p:.0e}")
left.legend()
times = np.arange(6.0, 61.0, 6.0)
right.plot(times, time_auc(truth, risk, times), "o-")
right.axhline(0.5, color="#2b2622", lw=1, ls=":")
title = f"Concordance {concordance(truth, risk):.2f}"
right.set(xlabel="months", ylabel="AUC at that time", ylim=(0.45, 1), title=title)
plt.show()
