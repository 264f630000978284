"""Embed clusters: groups of cases, and whether there are any."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch

from vesalius.errors import ConfigError
from vesalius.graph import kmeans
from vesalius.predict._batch_effects import silhouette
from vesalius.predict._embed_quality import MOST, Ints, distances
from vesalius.predict._table import Floats

_STARTS = 5
_REFERENCES = 10
_WEAK = 0.25
_CLEAR = 0.7
"""Silhouette that no single cloud has: groups may be there that the gap statistic, which stops at
the first number that is no worse than the next, does not see."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Groups of cases.

    Attributes:
        labels: (cases,) number of the group, the largest group first.
        count: How many groups; 1 where the cases hold none.
        silhouettes: Mean silhouette of each number of groups from 2 on.
        gaps: Gap statistic of each number of groups from 1 on.
        gap_errors: Its standard error.
        remark: What must be known.
    """

    labels: Ints = field(repr=False)
    count: int
    silhouettes: tuple[float, ...]
    gaps: tuple[float, ...]
    gap_errors: tuple[float, ...]
    remark: str


def group_cases(values: Floats, *, most: int = 8, generator: torch.Generator) -> Grouping:
    """Group cases by k-means, their number by the gap statistic and the silhouette.

    The gap statistic says whether there are groups at all (1 is an answer); where it does, the
    number is that of the best silhouette.

    Args:
        values: (cases, features), of comparable spread; project many features first.
        most: Groups that are tried.
        generator: Of the starts and of the references.

    Returns:
        The groups.

    Raises:
        ConfigError: Fewer than two groups are tried, or there are not twice as many cases.

    References:
        Tibshirani, Walther & Hastie (2001), doi:10.1111/1467-9868.00293, sec. 4, references in the
        box of the principal components; Rousseeuw (1987), doi:10.1016/0377-0427(87)90125-7.
    """
    if most < 2 or len(values) < 2 * most:
        raise ConfigError(
            f"groups must be tried from 2 to half of the cases, got {most} for {len(values)} cases"
        )
    _, _, right = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    turned = (values - values.mean(axis=0)) @ right.T
    sizes = range(1, most + 1)
    found = [_best(turned, k, generator) for k in sizes]
    gaps, errors = _gaps(turned, np.array([inertia for _, inertia in found]), generator)
    chosen = np.linspace(0, len(values) - 1, min(len(values), MOST)).astype(np.int64)
    apart = distances(turned[chosen])
    scores = tuple(silhouette(apart, labels[chosen]) for labels, _ in found[1:])
    first = next((k for k in range(most - 1) if gaps[k] >= gaps[k + 1] - errors[k + 1]), most - 1)
    count = 1 if first == 0 else 2 + int(np.argmax(scores))
    labels = _by_size(found[count - 1][0])
    remark = _said(count, scores)
    return Grouping(labels, count, scores, tuple(gaps.tolist()), tuple(errors.tolist()), remark)


def _said(count: int, scores: tuple[float, ...]) -> str:
    best = max(scores)
    if count == 1 and best >= _CLEAR:
        return (
            f"The gap statistic finds no groups, yet {2 + scores.index(best)} have a silhouette of "
            f"{best:.2f} (1 apart, 0 mixed): look at the cases."
        )
    if count == 1:
        return "The gap statistic finds no groups: the cases are one cloud."
    score = scores[count - 2]
    weak = ": they run into each other" if score < _WEAK else ""
    return f"{count} groups have the best silhouette ({score:.2f}; 1 apart, 0 mixed){weak}."


def _best(values: Floats, count: int, generator: torch.Generator) -> tuple[Ints, float]:
    """Give labels and inertia of the best of several starts."""
    x = torch.from_numpy(np.ascontiguousarray(values))
    runs = [kmeans(x, count, generator=generator) for _ in range(_STARTS if count > 1 else 1)]
    best = min(runs, key=lambda run: run.inertia)
    return best.labels.numpy(), best.inertia


def _gaps(values: Floats, inertia: Floats, generator: torch.Generator) -> tuple[Floats, Floats]:
    low, high = values.min(axis=0), values.max(axis=0)
    logs = np.zeros((_REFERENCES, len(inertia)))
    for row in logs:
        drawn = torch.rand(values.shape, generator=generator, dtype=torch.float64).numpy()
        box = low + (high - low) * drawn
        row[:] = [np.log(max(_one(box, k + 1, generator), 1e-300)) for k in range(len(row))]
    gap = logs.mean(axis=0) - np.log(np.maximum(inertia, 1e-300))
    return gap, logs.std(axis=0) * np.sqrt(1 + 1 / _REFERENCES)


def _one(values: Floats, count: int, generator: torch.Generator) -> float:
    x = torch.from_numpy(np.ascontiguousarray(values))
    return kmeans(x, count, generator=generator).inertia


def _by_size(labels: Ints) -> Ints:
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels].astype(np.int64)
