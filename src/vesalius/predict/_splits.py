"""Splits: which cases a model is trained on and which it is tested on; a patient is never parted.

A split works on units: the patient where the description names a ``group``, else the case. Folds
are balanced for the outcome by dealing units out, those of many cases first.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._card import Threshold
from vesalius.predict._description import Description
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

Method = Literal["stratified", "grouped", "leave_one_site_out", "temporal", "bootstrap", "plain"]
Whole = NDArray[np.int64]


@final
@dataclass(frozen=True, slots=True)
class Split:
    """How cases are parted for a validation, and what is decided on each test part.

    Attributes:
        method: ``stratified``: folds balanced for the outcome. ``grouped``: folds of whole groups
            that are balanced for the number of cases alone. ``leave_one_site_out``: each site is
            the test part once. ``temporal``: each later part is predicted from all before it.
            ``bootstrap``: trained on cases drawn with replacement, tested on those not drawn,
            and corrected by the .632+ rule. ``plain``: folds at random. Whatever the method, a
            group is never on both sides.
        folds: Folds of a repetition; parts in time less one for ``temporal``.
        repeats: Repetitions with other folds; draws of ``bootstrap``.
        seed: Of the folds; it decides them together with the data.
        threshold: How the threshold of the decision is chosen, on training cases.
        times: For survival, times at which the AUC is asked for, in the unit of the times.

    Raises:
        ConfigError: Fewer than two folds, no repetition, a repetition of what cannot differ, a
            negative seed, or a time that is not above 0.
    """

    method: Method = "stratified"
    folds: int = 5
    repeats: int = 1
    seed: int = 0
    threshold: Threshold = field(default_factory=Threshold)
    times: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1 or self.seed < 0:
            raise ConfigError(
                "a split must have 2 folds or more, 1 repetition or more and a seed of 0 or more, "
                f"got folds={self.folds}, repeats={self.repeats}, seed={self.seed}"
            )
        if self.repeats > 1 and self.method in ("leave_one_site_out", "temporal"):
            raise ConfigError(
                f"repeats must be 1 for {self.method}, which parts cases in one way only, got "
                f"{self.repeats}: leave it out"
            )
        if not all(0 < time < float("inf") for time in self.times):
            raise ConfigError(f"times of an AUC must be above 0 and finite, got {self.times}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One training and test.

    Attributes:
        repeat: Which repetition.
        name: Of the fold: its number, or the site or the dates that are tested on.
        train: Rows trained on; a row occurs more than once only for ``bootstrap``.
        test: Rows tested on.
    """

    repeat: int
    name: str
    train: Whole
    test: Whole


def parts(split: Split, table: Table, description: Description, target: Target) -> tuple[Part, ...]:
    """Part the cases.

    Args:
        split: How.
        table: The cases.
        description: Which columns are the group, the site and the date.
        target: Their outcome.

    Returns:
        Each training with its test, in order of repetition and fold.

    Raises:
        ConfigError: A column is needed and absent or has gaps; there are too few cases, groups,
            sites or dates; or a training would see one class only.
    """
    units = units_of(table, description)
    if split.method == "leave_one_site_out":
        found = _sites(table, description, units)
    elif split.method == "temporal":
        found = _in_time(split, table, description, units)
    elif split.method == "bootstrap":
        found = _drawn(split, target, units)
    else:
        if split.method == "grouped" and not description.group:
            raise ConfigError(
                "grouped folds must have a column of groups, got none: name the patient with "
                "group=, or use stratified folds"
            )
        found = _folds(split, target, units)
    for part in found:
        _check_training(part, target)
    return found


def units_of(table: Table, description: Description) -> Whole:
    """Number what must not be split: the group where one is described, else the case.

    Args:
        table: The cases.
        description: Which column is the group.

    Returns:
        (cases,) numbers from 0, in order of first occurrence.

    Raises:
        ConfigError: The group of a case is missing.
    """
    if not description.group:
        return np.arange(len(table.cases))
    return _numbered(_texts(table, description.group, "group"))


