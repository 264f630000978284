"""Pipeline: steps and an estimator, fitted together on training cases alone."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._constant import Constant
from vesalius.predict._gaps import check_full
from vesalius.predict._impute import Impute
from vesalius.predict._inner_folds import inner_folds
from vesalius.predict._inner_score import FITTING, Score, inner_scores
from vesalius.predict._learned import Estimator, Step
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

Setting = Mapping[str, Any]


_APART = 1_000_003
"""Between the seeds of repetitions, so that neighbouring seeds of users do not meet."""


@final
@dataclass(frozen=True, slots=True)
class Tuning:
    """How settings of the estimator are chosen, in folds inside of the training cases.

    Attributes:
        folds: Inner folds; fewer where a class has fewer cases.
        score: What is maximised (losses are minimised); empty takes log loss, R2 or concordance by
            the kind of outcome.
        rule: The best mean, or the simplest setting within one standard error of it.
        seed: Of the inner folds.
        repeats: How often cases are parted anew; with few cases one parting alone decides between
            a weak model and none by chance.

    Raises:
        ConfigError: Fewer than two folds, or no repetition.
    """

    folds: int = 5
    score: Score | Literal[""] = ""
    rule: Literal["best", "one_standard_error"] = "best"
    seed: int = 0
    repeats: int = 3

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"tuning must have at least two inner folds, got {self.folds}")
        if self.repeats < 1:
            raise ConfigError(f"tuning must part the cases at least once, got {self.repeats}")


@final
@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done from table to prediction; nothing in it has learned anything.

    Attributes:
        steps: In order.
        estimator: The model.
        tuning: How its settings are chosen.
    """

    steps: tuple[Step, ...]
    estimator: Estimator
    tuning: Tuning = Tuning()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A recipe that has learned.

    Attributes:
        steps: Fitted, in order.
        estimator: Fitted, with the chosen settings.
        chosen: The settings that tuning chose.
        inner: Mean score of the inner folds for each setting tried, as (setting, score).
        wanted: Features that the first step needs.
        features: Features that the estimator sees.
        unseen: (cases, outputs) what models of the inner folds, with the chosen settings, said of
            the training cases that they had not seen; empty where nothing was tuned.
    """

    steps: tuple[Step, ...]
    estimator: Estimator
    chosen: Mapping[str, Any]
    inner: tuple[tuple[Mapping[str, Any], float], ...]
    wanted: tuple[str, ...]
    features: tuple[str, ...]
    unseen: Floats = field(default_factory=lambda: np.zeros((0, 1)), repr=False)

    def transform(self, table: Table) -> Table:
        """Take cases through the steps.

        Args:
            table: Cases with the wanted features.

        Returns:
            What the estimator sees.
        """
        table = table.select(self.wanted)
        for step in self.steps:
            table = step.transform(table)
        return table

    def predict(self, table: Table) -> Floats:
        """Predict cases.

        Args:
            table: Cases with the wanted features.

        Returns:
            (cases, outputs), as :meth:`Estimator.predict`.

        Raises:
            IntensityError: A value is missing that no step fills; names feature and case.
        """
        seen = self.transform(table)
        check_full(seen, type(self.estimator).__name__)
        return self.estimator.predict(seen.values)


def fit_recipe(
    recipe: Recipe, table: Table, target: Target, *, groups: tuple[str, ...] = ()
) -> Fitted:
    """Fit a recipe on training cases: steps, then settings chosen in inner folds, then the model.

    In every inner fold the steps are learned anew from its own training part, so that no setting
    is chosen by cases that a step has seen. A table with gaps and no ``Impute`` among the steps
    gets one in front. Where the steps leave no feature the model is :class:`Constant`.

    Args:
        recipe: What is done; stays as it is.
        table: The training cases.
        target: Their outcome.
        groups: Of each case, what inner folds must not split, such as the patient; empty for none.

    Returns:
        The fitted recipe.

    Raises:
        ConfigError: The estimator or the score does not fit the kind of outcome, or numbers of
            cases, outcomes and groups differ.
        IntensityError: A value is missing where the estimator looks.
        RegionError: One class only, or too few cases of one for inner folds.
    """
    _check(recipe, table, target)
    asked = with_impute(recipe.steps, table)
    steps, seen = _fit_steps(asked, table, target)
    check_full(seen, type(recipe.estimator).__name__)
    if not seen.features:
        constant = Constant().fit(seen.values, target)
        return Fitted(steps, constant, {}, (), table.features, ())
    settings = recipe.estimator.grid(seen.values, target)
    chosen: Setting = settings[0]
    inner: tuple[tuple[Setting, float], ...] = ()
    unseen = np.zeros((0, 1))
    if len(settings) > 1:
        scores, predicted = _inner(
            Recipe(asked, recipe.estimator, recipe.tuning), settings, table, target, groups
        )
        chosen, inner = _choose(settings, scores, recipe.tuning)
        unseen = predicted[settings.index(chosen)]
    estimator = recipe.estimator.fresh(chosen).fit(seen.values, target)
    return Fitted(steps, estimator, chosen, inner, table.features, seen.features, unseen)


def _check(recipe: Recipe, table: Table, target: Target) -> None:
    if len(target.values) != len(table.cases):
        raise ConfigError(
            f"each case must have one outcome, got {len(table.cases)} cases and "
            f"{len(target.values)} outcomes: keep the same rows of both"
        )
    if not table.cases:
        raise RegionError("a recipe must be fitted on cases, got none: give training cases")
    estimator = recipe.estimator
    if target.kind not in estimator.kinds:
        raise ConfigError(
            f"{type(estimator).__name__} predicts {', '.join(estimator.kinds)}, got an outcome "
            f"of kind {target.kind!r}: choose another estimator"
        )
    if target.kind in ("binary", "classes") and len(np.unique(target.values)) < 2:
        raise RegionError(
            f"the training cases must hold at least two classes, got {len(target.values)} cases "
            f"of one of {', '.join(target.classes)}: give cases of another class"
        )
    score = recipe.tuning.score
    if score and score not in FITTING[target.kind]:
        raise ConfigError(
            f"the score of an outcome of kind {target.kind!r} must be one of "
            f"{', '.join(FITTING[target.kind])}, got {score!r}"
        )


def with_impute(steps: tuple[Step, ...], table: Table) -> tuple[Step, ...]:
    """Put an ``Impute`` in front where a table has gaps and no step is one.

    Args:
        steps: As asked for.
        table: All cases that will be met: a gap of a test case alone must be filled, too.

    Returns:
        The steps.
    """
    filled = any(isinstance(step, Impute) for step in steps)
    return steps if filled or not np.isnan(table.values).any() else (Impute(), *steps)


def _fit_steps(
    steps: tuple[Step, ...], table: Table, target: Target
) -> tuple[tuple[Step, ...], Table]:
    fitted = []
    for step in steps:
        # who does not need the outcome does not get it
        ready = step.fresh().fit(table, target if step.needs_target else None)
        table = ready.transform(table)
        fitted.append(ready)
    return tuple(fitted), table


def _inner(
    recipe: Recipe,
    settings: Sequence[Setting],
    table: Table,
    target: Target,
    groups: tuple[str, ...],
) -> tuple[Floats, Floats]:
    """Give (folds of all repetitions, settings) scores, and the predictions of the first."""
    tuning = recipe.tuning
    score = tuning.score or FITTING[target.kind][0]
    folds = [
        (repeat, *part)
        for repeat in range(tuning.repeats)
        for part in inner_folds(
            table.cases,
            target.strata,
            tuning.folds,
            seed=tuning.seed + repeat * _APART,
            groups=groups,
        )
    ]
    found = []
    every = np.zeros((0, 0, 0))
    for repeat, rows, held in folds:
        truth = target.rows(rows)
        steps, seen = _fit_steps(recipe.steps, table.rows(rows), truth)
        other = table.rows(held)
        for step in steps:
            other = step.transform(other)
        for part in (seen, other):
            check_full(part, type(recipe.estimator).__name__)
        model = recipe.estimator if seen.features else Constant()
        tried = settings if seen.features else [{} for _ in settings]
        predicted = model.path(seen.values, truth, other.values, tried)
        found.append(inner_scores(predicted, target.rows(held), score))
        if not every.size:
            every = np.zeros((len(settings), len(table.cases), predicted.shape[2]))
        # those of several partings, averaged, would be better than any one model's
        if not repeat:
            every[:, held] = predicted
    return np.stack(found), every


def _choose(
    settings: Sequence[Setting], scores: Floats, tuning: Tuning
) -> tuple[Setting, tuple[tuple[Setting, float], ...]]:
    """Choose among settings in order from the simplest; of equals the simplest."""
    defined = scores[~np.isnan(scores).any(axis=1)]
    if not len(defined):
        return settings[0], tuple((one, float("nan")) for one in settings)
    mean = np.round(defined.mean(axis=0), 12)
    best = int(mean.argmax())
    if tuning.rule == "one_standard_error" and len(defined) > 1:
        # repetitions are of the same cases: they make the error better known, not smaller
        folds = len(defined) / tuning.repeats
        error = defined[:, best].std(ddof=1) / np.sqrt(max(folds, 1.0))
        best = int(np.flatnonzero(mean >= mean[best] - error)[0])
    return settings[best], tuple((s, float(m)) for s, m in zip(settings, mean, strict=True))
