"""Told: what a harmonisation found, as its page and its files need it."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from vesalius.predict import Table
from vesalius.predict.adjust import BatchEffects, Design, Effects
from vesalius.predict.harmonise import Harmonised
from vesalius.study.predict._harmonise_job import HarmoniseJob


@final
@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A table, looked at.

    Attributes:
        table: The table.
        effects: What its batches change.
        outcome: What its features have to do with the outcome; None where none was named.
    """

    table: Table
    effects: BatchEffects
    outcome: Effects | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A run.

    Attributes:
        source: Name of the file.
        job: What was asked.
        design: How batch and outcome lie to each other; None where no outcome was named.
        before: The table as it came.
        after: The harmonised one; None where nothing was harmonised.
        done: The harmonisation; None where there was none.
        record: Provenance, JSON types.
    """

    source: str
    job: HarmoniseJob
    design: Design | None
    before: Seen
    after: Seen | None
    done: Harmonised | None
    record: Mapping[str, object] = field(default_factory=dict)

    @property
    def batch(self) -> str:
        """Column of the batch."""
        return self.job.columns.description.batch

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be known before the table is used, the gravest first."""
        found: list[str] = []
        if self.done is not None:
            found.append(
                "This table was harmonised on all of its cases together. Look at it and compare "
                "groups, but do not cross-validate a model on it: each case had a part in the "
                "treatment of all others. For a model put the step into the recipe, where it is "
                "learned inside the folds."
            )
            outcome = self.job.columns.description.outcome
            if outcome and outcome in self.job.kept:
                found.append(
                    f"The outcome {outcome!r} was kept while harmonising, so the features now hold "
                    "it: no prediction of it from this table means anything."
                )
        if self.design is not None:
            if self.design.refusal:
                found.append(
                    "Batch and outcome cannot be told apart, and you asked to go on: "
                    f"{self.design.refusal} What is left of the outcome in this table is not known."
                )
            found += self.design.verdicts
        found += self.before.effects.remarks
        found += self.done.remarks if self.done is not None else ()
        found += self._shape()
        if self.after is not None and self.after.outcome is not None:
            found += self.after.outcome.verdicts
        return tuple(dict.fromkeys(found))

    def _shape(self) -> tuple[str, ...]:
        """Say whether what is left is a difference of shape, which location and scale leave."""
        if self.after is None:
            return ()
        left = self.after.effects.affected
        place = left.get("adjusted", left["kruskal"])
        if left["anderson"] < 0.2 or place > left["anderson"] / 2:
            return ()
        return (
            f"{left['anderson']:.0%} of the features still differ between batches, and "
            f"{place:.0%} in their location: what is left is a difference of shape. Features with "
            "long tails are better brought to a logarithm first.",
        )
