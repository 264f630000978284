"""From tables of features to decisions that can be defended: harmonise, select, fit, validate.

Floor 7. A ``Table`` holds features of cases; a ``Description`` says what its columns mean; a
``Recipe`` of steps and an estimator is fitted, validated on cases that it has not seen, and becomes
a ``Model``, which is saved as JSON and arrays. Sub-rooms: ``harmonise``, ``adjust``, ``select``,
``estimators``, ``models``, ``validate``, ``card``, ``survival``, ``views``, ``explain``,
``retrieve``, ``federate``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._card import (
    Card,
    Curve,
    Estimate,
    Fold,
    Leak,
    Subgroup,
    Threshold,
    Validation,
)
from vesalius.predict._description import Description
from vesalius.predict._learned import Estimator, Step
from vesalius.predict._model import Model, Prediction
from vesalius.predict._outcome import target_of
from vesalius.predict._pipeline import Fitted, Recipe, Tuning, fit_recipe
from vesalius.predict._read import as_table, frame_of, note_of, read_table
from vesalius.predict._table import Table
from vesalius.predict._target import Target

__all__ = [
    "Card",
    "Curve",
    "Description",
    "Estimate",
    "Estimator",
    "Fitted",
    "Fold",
    "Leak",
    "Model",
    "Prediction",
    "Recipe",
    "Step",
    "Subgroup",
    "Table",
    "Target",
    "Threshold",
    "Tuning",
    "Validation",
    "as_table",
    "fit_recipe",
    "frame_of",
    "note_of",
    "read_table",
    "target_of",
]
