"""Leaks: ways by which a model may have known the test cases, or the outcome, before."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._card import Leak
from vesalius.predict._description import Description
from vesalius.predict._leak_history import fitted_on_all
from vesalius.predict._leak_outcome import betraying_names, outcome_in_features
from vesalius.predict._leak_rows import alike_cases, one_patient, sorted_rows
from vesalius.predict._splits import Split, parts
from vesalius.predict._table import Table
from vesalius.predict._target import Target


def find_leaks(
    table: Table, description: Description, target: Target, *, split: Split
) -> tuple[Leak, ...]:
    """Look for ways by which test cases, or the outcome itself, may be known to the model.

    ``certain`` is said of what chance cannot explain: the same values for two cases, the outcome
    under another name, a harmonisation or a selection that saw every case. ``suspect`` is said of
    what has innocent explanations and must be looked at. Nothing found is no proof of innocence:
    an outcome that was known to whoever drew the contours leaves no trace in a table.

    Args:
        table: The cases.
        description: What the columns mean.
        target: Their outcome.
        split: How cases are parted: a patient that is kept whole does not leak.

    Returns:
        What was found, the certain ones first.

    Raises:
        ConfigError: The split does not fit the table.
    """
    chosen = parts(split, table, description, target)
    fixed = split.method in ("leave_one_site_out", "temporal")
    found = [
        *alike_cases(table, description, chosen if fixed else ()),
        *one_patient(table, description),
        *outcome_in_features(table, description, target),
        *betraying_names(table, description),
        *fitted_on_all(table, description, target),
        *sorted_rows(table, description, target, in_time=split.method == "temporal"),
    ]
    return tuple(sorted(found, key=lambda leak: leak.severity))
