"""What if: what a whole fitted recipe says of cases whose features are changed."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.errors import RegionError
from vesalius.predict._apply import apply_model, recalibrated
from vesalius.predict._model import Model, Prediction
from vesalius.predict._table import NOT_GIVEN, Floats, Table

Ints = NDArray[np.int64]
_ROOM = 4_000_000
"""Numbers that are predicted at a time."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class WhatIf:
    """A model, the cases it is asked about, and what it says of them as they are.

    Every change is made to the features as the table holds them; all steps of the recipe follow,
    and a case keeps its batch.

    Attributes:
        model: Fitted or loaded.
        table: The cases, with the features that the model wants and without their outcome.
        base: (cases, outputs) predictions of the cases as they are, recalibrated.
        alone: Whether each case is predicted by itself, so that versions of cases can be predicted
            in one table; a step may look at other visits of a patient.
        blocks: (cases,) number of the batch that a case is harmonised in; 0 for all where the
            recipe harmonises nothing.
    """

    model: Model
    table: Table
    base: Floats = field(repr=False)
    alone: bool
    blocks: Ints = field(repr=False)

    def predict(self, values: Floats) -> Floats:
        """Predict versions of the cases.

        Args:
            values: (versions, cases, features).

        Returns:
            (versions, cases, outputs).
        """
        versions, cases, features = values.shape
        if not versions:
            return np.zeros((0, *self.base.shape))
        step = max(1, _ROOM // max(cases * features, 1)) if self.alone else 1
        parts = [self._stacked(values[first : first + step]) for first in range(0, versions, step)]
        return np.concatenate(parts)

    def _stacked(self, values: Floats) -> Floats:
        versions, cases, features = values.shape
        table = self.table
        if versions > 1:
            rows = np.tile(np.arange(cases), versions)
            table = replace(
                table,
                cases=tuple(str(k) for k in range(versions * cases)),
                values=np.zeros((versions * cases, features)),
                columns=table.columns.iloc[rows].reset_index(drop=True),
                reasons={},
            )
        found = self.model.fitted.predict(_filled(table, values.reshape(-1, features)))
        return recalibrated(self.model, found).reshape(versions, cases, -1)

    def moving(self, order: Ints) -> tuple[int, ...]:
        """Find the features that move a prediction at all, by shuffling sets of them.

        Args:
            order: (cases,) where each case takes the features of a set from.

        Returns:
            Their places.
        """
        return self.moving_to(self.table.values[order])

    def moving_to(self, other: Floats) -> tuple[int, ...]:
        """Find the features that move a prediction at all, by halving sets of them.

        Args:
            other: (cases, features) what the features of a set are changed to.

        Returns:
            Their places. A set that moves nothing is not looked into, so a feature of it whose
            effect the others cancel in every case to the last bit is missed.
        """
        found: list[int] = []
        sets = [np.arange(len(self.table.features))] if self.table.features else []
        while sets:
            values = np.repeat(self.table.values[None], len(sets), axis=0)
            for k, chosen in enumerate(sets):
                values[k][:, chosen] = other[:, chosen]
            moved = (self.predict(values) != self.base).any(axis=(1, 2))
            left = [one for one, moves in zip(sets, moved, strict=True) if moves]
            found += [int(one[0]) for one in left if len(one) == 1]
            sets = [half for one in left if len(one) > 1 for half in np.array_split(one, 2)]
        return tuple(sorted(found))


def what_if(
    model: Model, table: Table, *, other_parameters: bool = False
) -> tuple[WhatIf, tuple[str, ...]]:
    """Make a model ready to be asked about changed cases.

    Args:
        model: Fitted or loaded.
        table: Cases with the features of the model.
        other_parameters: Whether features of other parameters are accepted.

    Returns:
        The model with its cases, and what must be known of the table.

    Raises:
        RegionError: There is no case.
        ConfigError: As :func:`apply_model`.
    """
    if not table.cases:
        raise RegionError("a model must be explained on cases, the table has none: give some")
    said = apply_model(model, table, other_parameters=other_parameters)
    hidden = {model.description.outcome, model.description.time}
    kept = [name for name in table.columns.columns if name not in hidden]
    known = replace(table.select(model.fitted.wanted), columns=table.columns[kept])
    one = WhatIf(model, known, said.scores, True, _blocks(model, known))
    return replace(one, alone=_alone(one)), _told(said)


def batches_of(model: Model) -> tuple[str, ...]:
    """Name the columns of batches that a model harmonises over."""
    found: dict[str, None] = {}
    for step in model.fitted.steps:
        settings = step.settings()
        for name in (settings.get("batch", ""), *settings.get("batches", ())):
            if name:
                found[str(name)] = None
    return tuple(found)


def shuffled(blocks: Ints, generator: torch.Generator) -> Ints:
    """Draw an order of the cases in which each takes the place of one of its own block.

    Args:
        blocks: (cases,) number of the block.
        generator: Of the draw.

    Returns:
        (cases,) where each takes its values from.
    """
    order = np.arange(len(blocks))
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        order[rows] = rows[torch.randperm(len(rows), generator=generator).numpy()]
    return order


def rotated(blocks: Ints, generator: torch.Generator) -> Ints:
    """Draw an order in which each case takes the place of another of its block, all in one circle.

    So a feature that differs within a block is changed for certain, be the block of two cases.

    Args:
        blocks: (cases,) number of the block.
        generator: Of the draw.

    Returns:
        (cases,) where each takes its values from.
    """
    order = np.arange(len(blocks))
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        drawn = rows[torch.randperm(len(rows), generator=generator).numpy()]
        order[drawn] = np.roll(drawn, 1)
    return order


def _told(said: Prediction) -> tuple[str, ...]:
    """Keep what matters to an explanation: nobody decides here, and there is no column of flags."""
    unlike = sum("outside of the training range" in text for text in said.table["flags"])
    told = [text for text in said.remarks if "parameters" in text]
    if unlike:
        told.append(
            f"{unlike} of {len(said.scores)} cases are unlike those that the model learned from: "
            "more than a tenth of their features lie outside of its range."
        )
    return tuple(told)


def _blocks(model: Model, table: Table) -> Ints:
    names = batches_of(model)
    if not names:
        return np.zeros(len(table.cases), dtype=np.int64)
    keys = [
        "\x1f".join(map(str, row)) for row in table.columns[list(names)].itertuples(index=False)
    ]
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _alone(one: WhatIf) -> bool:
    """Predict the cases beside themselves in reverse: who looks at other rows says otherwise."""
    if len(one.table.cases) * len(one.table.features) * 2 > _ROOM:
        return False
    both = np.stack([one.table.values, one.table.values[::-1]])
    apart = replace(one, alone=False).predict(both)
    return bool(np.allclose(one._stacked(both), apart, rtol=1e-9, atol=1e-12))


def _filled(table: Table, values: Floats) -> Table:
    reasons = {
        (table.cases[i], table.features[j]): NOT_GIVEN
        for i, j in zip(*np.nonzero(np.isnan(values)), strict=True)
    }
    return replace(table, values=values, reasons=reasons)
