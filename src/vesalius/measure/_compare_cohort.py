"""Compare a cohort: scores of many cases summed up with intervals, and two runs against each other.

Cases count, not voxels: each case gives one value per label and score.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch

from vesalius.errors import RegionError
from vesalius.measure._interval import Interval, PairedTest, bootstrap_interval, paired_test


@runtime_checkable
class Scored(Protocol):
    """One case: a ``Comparison`` or an ``ObjectComparison``."""

    def figures(self) -> dict[tuple[str, str], float]:
        """Give each figure by label and score."""


@final
@dataclass(frozen=True, slots=True)
class Summary:
    """One score of one label over the cases.

    Attributes:
        label: Name of the label, ``"mean of labels"``, or ``"objects"``.
        score: Name of the score.
        interval: Mean over the cases in which it is finite.
        median: Over the same.
        infinite: Cases in which it is infinite (label in one of both only): not in the mean.
        absent: Cases without the score (label in neither).
    """

    label: str
    score: str
    interval: Interval
    median: float
    infinite: int
    absent: int


@final
@dataclass(frozen=True, slots=True)
class Contest:
    """One score of one label in two runs.

    Attributes:
        label: Name of the label, ``"mean of labels"``, or ``"objects"``.
        score: Name of the score.
        test: Over the cases in which it is finite in both.
    """

    label: str
    score: str
    test: PairedTest


def summarise(
    cases: Mapping[str, Scored], *, generator: torch.Generator, coverage: float = 0.95
) -> tuple[Summary, ...]:
    """Sum up the comparisons of many cases.

    Args:
        cases: By name of the case.
        generator: For the bootstrap.
        coverage: Of the intervals.

    Returns:
        One entry for each label and score; in the order in which the cases have them.

    Raises:
        RegionError: There is no case.
    """
    table = _table(cases)
    found = []
    for (label, score), values in table.items():
        finite = sorted(v for v in values.values() if math.isfinite(v))
        interval = Interval(math.nan, math.nan, math.nan, coverage, 0)
        if finite:
            interval = bootstrap_interval(finite, generator=generator, coverage=coverage)
        infinite = sum(math.isinf(v) for v in values.values())
        absent = len(cases) - len(finite) - infinite
        found.append(Summary(label, score, interval, _median(finite), infinite, absent))
    return tuple(found)


def contest(
    first: Mapping[str, Scored],
    second: Mapping[str, Scored],
    *,
    generator: torch.Generator,
    coverage: float = 0.95,
) -> tuple[Contest, ...]:
    """Compare two runs on the cases that both have.

    Args:
        first: By name of the case.
        second: The same cases by another run.
        generator: For the intervals.
        coverage: Of the intervals.

    Returns:
        One entry for each label and score that is finite in both in at least one case.

    Raises:
        RegionError: There is no case in common.
    """
    shared = [name for name in first if name in second]
    if not shared:
        raise RegionError(
            "both runs must have a case in common to be compared, they have none: give the files "
            "the same names"
        )
    one = _table({name: first[name] for name in shared})
    two = _table({name: second[name] for name in shared})
    found = []
    for key, values in one.items():
        others = two.get(key, {})
        pairs = [(v, others.get(case, math.nan)) for case, v in values.items()]
        kept = [p for p in pairs if math.isfinite(p[0]) and math.isfinite(p[1])]
        if kept:
            a, b = zip(*kept, strict=True)
            test = paired_test(a, b, generator=generator, coverage=coverage)
            found.append(Contest(*key, test))
    return tuple(found)


def _table(cases: Mapping[str, Scored]) -> dict[tuple[str, str], dict[str, float]]:
    """Give label and score, then case, to value."""
    if not cases:
        raise RegionError("there must be at least one case to be summed up, got none")
    found: dict[tuple[str, str], dict[str, float]] = {}
    for case, scored in cases.items():
        for key, value in scored.figures().items():
            found.setdefault(key, {})[case] = value
    return found


def _median(ordered: list[float]) -> float:
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else math.nan
