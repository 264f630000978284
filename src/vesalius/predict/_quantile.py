"""Quantile: give each feature the same distribution in every batch."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._batches import batches_of, check_reference, check_sizes, each_batch
from vesalius.predict._gaps import check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target


@final
@dataclass(slots=True, eq=False)
class Quantile(Step):
    """Map the quantiles of each feature in a batch onto common ones.

    The common quantiles are the mean of those of the batches, weighted by cases, or those of a
    reference. A baseline beside ComBat: it takes away every difference between the distributions of
    batches, that of their patients too, and needs many cases of each (50 or more). Order within a
    batch is kept; a value beyond the range that was seen is moved as the nearest end is. A new
    batch is treated with its own quantiles: give its cases together, at least 2.

    Attributes:
        batch: Column that names the batch; in a pipeline empty takes that of the description.
        reference: A batch onto which the others are mapped; empty for none.
        points: Quantiles, from the least value to the greatest, between which the map is linear.
        features_: Seen in training.
        batches_: Seen in training, sorted.
        quantiles_: (batches, points, features).
        common_: (points, features).

    References:
        Bolstad et al. (2003), doi:10.1093/bioinformatics/19.2.185, section 2.2. Differs from it in:
        batches for arrays, each feature by itself, and quantiles instead of every rank.
    """

    batch: str = ""
    reference: str = ""
    points: int = 101
    features_: tuple[str, ...] = learned()
    batches_: tuple[str, ...] = learned()
    quantiles_: Floats = learned()
    common_: Floats = learned()

    word: ClassVar[str] = "quantile"

    def fit(self, table: Table, target: Target | None = None) -> "Quantile":
        """Learn the quantiles of each batch and those that they have in common.

        Args:
            table: The training cases, without gaps.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: No batch is named, its column is absent or has a gap, the reference is no
                batch, or there are fewer than two points.
            RegionError: A batch has one case.
            IntensityError: A feature has a gap.
        """
        if self.points < 2:
            raise ConfigError(
                f"points of Quantile must be 2 or more, got {self.points}: take about 100"
            )
        check_full(table, "Quantile")
        levels = batches_of(table, self.batch, "Quantile")
        check_reference(self.reference, levels.names)
        each = [self._quantiles(name, table.values[at]) for name, at in each_batch(levels)]
        self.features_, self.batches_ = table.features, levels.names
        self.quantiles_ = np.stack(each)
        if self.reference:
            self.common_ = each[levels.names.index(self.reference)]
        else:
            self.common_ = np.average(self.quantiles_, axis=0, weights=levels.counts)
        return self

    def transform(self, table: Table) -> Table:
        """Map each batch onto the common quantiles.

        Args:
            table: Cases with the features and the batch of the training.

        Returns:
            Harmonised.

        Raises:
            ConfigError: A column or a feature is absent.
            RegionError: A new batch has one case.
            IntensityError: A feature has a gap.
        """
        self.state()
        table = table.select(self.features_)
        check_full(table, "Quantile")
        values = np.empty_like(table.values)
        for name, at in each_batch(batches_of(table, self.batch, "Quantile")):
            own = table.values[at]
            if name == self.reference:
                values[at] = own
                continue
            if name in self.batches_:
                quantiles = self.quantiles_[list(self.batches_).index(name)]
            else:
                quantiles = self._quantiles(name, own)
            values[at] = mapped(own, quantiles, self.common_)
        return table.with_values(values)

    def _quantiles(self, name: str, values: Floats) -> Floats:
        check_sizes({name: len(values)}, "Quantile")
        return np.asarray(np.quantile(values, np.linspace(0.0, 1.0, self.points), axis=0))


def mapped(values: Floats, source: Floats, onto: Floats) -> Floats:
    """Map values from one set of quantiles onto another, linearly between them.

    A value that several quantiles share goes to the middle of what they map onto.

    Args:
        values: (cases, features).
        source: (points, features), rising.
        onto: (points, features), rising.

    Returns:
        (cases, features).
    """
    out = np.empty_like(values)
    for j in range(values.shape[1]):
        x, knots, goal = values[:, j], source[:, j], onto[:, j]
        above = np.interp(x, knots, goal)
        below = -np.interp(-x, -knots[::-1], -goal[::-1])
        beyond = np.minimum(x - knots[0], 0.0) + np.maximum(x - knots[-1], 0.0)
        out[:, j] = 0.5 * (above + below) + beyond
    return out
