"""External validation: a fitted model judged on another hospital, as it is."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import torch

from vesalius.errors import ConfigError
from vesalius.predict._apply import apply_model
from vesalius.predict._card import Leak, Threshold, Validation
from vesalius.predict._description import Description
from vesalius.predict._judged import judged_once
from vesalius.predict._make_card import make_card
from vesalius.predict._meeting import seen_cases
from vesalius.predict._model import Model
from vesalius.predict._nested import held_out_frame
from vesalius.predict._outcome import target_of
from vesalius.predict._table import Table
from vesalius.predict._training import blind, hidden_columns

_NAMED = 20


def external(
    model: Model,
    table: Table,
    description: Description,
    *,
    generator: torch.Generator,
    other_parameters: bool = False,
    times: tuple[float, ...] = (),
) -> Validation:
    """Judge a model on cases of another hospital; nothing is learned from them.

    Args:
        model: Fitted or loaded, with its threshold and recalibration.
        table: The other cases, with their outcome.
        description: What the columns of this table mean.
        generator: For the intervals.
        other_parameters: Use features that were made with other parameters all the same.
        times: At which the risk is judged, for survival.

    Returns:
        The card and every prediction; a leak where cases were trained on.

    Raises:
        ConfigError: The kind of outcome or its classes are not those of the model, or the features
            do not fit.
    """
    if description.kind != model.description.kind:
        raise ConfigError(
            f"the outcome must be of the kind that the model predicts, {model.description.kind!r}, "
            f"got {description.kind!r}: describe the table as the model's was"
        )
    if description.kind == "binary" and not description.positive:
        description = replace(description, positive=model.classes[1])
    target = target_of(table, description)
    if target.classes != model.classes:
        raise ConfigError(
            f"the outcome must have the classes of the model, {', '.join(model.classes)}, got "
            f"{', '.join(target.classes)}: write them alike"
        )
    unseen = blind(table, hidden_columns(description))
    said = apply_model(model, unseen, other_parameters=other_parameters)
    judged = judged_once(
        target,
        said.scores,
        threshold=model.threshold if target.kind == "binary" else float("nan"),
        rule=Threshold("fixed"),
        times=times,
    )
    return Validation(
        card=make_card(judged, table=table, description=description, generator=generator),
        held_out=held_out_frame(table, judged, ["external"] * len(table.cases)),
        leaks=_met_before(model, table),
        plan=(
            f"External validation: a model of {model.training.cases} cases applied as it is to "
            f"{len(table.cases)} others."
        ),
        remarks=said.remarks + _unknown(model),
    )


def _unknown(model: Model) -> tuple[str, ...]:
    if model.training.case_hashes:
        return ()
    return (
        "The model keeps no hashes of the cases that it learned from, as one of several hospitals: "
        "whether it has seen these is not known.",
    )


def _met_before(model: Model, table: Table) -> tuple[Leak, ...]:
    seen = seen_cases(model, table)
    if not seen:
        return ()
    text = (
        f"{len(seen)} of {len(table.cases)} cases have the values of cases that the model was "
        f"trained on ({seen[0]!r}): leave them out, the figures flatter."
    )
    return (Leak("duplicate", "certain", text, seen[:_NAMED]),)
