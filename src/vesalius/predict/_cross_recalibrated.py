"""Recalibration judged: a model moved to another hospital, on cases that it was not moved by."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from vesalius.predict._apply import apply_model, recalibrate
from vesalius.predict._card import Threshold, Validation
from vesalius.predict._description import Description
from vesalius.predict._judged import Judged
from vesalius.predict._make_card import make_card
from vesalius.predict._model import Model
from vesalius.predict._nested import held_out_frame
from vesalius.predict._outcome import target_of
from vesalius.predict._splits import Part, Split, parts
from vesalius.predict._table import Floats, Table
from vesalius.predict._training import blind, hidden_columns


def recalibrated_validation(
    model: Model,
    table: Table,
    description: Description,
    *,
    method: Literal["intercept", "logistic"] = "intercept",
    split: Split,
    generator: torch.Generator,
    other_parameters: bool = False,
) -> Validation:
    """Judge what recalibration on another hospital's cases gives, in folds of these cases.

    In each fold the model's probabilities, and its threshold with them, are moved by the other
    folds and judged on the one left out. It stays one model: cases of all folds are ranked together
    by the probabilities that were not moved, so that the AUC is that of the model as it is, and no
    interval is widened, since no training shares cases with another. What is judged is the
    calibration that as many cases buy.

    Args:
        model: Of two classes.
        table: Cases of the other hospital.
        description: What its columns mean; the outcome must be there.
        method: The shift of the log odds alone, or shift and stretch.
        split: How the cases are parted.
        generator: For the intervals of the card.
        other_parameters: Use features that were made with other parameters all the same.

    Returns:
        The card and every prediction.

    Raises:
        ConfigError: As :func:`recalibrate`, or the split does not fit the table.
        ConvergenceError: As :func:`recalibrate`, in a training part.
    """
    if description.kind == "binary" and not description.positive:
        description = replace(description, positive=model.classes[1])
    target = target_of(table, description)
    chosen = parts(split, table, description, target)
    known = blind(table, hidden_columns(description))
    still = apply_model(model, known, other_parameters=other_parameters).scores[:, 0]
    moved = [
        recalibrate(
            model,
            table.rows(part.train),
            description,
            method=method,
            other_parameters=other_parameters,
        )
        for part in chosen
    ]
    scores = [
        apply_model(one, known.rows(part.test), other_parameters=other_parameters).scores
        for one, part in zip(moved, chosen, strict=True)
    ]
    rows = np.concatenate([part.test for part in chosen])
    judged = Judged(
        target.rows(rows),
        np.concatenate(scores),
        rows,
        np.zeros(len(rows), dtype=np.int64),
        _each(chosen, [part.repeat for part in chosen]).astype(np.int64),
        np.zeros(0) if np.isnan(model.threshold) else _each(chosen, [m.threshold for m in moved]),
        Threshold("fixed"),
        order=still[rows],
    )
    plan = (
        f"Recalibration ({method}) learned on part of the other hospital's cases and judged on the "
        f"rest, {len(chosen)} times; cases are ranked by the model as it is."
    )
    return Validation(
        make_card(judged, table=table, description=description, generator=generator),
        held_out_frame(table, judged, [part.name for part in chosen for _ in part.test]),
        plan=plan,
    )


def _each(chosen: tuple[Part, ...], values: list[int] | list[float]) -> Floats:
    """Give a value of each part to every case that it tests."""
    sizes = [len(part.test) for part in chosen]
    return np.repeat(np.asarray(values, dtype=np.float64), sizes)
