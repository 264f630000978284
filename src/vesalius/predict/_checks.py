"""Checks: what every estimator refuses to learn from, and to predict."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.predict._learned import Estimator
from vesalius.predict._table import Floats
from vesalius.predict._target import Target

Ints = NDArray[np.int64]


def check_training(estimator: Estimator, values: Floats, target: Target) -> None:
    """Refuse training cases that nothing can be learned from.

    Args:
        estimator: What is to learn.
        values: (cases, features).
        target: Their outcome.

    Raises:
        ConfigError: The estimator does not predict this kind of outcome.
        ShapeError: Values are no matrix, or cases and outcomes differ in number.
        RegionError: There are fewer than two cases, or one class only.
        IntensityError: A value or an outcome is not finite.
    """
    name = type(estimator).__name__
    if target.kind not in estimator.kinds:
        raise ConfigError(
            f"{name} predicts {', '.join(estimator.kinds)}, got an outcome of kind "
            f"{target.kind!r}: choose another estimator"
        )
    if values.ndim != 2 or values.shape[1] == 0 or len(values) != len(target.values):
        raise ShapeError(
            f"{name} must learn from values (cases, features) with an outcome for each case, got "
            f"{values.shape} and {len(target.values)} outcomes: keep the same rows of both, and "
            "at least one feature"
        )
    if len(values) < 2:
        raise RegionError(f"{name} must learn from at least two cases, got {len(values)}: add some")
    _check_finite(values, name)
    if not np.isfinite(target.values).all():
        raise IntensityError(
            f"{name} must learn from finite outcomes, "
            f"{int((~np.isfinite(target.values)).sum())} are not: leave these cases out"
        )
    if target.kind != "number" and len(np.unique(target.values)) < 2:
        raise RegionError(
            f"{name} must learn from at least two classes, got {len(values)} cases of one: add "
            "cases of another class, or use larger folds"
        )


def check_cases(estimator: Estimator, values: Floats, features: int) -> None:
    """Refuse cases that a fitted estimator cannot predict.

    Args:
        estimator: What is to predict.
        values: (cases, features).
        features: How many it learned from.

    Raises:
        ShapeError: There are not as many features as in training.
        IntensityError: A value is not finite.
    """
    name = type(estimator).__name__
    if values.ndim != 2 or values.shape[1] != features:
        raise ShapeError(
            f"{name} must see values (cases, {features}) as in training, got {values.shape}: give "
            "the same features in the same order"
        )
    _check_finite(values, name)


def check_fitted(estimator: Estimator, field: str) -> None:
    """Refuse to predict before anything was learned.

    Args:
        estimator: What is to predict.
        field: A field that ``fit`` fills.

    Raises:
        ConvergenceError: It has not learned yet.
    """
    if not hasattr(estimator, field):
        estimator.state()


def check_setting(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse a setting out of its range.

    Args:
        name: Of the setting.
        value: As given.
        low: Smallest that may be.
        high: Largest that may be.

    Raises:
        ConfigError: It is out of range, or no number.
    """
    if not low <= value <= high:
        raise ConfigError(f"{name} must be from {low:g} to {high:g}, got {value}: change it")


def check_word(name: str, value: str, words: tuple[str, ...]) -> None:
    """Refuse a word that a setting does not know.

    Args:
        name: Of the setting.
        value: As given.
        words: Those that it knows.

    Raises:
        ConfigError: It is another one.
    """
    if value not in words:
        raise ConfigError(f"{name} must be one of {', '.join(words)}, got {value!r}: change it")


def _check_finite(values: Floats, name: str) -> None:
    if not np.isfinite(values).all():
        i, j = (int(k[0]) for k in np.nonzero(~np.isfinite(values)))
        raise IntensityError(
            f"{name} must see finite values, got {values[i, j]} in row {i}, feature {j}: put "
            "Impute before it"
        )


def codes_of(target: Target) -> tuple[Ints, int]:
    """Give the class of each case as a number, and how many classes there are.

    Args:
        target: Two classes or several.

    Returns:
        (cases,) and the number of classes, those without a case in training included.
    """
    codes = target.values.astype(np.int64)
    return codes, max(len(target.classes), int(codes.max()) + 1, 2)


def outputs_of(probabilities: Floats, seen: Ints, classes: int, kind: str) -> Floats:
    """Put probabilities of the classes seen in training where each class has its column.

    Args:
        probabilities: (cases, classes seen).
        seen: Their numbers.
        classes: How many there are.
        kind: ``binary`` keeps the event alone.

    Returns:
        (cases, 1) for ``binary``, else (cases, classes): 0 for those never seen.
    """
    every = np.zeros((len(probabilities), classes))
    every[:, seen] = probabilities
    return every[:, 1:2] if kind == "binary" else every


def case_weights(target: Target, class_weight: str) -> Floats:
    """Give the weight of each case, adding up to 1.

    Args:
        target: The outcome.
        class_weight: ``none``, or ``balanced``: each class weighs the same.

    Returns:
        (cases,).

    Raises:
        ConfigError: The word is another one.
    """
    check_word("class_weight", class_weight, ("none", "balanced"))
    count = len(target.values)
    if class_weight == "none" or target.kind == "number":
        return np.full(count, 1.0 / count)
    _, place, sizes = np.unique(target.values, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (len(sizes) * sizes[place]))
