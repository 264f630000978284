"""Permutation test: how often outcomes at random are predicted as well as the real ones."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._description import Description
from vesalius.predict._made_ready import made_ready
from vesalius.predict._outcome import target_of
from vesalius.predict._pipeline import Recipe
from vesalius.predict._splits import Split, Whole, parts, units_of
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._training import Job, hidden_columns, train_part
from vesalius.predict._workers import shared


@final
@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """What a permutation test found.

    Attributes:
        p_value: (1 + permutations that did as well) / (1 + permutations).
        observed: Mean score of the folds with the real outcome (AUC, R2, concordance).
        shuffled: (permutations,) the same for outcomes at random.
        within: Column within whose values outcomes were permuted; empty for none.
    """

    p_value: float
    observed: float
    shuffled: Floats = field(repr=False)
    within: str = ""


def permutation_test(
    table: Table,
    description: Description,
    recipe: Recipe,
    *,
    split: Split,
    permutations: int,
    generator: torch.Generator,
    workers: int = 1,
) -> Permutation:
    """Test whether a recipe finds more than chance, by the whole nested validation.

    Outcomes are permuted between patients where each patient has one outcome, else between cases;
    and within the values of the batch where one is described, so that a model that knows the
    scanner alone is not taken for one that knows the patient.

    Args:
        table: The cases.
        description: What the columns mean.
        recipe: What is fitted.
        split: How cases are parted; few folds and a simple recipe keep it cheap.
        permutations: How many; the least p-value is 1 / (1 + permutations).
        generator: Of the permutations.
        workers: Processes that share the permutations; the result is the same.

    Returns:
        The p-value and the scores behind it.

    Raises:
        ConfigError: The outcome, the split or the recipe does not fit the table, there is no
            permutation, or none differs from the real outcome because the batch decides it.
        RegionError: No test part holds cases of both classes.

    References:
        Phipson and Smyth (2010), doi:10.2202/1544-6115.1585; Ojala and Garriga (2010), JMLR 11,
        1833-1863 (test 1).
    """
    if permutations < 1:
        raise ConfigError(
            f"permutations must be 1 or more, got {permutations}: 199 give a p-value of .005"
        )
    target = target_of(table, description)
    ready = made_ready(recipe, table, description, target)
    order = _orders(table, description, target, permutations, generator)
    trials = [
        _Trial(table, description, ready, split, target, rows)
        for rows in (np.arange(len(table.cases)), *order)
    ]
    scores = list(shared(_score, trials, workers=workers))
    observed, shuffled = scores[0], np.asarray(scores[1:])
    if np.isnan(observed):
        raise RegionError(
            f"a test part must hold cases of both classes to be scored, none of {split.method} "
            "does: use another split, or fewer folds"
        )
    as_good = int((~(shuffled < observed - 1e-12)).sum())  # what has no score is no worse
    return Permutation((1 + as_good) / (1 + len(shuffled)), observed, shuffled, description.batch)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """One nested validation with outcomes in another order."""

    table: Table
    description: Description
    recipe: Recipe
    split: Split
    target: Target
    rows: Whole


def _score(trial: _Trial) -> float:
    """Mean score of the folds."""
    target = trial.target.rows(trial.rows)
    hidden = hidden_columns(trial.description)
    columns = trial.table.columns.copy()
    for name in hidden:
        columns[name] = columns[name].to_numpy()[trial.rows]
    table = replace(trial.table, columns=columns)
    job = Job(table, target, trial.recipe, units_of(table, trial.description), hidden, None)
    chosen = parts(trial.split, table, trial.description, target)
    scores = np.asarray([train_part(job, part).fold.score for part in chosen])
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")


def _orders(
    table: Table,
    description: Description,
    target: Target,
    permutations: int,
    generator: torch.Generator,
) -> Iterator[Whole]:
    """Give the row from which each case takes its outcome."""
    import pandas as pd

    rows = np.arange(len(table.cases))
    units = units_of(table, description)
    batch = np.zeros(len(rows), dtype=np.int64)
    if description.batch:
        batch = pd.factorize(table.column(description.batch))[0].astype(np.int64)
    strata = np.unique(np.column_stack([batch, target.strata]), axis=0)
    if len(strata) == len(np.unique(batch)):
        raise ConfigError(
            f"outcomes must differ within a batch to be permuted in it, {description.batch!r} "
            "decides the outcome: no test can tell them apart; add cases of both to a batch"
        )
    first = np.array([int(np.nonzero(units == unit)[0][0]) for unit in units])
    whole = bool((_said(target)[first] == _said(target)).all() and (batch[first] == batch).all())
    drawn = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    for _ in range(permutations):
        found = rows.copy()
        for one in np.unique(batch):
            here = np.unique(first[batch == one]) if whole else rows[batch == one]
            found[here] = drawn.permutation(here)
        yield found[first] if whole else found


def _said(target: Target) -> Floats:
    """The outcome of a case as numbers that are equal for equal outcomes."""
    extra = target.events if target.events.size else np.zeros(len(target.values))
    said: Floats = target.values + 1e9 * extra
    return said