def balanced_folds(
    strata: Whole, units: Whole, folds: int, *, generator: np.random.Generator
) -> Whole:
    """Deal units into folds so that each holds nearly the same cases of each stratum.

    Units of one case are dealt round and round, stratum by stratum, which is as even as can be.
    Larger units go first, each to the fold where the counts then differ least (a greedy
    approximation).

    Args:
        strata: (cases,) number of the class that is balanced; zeros for none.
        units: (cases,) number of what must not be split.
        folds: How many.
        generator: Source of the order.

    Returns:
        (cases,) number of the fold.

    Raises:
        ConfigError: There are fewer units than folds, or fewer in a stratum.
    """
    names, place = np.unique(units, return_inverse=True)
    _, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((len(names), int(stratum.max(initial=0)) + 1))
    np.add.at(counts, (place, stratum), 1)
    least = int((counts > 0).sum(axis=0).min()) if len(names) else 0
    if least < folds:
        raise ConfigError(
            f"each class must have at least {folds} cases (or patients) for {folds} folds, one "
            f"has {least}: use fewer folds, or gather more cases"
        )
    fold = np.full(len(names), -1, dtype=np.int64)
    order = generator.permutation(len(names))
    alone = counts.sum(axis=1) == 1
    held = _greedy(counts, fold, order[~alone[order]], folds)
    _deal(counts, fold, order[alone[order]], held)
    return fold[place]


def _greedy(counts: Floats, fold: Whole, order: Whole, folds: int) -> Floats:
    """Place units of several cases, the most uneven first; give counts of each fold."""
    held = np.zeros((folds, counts.shape[1]))
    share = counts.sum(axis=0)
    for unit in order[np.argsort(-counts[order].max(axis=1), kind="stable")]:
        # variance of the counts over folds if the unit went to each of them, classes weighed
        # alike; the fold with fewest cases wins a tie
        trial = held[None] + np.eye(folds)[:, :, None] * counts[unit]
        uneven = (trial / share).var(axis=1).sum(axis=1)
        fold[unit] = np.lexsort((held.sum(axis=1), np.round(uneven, 12)))[0]
        held[fold[unit]] += counts[unit]
    return held


def _deal(counts: Floats, fold: Whole, order: Whole, held: Floats) -> None:
    """Deal units of one case, class by class, each to the fold that has fewest of its class."""
    total = held.sum(axis=1)
    for kind in range(counts.shape[1]):
        for unit in order[counts[order, kind] > 0]:
            at = int(np.lexsort((total, held[:, kind]))[0])
            fold[unit] = at
            held[at, kind] += 1
            total[at] += 1


def _folds(split: Split, target: Target, units: Whole) -> tuple[Part, ...]:
    found = []
    strata = target.strata
    thin = target.kind == "number" and (
        len(units) < 6 * split.folds or np.unique(strata, return_counts=True)[1].min() < split.folds
    )
    if split.method != "stratified" or thin:  # thirds of few numbers cannot be balanced
        strata = np.zeros(len(units), dtype=np.int64)
    for repeat in range(split.repeats):
        generator = np.random.default_rng((split.seed, repeat))
        fold = balanced_folds(strata, units, split.folds, generator=generator)
        for number in range(split.folds):
            train, test = np.nonzero(fold != number)[0], np.nonzero(fold == number)[0]
            found.append(Part(repeat, str(number + 1), train, test))
    return tuple(found)


def _sites(table: Table, description: Description, units: Whole) -> tuple[Part, ...]:
    if not description.site:
        raise ConfigError(
            "leaving one site out must have a column of sites, got none: name it (--site)"
        )
    site = _texts(table, description.site, "site")
    names = sorted(set(site))
    if len(names) < 2:
        raise ConfigError(
            f"leaving one site out must have two sites or more, {description.site!r} has "
            f"{names}: use stratified folds"
        )
    found = []
    for name in names:
        test = np.nonzero(np.asarray(site) == name)[0]
        found.append(Part(0, name, _others(units, test), test))
    return tuple(found)


