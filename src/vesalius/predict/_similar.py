"""Similar: the cases of a table that are most like one, in what, and how much that says."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import ConfigError, RegionError, UnitError
from vesalius.predict._description import Description
from vesalius.predict._index import (
    GraphIndex,
    Index,
    Ints,
    build_graph,
    build_index,
    check_enough,
    recall,
)
from vesalius.predict._likeness import Likeness, Similar
from vesalius.predict._outcome import target_of
from vesalius.predict._similar_told import Found, Usual, is_gap, told
from vesalius.predict._spaces import Space, learned_space, make_space
from vesalius.predict._table import Table

PLAIN = Likeness()
NOTHING = Description()
_FLOPS = 2e10
"""Multiplications that may be spent on what is usual in the table, and on the recall."""


def similar(
    table: Table,
    case: str,
    *,
    k: int = 10,
    likeness: Likeness = PLAIN,
    description: Description = NOTHING,
) -> Similar:
    """Find the cases of a table that are most like one of them.

    Args:
        table: The cases.
        case: Name of one of them; it is never its own neighbour.
        k: How many are wanted.
        likeness: What is meant by alike.
        description: Whose ``group`` names the patient, whose other cases are left out, and whose
            ``outcome`` is told and, for a learned distance, learned from.

    Returns:
        The nearest cases.

    Raises:
        RegionError: The case is not in the table, or there are fewer than ``k`` others.
        ConfigError: A learned distance has no outcome to learn from.
        ExtraError: usearch is not installed, for an approximate search.
    """
    at = place_of(table, case)
    # the case itself must not teach the distance that it is measured by
    others = [row for row in range(len(table.cases)) if row != at]
    return similar_to(
        table.rows(others), table.rows([at]), k=k, likeness=likeness, description=description
    )


def similar_to(
    table: Table,
    query: Table,
    *,
    k: int = 10,
    likeness: Likeness = PLAIN,
    description: Description = NOTHING,
) -> Similar:
    """Find the cases of a table that are most like one that is not in it.

    Args:
        table: The cases.
        query: One case with the same features.
        k: How many are wanted.
        likeness: What is meant by alike.
        description: As for :func:`similar`.

    Returns:
        The nearest cases.

    Raises:
        RegionError: The query is not one case, or there are fewer than ``k`` cases.
        ConfigError: A feature is absent, features were made with other parameters, or a learned
            distance has no outcome to learn from.
        UnitError: A feature has another unit.
        ExtraError: usearch is not installed, for an approximate search.
    """
    _check_query(table, query)
    query = query.select(table.features)
    check_enough(len(table.cases), k)
    groups, own = _groups(table, query, likeness, description)
    space = _space(table, query, likeness, description)
    build = build_graph if likeness.approximate else build_index
    index = build(space.points, groups)
    found = index.nearest(space.point[None], np.array([own]), k)
    there = Found(table, query, space, found, groups != own)
    return told(there, _usual(space, groups, index, k), likeness, description)


def _usual(space: Space, groups: Ints, index: Index | GraphIndex, k: int) -> Usual:
    """Look at a sample of the cases, evenly chosen; at all of them where there are few."""
    cases = len(space.points)
    many = int(np.clip(_FLOPS / max(space.points.size, 1), 20, cases))
    rows = np.linspace(0, cases - 1, min(many, cases)).astype(np.int64)
    rows = rows[cases - np.bincount(groups)[groups[rows]] >= k]
    if not rows.size:
        return Usual(np.zeros(0), 1.0)
    exact = index if isinstance(index, Index) else build_index(space.points, groups)
    truth = exact.nearest(space.points[rows], groups[rows], k)
    share = 1.0
    if isinstance(index, GraphIndex):
        share = recall(index.nearest(space.points[rows], groups[rows], k), truth)
    return Usual(truth.distances[:, 0], share)


def place_of(table: Table, case: str) -> int:
    """Find a case by its name.

    Args:
        table: The cases.
        case: Its name.

    Returns:
        Its row.

    Raises:
        RegionError: There is none, or the name has several regions.
    """
    if case in table.cases:
        return table.cases.index(case)
    regions = [name for name in table.cases if name.startswith(f"{case}:")]
    if regions:
        raise RegionError(
            f"one region must be named, {case!r} has {len(regions)}: say {regions[0]!r}"
            + (f" or {regions[1]!r}" if len(regions) > 1 else "")
        )
    from difflib import get_close_matches

    near = get_close_matches(case, table.cases, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the first is {table.cases[0]!r}"
    raise RegionError(
        f"the case must be in the table, {case!r} is none of {len(table.cases)}: {hint}"
    )


def _check_query(table: Table, query: Table) -> None:
    if len(query.cases) != 1:
        raise RegionError(
            f"one case must be asked for at a time, got {len(query.cases)}: give a table of one row"
        )
    if table.parameters and query.parameters and table.parameters != query.parameters:
        raise ConfigError(
            "the case must be measured as the table was, its features were made with parameters "
            f"{query.parameters[:12]} and those of the table with {table.parameters[:12]}: measure "
            "it with the configuration of the table"
        )
    for name, unit in query.units.items():
        there = table.units.get(name, unit)
        if there != unit:
            raise UnitError(
                f"a feature must have one unit, {name!r} is in {unit!r} here and in {there!r} in "
                "the table: bring the images to one unit and measure again"
            )


def _groups(
    table: Table, query: Table, likeness: Likeness, description: Description
) -> tuple[Ints, int]:
    """Number the patients, and say which one the query is; -1 for none of them."""
    each = np.arange(len(table.cases), dtype=np.int64)
    name = description.group
    if likeness.same_patient or not name:
        return each, -1
    whose = [_text(value) or f"?{row}" for row, value in enumerate(table.column(name).tolist())]
    number = {one: k for k, one in enumerate(dict.fromkeys(whose))}
    own = _text(query.columns[name].iloc[0]) if name in query.columns else ""
    return np.array([number[one] for one in whose], dtype=np.int64), number.get(own, -1)


def _text(value: object) -> str:
    """Name a patient; one number is one name, however a file writes it."""
    if is_gap(value):
        return ""
    return f"{value:.17g}" if isinstance(value, float | np.floating) else str(value).strip()


def _space(table: Table, query: Table, likeness: Likeness, description: Description) -> Space:
    if likeness.metric != "learned":
        return make_space(table, query, likeness.metric)
    if not description.outcome:
        raise ConfigError(
            "a learned distance must have an outcome to learn from, got none: name its column with "
            "--outcome, or choose another metric"
        )
    return learned_space(table, query, target_of(table, description), seed=likeness.seed)
