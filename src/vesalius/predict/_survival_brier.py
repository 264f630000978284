"""Survival Brier: how far stated probabilities of survival are from what came."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.predict._kaplan_meier import censoring_survival
from vesalius.predict._survival_checks import check_times
from vesalius.predict._table import Floats
from vesalius.predict._target import Target


def survival_brier(
    target: Target, survival: Floats, times: Floats, *, censoring: Target | None = None
) -> Floats:
    """Give the mean squared error of stated survival at each time, weighed for those lost before.

    Args:
        target: Times and events.
        survival: (cases, times) stated probabilities that no event has come.
        times: (times,) in the unit of the target.
        censoring: Times and events from which the loss of follow-up is estimated; none for these.

    Returns:
        (times,): 0 is perfect; saying 0.5 of everybody gives 0.25.

    Raises:
        ShapeError: There is not one probability for each case and time.
        IntensityError: One is outside 0 to 1.
        ConfigError: A time is negative or not finite, or there is none.
        RegionError: Nobody is followed beyond a time.

    References:
        Graf, Schmoor, Sauerbrei & Schumacher (1999), Statistics in Medicine 18:2529-2545, sec. 3.
    """
    check_times(times)
    if survival.shape != (len(target.values), len(times)):
        raise ShapeError(
            f"survival must be (cases, times) = {(len(target.values), len(times))}, got "
            f"{survival.shape}"
        )
    if not ((survival >= 0) & (survival <= 1)).all():
        raise IntensityError(
            f"survival must be probabilities, 0 to 1, got {np.nanmin(survival):g} to "
            f"{np.nanmax(survival):g}"
        )
    if (late := float(times.max())) >= float(target.values.max()):
        raise RegionError(
            f"times must be before the last follow-up, {target.values.max():g}, got {late:g}: "
            "choose earlier ones"
        )
    lost = censoring or target
    gone = target.events[:, None] & (target.values[:, None] <= times)
    there = target.values[:, None] > times
    at_event = _inverse(censoring_survival(lost, target.values))[:, None]
    # who is followed beyond a time was followed through it
    at_time = _inverse(censoring_survival(lost, np.nextafter(times, np.inf)))
    miss = np.where(gone, survival**2 * at_event, np.where(there, (1 - survival) ** 2 * at_time, 0))
    return np.asarray(miss.mean(axis=0))


def integrated_brier(
    target: Target, survival: Floats, times: Floats, *, censoring: Target | None = None
) -> float:
    """Average the Brier score over a stretch of time.

    Args:
        target: Times and events.
        survival: (cases, times) stated probabilities that no event has come.
        times: (times,) rising, at least two: the first and the last are the ends of the stretch.
        censoring: As for :func:`survival_brier`.

    Returns:
        The mean, by the trapezium rule.

    Raises:
        ConfigError: There are fewer than two times, or they do not rise.
    """
    scores = survival_brier(target, survival, times, censoring=censoring)
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise ConfigError(
            f"times must be two or more and rise, to be averaged over, got {times.tolist()[:6]}"
        )
    area = ((scores[1:] + scores[:-1]) / 2 * np.diff(times)).sum()
    return float(area / (times[-1] - times[0]))


def _inverse(share: Floats) -> Floats:
    return np.where(share > 0, 1 / np.where(share > 0, share, 1.0), 0.0)
