"""Standardise: centre and scale each batch by itself, the plainest harmonisation."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from vesalius.predict._batches import batches_of, check_sizes, each_batch
from vesalius.predict._gaps import check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_FLAT = 1e-12
"""A spread below this share of the largest magnitude is rounding, not spread."""


@final
@dataclass(slots=True, eq=False)
class ZScore(Step):
    """Take each batch's own mean from its features and divide by its own standard deviation.

    A baseline beside ComBat: it takes away every difference between batches, that of their
    patients too, and shrinks nothing, so that batches of few cases are treated by noise. A feature
    that is constant in a batch becomes 0 there. A new batch is treated with its own moments: give
    its cases together, at least 2.

    Attributes:
        batch: Column that names the batch; in a pipeline empty takes that of the description.
        features_: Seen in training.
        batches_: Seen in training, sorted.
        centre_: (batches, features) taken away.
        spread_: (batches, features) divided by; infinite for a constant feature.
    """

    batch: str = ""
    features_: tuple[str, ...] = learned()
    batches_: tuple[str, ...] = learned()
    centre_: Floats = learned()
    spread_: Floats = learned()

    word: ClassVar[str] = "zscore"

    def fit(self, table: Table, target: Target | None = None) -> "ZScore":
        """Learn mean and spread of each batch.

        Args:
            table: The training cases, without gaps.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: No batch is named, or its column is absent or has a gap.
            RegionError: A batch has one case.
            IntensityError: A feature has a gap.
        """
        check_full(table, "ZScore")
        levels = batches_of(table, self.batch, "ZScore")
        each = [_moments(name, table.values[at]) for name, at in each_batch(levels)]
        self.features_, self.batches_ = table.features, levels.names
        self.centre_ = np.stack([centre for centre, _ in each])
        self.spread_ = np.stack([spread for _, spread in each])
        return self

    def transform(self, table: Table) -> Table:
        """Standardise each batch.

        Args:
            table: Cases with the features and the batch of the training.

        Returns:
            Standardised; without units.

        Raises:
            ConfigError: A column or a feature is absent.
            RegionError: A new batch has one case.
            IntensityError: A feature has a gap.
        """
        self.state()
        table = table.select(self.features_)
        check_full(table, "ZScore")
        values = np.empty_like(table.values)
        for name, at in each_batch(batches_of(table, self.batch, "ZScore")):
            own = table.values[at]
            if name in self.batches_:
                place = list(self.batches_).index(name)
                centre, spread = self.centre_[place], self.spread_[place]
            else:
                centre, spread = _moments(name, own)
            values[at] = (own - centre) / spread
        return replace(table, values=values, units={})


def _moments(name: str, values: Floats) -> tuple[Floats, Floats]:
    check_sizes({name: len(values)}, "ZScore")
    spread = values.std(axis=0, ddof=1)
    flat = spread <= _FLAT * np.abs(values).max(axis=0)
    return values.mean(axis=0), np.where(flat, np.inf, spread)
