"""Threshold: from which score on a decision is the event, chosen on training predictions."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.predict._card import Threshold
from vesalius.predict._table import Floats


def choose_threshold(truth: Floats, scores: Floats, *, rule: Threshold) -> float:
    """Choose from which score on a case is called an event.

    Youden's index and the least cost take the middle between two neighbouring scores, so that a
    new case need not fall on an old one; of equally good middles the largest. A wanted sensitivity
    takes the score of the event that just reaches it. A score that equals the threshold is an
    event.

    Args:
        truth: (cases,) 1 for the event, 0 for none.
        scores: (cases,) probabilities of training cases, best from inner folds.
        rule: How it is chosen.

    Returns:
        The threshold.

    Raises:
        ShapeError: Truth and scores do not fit.
        IntensityError: A score is not finite.
        RegionError: One of both classes is absent, and the rule needs both.
        ConfigError: A cost is not positive, or a sensitivity is not within 0 to 1.

    References:
        Youden (1950), doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.
    """
    check_rule(rule)
    if truth.shape != scores.shape or truth.ndim != 1:
        raise ShapeError(
            f"truth and scores must have one value a case, got {truth.shape} and {scores.shape}"
        )
    if rule.rule == "fixed":
        return rule.value
    if not np.isfinite(scores).all():
        raise IntensityError(
            f"scores must be finite to choose a threshold, {int((~np.isfinite(scores)).sum())} "
            "are not"
        )
    events = truth > 0.5
    if events.all() or not events.any():
        raise RegionError(
            f"a threshold needs cases with and without the event, got {int(events.sum())} with "
            f"and {int((~events).sum())} without: give a fixed one"
        )
    if rule.rule == "sensitivity":
        return _reaching(scores[events], rule.sensitivity)
    ratio = 1.0 if rule.rule == "youden" else rule.cost_ratio
    return _middle(events, scores, ratio, rated=rule.rule == "youden")


def check_rule(rule: Threshold) -> None:
    """Refuse a rule that has no meaning.

    Args:
        rule: How a threshold is chosen.

    Raises:
        ConfigError: A cost is not positive, or a sensitivity or a value is not within 0 to 1.
    """
    if not (0 < rule.cost_ratio < np.inf):
        raise ConfigError(
            f"cost_ratio must be positive, got {rule.cost_ratio}: the cost of a missed event in "
            "units of that of a false alarm"
        )
    for name, value in (("sensitivity", rule.sensitivity), ("value", rule.value)):
        if not 0 <= value <= 1:
            raise ConfigError(f"the {name} of a threshold must lie within 0 and 1, got {value}")


def words_of(rule: Threshold) -> str:
    """Say how a threshold is chosen.

    Args:
        rule: How it is chosen.

    Returns:
        A phrase, such as "largest Youden index".
    """
    return {
        "youden": "largest Youden index",
        "cost": f"least cost, a missed event costing {rule.cost_ratio:g} false alarms",
        "sensitivity": f"largest threshold with a sensitivity of {rule.sensitivity:g}",
        "fixed": "given",
    }[rule.rule]


def _reaching(scores: Floats, sensitivity: float) -> float:
    falling = np.sort(scores)[::-1]
    needed = max(int(np.ceil(sensitivity * len(falling) - 1e-9)), 1)
    return float(falling[needed - 1])


def _middle(events: np.ndarray, scores: Floats, ratio: float, *, rated: bool) -> float:
    """Maximise ratio x hits - false alarms over middles; ``rated`` counts shares of each class."""
    levels, place = np.unique(scores, return_inverse=True)
    hits = np.bincount(place, weights=events, minlength=len(levels))
    alarms = np.bincount(place, weights=~events, minlength=len(levels))
    if rated:
        hits, alarms = hits / hits.sum(), alarms / alarms.sum()
    gain = np.cumsum((ratio * hits - alarms)[::-1])[::-1]  # of calling this level and above
    gain = np.append(gain, 0.0)  # nobody is called
    best = int(np.flatnonzero(gain >= gain.max() - 1e-12)[-1])
    if best == 0:
        return float(levels[0])
    if best == len(levels):
        return float(np.nextafter(levels[-1], np.inf))
    return float((levels[best - 1] + levels[best]) / 2)