def _in_time(
    split: Split, table: Table, description: Description, units: Whole
) -> tuple[Part, ...]:
    if not description.date:
        raise ConfigError(
            "a temporal split must have a column of dates, got none: name it (--date)"
        )
    date, said = dates_of(table, description.date)
    days = np.unique(date)
    if len(days) < split.folds + 1:
        raise ConfigError(
            f"a temporal split in {split.folds} folds must have {split.folds + 1} dates or more, "
            f"{description.date!r} has {len(days)}: use fewer folds"
        )
    found: list[Part] = []
    cuts = _time_cuts(date, split.folds + 1)
    for low, high in zip(cuts, [*cuts[1:], None], strict=True):
        test = np.nonzero((date >= low) & (True if high is None else date < high))[0]
        before = _others(units, test)
        first, last = (test[pick(date[test])] for pick in (np.argmin, np.argmax))
        name = f"{said[first]} to {said[last]}"
        found.append(Part(0, name, before[date[before] < low], test))
    return tuple(found)


def _time_cuts(date: Floats, count: int) -> list[float]:
    """First date of each part after the first; parts hold about as many cases, no date is split."""
    days, counts = np.unique(date, return_counts=True)
    before = np.cumsum(counts) - counts
    cuts: list[int] = []
    for k in range(1, count):
        at = int(np.argmin(np.abs(before - k * len(date) / count)))
        low = (cuts[-1] if cuts else 0) + 1
        cuts.append(min(max(at, low), len(days) - (count - k)))
    return [float(days[at]) for at in cuts]


def _drawn(split: Split, target: Target, units: Whole) -> tuple[Part, ...]:
    """Draw units with replacement within strata, so that each draw has every class."""
    names, first = np.unique(units, return_index=True)
    strata = target.strata[first]
    rows = {int(name): np.nonzero(units == name)[0] for name in names}
    found = []
    for repeat in range(split.repeats):
        generator = np.random.default_rng((split.seed, repeat))
        drawn = np.concatenate(
            [
                generator.choice(names[strata == kind], size=int((strata == kind).sum()))
                for kind in np.unique(strata)
            ]
        )
        left = np.nonzero(~np.isin(units, drawn))[0]
        train = np.concatenate([rows[int(unit)] for unit in np.sort(drawn)])
        found.append(Part(repeat, "not drawn", train, left))
    return tuple(found)


def _check_training(part: Part, target: Target) -> None:
    if not part.test.size or not part.train.size:
        raise ConfigError(
            f"each fold must have cases to train on and to test on, fold {part.name!r} has "
            f"{part.train.size} and {part.test.size}: use another split, or more cases"
        )
    if target.kind == "number":
        return
    have = set(target.strata[part.train].tolist())
    if absent := sorted(set(target.strata.tolist()) - have):
        name = target.classes[absent[0]] if target.classes else ("no event", "event")[absent[0]]
        raise ConfigError(
            f"each training must see every class, that of fold {part.name!r} has no {name!r}: "
            "use another split, or leave the class out"
        )


def _others(units: Whole, test: Whole) -> Whole:
    """Rows that share no unit with the test rows."""
    return np.nonzero(~np.isin(units, units[test]))[0]


def _texts(table: Table, column: str, role: str) -> list[str]:
    values = table.column(column)
    gaps = values.isna().to_numpy()
    if gaps.any():
        case = table.cases[int(np.nonzero(gaps)[0][0])]
        raise ConfigError(
            f"each case must have a {role}, {case!r} has none in {column!r} "
            f"({int(gaps.sum())} of {len(gaps)} are missing): fill it in, or leave the case out"
        )
    return [str(value) for value in values]


def _numbered(names: list[str]) -> Whole:
    place: dict[str, int] = {}
    return np.array([place.setdefault(name, len(place)) for name in names], dtype=np.int64)


def dates_of(table: Table, column: str) -> tuple[Floats, list[str]]:
    """Give dates as days, or numbers as they are; and how each is said."""
    import pandas as pd

    values = table.column(column)
    number = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isnan(number).any():
        return number, [f"{value:g}" for value in number]
    when = pd.to_datetime(values, errors="coerce", format="mixed")
    if when.isna().any():
        at = int(np.nonzero(when.isna().to_numpy())[0][0])
        raise ConfigError(
            f"dates must be dates (as 2026-11-21) or numbers, {column!r} of case "
            f"{table.cases[at]!r} is {values.iloc[at]!r}: mend it, or leave the case out"
        )
    days = (when - pd.Timestamp(0)).dt.total_seconds().to_numpy(dtype=np.float64) / 86400
    return days, [str(one.date()) for one in when]
