"""Learning curve: what more cases would bring, and whether the model is too simple or too free."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from vesalius.core import Step
from vesalius.errors import ConfigError, RegionError
from vesalius.predict._card import Curve
from vesalius.predict._description import Description
from vesalius.predict._made_ready import made_ready
from vesalius.predict._nested import run_parts
from vesalius.predict._outcome import target_of
from vesalius.predict._pipeline import Recipe
from vesalius.predict._splits import Part, Split, Whole, parts, units_of
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._training import Job, Trained, hidden_columns

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the training cases, that the model is shown."""
_GAP = 0.1
_RISE = 0.01
_USEFUL = 0.1


@final
@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Scores against the number of training cases.

    Attributes:
        training: On the cases that were trained on; x is their number, the band one standard
            deviation over the folds.
        test: On held-out cases.
        score: What is plotted.
        reading: What it says of bias, variance and more cases, in sentences.
    """

    training: Curve
    test: Curve
    score: str
    reading: tuple[str, ...]


def learning_curve(
    table: Table,
    description: Description,
    recipe: Recipe,
    *,
    split: Split,
    shares: tuple[float, ...] = SHARES,
    workers: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> LearningCurve:
    """Train on growing shares of each training part, and test on the same test part.

    Each share holds the smaller ones, and every class in the proportion of the whole.

    Args:
        table: The cases.
        description: What the columns mean.
        recipe: What is fitted.
        split: How cases are parted; its seed also decides who is in a share.
        shares: Rising, above 0 and up to 1.
        workers: Processes that share the trainings; the result is the same.
        on_step: Told after each training.

    Returns:
        Both curves and their reading.

    Raises:
        ConfigError: The shares do not rise, or the outcome, the split or the recipe does not fit
            the table.
        RegionError: The smallest share has too few cases of a class, or no test part can be scored.
    """
    if not shares or min(shares) <= 0 or max(shares) > 1 or list(shares) != sorted(set(shares)):
        raise ConfigError(f"shares must rise from above 0 to at most 1, got {shares}")
    target = target_of(table, description)
    chosen = parts(split, table, description, target)
    units = units_of(table, description)
    ready = made_ready(recipe, table, description, target)
    job = Job(table, target, ready, units, hidden_columns(description), None)
    smaller = tuple(
        replace(part, train=rows)
        for number, part in enumerate(chosen)
        for rows in _growing(part, target, units, shares, (split.seed, number))
    )
    found = run_parts(job, smaller, workers=workers, on_step=on_step)
    return _read(found, len(shares), target)


def _growing(
    part: Part, target: Target, units: Whole, shares: tuple[float, ...], seed: tuple[int, int]
) -> list[Whole]:
    """Rows of each share: whole units, stratum by stratum, the smaller within the larger."""
    generator = np.random.default_rng(seed)
    names, first = np.unique(units[part.train], return_index=True)
    strata = target.strata[part.train[first]]
    place = np.zeros(len(names))
    for kind in np.unique(strata):
        here = np.nonzero(strata == kind)[0]
        place[generator.permutation(here)] = (np.arange(len(here)) + 0.5) / len(here)
    found = []
    for share in shares:
        kept = names[place <= share] if share < 1 else names
        rows = part.train[np.isin(units[part.train], kept)]
        counts = np.unique(target.strata[rows], return_counts=True)[1]
        if len(counts) < len(np.unique(strata)) or counts.min() < 3:
            raise RegionError(
                f"each share must hold 3 cases or more of each class, {share:g} of "
                f"{len(part.train)} training cases does not: start from a larger share"
            )
        found.append(rows)
    return found


def _read(found: tuple[Trained, ...], shares: int, target: Target) -> LearningCurve:
    size = np.array([one.fold.training for one in found], dtype=np.float64).reshape(-1, shares)
    seen = np.array([one.apparent for one in found]).reshape(-1, shares)
    unseen = np.array([one.fold.score for one in found]).reshape(-1, shares)
    if np.isnan(unseen).all():
        raise RegionError(
            f"a test part must hold cases that can be told apart to be scored, none of "
            f"{len(unseen)} does: use another split, or fewer folds"
        )
    score = {"number": "R2", "survival": "concordance"}.get(target.kind, "AUC")
    x = size.mean(axis=0)
    training, test = _curve(x, seen), _curve(x, unseen)
    chance = 0.0 if target.kind == "number" else 0.5
    return LearningCurve(training, test, score, read_curves(training, test, score, chance))


def _curve(x: Floats, y: Floats) -> Curve:
    mean, spread = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    return Curve(x, mean, mean - spread, mean + spread)


def read_curves(training: Curve, test: Curve, score: str, chance: float) -> tuple[str, ...]:
    """Say what learning curves show.

    Args:
        training: Score on training cases against their number.
        test: Score on held-out cases.
        score: Its name.
        chance: Its value without information.

    Returns:
        Sentences: variance (a gap between both), bias (both are low), and whether the score on
        held-out cases still rises.
    """
    last, seen = float(test.y[-1]), float(training.y[-1])
    gap = seen - last
    said = [
        f"With {training.x[-1]:.0f} training cases the {score} is {seen:.2f} on these and "
        f"{last:.2f} on held-out cases."
    ]
    if gap > _GAP and seen - chance > _USEFUL:
        said.append(
            f"The gap of {gap:.2f} is variance: the model fits its training cases; fewer "
            "features, more weight on simplicity, or more cases would narrow it."
        )
    elif last - chance < _USEFUL:
        said.append(
            "Both are near chance: bias, or nothing to be found; more cases of this kind will not "
            "help, other features or another model may."
        )
    else:
        said.append("Both agree: the model is no freer than its cases allow.")
    if len(test.x) > 1:
        said.append(_rise(test, score))
    return tuple(said)


def _rise(test: Curve, score: str) -> str:
    """Slope of the later half of the curve against the logarithm of the cases."""
    half = slice(len(test.x) // 2 - (len(test.x) == 2), None)
    slope = float(np.polyfit(np.log2(test.x[half]), test.y[half], 1)[0])
    if slope > _RISE:
        return f"The {score} on held-out cases still rises, by about {slope:.2f} a doubling."
    if slope < -_RISE:
        return f"The {score} on held-out cases falls with more cases: chance, or mixed sources."
    return f"The {score} on held-out cases has levelled off."
