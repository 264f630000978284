"""Inner folds: parts of the training cases by which settings are chosen."""
# SPDX-License-Identifier: Apache-2.0

import hashlib

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, RegionError

Rows = NDArray[np.int64]


def inner_folds(
    names: tuple[str, ...], strata: Rows, folds: int, *, seed: int, groups: tuple[str, ...] = ()
) -> tuple[tuple[Rows, Rows], ...]:
    """Part cases into folds that hold every stratum alike and split no group.

    Who falls where is decided by the names and the seed, never by the order of the rows. A class
    that occurs in fewer groups than there are folds makes for fewer folds.

    Args:
        names: Of the cases.
        strata: (cases,) what is balanced.
        folds: Wanted.
        seed: Of the parting.
        groups: Of each case, what must not be split; empty for none.

    Returns:
        Rows to train on and rows held out, for each fold.

    Raises:
        ConfigError: ``groups`` does not name one group for each case.
        RegionError: A stratum occurs in one group alone, so that no fold can hold it and leave it.
    """
    if groups and len(groups) != len(names):
        raise ConfigError(
            f"groups must name one group for each of {len(names)} cases, got {len(groups)}"
        )
    units = groups or names
    order = sorted(set(units), key=lambda unit: _mixed(unit, seed))
    place = {unit: k for k, unit in enumerate(order)}
    unit_of = np.asarray([place[unit] for unit in units], dtype=np.int64)
    _, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((len(order), int(stratum.max(initial=0)) + 1))
    np.add.at(counts, (unit_of, stratum), 1)
    least = int((counts > 0).sum(axis=0).min(initial=len(order)))
    if least < 2:
        raise RegionError(
            "inner folds must hold each class in at least two groups, one class has "
            f"{least} of {len(order)}: give more cases, or fix the settings of the estimator"
        )
    fold = _deal(counts, min(folds, least))[unit_of]
    parts = (np.flatnonzero(fold == k) for k in range(min(folds, least)))
    every = np.arange(len(names))
    return tuple((np.setdiff1d(every, held), held) for held in parts if held.size)


def _deal(counts: NDArray[np.float64], folds: int) -> Rows:
    """Give each unit to the fold that is furthest behind in what the unit holds, largest first."""
    share = counts / counts.sum(axis=0)
    # rare strata first, then large units: what is hard to place is placed while there is room
    rarity = np.argsort(np.argsort(counts.sum(axis=0), kind="stable"), kind="stable")
    main = rarity[share.argmax(axis=1)]
    order = np.lexsort((-counts.sum(axis=1), main))
    held = np.zeros((folds, counts.shape[1]))
    fold = np.zeros(len(counts), dtype=np.int64)
    for unit in order:
        cost = (held * share[unit]).sum(axis=1) + 1e-9 * held.sum(axis=1)
        chosen = int(np.argmin(np.round(cost, 15)))
        fold[unit] = chosen
        held[chosen] += share[unit]
    return fold


def _mixed(unit: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{unit}".encode()).digest()
