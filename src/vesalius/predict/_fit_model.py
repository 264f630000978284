"""Fit model: a recipe, fitted on all cases of a table, with what must be known to use it."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vesalius.core._provenance import Provenance, hash_json
from vesalius.predict._card import Card, Estimate, Validation
from vesalius.predict._coding import level_text, levels_of
from vesalius.predict._description import Description
from vesalius.predict._made_ready import made_ready
from vesalius.predict._model import Model, Training
from vesalius.predict._outcome import target_of
from vesalius.predict._pipeline import Recipe, fit_recipe
from vesalius.predict._recipe_text import recipe_to_json
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._typed import plain

EDGES = (0.01, 0.99)
"""Quantiles of a feature that bound its training range."""


def fit_model(
    table: Table, description: Description, recipe: Recipe, *, generator: torch.Generator
) -> Model:
    """Fit a recipe on all cases of a table.

    A step whose ``batch`` is empty gets the batch of the description. A recipe that harmonises is
    refused where batch and outcome cannot be told apart.

    Args:
        table: The training cases.
        description: What the columns mean.
        recipe: What is done.
        generator: For the salt of the case hashes; the fit depends on the seeds of the recipe.

    Returns:
        The model, without threshold and without card: :func:`with_validation` adds both.

    Raises:
        ConfigError: The outcome is a feature or a column that a step works with, batch and outcome
            cannot be told apart, or as :func:`fit_recipe`.
        RegionError: One class only, or too few cases.
    """
    target = target_of(table, description)
    recipe = made_ready(recipe, table, description, target)
    fitted = fit_recipe(recipe, table, target, groups=groups_of(table, description))
    record = Provenance(
        "predict fit",
        {"recipe": recipe_to_json(recipe), "description": plain(description)},
        {"table": table_hash(table)},
        parents=table.history,
    )
    return Model(
        fitted=fitted,
        recipe=recipe,
        description=description,
        classes=target.classes,
        parameters=table.parameters,
        training=_training(table.select(fitted.wanted), description, target, generator),
        threshold=float("nan"),
        provenance=record,
    )


def groups_of(table: Table, description: Description) -> tuple[str, ...]:
    """Give what inner folds must not split: the patient of each case; empty where none is named.

    Args:
        table: The cases.
        description: Names the group, or does not.

    Returns:
        (cases,) or empty.

    Raises:
        ConfigError: The group of a case is missing.
    """
    if not description.group:
        return ()
    levels_of(table, description.group)  # refuses gaps: who is unknown is not one patient
    return tuple(str(one) for one in table.column(description.group))


def with_validation(model: Model, validation: Validation) -> Model:
    """Give a model the report card of its recipe, and the threshold chosen there.

    Args:
        model: Fitted on all cases.
        validation: Of the same recipe on the same cases, in folds.

    Returns:
        The model with card and threshold.
    """
    card = card_to_json(validation.card) | {"plan": validation.plan}
    return replace(model, card=card, threshold=validation.card.threshold)


def card_to_json(card: Card) -> dict[str, Any]:
    """Give the figures of a card as JSON types; what is not a number is ``None``.

    Args:
        card: Of a validation.

    Returns:
        Kind, counts, scores with intervals, threshold and remarks; no curve.
    """
    return {
        "kind": card.kind,
        "cases": card.cases,
        "events": card.events,
        "scores": {name: figure_to_json(one) for name, one in card.scores.items()},
        "threshold": _number(card.threshold),
        "threshold_rule": card.threshold_rule,
        "remarks": list(card.remarks),
    }


def table_hash(table: Table) -> str:
    """Hash cases, features and values of a table: 16 hex digits."""
    digest = hashlib.sha256(hash_json([table.cases, table.features]).encode())
    digest.update(np.ascontiguousarray(table.values + 0.0).tobytes())
    return digest.hexdigest()[:16]


def case_hashes(values: Floats, salt: str) -> tuple[str, ...]:
    """Hash the values of each case.

    Args:
        values: (cases, features), in the order of the model's features; rounded to nine digits, so
            that a trip through a text file does not change them.
        salt: Of the model.

    Returns:
        16 hex digits for each case.
    """
    finite = np.where(np.isnan(values) | (values == 0), 1.0, values)
    digits = 8 - np.floor(np.log10(np.abs(finite)))
    # whole numbers, since a rounded fraction is not the same bits for two neighbours
    rounded = np.where(np.isnan(values), np.nan, np.rint(values * 10.0**digits))
    exponent = np.where(np.isnan(values) | (values == 0), 0.0, digits)
    rows = np.ascontiguousarray(np.concatenate([rounded + 0.0, exponent], axis=1))
    return tuple(hashlib.sha256(salt.encode() + row.tobytes()).hexdigest()[:16] for row in rows)


def _training(
    table: Table, description: Description, target: Target, generator: torch.Generator
) -> Training:
    salt = bytes(torch.randint(0, 256, (16,), generator=generator).tolist()).hex()
    low, high = _range(table.values)
    columns = {
        name: tuple(sorted({level_text(one) for one in table.column(name).dropna().tolist()}))
        for name in dict.fromkeys((description.batch, description.site))
        if name
    }
    events = int(target.events.sum()) if target.kind == "survival" else 0
    events = int(target.values.sum()) if target.kind == "binary" else events
    return Training(
        cases=len(table.cases),
        events=events,
        case_hashes=tuple(sorted(case_hashes(table.values, salt))),
        salt=salt,
        low=dict(zip(table.features, low.tolist(), strict=True)),
        high=dict(zip(table.features, high.tolist(), strict=True)),
        columns=columns,
        units=dict(table.units),
    )


def _range(values: Floats) -> tuple[Floats, Floats]:
    """Give the bounds of the training range; infinite for a feature that no case has."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        find = np.nanquantile if np.isnan(values).any() else np.quantile
        low, high = find(values, EDGES, axis=0)
    return np.nan_to_num(low, nan=-np.inf), np.nan_to_num(high, nan=np.inf)


def figure_to_json(estimate: Estimate) -> Mapping[str, Any]:
    """Give a figure and its interval as JSON types; what is not a number is ``None``."""
    numbers = {name: _number(getattr(estimate, name)) for name in ("value", "low", "high")}
    return {**numbers, "reason": estimate.reason}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
