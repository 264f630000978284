"""Make card: turn predictions of held-out cases into a report card."""
# SPDX-License-Identifier: Apache-2.0

import torch

from vesalius.predict._card import Card
from vesalius.predict._description import Description
from vesalius.predict._judged import Judged
from vesalius.predict._table import Table


def make_card(
    judged: Judged, *, table: Table, description: Description, generator: torch.Generator
) -> Card:
    """Judge predictions of held-out cases.

    Args:
        judged: The predictions and their truth.
        table: The cases that ``judged.cases`` counts.
        description: What the columns mean: patients are resampled whole, subgroups are compared.
        generator: For the bootstrap.

    Returns:
        The report card.
    """
    raise NotImplementedError
