"""Survival checks: what cannot be learned of times to an event, and steps between such times."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._checks import check_training
from vesalius.predict._learned import Estimator
from vesalius.predict._table import Floats
from vesalius.predict._target import Target


def check_survival(estimator: Estimator, values: Floats, target: Target) -> None:
    """Refuse training cases that no survival can be learned from.

    Args:
        estimator: What is to learn.
        values: (cases, features).
        target: Their outcome.

    Raises:
        ConfigError: The estimator does not predict this kind of outcome.
        RegionError: No event was seen, or all times are equal.
    """
    name = type(estimator).__name__
    if target.kind == "survival" and len(target.values) > 1:
        if not target.events.any():
            raise RegionError(
                f"{name} must learn from at least one event, none was seen in "
                f"{len(target.values)} cases: follow up longer, or use larger folds"
            )
        if np.ptp(target.values) == 0:
            raise RegionError(
                f"{name} must learn from times that differ, all {len(target.values)} are "
                f"{target.values[0]:g}: predict the event itself (kind: binary)"
            )
    check_training(estimator, values, target)


def check_times(times: Floats) -> None:
    """Refuse times at which no survival can be told.

    Args:
        times: (times,).

    Raises:
        ConfigError: There is none, or one is negative or not finite.
    """
    if times.ndim != 1 or not times.size or not np.isfinite(times).all() or (times < 0).any():
        raise ConfigError(
            "times must be a row of finite numbers of 0 or more, in the unit of the outcome, got "
            f"{np.asarray(times).tolist()}"
        )


def steps_at(times: Floats, heights: Floats, wanted: Floats, *, before: float = 0.0) -> Floats:
    """Read a function that steps at known times.

    Args:
        times: (steps,) rising.
        heights: (..., steps) from each time on.
        wanted: (times,) where it is read; after the last step it stays as it is.
        before: Its value before the first step.

    Returns:
        (..., times).
    """
    place = np.searchsorted(times, wanted, side="right")
    first = np.full((*heights.shape[:-1], 1), before)
    return np.asarray(np.concatenate([first, heights], axis=-1)[..., place])
