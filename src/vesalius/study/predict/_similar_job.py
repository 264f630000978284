"""Job of a search: which case, among which, by which likeness; and what was found."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from vesalius.predict import Description, Table
from vesalius.predict.retrieve import Likeness, Similar
from vesalius.study.predict._job import Columns


@final
@dataclass(frozen=True, slots=True)
class SimilarJob:
    """What is asked of a search.

    Attributes:
        columns: Of the table; the description's ``group`` names the patient and its ``outcome`` is
            told beside the neighbours.
        k: How many cases.
        likeness: What is meant by alike.
    """

    columns: Columns = field(default_factory=Columns)
    k: int = 10
    likeness: Likeness = field(default_factory=Likeness)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """A search that was made.

    Attributes:
        source: Name of the table.
        folder: Of the cohort; the folder of the table where it is a file.
        job: As it was asked for.
        description: As it was used.
        same: What every compared case has in common with the one asked for, by column.
        table: The cases among which was searched.
        similar: What was found.
        facts: Name and value of what is said first.
        record: Provenance, JSON types.
    """

    source: str
    folder: Path
    job: SimilarJob
    description: Description
    same: Mapping[str, str]
    table: Table = field(repr=False)
    similar: Similar
    facts: tuple[tuple[str, str], ...] = ()
    record: Mapping[str, object] = field(default_factory=dict, repr=False)
