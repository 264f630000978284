"""Recalibration judged: a model moved to another hospital, on cases that it was not moved by."""
# SPDX-License-Identifier: Apache-2.0

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
from vesalius.predict._splits import Split, parts
from vesalius.predict._table import Table


def recalibrated_validation(
    model: Model,
    table: Table,
    description: Description,
    *,
    method: Literal["intercept", "logistic"] = "intercept",
    split: Split,
    generator: torch.Generator,
) -> Validation:
    """Judge what recalibration on another hospital's cases gives, in folds of these cases.

    In each fold the model's probabilities, and its threshold with them, are moved by the other
    folds and judged on the one left out. The order of cases is that of the model within each fold.

    Args:
        model: Of two classes.
        table: Cases of the other hospital.
        description: What its columns mean; the outcome must be there.
        method: The shift of the log odds alone, or shift and stretch.
        split: How the cases are parted.
        generator: For the intervals of the card.

    Returns:
        The card and every prediction.

    Raises:
        ConfigError: As :func:`recalibrate`, or the split does not fit the table.
        ConvergenceError: The scores part the classes of a training part.
    """
    target = target_of(table, description)
    chosen = parts(split, table, description, target)
    scores, thresholds, rows, folds, repeats, names = [], [], [], [], [], []
    for number, part in enumerate(chosen):
        moved = recalibrate(model, table.rows(part.train), description, method=method)
        said = apply_model(moved, table.rows(part.test)).scores
        scores.append(said)
        thresholds.append(np.full(len(said), moved.threshold))
        rows.append(np.asarray(part.test, dtype=np.int64))
        folds.append(np.full(len(said), number, dtype=np.int64))
        repeats.append(np.full(len(said), part.repeat, dtype=np.int64))
        names += [part.name] * len(said)
    order = np.concatenate(rows)
    chosen_at = np.concatenate(thresholds)
    judged = Judged(
        target.rows(order),
        np.concatenate(scores),
        order,
        np.concatenate(folds),
        np.concatenate(repeats),
        np.zeros(0) if np.isnan(chosen_at).any() else chosen_at,
        Threshold("fixed"),
    )
    card = make_card(judged, table=table, description=description, generator=generator)
    plan = (
        f"Recalibration ({method}) learned on part of the other hospital's cases and judged on the "
        f"rest, {len(chosen)} times."
    )
    return Validation(card, held_out_frame(table, judged, names), plan=plan)
