"""
What ComBat takes away, and what it keeps
=========================================

Three scanners shift and stretch each feature in their own way, and their patients differ in age,
which changes the features as well. ComBat estimates a location and a scale for each scanner and
feature, and shrinks them towards those of the other features of the scanner. What is named in
``keep`` stays: without it, the age of a scanner's patients is taken for the scanner.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from vesalius.predict import Description, as_table
from vesalius.predict.adjust import batch_effects
from vesalius.predict.harmonise import Combat

# %%
# 150 patients, 40 features. Scanner C sees the old ones.

draw = np.random.default_rng(3)
scanner = np.repeat(["A", "B", "C"], 50)
age = np.where(scanner == "C", 70.0, 55.0) + draw.normal(0, 8, 150)
patient = draw.normal(0, 1, (150, 40)) + 0.06 * (age - 60)[:, None] * draw.normal(1, 0.3, 40)
shift = {name: draw.normal(mean, 0.5, 40) for name, mean in zip("ABC", (0, 1.5, -1), strict=True)}
stretch = {name: draw.gamma(8, one / 8, 40) for name, one in zip("ABC", (1, 2, 0.7), strict=True)}
measured = np.array([stretch[s] * x + shift[s] for s, x in zip(scanner, patient, strict=True)])
frame = pd.DataFrame(measured, columns=[f"texture_{k:02d}" for k in range(40)])
description = Description(batch="scanner", confounders=("age",))
table = as_table(frame.assign(scanner=scanner, age=age), description)

# %%
# The first two principal components, and the share of the features whose mean, given age, differs
# between scanners. With age kept, C stays apart: its patients are older.

tables = {
    "as measured": table,
    "ComBat": Combat(batch="scanner").fit(table).transform(table),
    "ComBat, age kept": Combat(batch="scanner", keep=("age",)).fit(table).transform(table),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8))
for axis, (name, one) in zip(axes, tables.items(), strict=True):
    generator = torch.Generator().manual_seed(0)
    found = batch_effects(one, "scanner", covariates=("age",), generator=generator)
    for k, batch in enumerate(found.batches):
        axis.plot(*found.coordinates[found.codes == k].T, "o", alpha=0.7, label=batch)
    title = f"{name}: {found.affected['adjusted']:.0%} differ"
    axis.set(title=title, xlabel="component 1", ylabel="component 2")
axes[0].legend(title="scanner")

# %%
# How each feature goes with age. The truth is a slope of .06 a year, more or less; plain ComBat
# loses a part of it.

figure, axis = plt.subplots(figsize=(7, 4))
for name, one in tables.items():
    slopes = np.polyfit(age, one.values, 1)[0] / one.values.std(axis=0)
    axis.plot(np.sort(slopes), label=name)
truth = np.polyfit(age, patient, 1)[0] / patient.std(axis=0)
axis.plot(np.sort(truth), color="#2b2622", ls=":", label="the patients")
axis.set(xlabel="feature, sorted", ylabel="standard deviations a year", title="What age does")
axis.legend()
plt.show()
