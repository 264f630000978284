"""Report cards: predictions judged, thresholds chosen, models compared, checklists filled."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._auc import AucDifference, difference_of_auc
from vesalius.predict._card import Card, Curve, Estimate, Subgroup, Threshold
from vesalius.predict._checklists import Item, clear, tripod_ai
from vesalius.predict._compare_cards import Contest, compare_cards
from vesalius.predict._judged import Judged, judged_once
from vesalius.predict._make_card import make_card
from vesalius.predict._threshold import choose_threshold

__all__ = [
    "AucDifference",
    "Card",
    "Contest",
    "Curve",
    "Estimate",
    "Item",
    "Judged",
    "Subgroup",
    "Threshold",
    "choose_threshold",
    "clear",
    "compare_cards",
    "difference_of_auc",
    "judged_once",
    "make_card",
    "tripod_ai",
]
