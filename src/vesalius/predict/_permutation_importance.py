"""Permutation importance: what a model loses where a feature, or a group of them, is shuffled."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._card import Estimate
from vesalius.predict._correlated import correlated_groups
from vesalius.predict._description import Description
from vesalius.predict._inner_score import Score, inner_scores
from vesalius.predict._meeting import seen_cases
from vesalius.predict._model import Model
from vesalius.predict._outcome import target_of
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._what_if import Ints, WhatIf, batches_of, rotated, shuffled, what_if

SCORES: dict[str, Score] = {
    "binary": "auc",
    "classes": "auc",
    "number": "r2",
    "survival": "concordance",
}
PARTS = 20
"""Parts of the patients that are left out in turn for an interval."""


@final
@dataclass(frozen=True, slots=True)
class Shuffling:
    """How features are shuffled.

    Attributes:
        repeats: Shuffles of each feature.
        together: |Spearman's rho| above which features are shuffled as one group.

    Raises:
        ConfigError: Fewer than two repeats.
    """

    repeats: int = 10
    together: float = 0.7

    def __post_init__(self) -> None:
        if self.repeats < 2:
            raise ConfigError(f"shuffling must be repeated at least twice, got {self.repeats}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """What the score loses without a feature or a group.

    Attributes:
        features: One feature, or those that are shuffled together.
        drop: Score as it is less the mean score when shuffled, with its 95 % interval over other
            patients and other shuffles.
        drops: (repeats,) of each shuffle.
    """

    features: tuple[str, ...]
    drop: Estimate
    drops: Floats = field(repr=False)


@final
@dataclass(frozen=True, slots=True, eq=False)
class PermutationImportance:
    """What a model's score rests on.

    Attributes:
        score: ``auc``, ``r2`` or ``concordance``.
        baseline: The score of the cases as they are.
        single: Each feature that moves a prediction, the greatest drop first.
        groups: Groups of correlated features that hold one of these, the greatest drop first.
        unmoved: How many features move no prediction of these cases.
        remarks: What must be known before it is used.
    """

    score: Score
    baseline: float
    single: tuple[Importance, ...]
    groups: tuple[Importance, ...]
    unmoved: int
    remarks: tuple[str, ...] = ()


def permutation_importance(
    model: Model,
    table: Table,
    description: Description,
    *,
    generator: torch.Generator,
    shuffling: Shuffling = Shuffling(),
    other_parameters: bool = False,
) -> PermutationImportance:
    """Measure what the score of a model loses where features are shuffled among cases.

    The features of the table are shuffled, before any step of the recipe; where the recipe
    harmonises, within the batches. Of two features that say the same the model may use either, so
    that neither alone seems to matter: groups of correlated features are shuffled together, too.
    It tells what this model uses, not what the outcome depends on.

    Args:
        model: Fitted or loaded.
        table: Cases with outcome, better such as the model has not seen.
        description: What the columns mean; ``group`` names the patient.
        generator: Of the shuffles.
        shuffling: How often, and which together.
        other_parameters: Whether features of other parameters are accepted.

    Returns:
        Drops of AUC (of several classes: the mean of one against the rest), R2 or concordance. The
        interval holds patients (delete-a-group jackknife) and shuffles both; it is 0 to 0 for a
        feature of which nothing depends.

    Raises:
        RegionError: The score is not defined for these cases.
        ConfigError: The classes are others, or the table lacks a feature.

    References:
        Breiman (2001), doi:10.1023/A:1010933404324, section 10; Fisher, Rudin & Dominici (2019),
        JMLR 20(177), eq. (3.1), as a difference; Kott (2001), J. Off. Stat. 17(4), for the
        delete-a-group jackknife.
    """
    target = target_of(table, description)
    _check_classes(model, target)
    asked, remarks = what_if(model, table, other_parameters=other_parameters)
    score = SCORES[target.kind]
    baseline = float(inner_scores(asked.base[None], target, score)[0])
    if math.isnan(baseline):
        raise RegionError(
            f"{score} must be defined on the cases, it is not for these {len(table.cases)}: give "
            "cases of every class, or with events"
        )
    orders = [shuffled(asked.blocks, generator) for _ in range(shuffling.repeats)]
    judge = _Judge(asked, target, score, _parts(table, description, target, generator))
    moving = [asked.table.features[j] for j in asked.moving(rotated(asked.blocks, generator))]
    single = _ranked(judge.importances([(name,) for name in moving], orders))
    known = {one.features: one for one in single}
    rank = {one.features[0]: k for k, one in enumerate(single)}
    groups = [  # named after its most important feature
        tuple(sorted(one, key=lambda name: rank.get(name, len(rank))))
        for one in correlated_groups(asked.table, above=shuffling.together)
        if not set(one).isdisjoint(moving)
    ]
    several = judge.importances([one for one in groups if len(one) > 1], orders)
    alone = [known[one] for one in groups if len(one) == 1]
    return PermutationImportance(
        score,
        baseline,
        single,
        _ranked((*several, *alone)),
        len(asked.table.features) - len(moving),
        (*_said(model, table, any_moves=bool(moving)), *remarks),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    asked: WhatIf
    target: Target
    score: Score
    parts: Ints

    def importances(
        self, sets: Sequence[tuple[str, ...]], orders: Sequence[Ints]
    ) -> tuple[Importance, ...]:
        return tuple(self._one(names, orders) for names in sets)

    def _one(self, names: tuple[str, ...], orders: Sequence[Ints]) -> Importance:
        table = self.asked.table
        places = [table.features.index(name) for name in names]
        values = np.repeat(table.values[None], len(orders), axis=0)
        for k, order in enumerate(orders):
            values[k][:, places] = table.values[order][:, places]
        predicted = np.concatenate([self.asked.base[None], self.asked.predict(values)])
        every = np.ones(len(table.cases), dtype=bool)
        drops = self._drops(predicted, every)
        left = [self._drops(predicted, self.parts != part) for part in np.unique(self.parts)]
        return Importance(names, _interval(drops, np.asarray(left).mean(axis=1)), drops)

    def _drops(self, predicted: Floats, kept: np.ndarray) -> Floats:
        rows = np.flatnonzero(kept)
        scores = inner_scores(predicted[:, rows], self.target.rows(rows), self.score)
        return np.asarray(scores[0] - scores[1:])


def _interval(drops: Floats, left: Floats) -> Estimate:
    """Lay an interval for other patients (parts left out in turn) and other shuffles."""
    from scipy.stats import t

    value = float(drops.mean())
    left = left[~np.isnan(left)]
    if len(left) < 2:
        return Estimate(value, reason="too few patients for an interval")
    count = len(left)
    patients = (count - 1) / count * float(np.square(left - left.mean()).sum())
    error = math.sqrt(patients + float(drops.var(ddof=1)) / len(drops))
    reach = float(t.ppf(0.975, count - 1)) * error
    return Estimate(value, value - reach, value + reach)


def _parts(
    table: Table, description: Description, target: Target, generator: torch.Generator
) -> Ints:
    """Deal patients to parts, so that each part has its share of every class."""
    names = list(table.cases)
    if description.group:
        names = [str(one) for one in table.column(description.group)]
    patients, place = np.unique(names, return_inverse=True)
    place = place.reshape(-1)
    stratum = np.zeros(len(patients), dtype=np.int64)
    np.maximum.at(stratum, place, target.strata)
    drawn = torch.randperm(len(patients), generator=generator).numpy()
    dealt = np.empty(len(patients), dtype=np.int64)
    dealt[drawn[np.argsort(stratum[drawn], kind="stable")]] = np.arange(len(patients)) % PARTS
    return dealt[place]


def _ranked(found: Sequence[Importance]) -> tuple[Importance, ...]:
    return tuple(sorted(found, key=lambda one: (-one.drop.value, one.features)))


def _check_classes(model: Model, target: Target) -> None:
    if target.kind != model.description.kind or target.classes != model.classes:
        raise ConfigError(
            f"the outcome must be that of the model, {model.description.kind} of "
            f"{', '.join(model.classes) or 'numbers'}, got {target.kind} of "
            f"{', '.join(target.classes) or 'numbers'}: name the same outcome"
        )


def _said(model: Model, table: Table, *, any_moves: bool) -> tuple[str, ...]:
    said = []
    if not any_moves:
        said.append(
            "No feature moves a prediction: the model says the same of every case, as where its "
            "training found nothing worth using."
        )
    if seen := seen_cases(model, table):
        said.append(
            f"THE MODEL WAS TRAINED ON {len(seen)} OF THESE {len(table.cases)} CASES: its score "
            "on them is too good, and features that it learned by heart seem to matter. Explain it "
            "on cases that it has not seen."
        )
    if names := batches_of(model):
        said.append(f"Features were shuffled within {', '.join(names)}, which is harmonised.")
    return tuple(said)
