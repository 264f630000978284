"""Coding: columns of a table as numbers: batches as counts from 0, covariates as a design."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._table import Floats, Table

if TYPE_CHECKING:
    import pandas as pd

Codes = NDArray[np.int64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A column of texts as numbers.

    Attributes:
        column: Its name.
        names: Its values, sorted.
        codes: (cases,) place of each case's value in ``names``.
    """

    column: str
    names: tuple[str, ...]
    codes: Codes = field(repr=False)

    @property
    def counts(self) -> Codes:
        """(levels,) cases of each."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)

    @property
    def indicators(self) -> Floats:
        """(cases, levels) 1 where the case has the level."""
        return np.asarray(self.codes[:, None] == np.arange(len(self.names)), dtype=np.float64)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Columns as the terms of a linear model, without a constant.

    Attributes:
        names: Of the terms: a column of numbers, or ``column=level``.
        columns: The column that each term comes from.
        values: (cases, terms).
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    values: Floats = field(repr=False)


def levels_of(table: Table, column: str) -> Levels:
    """Give a column as levels; whole numbers are read as texts, 2 and 2.0 alike.

    Args:
        table: The cases.
        column: Name of the column.

    Returns:
        The levels, sorted as texts.

    Raises:
        ConfigError: There is no such column, or it has a gap.
    """
    texts = [level_text(value) for value in _known(table, column).tolist()]
    names, codes = np.unique(np.array(texts, dtype=object), return_inverse=True)
    return Levels(column, tuple(str(name) for name in names), codes.astype(np.int64))


def terms_of(table: Table, columns: Sequence[str]) -> Terms:
    """Give columns as terms: numbers as they are, texts as an indicator of each level but one.

    Args:
        table: The cases.
        columns: Names of the columns.

    Returns:
        The terms. A text of one level gives none.

    Raises:
        ConfigError: A column is absent, has a gap, or holds an infinite number.
    """
    names: list[str] = []
    origins: list[str] = []
    parts = [np.zeros((len(table.cases), 0))]
    for column in dict.fromkeys(columns):
        if is_number(table, column):
            own, part = [column], _numbers(table, column)[:, None]
        else:
            levels = levels_of(table, column)
            own = [f"{column}={name}" for name in levels.names[1:]]
            part = levels.indicators[:, 1:]
        names += own
        origins += [column] * len(own)
        parts.append(part)
    return Terms(tuple(names), tuple(origins), np.concatenate(parts, axis=1))


def is_number(table: Table, column: str) -> bool:
    """Say whether a column holds numbers; true and false are levels."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    of = table.column(column)
    return bool(is_numeric_dtype(of.dtype) and not is_bool_dtype(of.dtype))


def alike_gaps(values: Floats) -> list[tuple[Codes, Codes]]:
    """Group features that the same cases have.

    Args:
        values: (cases, features), NaN for a gap.

    Returns:
        For each group the places of its cases and of its features.
    """
    gaps = np.isnan(values)
    groups: dict[bytes, list[int]] = {}
    for j in range(gaps.shape[1]):
        groups.setdefault(gaps[:, j].tobytes(), []).append(j)
    return [
        (np.flatnonzero(~gaps[:, places[0]]).astype(np.int64), np.array(places, dtype=np.int64))
        for places in groups.values()
    ]


def _numbers(table: Table, column: str) -> Floats:
    values = np.asarray(_known(table, column).to_numpy(dtype=np.float64))
    if not np.isfinite(values).all():
        case = table.cases[int(np.argmin(np.isfinite(values)))]
        raise ConfigError(
            f"column {column!r} must hold finite numbers, case {case!r} has an infinite one: "
            "correct it, or leave the case out"
        )
    return values


def _known(table: Table, column: str) -> "pd.Series":
    of = table.column(column)
    absent = of.isna().to_numpy()
    if absent.any():
        case = table.cases[int(np.argmax(absent))]
        raise ConfigError(
            f"column {column!r} must have a value for every case, {int(absent.sum())} have none, "
            f"the first is {case!r}: fill it in, or leave these cases out"
        )
    return of


def level_text(value: object) -> str:
    """Say a value of a column as the name of a level: whole numbers are read alike, 2 and 2.0."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
