"""Survival chart: how long cases said to be at low and at high risk are without the event."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import numpy.typing as npt

from vesalius.predict import Card, Curve
from vesalius.study._charts import Chart
from vesalius.study._curve_charts import Banded, curves

Floats = npt.NDArray[np.float64]
NAMES = {"low": "lower risk", "high": "higher risk"}


def survival_chart(card: Card, *, time: str) -> list[Chart]:
    """Draw the Kaplan-Meier curves of the halves of lower and higher risk.

    Args:
        card: Of a survival.
        time: Name of the column of times, in whose unit they are.

    Returns:
        The chart; none where no risk could be told from another.
    """
    known = {
        word: card.curves[f"kaplan_meier_{name}"]
        for name, word in NAMES.items()
        if f"kaplan_meier_{name}" in card.curves
    }
    if not known:
        return []
    of = [_steps(word, curve) for word, curve in known.items()]
    last = max(float(curve.x.max()) for curve in known.values())
    score = card.scores["concordance"]
    said = f"{score.value:.2f}" if math.isfinite(score.value) else "not known"
    note = (
        "share without the event in the halves of lower and higher risk, with 95 % bands "
        f"(Kaplan-Meier, Greenwood); concordance {said}"
    )
    axes = (f"time, column '{time}'" if time else "time", "share without the event")
    return [curves("Risk groups", note, of, axes=axes, limits=(0.0, max(last, 1e-12), -0.02, 1.02))]


def _steps(name: str, curve: Curve) -> Banded:
    x = np.repeat(curve.x, 2)[1:]
    low, high = (_flat(part) for part in (curve.low, curve.high))
    return Banded(name, x, _flat(curve.y), low, high)


def _flat(heights: Floats) -> Floats:
    return np.repeat(heights, 2)[:-1]
