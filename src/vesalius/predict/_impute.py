"""Impute: fill missing values by what is usual among the training cases."""
# SPDX-License-Identifier: Apache-2.0

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import numpy as np

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target


@final
@dataclass(slots=True, eq=False)
class Impute(Step):
    """Fill missing values of each feature by one number, learned from the training cases.

    A feature that no training case has is dropped. One number for all is honest for a few gaps; it
    shrinks the spread where there are many, and says nothing where values are missing for a
    reason: ``indicator`` then lets the model see the gap itself.

    Attributes:
        method: The mean, the median or ``constant`` for every gap.
        constant: Put in the gaps by the method of that name.
        indicator: Add a feature ``<name>_missing``, 1 where the value was missing, for every
            feature with a gap among the training cases.
        features_: Kept.
        fill_: (features,) what goes into the gaps.
        indicators_: Features with an indicator.
        dropped_: Why a feature was dropped, by name.
    """

    method: Literal["median", "mean", "constant"] = "median"
    constant: float = 0.0
    indicator: bool = False
    features_: tuple[str, ...] = learned()
    fill_: Floats = learned()
    indicators_: tuple[str, ...] = learned()
    dropped_: dict[str, str] = learned()

    word: ClassVar[str] = "impute"

    def fit(self, table: Table, target: Target | None = None) -> "Impute":
        """Learn what goes into the gaps.

        Args:
            table: The training cases.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            RegionError: There is no case.
            ConfigError: ``constant`` is not finite, or an indicator has the name of a feature.
        """
        if not table.cases:
            raise RegionError("Impute must learn from cases, got none: give training cases")
        if not np.isfinite(self.constant):
            raise ConfigError(f"constant must be finite, got {self.constant}: give a number")
        missing = np.isnan(table.values)
        empty = missing.all(axis=0)
        named = np.asarray(table.features, dtype=object)
        self.features_ = tuple(named[~empty])
        self.fill_ = self._usual(table.values[:, ~empty])
        some = missing.any(axis=0) & ~empty
        self.indicators_ = tuple(named[some]) if self.indicator else ()
        self.dropped_ = dict.fromkeys(named[empty], "missing in all training cases")
        if taken := {f"{name}_missing" for name in self.indicators_} & set(self.features_):
            raise ConfigError(
                f"an indicator must have a new name, {min(taken)!r} is a feature already: rename "
                "it, or impute without indicator"
            )
        return self

    def _usual(self, values: Floats) -> Floats:
        if self.method == "constant":
            return np.full(values.shape[1], self.constant)
        if not np.isnan(values).any():
            usual = np.median(values, axis=0) if self.method == "median" else values.mean(axis=0)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                usual = (np.nanmedian if self.method == "median" else np.nanmean)(values, axis=0)
        return np.asarray(usual, dtype=np.float64)

    def transform(self, table: Table) -> Table:
        """Fill the gaps.

        Args:
            table: Any cases with the kept features.

        Returns:
            Without gaps; indicators come last.
        """
        self.state()
        table = table.select(self.features_)
        missing = np.isnan(table.values)
        place = {name: j for j, name in enumerate(table.features)}
        seen = missing[:, [place[name] for name in self.indicators_]].astype(np.float64)
        filled = np.where(missing, self.fill_, table.values)
        return replace(
            table,
            features=(*table.features, *(f"{name}_missing" for name in self.indicators_)),
            values=np.concatenate([filled, seen], axis=1),
            reasons={},
        )
