"""Batches: the batch of each case, and what a harmonisation says of one too small."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._coding import Levels, levels_of
from vesalius.predict._table import Table


def batches_of(table: Table, column: str, who: str) -> Levels:
    """Give the batch of each case.

    Args:
        table: The cases.
        column: That names the batch.
        who: What asks, for the message.

    Returns:
        The batches, sorted.

    Raises:
        ConfigError: No column is named, it is absent, or it has a gap.
    """
    if not column:
        raise ConfigError(
            f"{who} must know the column of the batch, got none: name it with batch=, or describe "
            "the batch"
        )
    return levels_of(table, column)


def each_batch(levels: Levels) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Give each batch's name and the places of its cases."""
    for code, name in enumerate(levels.names):
        yield name, np.flatnonzero(levels.codes == code)


def check_sizes(cases: Mapping[str, int], who: str, way_out: str = "") -> None:
    """Refuse batches of one case.

    Args:
        cases: Of each batch.
        who: What cannot learn from them, for the message.
        way_out: What else can be done, for the message.

    Raises:
        RegionError: Names the first.
    """
    if single := [name for name, count in cases.items() if count < 2]:
        raise RegionError(
            f"{who} must have at least 2 cases of a batch for its spread, got {cases[single[0]]} "
            f"of {single[0]!r} ({len(single)} such batches): join it with another batch, or leave "
            f"the case out{way_out}"
        )


def check_reference(reference: str, names: tuple[str, ...]) -> None:
    """Refuse a reference that is no batch.

    Args:
        reference: Asked for; empty for none.
        names: The batches.

    Raises:
        ConfigError: It is not among them.
    """
    if reference and reference not in names:
        raise ConfigError(
            f"the reference must be one of the batches, got {reference!r} and batches "
            f"{', '.join(map(repr, names[:8]))}: name one of these"
        )
