"""Shift tests: whether a feature is distributed alike in every batch, all features at once."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.predict._coding import Codes
from vesalius.predict._table import Floats

_BLOCK = 128  # features at once: bounds the memory
_TERMS = 2000  # of the series of the Anderson-Darling law

Integers = NDArray[np.int64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class FeatureTest:
    """One test, for each feature.

    Attributes:
        statistic: (features,); NaN where the feature could not be tested.
        p: (features,) of no difference.
        q: (features,) the same, adjusted for the number of features.
    """

    statistic: Floats = field(repr=False)
    p: Floats = field(repr=False)
    q: Floats = field(repr=False)

    def affected(self, level: float = 0.05) -> float:
        """Give the share of the tested features whose ``q`` is below the level; 0 for none."""
        known = ~np.isnan(self.q)
        return float((self.q[known] < level).mean()) if known.any() else 0.0


def shift_tests(values: Floats, codes: Codes) -> dict[str, tuple[Floats, Floats]]:
    """Test each feature for a difference between batches.

    Args:
        values: (cases, features), finite; four cases or more.
        codes: (cases,) batch of each case, from 0, all of them occurring.

    Returns:
        Statistic and p-value, (features,) each, by test: ``anderson`` (k samples, ties by
        mid-ranks, normalised statistic), ``ks`` (largest distance of any two batches; the least p
        of any two, multiplied by the number of pairs), ``kruskal``. NaN for a constant feature.

    References:
        Scholz, Stephens (1987), doi:10.1080/01621459.1987.10478517, eq. (4) and (7). The p-value
        is the asymptotic law's at the normalised statistic, by the saddle point of Lugannani and
        Rice (1980), doi:10.2307/1426607 (within 5 % of the published quantiles), and not
        interpolated in a table, which ends at .001.
        Stephens (1970), doi:10.1111/j.2517-6161.1970.tb00821.x (the limiting law of Kolmogorov
        and Smirnov brought to few cases).
        Kruskal, Wallis (1952), doi:10.1080/01621459.1952.10483441, with the correction for ties.
    """
    parts = [
        _tested(values[:, start : start + _BLOCK], codes)
        for start in range(0, values.shape[1], _BLOCK)
    ]
    names = ("anderson", "ks", "kruskal")
    if not parts:
        return {name: (np.zeros(0), np.zeros(0)) for name in names}
    return {
        name: (
            np.concatenate([part[name][0] for part in parts]),
            np.concatenate([part[name][1] for part in parts]),
        )
        for name in names
    }


def false_discovery(p: Floats) -> Floats:
    """Adjust p-values for their number (Benjamini, Hochberg 1995).

    Args:
        p: (tests,); NaN counts as not tested.

    Returns:
        (tests,) the least level of false discoveries at which each is one; NaN stays.

    References:
        doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    raised = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return q


def _tested(values: Floats, codes: Codes) -> dict[str, tuple[Floats, Floats]]:
    order = np.argsort(values, axis=0, kind="stable")
    before, after = _ties(np.take_along_axis(values, order, axis=0))
    sizes = np.bincount(codes)
    sorted_codes = codes[order]
    anderson = np.zeros(values.shape[1])
    ranks = np.zeros((len(sizes), values.shape[1]))
    below = np.zeros((len(sizes), *values.shape))
    n = len(codes)
    middle = (before + after) / 2
    spread = middle * (n - middle) - n * (after - before) / 4
    constant = (before == 0).all(axis=0)
    spread[:, constant] = np.nan
    for k, size in enumerate(sizes):
        own = sorted_codes == k
        count = np.concatenate((np.zeros((1, own.shape[1]), dtype=np.int64), own.cumsum(axis=0)))
        upto = np.take_along_axis(count, after, axis=0)
        half = (upto + np.take_along_axis(count, before, axis=0)) / 2
        anderson += ((n * half - middle * size) ** 2 / spread).sum(axis=0) / size
        ranks[k] = ((middle + 0.5) * own).sum(axis=0)
        below[k] = upto / size
    return {
        "anderson": _anderson(anderson * (n - 1) / n**2, sizes),
        "ks": _distance(below, sizes, constant),
        "kruskal": _kruskal(ranks, sizes, after - before),
    }


def _ties(values: Floats) -> tuple[Integers, Integers]:
    """Give how many sorted values lie below each one, and how many below or at it."""
    n = len(values)
    place = np.arange(n, dtype=np.int64)[:, None]
    differs = values[1:] != values[:-1]
    first = np.ones((1, values.shape[1]), dtype=bool)
    starts = np.where(np.concatenate((first, differs)), place, 0)
    ends = np.where(np.concatenate((differs, first)), place + 1, n)
    before = np.maximum.accumulate(starts, axis=0)
    after = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
    return before, np.ascontiguousarray(after)


