"""LassoSelect: keep the features that a lasso takes first."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._gaps import check_cases, check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._linear_models import Lasso
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._univariate import need_target


@final
@dataclass(slots=True, eq=False)
class LassoSelect(Step):
    """Keep the features that a lasso of standardised features takes first.

    The penalty falls until the wanted number of features has a weight, or to the least penalty of
    the path; of these the ones with the largest weight are kept.

    Attributes:
        features: Most features that are kept.
        kept_: Features that are kept, largest weight first.
        weights_: (kept,) their importance: signed weights for a standardised feature, of several
            classes the length of their weights.

    References:
        Tibshirani (1996), doi:10.1111/j.2517-6161.1996.tb02080.x.
    """

    features: int = 20
    kept_: tuple[str, ...] = learned()
    weights_: Floats = learned()

    word: ClassVar[str] = "lasso-select"
    needs_target: ClassVar[bool] = True

    def fit(self, table: Table, target: Target | None = None) -> "LassoSelect":
        """Find the features.

        Args:
            table: The training cases, without gaps.
            target: Their outcome: classes or a number.

        Returns:
            Itself.

        Raises:
            ConfigError: No outcome is given, it is survival, or fewer than one feature is asked
                for.
            IntensityError: A value is missing.
            RegionError: Fewer than three cases, or one class only.
        """
        target = need_target(target, "LassoSelect")
        if self.features < 1 or target.kind == "survival":
            raise ConfigError(
                "LassoSelect must keep at least one feature for classes or a number, got "
                f"features={self.features} and an outcome of kind {target.kind!r}"
            )
        check_cases(table, "LassoSelect", 3)
        check_full(table, "LassoSelect")
        values = _standardised(table.values)
        differs = values.any(axis=0)
        weights = np.zeros(len(table.features))
        if differs.any():
            weights[differs] = _weights(values[:, differs], target, self.features)
        # rounded, so that the order of the cases cannot decide between two equal features
        strength = np.round(np.abs(weights), 6)
        order = np.lexsort((np.asarray(table.features), -strength))
        kept = [int(j) for j in order[: self.features] if strength[j] > 0]
        self.kept_ = tuple(table.features[j] for j in kept)
        self.weights_ = weights[kept]
        return self

    def transform(self, table: Table) -> Table:
        """Keep the features that were found.

        Args:
            table: Any cases with them.

        Returns:
            With these features alone, largest weight first.
        """
        self.state()
        return table.select(self.kept_)


def _standardised(values: Floats) -> Floats:
    centred = values - values.mean(axis=0)
    spread = values.std(axis=0)
    flat = ~(spread > 1e-12 * np.abs(values).max(axis=0, initial=0.0))
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))


def _weights(values: Floats, target: Target, wanted: int) -> Floats:
    """Give the importances of the first model of the path that uses enough features."""
    path = Lasso().grid(values, target)
    low, high = 0, len(path) - 1
    while low < high:
        middle = (low + high) // 2
        enough = int((_importances(values, target, path[middle]) != 0).sum()) >= wanted
        low, high = (low, middle) if enough else (middle + 1, high)
    return _importances(values, target, path[low])


def _importances(values: Floats, target: Target, setting: Mapping[str, Any]) -> Floats:
    return Lasso().fresh(setting).fit(values, target).importances()
