"""Mrmr: keep few features that say much of the outcome and little of each other."""
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
from vesalius.predict._univariate import cox_scores, f_statistics, need_target

_LEAST = 1e-3
"""A redundancy below this is taken as this in a quotient, so that chance does not decide."""


@final
@dataclass(slots=True, eq=False)
class Mrmr(Step):
    """Keep features of most relevance for the outcome and least redundancy (Peng 2005).

    One feature after another is taken: the one whose relevance, less or divided by its mean
    redundancy with those taken before, is greatest.

    Attributes:
        features: How many are kept.
        score: ``f``: relevance is the F statistic (the score test for survival), redundancy the
            absolute correlation. ``mutual_information``: both are mutual information, in nats, of
            features cut into three parts, one standard deviation below and above the mean.
        scheme: Relevance divided by redundancy, or less redundancy; ``f`` less a correlation
            compares different things, so the quotient is usual there.
        kept_: Features that are kept, first taken first.

    References:
        Peng, Long & Ding (2005), doi:10.1109/TPAMI.2005.159, eqs. (4)-(6); Ding & Peng (2005),
        doi:10.1142/S0219720005001004, table 1: MID, MIQ, FCD, FCQ. Differs in: a redundancy below
        0.001 is taken as 0.001 in a quotient.
    """

    features: int = 20
    score: Literal["f", "mutual_information"] = "f"
    scheme: Literal["quotient", "difference"] = "quotient"
    kept_: tuple[str, ...] = learned()

    word: ClassVar[str] = "mrmr"
    needs_target: ClassVar[bool] = True

    def fit(self, table: Table, target: Target | None = None) -> "Mrmr":
        """Take the features.

        Args:
            table: The training cases, without gaps.
            target: Their outcome.

        Returns:
            Itself.

        Raises:
            ConfigError: No outcome is given, or fewer than one feature is asked for.
            IntensityError: A value is missing.
            RegionError: Fewer than three cases, or one class only.
        """
        target = need_target(target, "Mrmr")
        if self.features < 1:
            raise ConfigError(f"Mrmr must keep at least one feature, got {self.features}")
        check_cases(table, "Mrmr", 3)
        check_full(table, "Mrmr")
        # by name, so that of two equal features the first by name is taken
        order = np.argsort(np.asarray(table.features), kind="stable")
        values = table.values[:, order]
        likeness = _Coded(values) if self.score == "mutual_information" else _Correlated(values)
        taken = self._take(likeness.relevance(target), likeness)
        self.kept_ = tuple(table.features[order[j]] for j in taken)
        return self

    def _take(self, relevance: Floats, likeness: "_Coded | _Correlated") -> list[int]:
        taken: list[int] = []
        redundancy = np.zeros_like(relevance)
        free = np.ones(relevance.size, dtype=bool)
        for k in range(min(self.features, relevance.size)):
            worth = relevance
            if k and self.scheme == "quotient":
                worth = relevance / np.maximum(redundancy / k, _LEAST)
            elif k:
                worth = relevance - redundancy / k
            best = int(np.argmax(np.where(free, _rounded(worth), -np.inf)))
            taken.append(best)
            free[best] = False
            redundancy = redundancy + likeness.redundancy(best)
        return taken

    def transform(self, table: Table) -> Table:
        """Keep the features that were taken.

        Args:
            table: Any cases with them.

        Returns:
            With these features alone, first taken first.
        """
        self.state()
        return table.select(self.kept_)


def _rounded(worth: Floats) -> Floats:
    """Round to nine digits, so that the order of the cases cannot decide between equals."""
    scale = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(worth), 1e-300))) - 8)
    return np.asarray(np.round(worth / scale) * scale)


class _Correlated:
    """Relevance by F, redundancy by correlation."""

    def __init__(self, values: Floats) -> None:
        centred = values - values.mean(axis=0)
        length = np.linalg.norm(centred, axis=0)
        flat = ~(length > 1e-12 * np.linalg.norm(values, axis=0))
        self._values = values
        self._unit = np.where(flat, 0.0, centred / np.where(flat, 1.0, length))

    def relevance(self, target: Target) -> Floats:
        if target.kind == "survival":
            return cox_scores(self._values, target.values, target.events)
        return f_statistics(self._values, target)

    def redundancy(self, with_feature: int) -> Floats:
        return np.asarray(np.abs(self._unit[:, with_feature] @ self._unit))


class _Coded:
    """Relevance and redundancy by mutual information of coded features."""

    def __init__(self, values: Floats) -> None:
        mean, sd = values.mean(axis=0), values.std(axis=0)
        self._code = (values > mean + sd).astype(np.int64) - (values < mean - sd)
        # (cases, 3, features) one indicator for each part
        self._hot = np.stack([self._code == part for part in (-1, 0, 1)], axis=1).astype(float)

    def relevance(self, target: Target) -> Floats:
        # strata: class, third of a number, event; times are beyond what a table of counts can say
        return self._information(target.strata)

    def redundancy(self, with_feature: int) -> Floats:
        return self._information(self._code[:, with_feature])

    def _information(self, other: NDArray[np.int64]) -> Floats:
        """Give (features,) the mutual information with a code, in nats."""
        names, place = np.unique(other, return_inverse=True)
        hot = np.eye(len(names))[place]
        count, parts, features = self._hot.shape
        joint = (hot.T @ self._hot.reshape(count, parts * features)) / count
        joint = joint.reshape(len(names), parts, features)
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        safe = np.where(joint > 0, joint, 1.0)
        ratio = np.where(joint > 0, joint / np.where(joint > 0, independent, 1.0), 1.0)
        return np.asarray((safe * np.log(ratio)).sum(axis=(0, 1)), dtype=np.float64)
