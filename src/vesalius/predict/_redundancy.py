"""Redundancy: of features that say the same, keep one."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._gaps import check_cases, check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target


@final
@dataclass(slots=True, eq=False)
class Redundancy(Step):
    """Keep features of which no two are strongly correlated.

    Features are taken in order, the best first, and each is kept unless it is correlated with one
    kept before. The best is the most reliable one where ``icc`` says so, then the one with the
    smallest mean correlation with all others, then the first by name. So every feature that is
    dropped has a better one that stands for it.

    Attributes:
        most: Greatest absolute correlation of two kept features.
        kind: Of values, or of ranks (any monotone relation).
        icc: Reliability of each feature, by name; features without one come last.
        kept_: Features that are kept, in the order of the table.
        stands_for_: By a dropped feature, the kept one that it is most correlated with.
    """

    most: float = 0.9
    kind: Literal["pearson", "spearman"] = "pearson"
    icc: tuple[tuple[str, float], ...] = ()
    kept_: tuple[str, ...] = learned()
    stands_for_: dict[str, str] = learned()

    word: ClassVar[str] = "redundancy"

    def fit(self, table: Table, target: Target | None = None) -> "Redundancy":
        """Learn which features say the same.

        Args:
            table: The training cases, without gaps.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: ``most`` is not in (0, 1].
            IntensityError: A value is missing.
            RegionError: Fewer than three cases: two are always correlated.
        """
        if not 0 < self.most <= 1:
            raise ConfigError(f"most must be a correlation in (0, 1], got {self.most}: try 0.9")
        check_cases(table, "Redundancy", 3)
        check_full(table, "Redundancy")
        strength = np.abs(correlations(table.values, self.kind))
        keep = _greedy(strength, self._order(strength, table.features), self.most)
        named = np.asarray(table.features, dtype=object)
        self.kept_ = tuple(named[keep])
        gone = ~keep
        nearest = strength[gone][:, keep].argmax(axis=1) if gone.any() else np.zeros(0, int)
        stand = np.asarray(self.kept_, dtype=object)[nearest]
        self.stands_for_ = dict(zip(named[gone], stand, strict=True))
        return self

    def _order(self, strength: Floats, features: tuple[str, ...]) -> list[int]:
        known = dict(self.icc)
        # rounded, so that the order of the cases cannot decide between two equal features
        mean = np.round(strength.mean(axis=0), 9) if len(features) else np.zeros(0)
        reliable = [-known.get(name, -np.inf) for name in features]
        return sorted(range(len(features)), key=lambda j: (reliable[j], mean[j], features[j]))

    def transform(self, table: Table) -> Table:
        """Keep the features that were learned.

        Args:
            table: Any cases with them.

        Returns:
            With these features alone.
        """
        self.state()
        return table.select(self.kept_)


def correlations(values: Floats, kind: Literal["pearson", "spearman"] = "pearson") -> Floats:
    """Correlate every two features.

    Args:
        values: (cases, features), finite.
        kind: Of values or of ranks.

    Returns:
        (features, features), symmetric, 1 on the diagonal; 0 where a feature is constant.
    """
    if kind == "spearman":
        from scipy.stats import rankdata

        values = rankdata(values, axis=0)
    centred = values - values.mean(axis=0, keepdims=True)
    length = np.linalg.norm(centred, axis=0)
    flat = ~(length > 1e-12 * np.linalg.norm(values, axis=0))
    unit = np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
    found = np.clip(unit.T @ unit, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found, dtype=np.float64)


def _greedy(strength: Floats, order: list[int], most: float) -> NDArray[np.bool_]:
    keep = np.zeros(len(order), dtype=bool)
    blocked = np.zeros(len(order), dtype=bool)
    for j in order:
        if not blocked[j]:
            keep[j] = True
            blocked |= strength[j] > most
    return keep
