"""Univariate: keep features that, each alone, go with the outcome."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._gaps import check_cases, check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target


@final
@dataclass(slots=True, eq=False)
class Univariate(Step):
    """Keep the features that go best with the outcome, and are not likely to do so by chance.

    Features that carry the same information are all kept: put :class:`Redundancy` before it.

    Attributes:
        features: Most features that are kept; 0 sets no limit.
        most_q: Greatest share of false discoveries among those that are kept (Benjamini and
            Hochberg); 1 sets no limit.
        kind: Of values (F test of the means of classes, of a line for a number, score test of the
            proportional hazards model for survival), or of ranks put in their place.
        kept_: Features that are kept, in the order of the table.
        q_: (kept,) their q-values.

    References:
        Benjamini & Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
        Cox (1972), doi:10.1111/j.2517-6161.1972.tb00899.x, score test at zero, ties as Breslow.
    """

    features: int = 20
    most_q: float = 1.0
    kind: Literal["values", "ranks"] = "values"
    kept_: tuple[str, ...] = learned()
    q_: Floats = learned()

    word: ClassVar[str] = "univariate"
    needs_target: ClassVar[bool] = True

    def fit(self, table: Table, target: Target | None = None) -> "Univariate":
        """Find the features.

        Args:
            table: The training cases, without gaps.
            target: Their outcome.

        Returns:
            Itself.

        Raises:
            ConfigError: No outcome is given, ``features`` is negative, or ``most_q`` is not in
                (0, 1].
            IntensityError: A value is missing.
            RegionError: Fewer than three cases, or one class only.
        """
        target = need_target(target, "Univariate")
        if self.features < 0 or not 0 < self.most_q <= 1:
            raise ConfigError(
                "Univariate must keep 0 (no limit) or more features at a q-value in (0, 1], got "
                f"features={self.features} and most_q={self.most_q}"
            )
        check_cases(table, "Univariate", 3)
        check_full(table, "Univariate")
        statistic = _statistics(table.values, target, self.kind)
        q = q_values(_chances(statistic, target))
        # by the statistic: p-values of many cases are all 0; rounded, so that the order of the
        # cases cannot decide between two equal features
        order = np.lexsort((np.asarray(table.features), -_rounded(statistic)))
        best = order[: self.features] if self.features else order
        keep = np.sort(best[q[best] <= self.most_q])
        self.kept_ = tuple(table.features[j] for j in keep)
        self.q_ = q[keep]
        return self

    def transform(self, table: Table) -> Table:
        """Keep the features that were found.

        Args:
            table: Any cases with them.

        Returns:
            With these features alone.
        """
        self.state()
        return table.select(self.kept_)


def need_target(target: Target | None, who: str) -> Target:
    """Refuse a step that looks at the outcome and was given none.

    Args:
        target: The outcome.
        who: The step, for the message.

    Returns:
        The outcome.

    Raises:
        ConfigError: There is none.
        RegionError: All cases are of one class, or no event was seen.
    """
    if target is None:
        raise ConfigError(f"{who} must be given the outcome, got none: fit(table, target)")
    seen = target.events if target.kind == "survival" else target.values
    if target.kind == "survival" and not seen.any():
        raise RegionError(f"{who} must see an event, got {len(seen)} censored cases: give more")
    if target.kind != "survival" and np.ptp(seen) == 0:
        raise RegionError(
            f"{who} must see outcomes that differ, got {len(seen)} cases of one: give others"
        )
    return target


def p_values(
    values: Floats, target: Target, *, kind: Literal["values", "ranks"] = "values"
) -> Floats:
    """Test each feature alone against the outcome.

    Args:
        values: (cases, features), finite.
        target: The outcome.
        kind: Of values or of ranks.

    Returns:
        (features,) probability of an effect as strong by chance; 1 for a constant feature.
    """
    return _chances(_statistics(values, target, kind), target)


def _statistics(values: Floats, target: Target, kind: str) -> Floats:
    if kind == "ranks":
        from scipy.stats import rankdata

        values = rankdata(values, axis=0)
    if target.kind == "survival":
        return cox_scores(values, target.values, target.events)
    return f_statistics(values, target)


def _chances(statistic: Floats, target: Target) -> Floats:
    from scipy.stats import chi2, f

    if target.kind == "survival":
        return np.asarray(chi2.sf(statistic, 1), dtype=np.float64)
    groups = 2 if target.kind == "number" else len(np.unique(target.values))
    return np.asarray(f.sf(statistic, groups - 1, len(target.values) - groups), dtype=np.float64)


def f_statistics(values: Floats, target: Target) -> Floats:
    """Give the F statistic of each feature: of class means, or of a line for a number.

    Args:
        values: (cases, features), finite.
        target: Two classes, classes, or a number.

    Returns:
        (features,), 0 for a constant feature, large but finite for one that tells all.
    """
    count = len(values)
    centred = values - values.mean(axis=0)
    total = np.square(centred).sum(axis=0)
    if target.kind == "number":
        known = target.values - target.values.mean()
        between = np.square(known @ centred) / np.square(known).sum()
        groups = 2
    else:
        names, group = np.unique(target.values, return_inverse=True)
        hot = np.eye(len(names))[group]
        between = (np.square(hot.T @ centred) / hot.sum(axis=0)[:, None]).sum(axis=0)
        groups = len(names)
    flat = ~(total > 1e-24 * np.square(values).sum(axis=0))
    within = np.maximum(total - between, 1e-15 * total)
    within[flat] = 1.0
    ratio = (between / (groups - 1)) / (within / max(count - groups, 1))
    return np.where(flat, 0.0, ratio)


def cox_scores(values: Floats, times: Floats, events: NDArray[np.bool_]) -> Floats:
    """Give the score statistic (chi-squared, 1 degree) of each feature in a Cox model of it alone.

    Args:
        values: (cases, features), finite.
        times: (cases,).
        events: (cases,) whether the event was seen.

    Returns:
        (features,), 0 for a constant feature.
    """
    order = np.argsort(-times, kind="stable")
    x = (values - values.mean(axis=0))[order]
    time, event = times[order], events[order]
    # who is at risk at a time: all rows up to the last one with that time
    last = np.searchsorted(-time, -time, side="right") - 1
    at_risk = (last + 1)[:, None]
    mean = np.cumsum(x, axis=0)[last] / at_risk
    square = np.cumsum(x * x, axis=0)[last] / at_risk
    score = (x - mean)[event].sum(axis=0)
    information = (square - mean * mean)[event].sum(axis=0)
    flat = ~(information > 1e-24 * np.square(values).sum(axis=0))
    return np.where(flat, 0.0, np.square(score) / np.where(flat, 1.0, information))


def q_values(p: Floats) -> Floats:
    """Turn p-values into q-values: the share of false discoveries down to each of them.

    Args:
        p: (tests,).

    Returns:
        (tests,), eq. (1) of Benjamini & Hochberg (1995) solved for the level.
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    falling = np.minimum.accumulate(scaled[::-1])[::-1]
    found = np.empty_like(p)
    found[order] = np.minimum(falling, 1.0)
    return found


def _rounded(statistic: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.round(np.log(statistic), 9), dtype=np.float64)
