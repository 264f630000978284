"""Nested validation: everything that learns, learns inside of the folds, and is judged outside."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import numpy as np
import torch

from vesalius.core import Step
from vesalius.predict._card import Card, Estimate, Fold, Validation
from vesalius.predict._description import Description
from vesalius.predict._judged import Judged
from vesalius.predict._made_ready import made_ready
from vesalius.predict._make_card import make_card
from vesalius.predict._outcome import target_of
from vesalius.predict._pipeline import Recipe
from vesalius.predict._splits import Part, Split, parts, units_of
from vesalius.predict._stability_index import selection_stability
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._threshold import check_rule
from vesalius.predict._training import Job, Trained, hidden_columns, train_part
from vesalius.predict._workers import shared

if TYPE_CHECKING:
    import pandas as pd


def validate(
    table: Table,
    description: Description,
    recipe: Recipe,
    *,
    split: Split,
    generator: torch.Generator,
    workers: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> Validation:
    """Validate a recipe on cases that it has not seen.

    For each part of the split every step, every setting and the threshold of the decision are
    learned from the training cases alone; the settings in inner folds of these. The predictions of
    all test parts make the report card.

    Args:
        table: The cases.
        description: What the columns mean.
        recipe: What is fitted in each training.
        split: How the cases are parted.
        generator: For the intervals of the card; the folds are those of ``split.seed``.
        workers: Processes that share the trainings; the results are the same bits.
        on_step: Told after each training.

    Returns:
        The card, every held-out prediction, every fold, the stability of the selection, and what
        leaks were found.

    Raises:
        ConfigError: The outcome, the split or the recipe does not fit the table; no worker.
        ConvergenceError: A worker was killed.
    """
    from vesalius.predict._leaks import find_leaks

    found = nested_validation(
        table,
        description,
        recipe,
        split=split,
        generator=generator,
        workers=workers,
        on_step=on_step,
    )
    leaks = find_leaks(table, description, target_of(table, description), split=split)
    return replace(found, leaks=leaks)


def nested_validation(
    table: Table,
    description: Description,
    recipe: Recipe,
    *,
    split: Split,
    generator: torch.Generator,
    workers: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> Validation:
    """Validate a recipe as :func:`validate` does, for who has looked for leaks already.

    Args:
        table: The cases.
        description: What the columns mean.
        recipe: What is fitted in each training.
        split: How the cases are parted.
        generator: For the intervals of the card.
        workers: Processes that share the trainings.
        on_step: Told after each training.

    Returns:
        The same without leaks.

    Raises:
        ConfigError: As :func:`validate`.
        ConvergenceError: A worker was killed.
    """
    check_rule(split.threshold)
    target = target_of(table, description)
    chosen = parts(split, table, description, target)
    job = Job(
        table,
        target,
        made_ready(recipe, table, description, target),
        units_of(table, description),
        hidden_columns(description),
        split.threshold,
    )
    trained = run_parts(job, chosen, workers=workers, on_step=on_step)
    return _found(job, description, split, chosen, trained, generator)


def run_parts(
    job: Job,
    chosen: tuple[Part, ...],
    *,
    workers: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> tuple[Trained, ...]:
    """Train every part, in processes where more than one is asked for.

    Args:
        job: Table, outcome and recipe.
        chosen: The parts.
        workers: Processes.
        on_step: Told after each training.

    Returns:
        What each training found, in order of the parts.

    Raises:
        ConfigError: There is no worker.
        ConvergenceError: A worker was killed.
    """
    found = []
    tasks = [_Task(job, part) for part in chosen]
    for done, trained in enumerate(shared(_train, tasks, workers=workers)):
        found.append(trained)
        if on_step is not None:
            on_step(Step(f"fold {trained.fold.fold}", done + 1, len(chosen)))
    return tuple(found)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One training, to be sent to another process."""

    job: Job
    part: Part


def _train(task: _Task) -> Trained:
    return train_part(task.job, task.part)


def _found(
    job: Job,
    description: Description,
    split: Split,
    chosen: tuple[Part, ...],
    trained: tuple[Trained, ...],
    generator: torch.Generator,
) -> Validation:
    judged = _judged(job.target, split, chosen, trained)
    card = make_card(judged, table=job.table, description=description, generator=generator)
    if split.method == "bootstrap":
        card = _corrected(card, job.target, trained)
    folds = tuple(one.fold for one in trained)
    return Validation(
        card=card,
        held_out=held_out_frame(job.table, judged, [p.name for p in chosen for _ in p.test]),
        folds=folds,
        stability=_shares(trained),
        plan=plan_words(split, description, folds),
        remarks=_remarks(job, trained),
    )


def _corrected(card: Card, target: Target, trained: tuple[Trained, ...]) -> Card:
    """Add the score by the .632+ rule, which the cases not drawn alone underestimate."""
    name = {"number": "r2", "survival": "concordance"}.get(target.kind, "auc")
    value = point632plus(
        np.array([one.apparent for one in trained]),
        np.array([one.fold.score for one in trained]),
        without_information(target),
    )
    said = Estimate(value, reason=f"no interval of its own: that of {name} is of cases not drawn")
    return replace(card, scores={**card.scores, f"{name}_632plus": said})


