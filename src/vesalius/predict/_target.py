"""Target: the outcome of each case as numbers, checked once."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.predict._description import Kind
from vesalius.predict._table import Floats

Bools = NDArray[np.bool_]
_FEWEST = 2
"""Numbers that a third must hold to be held out and trained on."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The outcome of each case.

    Attributes:
        kind: What is predicted.
        values: (cases,): 1 for the event and 0 for none; the number of the class; the number; or
            the time.
        classes: Names of the classes; for two of them (no event, event).
        events: (cases,) for survival: whether the event was seen; empty else.
    """

    kind: Kind
    values: Floats = field(repr=False)
    classes: tuple[str, ...] = ()
    events: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool), repr=False)

    def rows(self, chosen: NDArray[np.integer]) -> "Target":
        """Keep cases, in the order given."""
        events = self.events[chosen] if self.events.size else self.events
        return Target(self.kind, self.values[chosen], self.classes, events)

    @property
    def strata(self) -> NDArray[np.int64]:
        """What folds are balanced for, (cases,); the class, the event or the third of a number."""
        if self.kind == "survival":
            return self.events.astype(np.int64)
        if self.kind == "number":
            edges = np.quantile(self.values, (1 / 3, 2 / 3))
            third = np.searchsorted(edges, self.values).astype(np.int64)
            # of values that are mostly equal there is no third to be balanced
            few = np.bincount(third)[np.unique(third)].min() < _FEWEST
            return np.zeros_like(third) if few else third
        return self.values.astype(np.int64)
