"""Training of one fold: a recipe fitted on one part of the cases, and what it says of the other."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from vesalius.errors import RegionError
from vesalius.predict._card import Fold, Threshold
from vesalius.predict._constant import Constant
from vesalius.predict._description import Description
from vesalius.predict._inner_folds import inner_folds
from vesalius.predict._inner_score import Score, inner_scores
from vesalius.predict._learned import Estimator, Step
from vesalius.predict._pipeline import Fitted, Recipe, fit_recipe
from vesalius.predict._splits import Part, Whole
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_JUDGED_BY: dict[str, Score] = {
    "binary": "auc",
    "classes": "auc",
    "number": "r2",
    "survival": "concordance",
}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """All that a training needs; it is sent to other processes whole.

    Attributes:
        table: Every case.
        target: Their outcome.
        recipe: What is fitted.
        units: (cases,) what inner folds must not split.
        hidden: Columns that test cases do not have: the outcome and its time.
        threshold: How the threshold is chosen; None where no decision is wanted.
    """

    table: Table
    target: Target
    recipe: Recipe
    units: Whole
    hidden: tuple[str, ...]
    threshold: Threshold | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What one training found.

    Attributes:
        fold: For the report.
        used: Features with a weight, where the estimator says; else all that it saw.
        scores: (test cases, outputs).
        apparent: Score on the very cases that it was trained on.
        threshold: Chosen on training cases; NaN where there is none.
    """

    fold: Fold
    used: tuple[str, ...]
    scores: Floats
    apparent: float
    threshold: float


def train_part(job: Job, part: Part) -> Trained:
    """Fit the recipe on the training rows of a part and predict its test rows.

    Test cases come without their outcome, so that no step can look at it. One thread is used:
    results then do not depend on how many processes share the work.

    Args:
        job: Table, outcome and recipe.
        part: Which rows.

    Returns:
        Predictions, and what was chosen.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        train, target = _taken(job.table, part.train), job.target.rows(part.train)
        groups = tuple(str(unit) for unit in job.units[part.train])
        fitted = fit_recipe(job.recipe, train, target, groups=groups)
        scores = fitted.predict(blind(job.table.rows(part.test), job.hidden))
        apparent = score_of(job.target.rows(part.train), fitted.predict(train))
        threshold = _threshold(job, fitted, train, target, groups)
    used = used_features(fitted)
    fold = Fold(
        repeat=part.repeat,
        fold=part.name,
        training=len(part.train),
        test=len(part.test),
        chosen=dict(fitted.chosen),
        features=fitted.features,
        inner_score=_inner(fitted),
        score=score_of(job.target.rows(part.test), scores),
    )
    return Trained(fold, used, scores, apparent, threshold)


def hidden_columns(description: Description) -> tuple[str, ...]:
    """Name the columns that a case has only once its outcome is known."""
    return tuple(name for name in (description.outcome, description.time) if name)


def blind(table: Table, hidden: Sequence[str]) -> Table:
    """Take the outcome away from cases that are to be predicted."""
    kept = [name for name in table.columns.columns if name not in hidden]
    return replace(table, columns=table.columns[kept])


def score_of(target: Target, scores: Floats) -> float:
    """Score predictions of held-out cases: AUC, R2 or concordance, by the kind of outcome.

    Args:
        target: What came.
        scores: (cases, outputs).

    Returns:
        The score; NaN where it is not defined, as AUC for cases of one class.
    """
    return float(inner_scores(scores[None], target, _JUDGED_BY[target.kind])[0])


def used_features(fitted: Fitted) -> tuple[str, ...]:
    """Name the features that have a weight; all that the estimator saw where it does not say."""
    weights = np.asarray(fitted.estimator.importances())
    if weights.shape != (len(fitted.features),):
        return fitted.features
    return tuple(name for name, one in zip(fitted.features, weights, strict=True) if one != 0)


def unseen_scores(
    recipe: Recipe, fitted: Fitted, table: Table, target: Target, groups: tuple[str, ...]
) -> Floats:
    """Predict training cases by models that have not seen them, with the chosen settings.

    Args:
        recipe: What was fitted.
        fitted: What came of it.
        table: The training cases.
        target: Their outcome.
        groups: Of each case, what must not be split.

    Returns:
        (cases, outputs).

    Raises:
        RegionError: A class has too few cases for inner folds.
    """
    if fitted.unseen.size:
        return fitted.unseen
    tuning = recipe.tuning
    alone = _Untuned(fitted.estimator.fresh(), fitted.steps)
    found: list[tuple[Whole, Floats]] = []
    for train, held in inner_folds(
        table.cases, target.strata, tuning.folds, seed=tuning.seed, groups=groups
    ):
        model = alone.fit(fitted, table.rows(train), target.rows(train))
        found.append((held, model.predict(table.rows(held))))
    out = np.zeros((len(table.cases), found[0][1].shape[1]))
    for held, scores in found:
        out[held] = scores
    return out


@final
@dataclass(frozen=True, slots=True)
class _Untuned:
    """Steps and an estimator whose settings are chosen already."""

    estimator: Estimator
    steps: tuple[Step, ...]

    def fit(self, like: Fitted, table: Table, target: Target) -> Fitted:
        """Learn anew from other cases."""
        steps = []
        for step in self.steps:
            steps.append(step.fresh().fit(table, target if step.needs_target else None))
            table = steps[-1].transform(table)
        model: Estimator = self.estimator.fresh() if table.features else Constant()
        return replace(like, steps=tuple(steps), estimator=model.fit(table.values, target))


def _threshold(
    job: Job, fitted: Fitted, train: Table, target: Target, groups: tuple[str, ...]
) -> float:
    from vesalius.predict._threshold import choose_threshold

    if target.kind != "binary" or job.threshold is None:
        return float("nan")
    if job.threshold.rule == "fixed":
        return job.threshold.value
    try:
        scores = unseen_scores(job.recipe, fitted, train, target, groups)
    except RegionError:  # too few of a class to hold any out: better seen cases than none
        scores = fitted.predict(train)
    return choose_threshold(target.values, scores[:, 0], rule=job.threshold)


def _inner(fitted: Fitted) -> float:
    for setting, score in fitted.inner:
        if dict(setting) == dict(fitted.chosen):
            return score
    return float("nan")


def _taken(table: Table, chosen: Whole) -> Table:
    """Take rows; a case that is drawn again gets a name of its own."""
    unique = np.unique(chosen)
    if len(unique) == len(chosen):
        return table.rows(chosen)
    times: dict[int, int] = {}
    names = []
    for row in chosen.tolist():
        times[row] = times.get(row, 0) + 1
        names.append(f"{table.cases[row]}, draw {times[row]}")
    gaps = {
        (name, feature): table.reasons[table.cases[row], feature]
        for name, row in zip(names, chosen.tolist(), strict=True)
        for feature in _gaps_of(table, row)
    }
    return replace(
        table,
        cases=tuple(names),
        values=table.values[chosen],
        columns=table.columns.iloc[chosen].reset_index(drop=True),
        reasons=gaps,
    )


def _gaps_of(table: Table, row: int) -> list[str]:
    return [table.features[j] for j in np.nonzero(np.isnan(table.values[row]))[0]]
