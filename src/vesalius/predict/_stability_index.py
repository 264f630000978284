"""Stability index: how much the features that several trainings chose agree beyond chance."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

import numpy as np

from vesalius.predict._card import Estimate


def selection_stability(chosen: Sequence[Sequence[str]], features: Sequence[str]) -> Estimate:
    """Measure how stable a selection is over trainings.

    Args:
        chosen: Features that each training chose.
        features: All that could be chosen.

    Returns:
        1 where each training chose the same, about 0 where it chose by chance, with a 95 %
        interval; NaN with a reason where all or none were chosen each time. Folds share cases, so
        that the interval is too narrow for cross-validation; it compares, it does not prove.

    References:
        Nogueira, Sechidis and Brown (2018), JMLR 18(174), Definition 4 and Corollary 9.
    """
    place = {name: k for k, name in enumerate(features)}
    known = [[name for name in one if name in place] for one in chosen]
    m, d = len(known), len(features)
    if m < 2:
        return Estimate(float("nan"), reason="one training alone cannot be compared")
    z = np.zeros((m, d))
    for row, names in enumerate(known):
        z[row, [place[name] for name in names]] = 1
    share, size = z.mean(axis=0), z.sum(axis=1)
    mean = float(size.mean()) / d if d else 0.0
    chance = mean * (1 - mean)
    if chance <= 0:
        return Estimate(float("nan"), reason="every training chose all features or none")
    spread = m / (m - 1) * share * (1 - share)
    value = 1 - float(spread.mean()) / chance
    each = (
        (z * share).mean(axis=1)
        - size * mean / d
        + value / 2 * (2 * mean * size / d - size / d - mean + 1)
    ) / chance
    half = 1.959963984540054 * float(np.sqrt(4 / m**2 * np.square(each - each.mean()).sum()))
    return Estimate(value, max(value - half, -1.0), min(value + half, 1.0))