def _judged(
    target: Target, split: Split, chosen: tuple[Part, ...], trained: tuple[Trained, ...]
) -> Judged:
    rows = np.concatenate([part.test for part in chosen])
    sizes = [len(part.test) for part in chosen]
    number: Counter[int] = Counter()
    folds = []
    for part in chosen:
        folds.append(number[part.repeat])
        number[part.repeat] += 1
    thresholds = np.repeat([one.threshold for one in trained], sizes)
    return Judged(
        target=target.rows(rows),
        scores=np.concatenate([one.scores for one in trained]),
        cases=rows,
        folds=np.repeat(np.asarray(folds, dtype=np.int64), sizes),
        repeats=np.repeat(np.asarray([p.repeat for p in chosen], dtype=np.int64), sizes),
        thresholds=thresholds if target.kind == "binary" else np.zeros(0),
        rule=split.threshold,
        times=split.times,
    )


def held_out_frame(table: Table, judged: Judged, folds: list[str]) -> "pd.DataFrame":
    """Lay held-out predictions out as a frame.

    Args:
        table: The cases that ``judged`` counts.
        judged: Predictions and truth.
        folds: Name of the fold of each prediction.

    Returns:
        One row for each prediction: ``case``, ``repeat``, ``fold``, ``truth``, and what was said.
    """
    import pandas as pd

    target, scores = judged.target, judged.scores
    frame: dict[str, object] = {
        "case": [table.cases[row] for row in judged.cases.tolist()],
        "repeat": judged.repeats,
        "fold": folds,
    }
    if target.kind == "survival":
        frame |= {"truth": target.events.astype(np.int64), "time": target.values}
        return pd.DataFrame(frame | {"risk": scores[:, 0]})
    if target.kind == "classes":
        frame["truth"] = [target.classes[int(value)] for value in target.values]
        return pd.DataFrame(
            frame | {f"score {name}": scores[:, k] for k, name in enumerate(target.classes)}
        )
    if target.kind == "binary":
        frame |= {"truth": target.values.astype(np.int64), "score": scores[:, 0]}
        chosen = judged.thresholds if judged.thresholds.size else np.full(len(scores), np.nan)
        return pd.DataFrame(frame | {"threshold": chosen})
    return pd.DataFrame(frame | {"truth": target.values, "score": scores[:, 0]})


def _shares(trained: tuple[Trained, ...]) -> dict[str, float]:
    counts = Counter(name for one in trained for name in one.used)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {name: count / len(trained) for name, count in ranked}


def plan_words(split: Split, description: Description, folds: tuple[Fold, ...]) -> str:
    """Say how cases were parted, in a sentence."""
    unit = f" No {description.group} is in both training and test." if description.group else ""
    said = {
        "stratified": f"{split.folds} folds balanced for the outcome",
        "grouped": f"{split.folds} folds of whole groups",
        "leave_one_site_out": f"each of {len(folds)} sites left out once",
        "temporal": f"{split.folds} later parts, each predicted from all before it",
        "bootstrap": f"{split.repeats} draws with replacement, tested on the cases not drawn",
        "plain": f"{split.folds} folds at random",
    }[split.method]
    again = f", {split.repeats} times" if split.repeats > 1 and split.method != "bootstrap" else ""
    low, high = min(f.training for f in folds), max(f.training for f in folds)
    size = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"Nested validation: {said}{again}; trained on {size} cases; every step, setting and "
        f"threshold learned from training cases alone.{unit}"
    )


def _remarks(job: Job, trained: tuple[Trained, ...]) -> tuple[str, ...]:
    said = []
    undefined = [one.fold.fold for one in trained if math.isnan(one.fold.score)]
    if undefined:
        said.append(
            f"{len(undefined)} of {len(trained)} test parts hold one class only; they have no "
            "score of their own."
        )
    empty = sum(not one.used for one in trained)
    if empty:
        said.append(f"{empty} of {len(trained)} trainings found no feature worth a weight.")
    if len(trained) > 1:
        index = selection_stability([one.used for one in trained], job.table.features)
        if index.reason:
            return tuple(said)
        said.append(
            f"Stability of the selection (Nogueira 2018): {index.value:.2f} "
            f"[{index.low:.2f}, {index.high:.2f}]; 1 is the same features each time, 0 is chance."
        )
    return tuple(said)


def without_information(target: Target) -> float:
    """Give the score of a model that knows nothing: .5 for AUC and concordance, 0 for R2."""
    return 0.0 if target.kind == "number" else 0.5


def point632plus(apparent: Floats, unseen: Floats, chance: float) -> float:
    """Correct the score of a bootstrap by the .632+ rule.

    Args:
        apparent: (draws,) score on the training cases of each draw.
        unseen: (draws,) score on the cases that were not drawn.
        chance: Score without information.

    Returns:
        The corrected score: between both, nearer to the unseen one the more the model overfits.

    References:
        Efron and Tibshirani (1997), doi:10.1080/01621459.1997.10474007, eq. (29) to (32), for a
        score that grows instead of an error. Differs from it in: the apparent score is the mean
        over the draws, not that of one model of all cases.
    """
    seen, out = float(np.nanmean(apparent)), float(np.nanmean(unseen))
    out = max(out, chance) if seen > chance else out
    overfit = (seen - out) / (seen - chance) if seen > out and seen > chance else 0.0
    weight = 0.632 / (1 - 0.368 * min(max(overfit, 0.0), 1.0))
    return (1 - weight) * seen + weight * out
