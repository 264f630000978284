"""Scale: bring features to one scale, as the training cases define it."""
# SPDX-License-Identifier: Apache-2.0

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import numpy as np

from vesalius.predict._gaps import check_cases
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_FLAT = 1e-12
"""A spread below this share of the largest magnitude is rounding, not spread."""
_NORMAL_IQR = 1.3489795003921634
"""Quartile distance of the standard normal distribution."""


@final
@dataclass(slots=True, eq=False)
class Scale(Step):
    """Take the centre from each feature and divide by its spread.

    Missing values stay missing. A feature without spread becomes 0.

    Attributes:
        method: Mean and standard deviation; median and quartile distance (divided by 1.349, so
            that it is the standard deviation of normal values; where the quartiles are equal, as of
            a feature that is mostly 0, the standard deviation itself); or least value and range.
        features_: Seen in training.
        centre_: (features,) taken away.
        spread_: (features,) divided by.
    """

    method: Literal["zscore", "robust", "minmax"] = "zscore"
    features_: tuple[str, ...] = learned()
    centre_: Floats = learned()
    spread_: Floats = learned()

    word: ClassVar[str] = "scale"

    def fit(self, table: Table, target: Target | None = None) -> "Scale":
        """Learn centre and spread.

        Args:
            table: The training cases.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            RegionError: Fewer than two cases.
        """
        check_cases(table, "Scale")
        with warnings.catch_warnings():
            # a feature that nobody has: its centre stays missing, and so do its values
            warnings.simplefilter("ignore", RuntimeWarning)
            centre, spread = _centre_and_spread(table.values, self.method)
            largest = np.nanmax(np.abs(table.values), axis=0, initial=0.0)
        self.features_ = table.features
        self.centre_ = np.nan_to_num(centre)
        flat = ~(spread > _FLAT * largest)
        self.spread_ = np.where(flat, np.inf, spread)
        return self

    def transform(self, table: Table) -> Table:
        """Scale cases as learned.

        Args:
            table: Any cases with the features of the training.

        Returns:
            Scaled; without units.
        """
        self.state()
        table = table.select(self.features_)
        scaled = (table.values - self.centre_) / self.spread_
        return replace(table, values=scaled, units={})


def _centre_and_spread(values: Floats, method: str) -> tuple[Floats, Floats]:
    full = not np.isnan(values).any()
    if method == "zscore":
        mean, sd = (np.mean, np.std) if full else (np.nanmean, np.nanstd)
        return np.asarray(mean(values, axis=0)), np.asarray(sd(values, axis=0))
    quantile = np.quantile if full else np.nanquantile
    if method == "robust":
        low, middle, high = quantile(values, (0.25, 0.5, 0.75), axis=0)
        sd = (np.std if full else np.nanstd)(values, axis=0)
        return middle, np.where(high > low, (high - low) / _NORMAL_IQR, sd)
    low, high = quantile(values, (0.0, 1.0), axis=0)
    return low, high - low
