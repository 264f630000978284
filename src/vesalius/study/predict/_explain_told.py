"""Told: what an explanation found, before anything is drawn."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from vesalius.core import Image
from vesalius.predict import Model, Table
from vesalius.predict.explain import (
    Counterfactuals,
    PartialDependence,
    PermutationImportance,
    Shapley,
    VoxelMap,
)
from vesalius.study.predict._explain_job import ExplainJob


@final
@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A picture and what its voxels do to a prediction.

    Attributes:
        image: The picture.
        found: The map on its grid.
    """

    image: Image
    found: VoxelMap


@final
@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What was found.

    Attributes:
        source: Name of the table.
        job: What was asked.
        model: Whose predictions are explained.
        table: The cases.
        importance: What the score rests on; None where the table has no outcome.
        curves: Of the features looked at closely.
        shares: What each feature adds to each prediction.
        ways: To the other decision for the case in question; None for none.
        mapped: The picture of the case with what its voxels do; None for none.
        remarks: What must be known first.
        record: Provenance, JSON types.
    """

    source: str
    job: ExplainJob
    model: Model
    table: Table
    importance: PermutationImportance | None
    curves: tuple[PartialDependence, ...]
    shares: Shapley
    ways: Counterfactuals | None
    mapped: Mapped | None = None
    remarks: tuple[str, ...] = ()
    record: Mapping[str, object] = field(default_factory=dict)
