"""Pipeline: steps and an estimator, fitted together on training cases alone."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from vesalius.predict._learned import Estimator, Step
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

Score = Literal["auc", "log_loss", "brier", "r2", "mae", "concordance", "accuracy"]


@final
@dataclass(frozen=True, slots=True)
class Tuning:
    """How settings of the estimator are chosen, in folds inside of the training cases.

    Attributes:
        folds: Inner folds.
        score: What is maximised (losses are minimised); empty takes AUC, log loss, R2 or
            concordance by the kind of outcome.
        rule: The best mean, or the simplest setting within one standard error of it.
        seed: Of the inner folds.
    """

    folds: int = 5
    score: Score | Literal[""] = ""
    rule: Literal["best", "one_standard_error"] = "best"
    seed: int = 0


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
    """

    steps: tuple[Step, ...]
    estimator: Estimator
    chosen: Mapping[str, Any]
    inner: tuple[tuple[Mapping[str, Any], float], ...]
    wanted: tuple[str, ...]
    features: tuple[str, ...]

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
        """
        return self.estimator.predict(self.transform(table).values)


def fit_recipe(recipe: Recipe, table: Table, target: Target) -> Fitted:
    """Fit a recipe on training cases: steps once, settings chosen in inner folds, then all again.

    Args:
        recipe: What is done.
        table: The training cases.
        target: Their outcome.

    Returns:
        The fitted recipe.
    """
    raise NotImplementedError  # the models' colleague writes this first
