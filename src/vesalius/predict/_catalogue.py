"""Catalogue: which class a word of a recipe or of a saved model means; there are no others.

A saved model names its steps by these words alone, so that no file can make this program load a
class that is not listed here.
"""
# SPDX-License-Identifier: Apache-2.0

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from vesalius.errors import ConfigError
from vesalius.predict._learned import Estimator, Step

STEPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "impute": ("_impute", "Impute"),
        "scale": ("_scale", "Scale"),
        "variance": ("_variance", "Variance"),
        "redundancy": ("_redundancy", "Redundancy"),
        "stability": ("_stability", "Stability"),
        "univariate": ("_univariate", "Univariate"),
        "mrmr": ("_mrmr", "Mrmr"),
        "lasso-select": ("_lasso_select", "LassoSelect"),
        "pca": ("_projection", "Pca"),
        "lda": ("_projection", "Lda"),
        "keep": ("_keep", "Keep"),
        "drop": ("_keep", "Drop"),
        "residualise": ("_residualise", "Residualise"),
        "combat": ("_combat", "Combat"),
        "nested-combat": ("_nested_combat", "NestedCombat"),
        "longitudinal-combat": ("_longitudinal_combat", "LongitudinalCombat"),
        "quantile": ("_quantile", "Quantile"),
        "zscore": ("_standardise", "ZScore"),
        "metric": ("_metric_learning", "Mahalanobis"),
        "embedding": ("_embedding", "Embedding"),
    }
)
"""File and class of each step; a class is loaded when its word is used."""

ESTIMATORS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "constant": ("_constant", "Constant"),
        "lasso": ("_linear_models", "Lasso"),
        "elastic-net": ("_linear_models", "ElasticNet"),
        "ridge": ("_linear_models", "Ridge"),
        "logistic": ("_logistic", "Logistic"),
        "tree": ("_trees", "Tree"),
        "forest": ("_forest", "Forest"),
        "boosting": ("_boosting", "Boosting"),
        "svm": ("_svm", "Svm"),
        "neighbours": ("_neighbours", "Neighbours"),
        "naive-bayes": ("_bayes", "NaiveBayes"),
        "discriminant": ("_discriminant", "Discriminant"),
        "cox": ("_cox", "Cox"),
        "survival-forest": ("_survival_forest", "SurvivalForest"),
    }
)
"""File and class of each estimator."""


def class_of(word: str) -> type[Step] | type[Estimator]:
    """Give the class of a word.

    Args:
        word: As in ``STEPS`` or ``ESTIMATORS``.

    Returns:
        The class, not built.

    Raises:
        ConfigError: There is no such word; names the nearest.
    """
    known = {**STEPS, **ESTIMATORS}
    if word not in known:
        near = get_close_matches(word, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
        raise ConfigError(f"a step or an estimator must have a known word, got {word!r}: {hint}")
    room, name = known[word]
    found = getattr(importlib.import_module(f"vesalius.predict.{room}"), name)
    assert isinstance(found, type)
    assert issubclass(found, Step | Estimator)
    return found


def step_class(word: str) -> type[Step]:
    """Give the class of a step.

    Args:
        word: As in ``STEPS``.

    Returns:
        The class.

    Raises:
        ConfigError: There is no such word, or it is an estimator's.
    """
    found = class_of(word)
    if not issubclass(found, Step):
        raise ConfigError(
            f"a step must be one of {', '.join(sorted(STEPS))}, got the estimator {word!r}: "
            "name it as the estimator"
        )
    return found


def estimator_class(word: str) -> type[Estimator]:
    """Give the class of an estimator.

    Args:
        word: As in ``ESTIMATORS``.

    Returns:
        The class.

    Raises:
        ConfigError: There is no such word, or it is a step's.
    """
    found = class_of(word)
    if not issubclass(found, Estimator):
        raise ConfigError(
            f"an estimator must be one of {', '.join(sorted(ESTIMATORS))}, got the step {word!r}: "
            "name it among the steps"
        )
    return found
