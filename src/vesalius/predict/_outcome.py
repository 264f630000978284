"""Outcome: a column of a table as numbers, or a refusal that says why it cannot be predicted."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import ConfigError, IntensityError, RegionError
from vesalius.predict._description import Description
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_YES = ("1", "true", "yes", "positive", "event", "dead")
MOST_CLASSES = 20


def target_of(table: Table, description: Description) -> Target:
    """Take the outcome out of a table.

    Args:
        table: The cases.
        description: Which column it is, and of which kind.

    Returns:
        The outcome of every case.

    Raises:
        ConfigError: No outcome is named, it is a feature, the column is absent, a class is not
            there, or the column does not fit the kind.
        IntensityError: An outcome is missing, or a time is negative.
        RegionError: There is one class only, or no event was seen.
    """
    if not description.outcome:
        raise ConfigError("an outcome must be named, got none: give the column with --outcome")
    for name in (description.outcome, description.time):
        if name and name in table.features:
            raise ConfigError(
                f"the outcome must not be a feature, {name!r} is both: read the table with this "
                "description, so that it becomes a column"
            )
    texts = _texts(table, description.outcome)
    if description.kind == "number":
        values = _numbers(table, description.outcome)
        if float(np.ptp(values)) == 0.0:
            raise RegionError(
                f"an outcome must differ between cases, {description.outcome!r} is {values[0]:g} "
                "in all of them: there is nothing to predict"
            )
        return Target("number", values)
    if description.kind == "survival":
        return _survival(table, description, texts)
    names = tuple(sorted(set(texts), key=_order))
    if len(names) == 1:
        raise RegionError(
            f"an outcome must have at least two classes, {description.outcome!r} is {names[0]!r} "
            f"in all {len(texts)} cases: add cases without it"
        )
    if description.kind == "binary":
        names = _binary(names, texts, description)
    elif len(names) > MOST_CLASSES:
        raise ConfigError(
            f"an outcome of classes must have at most {MOST_CLASSES}, {description.outcome!r} has "
            f"{len(names)}: say that it is a number (kind: number)"
        )
    place = {name: k for k, name in enumerate(names)}
    return Target(description.kind, np.array([place[t] for t in texts], dtype=np.float64), names)


def _texts(table: Table, name: str) -> list[str]:
    cells = table.column(name).tolist()
    texts = [_text(cell) for cell in cells]
    if "" in texts:
        gone = [table.cases[k] for k, text in enumerate(texts) if not text]
        raise IntensityError(
            f"every case must have an outcome, {len(gone)} have none in {name!r} (the first is "
            f"{gone[0]!r}): leave these rows out"
        )
    return texts


def _text(cell: object) -> str:
    if isinstance(cell, float | np.floating):
        # to the last digit: classes that differ are not made one; 0.0 takes the sign from zero
        return "" if cell != cell else repr(float(cell) + 0.0).removesuffix(".0")
    return "" if cell is None else str(cell).strip()


def _order(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _numbers(table: Table, name: str) -> Floats:
    column = table.column(name)
    if column.dtype.kind not in "fiub":
        raise ConfigError(
            f"{name!r} must hold numbers, got {str(column.iloc[0])!r}: check the column, or say "
            "kind: classes"
        )
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        gone = table.cases[int(np.argmin(np.isfinite(values)))]
        raise IntensityError(f"{name!r} must be finite, it is not for case {gone!r}: leave it out")
    return values


def _binary(names: tuple[str, ...], texts: list[str], description: Description) -> tuple[str, ...]:
    if len(names) > 2:
        raise ConfigError(
            f"a binary outcome must have two classes, {description.outcome!r} has {len(names)} "
            f"({', '.join(names[:4])}...): say kind: classes or kind: number"
        )
    positive = description.positive
    if positive:
        if positive not in names:
            raise ConfigError(
                f"the positive class must be one of {names[0]!r} and {names[1]!r}, got "
                f"{positive!r}: check its spelling"
            )
    else:
        known = [name for name in names if name.lower() in _YES]
        positive = known[0] if len(known) == 1 else min(names, key=lambda n: (texts.count(n), n))
    return (*(name for name in names if name != positive), positive)


def _survival(table: Table, description: Description, texts: list[str]) -> Target:
    times = _numbers(table, description.time)
    if (times < 0).any():
        gone = int(np.argmax(times < 0))
        raise IntensityError(
            f"times must not be negative, {description.time!r} is {times[gone]:g} for case "
            f"{table.cases[gone]!r}: count from the day of the image"
        )
    names = sorted(set(texts), key=_order)
    if len(names) > 2 or not {n.lower() for n in names} <= {*_YES, "0", "false", "no"}:
        raise ConfigError(
            f"an event must be 1 (seen) or 0 (not seen), {description.outcome!r} holds "
            f"{', '.join(repr(n) for n in names[:4])}"
        )
    events = np.array([text.lower() in _YES for text in texts])
    if not events.any():
        raise RegionError(
            f"at least one event must have been seen, {description.outcome!r} has none in "
            f"{len(texts)} cases: follow up longer"
        )
    return Target("survival", times, ("censored", "event"), events)
