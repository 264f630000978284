"""
Batch is not confounder
=======================

A batch changes the measurement, a confounder changes the patient. Here the city hospital scans
the sicker patients, on a scanner that shows everything brighter. Over all patients brightness
seems to go with death, within each hospital the reverse holds: Simpson's paradox. Where a
hospital has no survivors at all, no method can say which is which, and a fit is refused.
"""

# SPDX-License-Identifier: Apache-2.0

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vesalius.errors import ConfigError
from vesalius.predict import Description, Table, as_table, target_of
from vesalius.predict.adjust import check_design, describe_design, effect

# %%
# 300 patients; in truth a brighter tumour is the better sign. The scanner adds 35 HU in the city.

description = Description(outcome="died", batch="hospital")


def patients(deaths_city: float, deaths_country: float) -> Table:
    draw = np.random.default_rng(1)
    city = np.arange(300) < 150
    died = draw.random(300) < np.where(city, deaths_city, deaths_country)
    brightness = 40 + draw.normal(0, 10, 300) - 8 * died + 35 * city
    columns = {"brightness": brightness, "died": died.astype(int)}
    columns["hospital"] = np.where(city, "city", "country")
    return as_table(pd.DataFrame(columns), description)


table = patients(0.75, 0.2)
found = effect(table, description, target_of(table, description))
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
frame = table.columns.assign(brightness=table.values[:, 0])
for place, (_, group) in enumerate(frame.groupby(["hospital", "died"])):
    spots = place + np.random.default_rng(0).uniform(-0.2, 0.2, len(group))
    left.plot(spots, group.brightness, "o", alpha=0.5, color=("#1f6f8b", "#8a1c1c")[place % 2])
left.set_xticks(range(4), ["city\nalive", "city\ndied", "country\nalive", "country\ndied"])
left.set(ylabel="brightness, HU", title="Within each hospital: lower where death follows")
for y, one in enumerate((found.adjusted, found.crude)):
    right.plot([one.low[0], one.high[0]], [y, y], color="#8a1c1c")
    right.plot(one.estimate[0], y, "o", color="#8a1c1c", ms=8)
right.axvline(1, color="#2b2622", lw=1, ls=":")
right.set_yticks([0, 1], ["given the hospital", "crude"])
right.set(xscale="log", ylim=(-0.5, 1.5), title="Odds of death for one deviation more")
right.set_xticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"], minor=False)
right.minorticks_off()

# %%
# How far hospital and death go together, from not at all to completely: what is left of the outcome
# within the hospitals shrinks, and with it all that can be learned. Below 5 % nothing is fitted.

shares = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
left_over = []
for share in shares:
    table = patients(share, 1 - share)
    left_over.append(describe_design(table, description, target_of(table, description)).left)
try:
    check_design(table, description, target_of(table, description))
except ConfigError as refused:
    said = str(refused)
figure, axis = plt.subplots(figsize=(7.5, 4))
axis.plot([100 * s for s in shares], [100 * one for one in left_over], "o-")
axis.axhspan(0, 5, color="#8a1c1c", alpha=0.2)
axis.set(xlabel="deaths in the city, % (country: the rest)", ylabel="left within hospitals, %")
axis.set(title="What can be learned, of what there is")
axis.text(50, 7, fill(said, 64), fontsize=8, color="#8a1c1c")
plt.show()
