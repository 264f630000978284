"""Time AUC: whether a risk tells who has the event by a given time from who has it later."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import RegionError
from vesalius.predict._concordance import check_risk, ordered_pairs
from vesalius.predict._kaplan_meier import censoring_survival
from vesalius.predict._survival_checks import check_times
from vesalius.predict._table import Floats
from vesalius.predict._target import Target


def time_auc(
    target: Target, risk: Floats, times: Floats, *, censoring: Target | None = None
) -> Floats:
    """Give the cumulative/dynamic AUC at each time, events weighed for those lost before.

    Args:
        target: Times and events.
        risk: (cases,), greater where the event is expected earlier.
        times: (times,) in the unit of the target.
        censoring: Times and events from which the loss of follow-up is estimated; none for these.

    Returns:
        (times,): how often somebody with the event by then has the greater risk than somebody
        without it then.

    Raises:
        ShapeError: There is not one risk for each case.
        IntensityError: A risk is not a number.
        ConfigError: A time is negative or not finite, or there is none.
        RegionError: Nobody has the event by a time, or nobody is followed beyond it.

    References:
        Uno et al. (2007), doi:10.1198/016214507000000149, sec. 3; Hung & Chiang (2010),
        doi:10.1002/cjs.10046.
    """
    check_risk(target, risk)
    check_times(times)
    found = []
    for time in times.tolist():
        by_then, weight = at_time(target, time, censoring or target)
        won, held = ordered_pairs(by_then, risk, weight)
        if not held.sum() > 0:
            raise RegionError(
                f"some must have the event by {time:g} and others be followed beyond it, got "
                f"{int(by_then.events.sum())} and {int((target.values > time).sum())}: choose "
                "another time"
            )
        found.append(won.sum() / held.sum())
    return np.asarray(found)


def at_time(target: Target, time: float, censoring: Target) -> tuple[Target, Floats]:
    """See cases as they are at a time: with the event, without it, or lost.

    Args:
        target: Times and events.
        time: When.
        censoring: From which the loss of follow-up is estimated.

    Returns:
        A target in which those with the event come at 1, those without at 2, and those lost at 0
        (before everybody, so that they are in no pair); and (cases,) the weight of the events.
    """
    event = target.events & (target.values <= time)
    later = target.values > time
    followed = censoring_survival(censoring, target.values)
    weight = np.where(event & (followed > 0), 1 / np.where(followed > 0, followed, 1.0), 0.0)
    place = np.where(event, 1.0, np.where(later, 2.0, 0.0))
    return Target("survival", place, target.classes, event), weight
