"""Times to an event with known structure, for the tests of survival."""

import numpy as np

from vesalius.predict import Target

NAMES = ("censored", "event")


def drawn(n=80, features=5, *, seed=0, digits=6, seen=0.6):
    """Give features and times whose hazard follows the first two features."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, features))
    signal = values[:, 0] - 0.5 * values[:, 1]
    times = rng.exponential(np.exp(-signal)).round(digits) + 0.1
    return values, Target("survival", times, NAMES, rng.random(n) < seen)


def target(times, events):
    return Target("survival", np.array(times, float), NAMES, np.array(events, bool))


def pairs(target):
    """Give the outcome as scikit-survival wants it."""
    from sksurv.util import Surv

    return Surv.from_arrays(target.events, target.values)
