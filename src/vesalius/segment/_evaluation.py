"""Evaluation: a model on cases whose truth is known, one at a time."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError
from vesalius.ops._contingency import contingency
from vesalius.ops._matching import detection, match_objects, object_overlaps
from vesalius.segment._dataset import Dataset, naming, read_case
from vesalius.segment._inference import Inference
from vesalius.segment._model import Model
from vesalius.segment._plan import Plan
from vesalius.segment._predict import predict

OnStep = Callable[[Step], None]
STANDARD = Inference()
THRESHOLDS = (0.5, 0.75)
"""Least overlaps of matched objects that are scored."""
OnCase = Callable[[str, Image, Labels, Labels], None]


@final
@dataclass(frozen=True, slots=True)
class CaseScore:
    """How well one case was segmented.

    Attributes:
        case: Its name.
        score: The mean of ``parts`` that occur: what cases are ordered by.
        parts: ``"Dice <name>"`` of each class that occurs in truth or result; or ``"AP@.5"``,
            ``"AP@.75"`` of objects.
        found: Voxels of each label that was found (classes), or number of objects (at 1).
        truth: The same of the truth.
    """

    case: str
    score: float
    parts: Mapping[str, float]
    found: Mapping[int, int]
    truth: Mapping[int, int]


@final
@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a model does on a data set.

    Attributes:
        cases: In the order of the data set.
    """

    cases: tuple[CaseScore, ...]

    @property
    def score(self) -> float:
        """Mean over the cases."""
        return sum(case.score for case in self.cases) / len(self.cases)

    @property
    def means(self) -> dict[str, float]:
        """Mean over the cases of each part, those left out that lack it."""
        names = dict.fromkeys(name for case in self.cases for name in case.parts)
        return {
            name: sum(values) / len(values)
            for name in names
            if (values := [c.parts[name] for c in self.cases if name in c.parts])
        }

    @property
    def worst(self) -> tuple[CaseScore, ...]:
        """All cases, worst first."""
        return tuple(sorted(self.cases, key=lambda case: (case.score, case.case)))


def evaluate_model(
    model: Model,
    dataset: Dataset,
    *,
    inference: Inference = STANDARD,
    on_case: OnCase | None = None,
    on_step: OnStep | None = None,
) -> Evaluation:
    """Segment every labelled case and score it; one case is in memory at a time.

    Args:
        model: Of the channels of the data set.
        dataset: Its cases without labels are left out.
        inference: How the model is applied.
        on_case: Given the name of each case, its image, result and truth.
        on_step: Told of each case.

    Returns:
        Scores of each case.

    Raises:
        ConfigError: No case has labels.
        VesaliusError: A case is not sound, or does not fit the model.
    """
    cases = dataset.labelled
    if not cases:
        raise ConfigError(
            f"an evaluation must have labelled cases, {dataset.name!r} has none of "
            f"{len(dataset.cases)}: put the truth into labels/"
        )
    done = []
    for i, case in enumerate(cases):
        sample = read_case(dataset, case)
        assert sample.labels is not None
        with naming(case.name):
            found = predict(model, sample.image, inference=inference).labels
        done.append(score_case(model.plan, case.name, found, sample.labels))
        if on_case is not None:
            on_case(case.name, sample.image, found, sample.labels)
        if on_step is not None:
            on_step(Step(f"evaluate: score {done[-1].score:.3f}", i + 1, len(cases)))
    return Evaluation(tuple(done))


def score_case(plan: Plan, name: str, found: Labels, truth: Labels) -> CaseScore:
    """Score one result.

    Args:
        plan: Says whether labels are classes or objects.
        name: Of the case.
        found: One layer.
        truth: On the same grid; voxels of -1 count for nothing.

    Returns:
        The scores; a case where nothing is true and nothing was found has the score 1.
    """
    known = truth.data[0] >= 0
    ours = torch.where(known, found.data[0].to(torch.int64), 0)
    theirs = torch.where(known, truth.data[0].to(torch.int64), 0)
    if plan.head == "classes":
        return _classes(plan, name, ours, theirs)
    return _objects(name, ours, theirs)


def _classes(plan: Plan, name: str, ours: Tensor, theirs: Tensor) -> CaseScore:
    parts, found, truth = {}, {}, {}
    for value, word in sorted(plan.names.items()):
        one, two = ours == value, theirs == value
        found[value], truth[value] = int(one.sum()), int(two.sum())
        if found[value] + truth[value]:
            both = int((one & two).sum())
            parts[f"Dice {word}"] = 2 * both / (found[value] + truth[value])
    score = sum(parts.values()) / len(parts) if parts else 1.0
    return CaseScore(name, score, parts, found, truth)


def _objects(name: str, ours: Tensor, theirs: Tensor) -> CaseScore:
    overlaps = object_overlaps(contingency(ours, theirs))
    scores = [
        detection(match_objects(overlaps, threshold)).average_precision for threshold in THRESHOLDS
    ]
    parts = {
        f"AP@{threshold:g}".replace("0.", "."): 1.0 if math.isnan(value) else value
        for threshold, value in zip(THRESHOLDS, scores, strict=True)
    }
    counts = ({1: len(overlaps.first)}, {1: len(overlaps.second)})
    return CaseScore(name, parts["AP@.5"], parts, counts[0], counts[1])
