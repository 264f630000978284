"""Meeting: a model and a table that it has not seen, or has: which columns, which cases."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import ConfigError
from vesalius.io.tables import read_note, read_rows
from vesalius.predict._description import Description
from vesalius.predict._fit_model import case_hashes
from vesalius.predict._model import Model
from vesalius.predict._read import as_table, table_file
from vesalius.predict._table import Table

if TYPE_CHECKING:
    import pandas as pd


def table_for(model: Model, path: str | Path, *, outcome: bool = True) -> tuple[Table, Description]:
    """Read a table that a model is to meet.

    Args:
        model: Fitted or loaded.
        path: CSV, Parquet or the folder of a cohort.
        outcome: Whether the outcome must be there.

    Returns:
        The table with the features that the model wants, and the model's description as far as the
        table has its columns.

    Raises:
        ConfigError: The outcome or a feature is absent, or a feature holds text.
        FormatError: The file is no table.
    """
    path = table_file(path)
    frame, note = read_rows(path), read_note(path)
    description = _known(model.description, [str(name) for name in frame.columns])
    asked = model.description.outcome
    if outcome and description.outcome != asked:
        raise ConfigError(
            f"the table must have the outcome of the model, {asked!r}, it has not: to predict "
            "cases whose outcome is not known use 'vesalius predict apply'"
        )
    if outcome and description.kind != model.description.kind:
        raise ConfigError(
            f"the table must have the times of the model, {model.description.time!r}, it has not: "
            "add the column"
        )
    frame = _numbers(frame, model.fitted.wanted)
    return as_table(frame, description, note=note).select(model.fitted.wanted), description


def _numbers(frame: "pd.DataFrame", wanted: Sequence[str]) -> "pd.DataFrame":
    """Take a feature that no case has as a gap of each; a file does not say that it is a number."""
    there = [name for name in wanted if name in frame and frame[name].dtype.kind not in "fiub"]
    blank = {}
    for name in there:
        said = [text for text in frame[name].tolist() if text != ""]
        if said:
            raise ConfigError(
                f"a feature must be a number, {name!r} holds text such as {said[0][:30]!r}: write "
                "it with a point, or leave the cell empty where there is no value"
            )
        blank[name] = float("nan")
    return frame.assign(**blank) if blank else frame


def seen_cases(model: Model, table: Table) -> tuple[str, ...]:
    """Find the cases of a table that a model was trained on, by their values.

    Args:
        model: Fitted or loaded.
        table: Any cases with the features of the model.

    Returns:
        Their names, in the order of the table.
    """
    known = set(model.training.case_hashes)
    values = table.select(model.fitted.wanted).values
    met = case_hashes(values, model.training.salt) if known else ()
    return tuple(case for case, one in zip(table.cases, met, strict=bool(met)) if one in known)


def _known(description: Description, names: Iterable[str]) -> Description:
    """Keep the roles whose columns are there."""
    there = set(names)
    changed: dict[str, Any] = {}
    for one in fields(Description):
        value = getattr(description, one.name)
        if one.name in ("kind", "positive", "positive_is") or not value:
            continue
        if isinstance(value, tuple):
            changed[one.name] = tuple(name for name in value if name in there)
        elif value not in there:
            changed[one.name] = ""
    if description.kind == "survival" and not changed.get("time", description.time):
        changed["kind"] = "binary"
    return replace(description, **changed)
