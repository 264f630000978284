"""Told: in what similar cases agree and differ, and what must be known before they are used."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.predict._concentration import concentration
from vesalius.predict._description import Description
from vesalius.predict._embed_quality import MOST
from vesalius.predict._index import Nearest
from vesalius.predict._likeness import Likeness, Neighbour, Shared, Similar
from vesalius.predict._spaces import Space
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Bools

LEAST_POINTS = 20
"""Different cases from which on it is said whether distances tell them apart."""
SHOWN = 3
"""Features that are named as alike and as unlike."""
COPY = 1e-6
"""A distance below this share of the usual one is that of a copy."""
FAR = 95.0
"""Percentile of nearest distances from which a case stands alone."""
UNUSUAL = 1.0
"""Standard deviations from the mean from which a likeness is worth a word."""
_TOGETHER = 0.9
"""Correlation above which two features say the same."""
_LOOKED_AT = 40
"""Features among which those that are named are chosen."""
_SAMPLE = 1000
"""Cases that a correlation is computed from."""
_NAMED = 5


@final
@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        table: The cases.
        query: The one that was asked for.
        space: Both as points.
        nearest: The neighbours.
        others: (cases,) which ones may be neighbours.
    """

    table: Table
    query: Table
    space: Space
    nearest: Nearest
    others: Bools = field(repr=False)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What is usual in a table.

    Attributes:
        nearest: Distance to the nearest neighbour, of a sample of the cases.
        recall: Of the search.
    """

    nearest: Floats
    recall: float


def told(found: Found, usual: Usual, likeness: Likeness, description: Description) -> Similar:
    """Say what was found.

    Args:
        found: The neighbours.
        usual: Beside what they are judged.
        likeness: What was meant by alike.
        description: Names the outcome, where it is to be told.

    Returns:
        The cases with their features and remarks.
    """
    near = found.nearest.distances[0]
    shown = _shown(near, likeness)
    outcomes = _outcomes(found.table, found.nearest.rows[0].tolist(), description)
    neighbours = tuple(
        Neighbour(found.table.cases[row], float(far), outcome, *_features(found.space, row))
        for row, far, outcome in zip(found.nearest.rows[0].tolist(), shown, outcomes, strict=True)
    )
    percentile = float("nan")
    if usual.nearest.size:
        percentile = 100 * float((usual.nearest < near[0] * (1 - 1e-9)).mean())
    return Similar(
        found.query.cases[0],
        neighbours,
        likeness.metric,
        int(found.others.sum()),
        len(found.space.features),
        percentile,
        _contrast(found, float(near[0])),
        tuple(np.sort(_shown(usual.nearest, likeness)).tolist()),
        usual.recall,
        tuple(_remarks(found, usual, percentile, likeness)),
    )


def _shown(distances: Floats, likeness: Likeness) -> Floats:
    """Give 1 - cosine from the distance of points of unit length; others stay as they are."""
    return np.square(distances) / 2 if likeness.metric == "cosine" else distances


def _outcomes(table: Table, rows: list[int], description: Description) -> list[str]:
    if not description.outcome:
        return [""] * len(rows)
    cells = table.column(description.outcome).iloc[rows].tolist()
    return ["" if is_gap(cell) else _text(cell) for cell in cells]


def is_gap(cell: object) -> bool:
    """Say whether a cell of a table is empty, whatever its column holds.

    Args:
        cell: A text, a number, or one of pandas' signs of a gap.

    Returns:
        Whether nothing stands in it.
    """
    import pandas as pd

    return cell is None or cell is pd.NA or bool(cell != cell)


def _text(cell: object) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def _features(space: Space, row: int) -> tuple[tuple[Shared, ...], tuple[Shared, ...]]:
    """Choose the features that tell most of likeness and of difference."""
    here, there = space.query, space.scaled[row]
    apart = np.abs(here - there)
    # how much nearer the neighbour is to the case than the mean of the table is
    gained = np.abs(here) - apart
    alike = np.argsort(-gained, kind="stable")[:_LOOKED_AT]
    unlike = np.argsort(-apart, kind="stable")[:_LOOKED_AT]
    both = (gained > apart) & (np.abs(here) >= UNUSUAL)
    agree = _shared(space, row, [j for j in alike.tolist() if both[j]])
    named = {one.feature for one in agree}
    rest = [j for j in unlike.tolist() if apart[j] > 0 and space.features[j] not in named]
    return agree, _shared(space, row, rest)


def _shared(space: Space, row: int, places: Sequence[int]) -> tuple[Shared, ...]:
    """Take the first few, and of features that go together the first."""
    sample = space.scaled[:: max(1, len(space.scaled) // _SAMPLE)]
    chosen: list[int] = []
    for j in places:
        column = sample[:, j]
        if all(abs(_correlation(column, sample[:, i])) < _TOGETHER for i in chosen):
            chosen.append(j)
        if len(chosen) == SHOWN:
            break
    return tuple(
        Shared(space.features[j], float(space.query[j]), float(space.scaled[row, j]))
        for j in chosen
    )


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def _contrast(found: Found, near: float) -> float:
    points, point = found.space.points, found.space.point
    squares = np.einsum("ij,ij->i", points, points) - 2 * points @ point
    farthest = np.sqrt(max(float(squares[found.others].max()) + float(point @ point), 0.0))
    return float((farthest - near) / near) if near > 0 else float("inf")


def _remarks(found: Found, usual: Usual, percentile: float, likeness: Likeness) -> Iterator[str]:
    case, near = found.query.cases[0], found.nearest.distances[0]
    names = [found.table.cases[row] for row in found.nearest.rows[0].tolist()]
    typical = float(np.median(usual.nearest)) if usual.nearest.size else float(near[-1])
    if copies := [name for name, far in zip(names, near, strict=True) if far <= COPY * typical]:
        listed = ", ".join(repr(name) for name in copies[:_NAMED])
        yield (
            f"{listed} {'has' if len(copies) == 1 else 'have'} the values of {case!r}: a copy, or "
            "the same patient under another name."
        )
    if case in found.table.cases:
        yield (
            f"A case called {case!r} stands in the table and was treated as another one: if it is "
            "the same, search by its name."
        )
    if tied := int(found.nearest.tied[0]):
        many = "1 further case is" if tied == 1 else f"{tied} further cases are"
        yield f"{many} exactly as far as the last; those that stand first in the table were taken."
    if percentile >= FAR:
        yield (
            f"{case!r} stands alone: {percentile:.0f} % of the cases have a nearer neighbour than "
            "it has. The nearest cases are not near."
        )
    yield from _of_space(found)
    yield from _of_gaps(found)
    if likeness.metric == "learned":
        yield (
            "The distance was learned from the outcomes of these very cases: that neighbours share "
            "an outcome is partly its doing, and no estimate of a probability."
        )
    if likeness.approximate:
        yield (
            f"The search was approximate and finds {usual.recall:.1%} of the true neighbours, "
            f"measured on {usual.nearest.size} cases."
        )


def _of_space(found: Found) -> Iterator[str]:
    """Say where distances hardly tell cases apart."""
    points = found.space.points
    if len(points) > MOST:
        points = points[np.linspace(0, len(points) - 1, MOST).astype(np.int64)]
    if len(np.unique(points, axis=0)) < LEAST_POINTS:
        return
    if said := concentration(points).remark:
        yield said


def _of_gaps(found: Found) -> Iterator[str]:
    gaps = int(np.isnan(found.query.select(found.table.features).values).sum())
    if gaps:
        yield (
            f"{gaps} of {len(found.table.features)} features of {found.query.cases[0]!r} are "
            "missing and stand at the median of the table: it looks more usual than it is."
        )
    if there := int(np.isnan(found.table.values).any(axis=1).sum()):
        many = "1 case has" if there == 1 else f"{there} cases have"
        yield f"{many} gaps, which were filled with medians."
