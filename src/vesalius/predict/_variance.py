"""Variance: drop features that hardly differ between cases."""
# SPDX-License-Identifier: Apache-2.0

import warnings
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._gaps import check_cases
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_FLAT = 1e-12
"""A spread below this share of the largest magnitude is rounding, not spread."""


@final
@dataclass(slots=True, eq=False)
class Variance(Step):
    """Keep features that differ between the training cases.

    Attributes:
        least: A feature is kept if its variance is greater, in its unit squared. Constant features
            are always dropped.
        most_common: A feature is dropped if one value makes up more than this share of the cases;
            1 keeps it.
        kept_: Features that are kept.
    """

    least: float = 0.0
    most_common: float = 0.95
    kept_: tuple[str, ...] = learned()

    word: ClassVar[str] = "variance"

    def fit(self, table: Table, target: Target | None = None) -> "Variance":
        """Learn which features differ.

        Args:
            table: The training cases.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: ``least`` is negative, or ``most_common`` is not in (0, 1].
            RegionError: Fewer than two cases.
        """
        if not self.least >= 0:
            raise ConfigError(f"least must not be negative, got {self.least}: 0 drops constants")
        if not 0 < self.most_common <= 1:
            raise ConfigError(
                f"most_common must be a share in (0, 1], got {self.most_common}: 1 drops constants"
            )
        check_cases(table, "Variance")
        values = table.values
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            sd = np.nanstd(values, axis=0) if np.isnan(values).any() else values.std(axis=0)
            largest = np.nanmax(np.abs(values), axis=0, initial=0.0)
        keep = (sd**2 > self.least) & (sd > _FLAT * largest)
        if self.most_common < 1:
            keep &= _share_of_commonest(values) <= self.most_common
        self.kept_ = tuple(name for name, yes in zip(table.features, keep, strict=True) if yes)
        return self

    def transform(self, table: Table) -> Table:
        """Keep the features that were learned.

        Args:
            table: Any cases with them.

        Returns:
            With these features alone.
        """
        self.state()
        return table.select(self.kept_)


def _share_of_commonest(values: Floats) -> Floats:
    """Give (features,) the share of the commonest value; missing values are one value."""
    ordered = np.sort(values, axis=0)
    count = len(ordered)
    same = (ordered[1:] == ordered[:-1]) | (np.isnan(ordered[1:]) & np.isnan(ordered[:-1]))
    # length of a run of equal values = distance between the places where a new value begins
    begins: NDArray[np.int64] = np.where(same, 0, np.arange(1, count)[:, None])
    latest = np.maximum.accumulate(np.vstack([np.zeros_like(ordered[:1], int), begins]), axis=0)
    run = np.arange(1, count + 1)[:, None] - latest
    return np.asarray(run.max(axis=0, initial=0) / count, dtype=np.float64)
