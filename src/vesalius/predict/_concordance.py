"""Concordance: whether those said to be at risk have their event before others."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.ops._jit import kernel
from vesalius.predict._kaplan_meier import censoring_survival
from vesalius.predict._table import Floats
from vesalius.predict._target import Target


def concordance(target: Target, risk: Floats) -> float:
    """Give the share of pairs in the right order, of those that can be ordered.

    A pair can be ordered where one has the event before the time of the other; equal risks count
    half. Harrell's figure depends on how cases were censored; :func:`concordance_ipcw` does not.

    Args:
        target: Times and events.
        risk: (cases,), greater where the event is expected earlier.

    Returns:
        0.5 is chance, 1 perfect.

    Raises:
        ShapeError: There is not one risk for each case.
        IntensityError: A risk is not a number.
        RegionError: No pair can be ordered.

    References:
        Harrell et al. (1996), doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
    """
    return _share(target, risk, target.events.astype(np.float64))


def concordance_ipcw(
    target: Target, risk: Floats, *, until: float, censoring: Target | None = None
) -> float:
    """Do the same as if nobody had been lost: each pair weighs by how likely it was to be seen.

    Args:
        target: Times and events.
        risk: (cases,), greater where the event is expected earlier.
        until: Events before this time count; someone must be followed so long.
        censoring: Times and events from which the loss of follow-up is estimated; none for these.

    Returns:
        0.5 is chance, 1 perfect.

    Raises:
        ShapeError: There is not one risk for each case.
        IntensityError: A risk is not a number.
        RegionError: No pair can be ordered.

    References:
        Uno et al. (2011), doi:10.1002/sim.4154, eq. (6).
    """
    return _share(target, risk, uno_weights(target, until, censoring or target))


def check_risk(target: Target, risk: Floats) -> None:
    """Refuse risks that order nothing.

    Args:
        target: Times and events.
        risk: (cases,).

    Raises:
        ShapeError: There is not one risk for each case.
        IntensityError: One is not a number.
    """
    if risk.shape != target.values.shape:
        raise ShapeError(f"each of {len(target.values)} cases must have a risk, got {risk.shape}")
    if unknown := int(np.isnan(risk).sum()):
        raise IntensityError(
            f"a risk must be a number, {unknown} of {len(risk)} are NaN: leave these cases out"
        )


def uno_weights(target: Target, until: float, censoring: Target) -> Floats:
    """Weigh events by the square of how unlikely they were to be seen.

    Args:
        target: Times and events.
        until: Events before this time count.
        censoring: From which the loss of follow-up is estimated.

    Returns:
        (cases,), 0 for those that are no event before that time.
    """
    followed = censoring_survival(censoring, target.values)
    counted = target.events & (target.values < until) & (followed > 0)
    return np.where(counted, 1 / np.square(np.where(counted, followed, 1.0)), 0.0)


def _share(target: Target, risk: Floats, weight: Floats) -> float:
    check_risk(target, risk)
    won, held = ordered_pairs(target, risk, weight)
    if not held.sum() > 0:
        raise RegionError(
            "at least one pair of cases must be ordered in time, none is: one of a pair must have "
            "its event before the other's time"
        )
    return float(won.sum() / held.sum())


def ordered_pairs(target: Target, risk: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Add up for each case the pairs that can be ordered, and those in the right order.

    Args:
        target: Times and events.
        risk: (cases,).
        weight: (cases,) of the pairs in which a case has the event first.

    Returns:
        (cases,) right, ties half, and (cases,) all; each pair stands at both of its cases.
    """
    if not target.values.size:
        return np.zeros(0), np.zeros(0)
    order = np.lexsort((~target.events, target.values))
    times, events = target.values[order], target.events[order]
    # of equal times the events come before the others, and are in no order themselves
    block = np.cumsum(
        np.append(0, (np.diff(times) > 0) | (np.diff(events.astype(np.int64)) != 0))
    ).astype(np.int64)
    _, rank = np.unique(risk[order], return_inverse=True)
    place = np.ascontiguousarray(rank.reshape(-1).astype(np.int64))
    own = np.where(events, weight[order], 0.0)
    won, held = _both_ways(block, place, own, np.int64(place.max(initial=0) + 1))
    back = np.argsort(order)
    return won[back], held[back]


@kernel
@no_type_check
def _both_ways(block, place, own, ranks):
    """Go through blocks of equal time twice, with a tree of sums over ranks of the risk."""
    size = len(block)
    won, held = np.zeros(size), np.zeros(size)
    tree = np.zeros(ranks + 1)
    everything = 0.0
    i = 0
    while i < size:  # as the later one: events before
        end = i
        while end < size and block[end] == block[i]:
            end += 1
        for k in range(i, end):
            below, upto = _upto(tree, place[k]), _upto(tree, place[k] + 1)
            held[k] += everything
            won[k] += everything - upto + (upto - below) / 2
        for k in range(i, end):
            _add(tree, place[k], own[k])
            everything += own[k]
        i = end
    tree[:] = 0.0
    everything = 0.0
    i = size - 1
    while i >= 0:  # as the earlier one: cases after
        end = i
        while end >= 0 and block[end] == block[i]:
            end -= 1
        for k in range(end + 1, i + 1):
            below, upto = _upto(tree, place[k]), _upto(tree, place[k] + 1)
            held[k] += own[k] * everything
            won[k] += own[k] * (below + (upto - below) / 2)
        for k in range(end + 1, i + 1):
            _add(tree, place[k], 1.0)
            everything += 1.0
        i = end
    return won, held


@kernel
@no_type_check
def _upto(tree, count):
    """Sum the first entries of a Fenwick tree."""
    total = 0.0
    while count > 0:
        total += tree[count]
        count -= count & -count
    return total


@kernel
@no_type_check
def _add(tree, place, value):
    at = place + 1
    while at < len(tree):
        tree[at] += value
        at += at & -at
