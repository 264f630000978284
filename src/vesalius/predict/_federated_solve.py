"""Federated solve: minimise the loss of all cases from sums alone, exactly or by averages."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass, field
from typing import final

import numpy as np

from vesalius.errors import ConvergenceError
from vesalius.predict._federated_plan import Plan
from vesalius.predict._federated_round import Rounds
from vesalius.predict._federated_sums import Local
from vesalius.predict._table import Floats

_HALVINGS = 30


@final
@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Where a training ended.

    Attributes:
        weights: (features + 1,), the offset last.
        rounds: How many releases there were.
        converged: Whether the tolerance was reached.
        loss: Mean log loss and penalty; NaN where it is not known.
        trace: What is compared with the tolerance, round by round.
    """

    weights: Floats = field(repr=False)
    rounds: int
    converged: bool
    loss: float
    trace: tuple[float, ...] = field(repr=False)


def solve(rounds: Rounds, plan: Plan, cases: float) -> Solved:
    """Minimise mean log loss + weight / 2 * |weights|^2, the offset left free.

    Args:
        rounds: Reaches the clients.
        plan: By which method.
        cases: Of all clients.

    Returns:
        Where it ended.
    """
    if plan.method == "newton":
        return _newton(rounds, plan, cases)
    if plan.method == "gradient":
        solver = _descended if plan.privacy.level == "none" else _noisy
        return solver(rounds, plan, cases)
    return _averaged(rounds, plan)


def _penalty(rounds: Rounds, plan: Plan) -> Floats:
    return np.append(np.full(len(rounds.features), plan.weight), 0.0)


def _descended(rounds: Rounds, plan: Plan, cases: float) -> Solved:
    """L-BFGS on summed gradients: as many numbers leave in a round as there are features.

    Nocedal and Wright (2006), doi:10.1007/978-0-387-40065-5, algorithm 7.5.
    """
    from scipy.optimize import minimize

    penalty = _penalty(rounds, plan)
    seen: list[tuple[float, float]] = []
    best: list[Floats] = [np.zeros_like(penalty)]

    def value(weights: Floats) -> tuple[float, Floats]:
        sums = rounds.scaled("gradient", weights)
        loss = float(sums["loss"]) / cases + float(penalty @ weights**2) / 2
        slope = sums["gradient"] / cases + penalty * weights
        seen.append((float(np.abs(slope).max()), loss))
        if seen[-1][0] <= min(one[0] for one in seen):
            best[0] = weights.copy()
        return loss, slope

    options = {"maxiter": plan.rounds, "maxfun": plan.rounds, "maxcor": 30, "ftol": 0.0}
    minimize(
        value,
        best[0],
        jac=True,
        method="L-BFGS-B",
        options={**options, "gtol": plan.tol, "maxls": 50},
    )
    # rounding of the loss ends the line search near the optimum; the best slope is kept
    reached, loss = min(seen)
    trace = tuple(one[0] for one in seen)
    return Solved(best[0], len(seen), reached <= plan.tol, loss, trace)


def _newton(rounds: Rounds, plan: Plan, cases: float) -> Solved:
    """Newton's method on summed gradients and matrices, steps halved until the loss falls."""
    penalty = _penalty(rounds, plan)
    weights = np.zeros_like(penalty)
    trace: list[float] = []
    loss, slope, curved = _curved(rounds, weights, penalty, cases)
    while len(trace) < plan.rounds:
        trace.append(float(np.abs(slope).max()))
        if trace[-1] <= plan.tol:
            return Solved(weights, len(trace), True, loss, tuple(trace))
        step = -np.linalg.solve(curved, slope)
        for k in range(_HALVINGS):
            found = _curved(rounds, weights + step / 2**k, penalty, cases)
            # near the optimum the loss no longer tells, and the slope does
            if found[0] <= loss or np.abs(found[1]).max() < trace[-1]:
                weights = weights + step / 2**k
                loss, slope, curved = found
                break
        else:
            break
    return Solved(weights, len(trace), False, loss, tuple(trace))


def _curved(
    rounds: Rounds, weights: Floats, penalty: Floats, cases: float
) -> tuple[float, Floats, Floats]:
    sums = rounds.scaled("curved", weights)
    loss = float(sums["loss"]) / cases + float(penalty @ weights**2) / 2
    slope = sums["gradient"] / cases + penalty * weights
    return loss, slope, sums["curvature"] / cases + np.diag(penalty)


def _noisy(rounds: Rounds, plan: Plan, cases: float) -> Solved:
    """Gradient descent on clipped gradients with noise: each round is one release.

    Steps have the length given, or one that tells nothing of the cases: a case of length s that is
    not clipped adds at most min(s^2 / 4, clip s) to the second derivative, and s^2 is about the
    number of columns. The mean of the weights over the second half of the rounds is kept.

    Abadi et al. (2016), doi:10.1145/2976749.2978318, algorithm 1.
    """
    penalty = _penalty(rounds, plan)
    size = math.sqrt(len(penalty))
    rate = plan.rate or 1.0 / (min(size**2 / 4, plan.privacy.clip * size) + plan.weight)
    expected = cases * plan.privacy.sampling
    weights = np.zeros_like(penalty)
    mean = np.zeros_like(penalty)
    kept = 0
    for k in range(plan.rounds):
        slope = rounds.scaled("gradient", weights)["gradient"] / expected
        weights = weights - rate / (1 + plan.decay * k) * (slope + penalty * weights)
        if k >= plan.rounds // 2:
            kept += 1
            mean += (weights - mean) / kept
    return Solved(mean, plan.rounds, True, math.nan, ())


def _averaged(rounds: Rounds, plan: Plan) -> Solved:
    """Averages of what clients learn by themselves, weighted by cases."""
    weights = np.zeros(len(rounds.features) + 1)
    rate = plan.rate or _rate(rounds, plan)
    trace: list[float] = []
    for k in range(plan.rounds):
        local = Local(plan.local_steps, rate / (1 + plan.decay * k), plan.weight, plan.proximal)
        sums = rounds.scaled("train", weights, {"local": asdict(local)})
        change = sums["change"] / float(sums["share"])
        weights = weights + change
        trace.append(float(np.abs(change).max()))
        if not np.isfinite(trace[-1]):
            raise ConvergenceError(
                f"averages must stay finite, they do not after {k + 1} rounds at rate {rate:.3g}: "
                "give a smaller rate"
            )
        # a change may be small because the steps are: it counts as if they were at full length
        if trace[-1] * (1 + plan.decay * k) <= plan.tol and plan.privacy.level == "none":
            return Solved(weights, k + 1, True, math.nan, tuple(trace))
    return Solved(weights, plan.rounds, plan.privacy.level != "none", math.nan, tuple(trace))


def _rate(rounds: Rounds, plan: Plan) -> float:
    """One over the largest second derivative of any client, bounded by the norm of fourth powers.

    A sum tells it without telling whose it is; it is above the largest by the fourth root of the
    number of clients at most.
    """
    fourth = float(rounds.scaled("curvature", np.zeros(0))["curvature"])
    return 1.0 / (math.sqrt(math.sqrt(fourth)) + plan.weight + plan.proximal)
