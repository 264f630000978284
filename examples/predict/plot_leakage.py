"""
An AUC from nothing
===================

Sixty patients, a thousand features of pure noise, an outcome by the toss of a coin: there is
nothing to find. Whoever chooses the ten best features on all patients and then cross-validates
finds an AUC far above one half, because the test patients had a say in the choice. The same step
inside the folds finds nothing, as it should.
"""

# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from vesalius.predict import Description, Recipe, Table, Tuning, as_table, target_of
from vesalius.predict.estimators import Ridge
from vesalius.predict.select import Scale, Univariate
from vesalius.predict.validate import Split, validate

# %%
# Twenty such studies, each validated in both ways.

description = Description(outcome="outcome")
honest = Recipe((Scale(), Univariate(features=10)), Ridge(), Tuning(folds=3))
leaky = replace(honest, steps=(Scale(),))


def study(seed: int) -> Table:
    draw = np.random.default_rng(seed)
    noise = pd.DataFrame(draw.normal(size=(60, 1000)), columns=[f"f{k:03d}" for k in range(1000)])
    return as_table(noise.assign(outcome=draw.permutation(np.repeat([0, 1], 30))), description)


def auc(table: Table, recipe: Recipe) -> float:
    generator = torch.Generator().manual_seed(0)
    found = validate(table, description, recipe, split=Split(), generator=generator)
    return found.card.scores["auc"].value


inside, outside = [], []
for seed in range(20):
    table = study(seed)
    seen = Univariate(features=10).fit(table, target_of(table, description)).transform(table)
    inside.append(auc(table, honest))
    outside.append(auc(seen, leaky))

# %%
# The left column is what many papers report.

figure, axis = plt.subplots(figsize=(6.5, 4.2))
jitter = np.random.default_rng(0).uniform(-0.12, 0.12, 20)
for k, (found, colour) in enumerate(((outside, "#8a1c1c"), (inside, "#1f6f8b"))):
    axis.plot(k + jitter, found, "o", color=colour, alpha=0.7)
    axis.hlines(np.mean(found), k - 0.25, k + 0.25, color=colour)
    axis.annotate(f"mean {np.mean(found):.2f}", (k + 0.28, np.mean(found)), va="center")
axis.axhline(0.5, color="#2b2622", lw=1, ls=":")
axis.set_xticks([0, 1], ["chosen on all patients", "chosen inside the folds"])
axis.set(xlim=(-0.5, 1.7), ylabel="AUC of noise")
plt.show()
