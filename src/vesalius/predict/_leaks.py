"""Leaks: ways by which a model may have known the test cases, or the outcome, before."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._card import Leak
from vesalius.predict._description import Description
from vesalius.predict._splits import Split
from vesalius.predict._table import Table
from vesalius.predict._target import Target


def find_leaks(
    table: Table, description: Description, target: Target, *, split: Split
) -> tuple[Leak, ...]:
    """Look for leaks."""
    return ()
