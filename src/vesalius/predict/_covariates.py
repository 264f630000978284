"""Covariates: columns that a harmonisation keeps, as the terms that the training cases define."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._coding import is_number, levels_of
from vesalius.predict._table import Floats, Table


def learn_levels(table: Table, columns: Sequence[str]) -> dict[str, list[str]]:
    """Learn what the columns hold.

    Args:
        table: The training cases.
        columns: Names.

    Returns:
        By column: the levels of a text, sorted; an empty list for numbers.

    Raises:
        ConfigError: A column is absent or has a gap.
    """
    return {
        name: [] if is_number(table, name) else list(levels_of(table, name).names)
        for name in columns
    }


def term_names(levels: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Name the terms: a column of numbers, or ``column=level`` for each level but the first."""
    return tuple(
        term
        for column, names in levels.items()
        for term in ([f"{column}={name}" for name in names[1:]] if names else [column])
    )


def term_values(table: Table, levels: Mapping[str, Sequence[str]], typical: Floats) -> Floats:
    """Give the terms of cases.

    Args:
        table: Any cases.
        levels: As learned.
        typical: (terms,) what a case without a value gets; empty where there must be none.

    Returns:
        (cases, terms).

    Raises:
        ConfigError: A column is absent, has a gap where none may be, holds texts where the
            training had numbers, or a level that the training had not.
    """
    parts = [np.zeros((len(table.cases), 0))]
    at = 0
    for column, names in levels.items():
        width = len(names) - 1 if names else 1
        parts.append(_one(table, column, names, typical[at : at + width]))
        at += width
    return np.concatenate(parts, axis=1)


def _one(table: Table, column: str, names: Sequence[str], typical: Floats) -> Floats:
    known = ~table.column(column).isna().to_numpy()
    width = len(names) - 1 if names else 1
    if not known.all() and not typical.size and width:
        raise ConfigError(
            f"the covariate {column!r} must be known of every training case, case "
            f"{table.cases[int(np.argmin(known))]!r} has none: fill it in, or leave the case out"
        )
    values = np.tile(typical, (len(known), 1)) if typical.size else np.zeros((len(known), width))
    if known.any():
        # without the features, which need not be copied
        values[known] = _known(table.select(()).rows(np.flatnonzero(known)), column, names)
    return values


def _known(table: Table, column: str, names: Sequence[str]) -> Floats:
    if not names:
        if not is_number(table, column):
            raise ConfigError(
                f"the covariate {column!r} must be a number as in training, got texts such as "
                f"{str(table.column(column).iloc[0])!r}: give numbers"
            )
        values = table.column(column).to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            case = table.cases[int(np.argmin(np.isfinite(values)))]
            raise ConfigError(
                f"the covariate {column!r} must be finite, case {case!r} has an infinite value: "
                "correct it, or leave the case out"
            )
        return np.asarray(values[:, None])
    levels = levels_of(table, column)
    if new := [name for name in levels.names if name not in names]:
        raise ConfigError(
            f"the covariate {column!r} must have a level of the training, got {new[0]!r} where "
            f"there were {', '.join(map(repr, list(names)[:8]))}: leave the cell empty where the "
            "value is not known"
        )
    place = np.array([list(names).index(name) for name in levels.names])
    return np.asarray(place[levels.codes][:, None] == np.arange(1, len(names)), dtype=np.float64)
