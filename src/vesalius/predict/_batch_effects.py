"""Batch effects: what a batch changes in the features, counted, shared out and drawn."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch

from vesalius.errors import ConfigError
from vesalius.predict._coding import Codes, Levels, Terms, alike_gaps, levels_of, terms_of
from vesalius.predict._confounding import span
from vesalius.predict._shift_tests import FeatureTest, false_discovery, shift_tests
from vesalius.predict._table import Floats, Table
from vesalius.predict._variance_shares import (
    Components,
    VarianceShares,
    components_of,
    variance_shares,
)

PERMUTATIONS = 199
_LEAST_CASES = 4


@final
@dataclass(frozen=True, slots=True, eq=False)
class BatchEffects:
    """What a batch changes.

    Attributes:
        batch: Column of the batch.
        batches: Its values.
        counts: Cases of each.
        features: Names of the features, in the order of the tests.
        tests: By name: ``anderson`` (any difference of distribution), ``ks``, ``kruskal``
            (location), and with covariates ``adjusted`` (F test of the mean given covariates).
        affected: Share of the features with ``q < .05``, by test.
        shares: Variance that goes with batch, with covariates, with neither.
        silhouette: Of the batches in the space of the main components: 1 apart, 0 mixed.
        silhouette_p: Of one as large where batches are drawn at random.
        coordinates: (cases, 2) the first two components, for a figure.
        explained: Share of the variance of each of the two.
        codes: (cases,) batch of each case, as place in ``batches``.
        reasons: Why a feature could not be tested.
        remarks: What must be known, in sentences.
    """

    batch: str
    batches: tuple[str, ...]
    counts: tuple[int, ...]
    features: tuple[str, ...]
    tests: Mapping[str, FeatureTest]
    affected: Mapping[str, float]
    shares: VarianceShares
    silhouette: float
    silhouette_p: float
    coordinates: Floats = field(repr=False)
    explained: tuple[float, float]
    codes: Codes = field(repr=False)
    reasons: Mapping[str, str] = field(default_factory=dict, repr=False)
    remarks: tuple[str, ...] = ()

    def most_affected(self, count: int) -> tuple[str, ...]:
        """Give the features with the largest difference, largest first."""
        statistic = self.tests["anderson"].statistic
        order = np.argsort(-np.nan_to_num(statistic, nan=-np.inf), kind="stable")
        known = [j for j in order if not np.isnan(statistic[j])]
        return tuple(self.features[j] for j in known[:count])


def batch_effects(
    table: Table,
    batch: str,
    *,
    covariates: Sequence[str] = (),
    generator: torch.Generator,
) -> BatchEffects:
    """Measure what a batch changes in the features.

    A batch with sicker patients differs too: name what differs between patients as covariates, and
    read ``adjusted`` and the variance shares, which take it into account.

    Args:
        table: The cases; gaps of a feature are left out of its tests.
        batch: Column of the batch.
        covariates: Columns of what may differ between the patients of the batches.
        generator: Of the 199 permutations of the silhouette.

    Returns:
        Tests of each feature with q-values (Benjamini, Hochberg), shares and figure data.

    Raises:
        ConfigError: There is one batch only, or fewer than four cases; a column is absent, has
            gaps, or the batch is among the covariates.
        IntensityError: No feature differs between cases.

    References:
        Rousseeuw (1987), doi:10.1016/0377-0427(87)90125-7 (silhouette; 0 for a batch of one).
    """
    levels = _checked(table, batch, covariates)
    terms = terms_of(table, covariates)
    own = Terms(levels.names[1:], (batch,) * (len(levels.names) - 1), levels.indicators[:, 1:])
    tests, reasons = _tests(table, levels, own, terms)
    components = components_of(table.values)
    distances = _distances(components.scores)
    found, p = _silhouette_test(distances, levels.codes, generator)
    two = np.zeros((len(table.cases), 2))
    two[:, : components.scores.shape[1]] = components.scores[:, :2]
    held = (*components.explained[:2].tolist(), 0.0)
    return BatchEffects(
        batch,
        levels.names,
        tuple(int(n) for n in levels.counts),
        table.features,
        tests,
        {name: test.affected() for name, test in tests.items()},
        variance_shares(components, own, terms),
        found,
        p,
        two,
        (held[0], held[1]),
        levels.codes,
        reasons,
        _remarks(levels, components, table),
    )


def silhouette(distances: Floats, codes: Codes) -> float:
    """Give the mean silhouette of groups.

    Args:
        distances: (cases, cases).
        codes: (cases,) group of each, from 0.

    Returns:
        From -1 to 1; a group of one counts as 0.
    """
    sizes = np.bincount(codes)
    to = distances @ (codes[:, None] == np.arange(len(sizes)))
    place = np.arange(len(codes))
    own = sizes[codes]
    inside = to[place, codes] / np.maximum(own - 1, 1)
    to = to / np.maximum(sizes, 1)
    to[place, codes] = np.inf
    other = to.min(axis=1)
    larger = np.maximum(inside, other)
    apart = np.where(
        (own > 1) & (larger > 0), (other - inside) / np.where(larger > 0, larger, 1), 0
    )
    return float(apart.mean())


def _checked(table: Table, batch: str, covariates: Sequence[str]) -> Levels:
    if batch in covariates:
        raise ConfigError(
            f"the batch must not be a covariate of itself, got {batch!r}: leave it out of them"
        )
    levels = levels_of(table, batch)
    if len(levels.names) < 2 or len(table.cases) < _LEAST_CASES:
        raise ConfigError(
            f"batch effects need two batches and {_LEAST_CASES} cases, got {len(levels.names)} in "
            f"{batch!r} and {len(table.cases)}: there is nothing to compare"
        )
    return levels


def _tests(
    table: Table, levels: Levels, own: Terms, covariates: Terms
) -> tuple[dict[str, FeatureTest], dict[str, str]]:
    count = len(table.features)
    names = ["anderson", "ks", "kruskal", *(["adjusted"] if covariates.names else [])]
    statistic = {name: np.full(count, np.nan) for name in names}
    p = {name: np.full(count, np.nan) for name in names}
    reasons: dict[str, str] = {}
    for there, places in alike_gaps(table.values):
        values = table.values[np.ix_(there, places)]
        _, codes = np.unique(levels.codes[there], return_inverse=True)
        if len(values) < _LEAST_CASES or codes.max() < 1:
            reasons |= {table.features[j]: "too few cases with a value" for j in places}
            continue
        found = shift_tests(values, codes.astype(np.int64))
        if covariates.names:
            found["adjusted"] = _partial_f(values, own.values[there], covariates.values[there])
        for name, (one, chance) in found.items():
            statistic[name][places], p[name][places] = one, chance
    for j in np.flatnonzero(np.isnan(statistic["anderson"])):
        reasons.setdefault(table.features[j], "the same for all cases")
    tests = {
        name: FeatureTest(statistic[name], p[name], false_discovery(p[name])) for name in names
    }
    return tests, reasons


def _partial_f(values: Floats, own: Floats, covariates: Floats) -> tuple[Floats, Floats]:
    """Test the batch in a linear model that has the covariates too."""
    from scipy.stats import f

    centred = values - values.mean(axis=0)
    both = np.concatenate((own, covariates), axis=1)
    whole = span(both - both.mean(axis=0))
    rest = span(covariates - covariates.mean(axis=0))
    free, left = whole.shape[1] - rest.shape[1], len(values) - 1 - whole.shape[1]
    none = np.full(values.shape[1], np.nan)
    if free < 1 or left < 1:
        return none, none
    explained = ((whole.T @ centred) ** 2).sum(axis=0) - ((rest.T @ centred) ** 2).sum(axis=0)
    total = (centred**2).sum(axis=0)
    over = total - ((whole.T @ centred) ** 2).sum(axis=0)
    size = np.abs(values).max(axis=0)
    known = total > 1e-24 * len(values) * size**2
    ratio = np.divide(
        np.maximum(explained, 0) / free, over / left, out=none.copy(), where=known & (over > 0)
    )
    ratio[known & (over <= 0)] = np.inf
    return ratio, np.asarray(f.sf(ratio, free, left))


def _distances(scores: Floats) -> Floats:
    square = (scores**2).sum(axis=1)
    apart = square[:, None] + square[None] - 2 * scores @ scores.T
    np.fill_diagonal(apart, 0.0)
    return np.asarray(np.sqrt(np.maximum(apart, 0.0)))


def _silhouette_test(
    distances: Floats, codes: Codes, generator: torch.Generator
) -> tuple[float, float]:
    found = silhouette(distances, codes)
    as_large = 0
    for _ in range(PERMUTATIONS):
        order = torch.randperm(len(codes), generator=generator, device="cpu").numpy()
        as_large += silhouette(distances, codes[order]) >= found - 1e-12
    return found, (1 + as_large) / (1 + PERMUTATIONS)


def _remarks(levels: Levels, components: Components, table: Table) -> tuple[str, ...]:
    found = []
    small = [name for name, n in zip(levels.names, levels.counts, strict=True) if n < 10]
    if small:
        found.append(
            f"{len(small)} of {len(levels.names)} batches have fewer than 10 cases "
            f"({', '.join(small[:5])}): what they change is poorly known."
        )
    if same := len(table.features) - components.features:
        found.append(f"{same} of {len(table.features)} features are the same for all cases.")
    if gaps := int(np.isnan(table.values).any(axis=0).sum()):
        found.append(
            f"{gaps} features have gaps: tests leave those cases out, components take the median."
        )
    return tuple(found)
