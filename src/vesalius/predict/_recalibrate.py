"""Recalibrate: how stated probabilities must be shifted and stretched to be true."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.errors import ConvergenceError
from vesalius.predict._card import Curve, Estimate
from vesalius.predict._intervals import Clusters, t_interval
from vesalius.predict._table import Floats
from vesalius.predict._target import Bools

EDGE = 1e-6
"""Probabilities nearer to 0 or 1 have their logit taken here."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """A logistic regression without penalty.

    Attributes:
        weights: (columns,).
        covariance: (columns, columns), robust against patients with several rows.
    """

    weights: Floats
    covariance: Floats = field(repr=False)


def logits(probability: Floats) -> Floats:
    """Give log odds, of probabilities no nearer than ``EDGE`` to 0 and 1."""
    from scipy.special import logit

    return np.asarray(logit(np.clip(probability, EDGE, 1 - EDGE)), dtype=np.float64)


def logistic(
    columns: Floats, events: Bools, *, offset: Floats, clusters: Clusters, tol: float = 1e-10
) -> Logistic:
    """Fit by Newton's method, halving steps that do not climb.

    Args:
        columns: (rows, columns), the constant among them.
        events: (rows,).
        offset: (rows,) added to the linear predictor.
        clusters: Patients, for the covariance.
        tol: Of the Newton decrement.

    Returns:
        The fit.

    Raises:
        ConvergenceError: The likelihood has no largest value, as where a column parts the classes.
    """
    from scipy.special import expit

    w = np.zeros(columns.shape[1])
    best = _likelihood(columns @ w + offset, events)
    for _ in range(50):
        p = expit(columns @ w + offset)
        slope = columns.T @ (events - p)
        bend = (columns * (p * (1 - p))[:, None]).T @ columns
        try:
            step = np.linalg.solve(bend, slope)
        except np.linalg.LinAlgError:
            break
        if float(slope @ step) < tol:
            if _flat(columns, bend):
                break
            bread = np.linalg.inv(bend)
            scores = clusters.sums(columns * (events - p)[:, None])
            factor = clusters.widen * clusters.count / max(clusters.count - 1, 1)
            return Logistic(w, factor * bread @ (scores.T @ scores) @ bread)
        for _ in range(30):
            value = _likelihood(columns @ (w + step) + offset, events)
            if value >= best:
                break
            step = step / 2
        w, best = w + step, value
    raise ConvergenceError(
        f"a logistic regression must have a largest likelihood, none was found for {len(events)} "
        f"rows with {int(events.sum())} events: one side of a score holds one class only"
    )


def _flat(columns: Floats, bend: Floats) -> bool:
    """Say whether the likelihood still climbs, without end, along some direction."""
    scale = np.sqrt(np.square(columns).sum(axis=0) / 4)
    return bool(np.linalg.eigvalsh(bend / np.outer(scale, scale)).min() < 1e-8)


def _likelihood(eta: Floats, events: Bools) -> float:
    return float(-np.logaddexp(0.0, np.where(events, -eta, eta)).sum())


def _reason(x: Floats, events: Bools) -> str:
    if events.all() or not events.any():
        return "one class only"
    if np.ptp(x) < 1e-9:
        return "all scores are equal"
    if x[events].min() >= x[~events].max() or x[events].max() <= x[~events].min():
        return "the scores part the classes: no finite value fits best"
    return ""


def calibration(
    events: Bools, probability: Floats, *, clusters: Clusters
) -> tuple[Estimate, Estimate]:
    """Measure calibration in the large and the slope of calibration.

    Args:
        events: (rows,).
        probability: (rows,) stated.
        clusters: Patients.

    Returns:
        Intercept with the slope held at 1 (0 is right; above 0 the event is more frequent than
        stated), and slope (1 is right; below 1 the probabilities are too extreme).

    References:
        Cox (1958), doi:10.1093/biomet/45.3-4.562; Van Calster et al. (2019),
        doi:10.1186/s12916-019-1466-7.
    """
    x = logits(probability)
    one = np.ones((len(x), 1))
    if events.all() or not events.any():
        missing = Estimate(math.nan, reason="one class only")
        return missing, missing
    large = logistic(one, events, offset=x, clusters=clusters)
    free = float(clusters.count - 1)
    intercept = t_interval(float(large.weights[0]), math.sqrt(large.covariance[0, 0]), freedom=free)
    if why := _reason(x, events):
        return intercept, Estimate(math.nan, reason=why)
    both = logistic(np.column_stack([one, x]), events, offset=np.zeros(len(x)), clusters=clusters)
    error = math.sqrt(both.covariance[1, 1])
    return intercept, t_interval(float(both.weights[1]), error, freedom=free)


def spline_columns(x: Floats, knots: Floats) -> Floats:
    """Give the columns of a cubic spline that is straight outside of its knots.

    Args:
        x: (rows,).
        knots: At least two, rising; two give a straight line.

    Returns:
        (rows, knots): constant, x, and knots - 2 bends.

    References:
        Harrell (2015), doi:10.1007/978-3-319-19425-7, eq. (2.26).
    """
    found = [np.ones_like(x), x]
    last, before = knots[-1], knots[-2]
    unit = (last - knots[0]) ** 2
    for knot in knots[:-2]:
        first = np.clip(x - knot, 0, None) ** 3
        second = np.clip(x - before, 0, None) ** 3 * (last - knot) / (last - before)
        third = np.clip(x - last, 0, None) ** 3 * (before - knot) / (last - before)
        found.append((first - second + third) / unit)
    return np.stack(found, axis=1)


def calibration_curve(
    events: Bools, probability: Floats, *, clusters: Clusters, points: int = 101
) -> Curve:
    """Smooth the observed share of events over the stated probability.

    A logistic regression on a restricted cubic spline of the logit: four knots where there are 50
    events and 50 others, else three; a straight line where the scores take too few values. The band
    is pointwise, from the covariance between patients.

    Args:
        events: (rows,).
        probability: (rows,) stated.
        clusters: Patients.
        points: At which it is given, from the smallest to the largest probability stated.

    Returns:
        The curve; empty where the classes cannot be told apart smoothly.

    References:
        Austin and Steyerberg (2014), doi:10.1002/sim.5941; Harrell (2015),
        doi:10.1007/978-3-319-19425-7, sec. 2.4.5.
    """
    from scipy.special import expit

    x = logits(probability)
    nothing = Curve(np.zeros(0), np.zeros(0))
    if _reason(x, events):
        return nothing
    few = min(int(events.sum()), int((~events).sum())) < 50
    at = (0.1, 0.5, 0.9) if few else (0.05, 0.35, 0.65, 0.95)
    knots = np.quantile(x, at)
    low, high = float(x.min()), float(x.max())
    stated = np.linspace(expit(low), expit(high), points)
    straight = np.array([low, high])
    for chosen in (knots, straight) if np.diff(knots).min() > 1e-3 else (straight,):
        try:
            fit = logistic(
                spline_columns(x, chosen), events, offset=np.zeros(len(x)), clusters=clusters
            )
        except ConvergenceError:
            continue
        columns = spline_columns(logits(stated), chosen)
        eta = columns @ fit.weights
        error = np.sqrt(np.einsum("ij,jk,ik->i", columns, fit.covariance, columns).clip(min=0))
        z = 1.959963984540054
        return Curve(stated, expit(eta), expit(eta - z * error), expit(eta + z * error))
    return nothing