def _anderson(statistic: Floats, sizes: Integers) -> tuple[Floats, Floats]:
    free = len(sizes) - 1
    normal = (statistic - free) / _anderson_sd(sizes)
    grid, log_p = _anderson_law(free)
    p = np.exp(np.interp(normal, grid, log_p))
    p[np.isnan(normal)] = np.nan
    return normal, p


def _anderson_sd(sizes: Integers) -> float:
    """Give the standard deviation of the statistic (Scholz and Stephens, eq. 4)."""
    n, k = int(sizes.sum()), len(sizes)
    whole = np.arange(1, n)
    h = float((1 / whole).sum())
    later = h - np.cumsum(1 / whole)  # of 1 / j over j = i + 1 ... n - 1
    g = float((later[:-1] / (n - whole[:-1])).sum())
    inverse = float((1 / sizes).sum())
    a = (4 * g - 6) * (k - 1) + (10 - 6 * g) * inverse
    b = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * inverse - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * inverse + 4 * h
    d = (2 * h + 6) * k**2 - 4 * h * k
    variance = (a * n**3 + b * n**2 + c * n + d) / ((n - 1.0) * (n - 2.0) * (n - 3.0))
    return float(np.sqrt(variance))


@lru_cache(maxsize=64)
def _anderson_law(free: int) -> tuple[Floats, Floats]:
    """Give the logarithm of the upper tail at growing normalised statistics.

    The limit is the sum over j of ``chi^2_free / (j (j + 1))``.
    """
    from scipy.stats import norm

    j = np.arange(1, _TERMS + 1)
    weight = 1 / (j * (j + 1.0))
    rest = 1 / (_TERMS + 1.0)  # the sum of all later weights
    s = np.concatenate((-np.geomspace(200, 2e-3, 300), 1 - np.geomspace(0.998, 1e-5, 400)))
    left = 1 - 2 * s[:, None] * weight
    cumulants = -0.5 * np.log(left).sum(axis=1) + s * rest
    mean = (weight / left).sum(axis=1) + rest
    variance = (2 * (weight / left) ** 2).sum(axis=1)
    w = np.sign(s) * np.sqrt(2 * free * (s * mean - cumulants))
    u = s * np.sqrt(free * variance)
    # in logarithms: far out both terms underflow, but not their ratio
    log_density = norm.logpdf(w)
    with np.errstate(invalid="ignore"):
        tail = np.exp(norm.logsf(w) - log_density) + 1 / u - 1 / w
    log_p = np.minimum(np.where(w < -6, 0.0, log_density + np.log(np.maximum(tail, 1e-300))), 0.0)
    spread = np.sqrt(2 * np.pi**2 / 3 - 6)
    return np.sqrt(free) * (mean - 1) / spread, np.minimum.accumulate(log_p)


def _distance(below: Floats, sizes: Integers, constant: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    from scipy.special import kolmogorov

    distance = np.full(below.shape[2], -1.0)
    least = np.ones(below.shape[2])
    pairs = len(sizes) * (len(sizes) - 1) // 2
    for one in range(len(sizes)):
        for two in range(one):
            apart = np.abs(below[one] - below[two]).max(axis=0)
            root = np.sqrt(sizes[one] * sizes[two] / (sizes[one] + sizes[two]))
            least = np.minimum(least, kolmogorov((root + 0.12 + 0.11 / root) * apart) * pairs)
            distance = np.maximum(distance, apart)
    least = np.minimum(least, 1.0)
    return np.where(constant, np.nan, distance), np.where(constant, np.nan, least)


def _kruskal(ranks: Floats, sizes: Integers, ties: Integers) -> tuple[Floats, Floats]:
    from scipy.stats import chi2

    n = int(sizes.sum())
    raw = 12 / (n * (n + 1.0)) * (ranks**2 / sizes[:, None]).sum(axis=0) - 3 * (n + 1)
    # the sum of t^3 - t over ties is that of t^2 - 1 over cases
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = raw / (1 - (ties.astype(np.float64) ** 2 - 1).sum(axis=0) / (n**3 - n))
    statistic = np.where((ties == n).all(axis=0), np.nan, np.maximum(statistic, 0.0))
    return statistic, np.asarray(chi2.sf(statistic, len(sizes) - 1))
