"""Federated sums: what a client computes from its cases and may tell: sums, slopes, updates."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._private import uniform
from vesalius.predict._table import Floats

MOST_STEPS = 10_000
"""Local steps of a round that a client takes; more would keep it busy for as long as is asked."""


@final
@dataclass(frozen=True, slots=True)
class Local:
    """What a client does between two messages.

    Attributes:
        steps: Of gradient descent, each over all of its cases.
        rate: Length of a step.
        weight: L2 penalty of the mean loss.
        proximal: Pull towards the common weights (mu of FedProx); 0 is FedAvg.

    Raises:
        ConfigError: A setting is out of range.
    """

    steps: int = 1
    rate: float = 1.0
    weight: float = 0.1
    proximal: float = 0.0

    def __post_init__(self) -> None:
        if not (1 <= self.steps <= MOST_STEPS and min(self.rate, self.weight, self.proximal) >= 0):
            raise ConfigError(
                f"a client takes 1 to {MOST_STEPS} local steps, with a rate and penalties that are "
                f"not negative, got {self}: average more often"
            )


def moments(values: Floats, event: Floats) -> dict[str, Floats]:
    """Sum features; gaps count for nothing.

    Args:
        values: (cases, features), NaN for a gap.
        event: (cases,) 0 or 1.

    Returns:
        ``known``, ``sums`` and ``sizes`` (of magnitudes): (features,) each.
    """
    return {
        "known": (~np.isnan(values)).sum(axis=0).astype(np.float64),
        "sums": np.nansum(values, axis=0),
        "sizes": np.nansum(np.abs(values), axis=0),
    }


def curvature(x: Floats) -> float:
    """Bound the second derivative of the mean log loss: a quarter of the largest eigenvalue.

    Args:
        x: (cases, columns).

    Returns:
        The bound.
    """
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return float(np.linalg.eigvalsh(gram)[-1]) / (4 * len(x))


def gradient(x: Floats, event: Floats, weights: Floats) -> dict[str, Floats]:
    """Sum the log loss and its gradient over cases.

    Args:
        x: (cases, columns).
        event: (cases,) 0 or 1.
        weights: (columns,).

    Returns:
        ``loss`` (a number) and ``gradient`` (columns,).
    """
    z = x @ weights
    loss = np.logaddexp(0.0, z) - event * z
    return {"loss": np.array(loss.sum()), "gradient": x.T @ (_chance(z) - event)}


def clipped_gradient(x: Floats, event: Floats, weights: Floats, clip: float) -> Floats:
    """Sum the gradients of cases, each shortened to ``clip``.

    A case whose gradient is beyond float64 counts for nothing: an answer that fails for some cases
    and not for others would tell of them, whatever the noise.

    Args:
        x: (cases, columns).
        event: (cases,) 0 or 1.
        weights: (columns,).
        clip: Largest Euclidean norm of the gradient of a case.

    Returns:
        (columns,); one case more or less changes it by ``clip`` at most.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        slope = _chance(x @ weights) - event
        length = np.abs(slope) * np.sqrt(np.einsum("ij,ij->i", x, x))
        share = slope * np.minimum(1.0, clip / np.maximum(length, 1e-300))
    return np.asarray(x.T @ np.where(np.isfinite(length), share, 0.0))


def curved(x: Floats, event: Floats, weights: Floats) -> dict[str, Floats]:
    """Sum loss, gradient and matrix of second derivatives of the log loss.

    Args:
        x: (cases, columns).
        event: (cases,) 0 or 1.
        weights: (columns,).

    Returns:
        As ``gradient``, and ``curvature`` (columns, columns).
    """
    p = _chance(x @ weights)
    return gradient(x, event, weights) | {"curvature": (x * (p * (1 - p))[:, None]).T @ x}


def descended(x: Floats, event: Floats, start: Floats, local: Local) -> Floats:
    """Descend on a client's own mean loss.

    Args:
        x: (cases, columns), the last a 1 for the offset, which is not penalised.
        event: (cases,) 0 or 1.
        start: (columns,) the common weights.
        local: How.

    Returns:
        (columns,) the client's weights.

    References:
        McMahan et al. (2017), doi:10.48550/arXiv.1602.05629, algorithm 1, ClientUpdate; Li et al.
        (2020), doi:10.48550/arXiv.1812.06127, eq. (2). Differ in: steps over all cases in place of
        minibatches, so that a run can be repeated.
    """
    penalty = np.full(len(start), local.weight)
    penalty[-1] = 0.0
    w = start.copy()
    with np.errstate(over="ignore", invalid="ignore"):  # too long a step is told by what it gives
        for _ in range(local.steps):
            slope = x.T @ (_chance(x @ w) - event) / len(x)
            w = w - local.rate * (slope + penalty * w + local.proximal * (w - start))
    return w


def scored(x: Floats, event: Floats, weights: Floats) -> dict[str, Floats]:
    """Score a model on a client's own cases.

    Args:
        x: (cases, columns).
        event: (cases,) 0 or 1, both there.
        weights: (columns,).

    Returns:
        ``scores``: AUC, Brier score and log loss of the client; one row of three.
    """
    from scipy.stats import rankdata

    z = x @ weights
    events = event.sum()
    ranks = rankdata(z)[event > 0].sum()
    auc = (ranks - events * (events + 1) / 2) / (events * (len(z) - events))
    brier = np.mean((_chance(z) - event) ** 2)
    loss = np.mean(np.logaddexp(0.0, z) - event * z)
    return {"scores": np.array([auc, brier, loss])}


def clipped(change: Floats, clip: float) -> Floats:
    """Shorten an update to ``clip``; one that is not finite becomes none.

    Args:
        change: (columns,).
        clip: Largest Euclidean norm.

    Returns:
        (columns,).
    """
    with np.errstate(over="ignore"):
        length = float(np.linalg.norm(change))
    if not math.isfinite(length):
        return np.zeros_like(change)
    return change * min(1.0, clip / max(length, 1e-300))


def chosen(
    cases: int, sampling: float, generator: torch.Generator | None = None
) -> NDArray[np.bool_]:
    """Choose cases for a round, each with the same chance and by itself.

    Args:
        cases: How many there are.
        sampling: The chance.
        generator: None draws from the operating system; see ``noisy``.

    Returns:
        (cases,) whether it takes part.
    """
    if sampling == 1:
        return np.ones(cases, dtype=bool)
    return uniform(cases, generator) < sampling


def _chance(z: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(z))
