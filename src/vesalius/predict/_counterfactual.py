"""Counterfactual: the smallest changes of a case's features after which it is decided otherwise."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch

from vesalius.errors import ConfigError
from vesalius.predict._model import Model
from vesalius.predict._table import Floats, Table
from vesalius.predict._what_if import WhatIf, rotated, what_if

_GRID = 24
_CLOSE = 60
"""Features that are looked at closely: those whose ends of range move the prediction most."""
_HALVINGS = 14
_CLEAR = 1e-9
"""Distance from the threshold: sums of votes are not exact."""


@final
@dataclass(frozen=True, slots=True)
class Search:
    """How far is searched.

    Attributes:
        changes: Features that are changed at most.
        alternatives: Ways that are given; each leaves out the feature that earlier ones changed
            most.
        threshold: Of the decision; NaN takes the model's, or 0.5 where it has none.

    Raises:
        ConfigError: A number is below one.
    """

    changes: int = 3
    alternatives: int = 3
    threshold: float = float("nan")

    def __post_init__(self) -> None:
        for name in ("changes", "alternatives"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


@final
@dataclass(frozen=True, slots=True)
class Change:
    """A feature that would have to be another.

    Attributes:
        feature: Which.
        value: As the case has it.
        to: As it would have to be.
        share: Size of the change, in widths of the training range (1st to 99th percentile).
        unit: Of the feature; empty where unknown.
    """

    feature: str
    value: float
    to: float
    share: float
    unit: str = ""


@final
@dataclass(frozen=True, slots=True)
class Counterfactual:
    """One way to the other decision.

    Attributes:
        changes: The largest first.
        after: Probability of the event then.
    """

    changes: tuple[Change, ...]
    after: float

    @property
    def distance(self) -> float:
        """Sum of the shares."""
        return sum(one.share for one in self.changes)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Counterfactuals:
    """Ways to the other decision for one case.

    Attributes:
        case: Which.
        before: Probability of the event.
        threshold: Of the decision.
        ways: The nearest first; none where there is no way within the training range.
        remarks: What must be known first.
    """

    case: str
    before: float
    threshold: float
    ways: tuple[Counterfactual, ...]
    remarks: tuple[str, ...] = field(default=())


def counterfactuals(
    model: Model,
    table: Table,
    case: str,
    *,
    generator: torch.Generator,
    search: Search = Search(),
    other_parameters: bool = False,
) -> Counterfactuals:
    """Search for small changes of few features after which a case is decided otherwise.

    Greedy: one feature is moved where that is enough, else the one that helps most and another;
    then each change is taken back as far as it can be. Every new value lies within the training
    range of its feature. Whether such a case can exist is not known: a model stores ranges, no
    cases, so nothing says which values occur together.

    Args:
        model: Of two classes.
        table: Holds the case; other cases serve to find the features that matter.
        case: Which.
        generator: Of the search for features that matter.
        search: How far.
        other_parameters: Whether features of other parameters are accepted.

    Returns:
        The ways.

    Raises:
        ConfigError: The model is not of two classes, or the table has no such case.

    References:
        Wachter, Mittelstadt & Russell (2018), arXiv:1711.00399, for the idea; distance by ranges
        as their eq. (4) by median deviations.
    """
    if model.description.kind != "binary":
        raise ConfigError(
            "a counterfactual must be of a decision between two classes, the model is of kind "
            f"{model.description.kind!r}: look at partial dependence instead"
        )
    if case not in table.cases:
        raise ConfigError(f"the case must be in the table, {case!r} is not: check the name")
    asked, _ = what_if(model, table, other_parameters=other_parameters)
    start = _start(asked, case, generator, search)
    ways: list[Counterfactual] = []
    banned: set[int] = set()
    for _ in range(search.alternatives):
        found = _way(start, banned, search.changes)
        if found is None:
            break
        ways.append(start.told(found))
        banned.add(max(found, key=lambda j: start.share(j, found[j])))
    nearest = tuple(sorted(ways, key=lambda one: one.distance))
    return Counterfactuals(case, start.before, start.threshold, nearest, _said(start, nearest))


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """A case, and between which values each feature may move."""

    asked: WhatIf
    row: int
    threshold: float
    set_here: bool
    low: Floats
    high: Floats
    places: tuple[int, ...]

    @property
    def own(self) -> Floats:
        return np.asarray(self.asked.table.values[self.row])

    @property
    def before(self) -> float:
        return float(self.asked.base[self.row, 0])

    def say(self, versions: Floats) -> Floats:
        """Give (versions,) the probability of the event."""
        asked, row = self.asked, self.row
        if not asked.alone:
            values = np.repeat(asked.table.values[None], len(versions), axis=0)
            values[:, row] = versions
            return np.asarray(asked.predict(values)[:, row, 0])
        one = replace(
            asked,
            table=asked.table.rows([row]),
            base=asked.base[[row]],
            blocks=asked.blocks[[row]],
        )
        return np.asarray(one.predict(versions[:, None])[:, 0, 0])

    def margin(self, versions: Floats) -> Floats:
        """Give (versions,) how far past the threshold a version is, positive on the other side."""
        past = self.say(versions) - self.threshold
        return np.asarray((-past if self.before >= self.threshold else past) - _CLEAR)

    def share(self, j: int, to: float) -> float:
        return float(abs(to - self.own[j]) / (self.high[j] - self.low[j]))

    def versions(self, changed: Mapping[int, float], j: int, at: Floats) -> Floats:
        rows = np.repeat(self.own[None], len(at), axis=0)
        for k, value in changed.items():
            rows[:, k] = value
        rows[:, j] = at
        return rows

    def told(self, changed: Mapping[int, float]) -> Counterfactual:
        table = self.asked.table
        changes = [
            Change(name, float(self.own[j]), to, self.share(j, to), table.units.get(name, ""))
            for j, to in changed.items()
            for name in (table.features[j],)
        ]
        rows = self.own[None].copy()
        for j, to in changed.items():
            rows[:, j] = to
        ordered = sorted(changes, key=lambda one: -one.share)
        return Counterfactual(tuple(ordered), float(self.say(rows)[0]))


def _start(asked: WhatIf, case: str, generator: torch.Generator, search: Search) -> _Start:
    model, table = asked.model, asked.table
    row = table.cases.index(case)
    threshold = search.threshold if np.isfinite(search.threshold) else model.threshold
    known = bool(np.isfinite(threshold))
    threshold = threshold if known else 0.5
    low = np.array([model.training.low.get(name, -np.inf) for name in table.features])
    high = np.array([model.training.high.get(name, np.inf) for name in table.features])
    usable = np.isfinite(low) & np.isfinite(high) & (high > low) & np.isfinite(table.values[row])
    moving = asked.moving(rotated(asked.blocks, generator)) if len(table.cases) > 1 else ()
    moving = moving or tuple(range(len(table.features)))
    places = tuple(j for j in moving if usable[j])
    start = _Start(asked, row, threshold, known, low, high, places)
    if len(places) <= _CLOSE:
        return start
    ends = [start.versions({}, j, np.array([low[j], high[j]])) for j in places]
    best = start.margin(np.concatenate(ends)).reshape(-1, 2).max(axis=1)
    first = np.sort(np.argsort(-best, kind="stable")[:_CLOSE])
    return replace(start, places=tuple(places[k] for k in first))


def _way(start: _Start, banned: set[int], most: int) -> dict[int, float] | None:
    changed: dict[int, float] = {}
    reached = float(start.margin(start.own[None])[0])
    for _ in range(most):
        free = [j for j in start.places if j not in banned and j not in changed]
        if not free:
            return None
        grids = [np.linspace(start.low[j], start.high[j], _GRID) for j in free]
        rows = [start.versions(changed, j, at) for j, at in zip(free, grids, strict=True)]
        margin = start.margin(np.concatenate(rows)).reshape(len(free), _GRID)
        if (margin >= 0).any():
            cost = np.stack(
                [
                    np.abs(at - start.own[j]) / (start.high[j] - start.low[j])
                    for j, at in zip(free, grids, strict=True)
                ]
            )
            k, g = np.unravel_index(np.where(margin >= 0, cost, np.inf).argmin(), cost.shape)
            changed[free[int(k)]] = float(grids[int(k)][int(g)])
            return _taken_back(start, changed)
        k, g = np.unravel_index(margin.argmax(), margin.shape)
        if margin[k, g] <= reached:
            return None
        reached = float(margin[k, g])
        changed[free[int(k)]] = float(grids[int(k)][int(g)])
    return None


def _taken_back(start: _Start, changed: dict[int, float]) -> dict[int, float]:
    """Take each change back as far as the decision stays, the smallest first, some wholly."""
    for j in sorted(changed, key=lambda one: start.share(one, changed[one])):
        rest = {k: value for k, value in changed.items() if k != j}
        own, far = float(start.own[j]), changed[j]
        if start.margin(start.versions(rest, j, np.array([own])))[0] >= 0:
            changed = rest
            continue
        near, inside = own, start.low[j] <= own <= start.high[j]
        if not inside:  # a value outside of the range is no goal on the way
            near = float(np.clip(own, start.low[j], start.high[j]))
            if start.margin(start.versions(rest, j, np.array([near])))[0] >= 0:
                changed = {**rest, j: near}
                continue
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            holds = start.margin(start.versions(rest, j, np.array([middle])))[0] >= 0
            near, far = (near, middle) if holds else (middle, far)
        changed = {**rest, j: far}
    return changed


def _said(start: _Start, ways: tuple[Counterfactual, ...]) -> tuple[str, ...]:
    said = []
    if not start.set_here:
        said.append("The model has no threshold of its own: 0.5 was taken.")
    if not ways:
        said.append("No change of so few features within the training range turns the decision.")
    else:
        said.append(
            "Each value lies in the training range of its feature; whether they occur together is "
            "not known, since a model stores no cases."
        )
    return tuple(said)
