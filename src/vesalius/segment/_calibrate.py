"""Calibrate: learn from cases a model has not seen how sure it may be of its labels and volumes."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import GeometryError, RegionError
from vesalius.ops._calibration import auroc, reliability
from vesalius.ops._conformal import cross_conformal, least_cases, ratio_interval
from vesalius.ops._distance_field import distance_to
from vesalius.ops._temperature import fit_temperature, tempered
from vesalius.segment._dataset import Dataset, read_case
from vesalius.segment._inference import Inference
from vesalius.segment._method import OnStep
from vesalius.segment._model import Model
from vesalius.segment._predict import STANDARD, predict
from vesalius.segment._regime import Split

TAKEN = 20_000
"""Voxels of a case that the temperature is fitted to."""
NEAR = 3.0
"""Voxels from the predicted boundary within which errors are looked for."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """A case with its truth, and which network may be judged by it.

    Attributes:
        image: The channels of the model.
        labels: One layer on its grid; -1 where the truth is not known.
        fold: Of the network that did not learn from it; -1 where none did (all are used).
    """

    image: Image
    labels: Labels
    fold: int = -1


def calibrate(
    model: Model,
    cases: Iterable[Unseen],
    *,
    inference: Inference = STANDARD,
    coverage: float = 0.9,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> Model:
    """Learn temperature, volume intervals and error detection from cases a model has not seen.

    Each case is predicted by the network of its fold alone (cross-conformal, where folds cover
    the whole data set) or by all (split conformal). The temperature makes the probabilities of
    voxels as sure as they are right. Intervals need 19 cases for a coverage of 90 %.

    Args:
        model: Of classes.
        cases: One after the other; those with unknown voxels give no volume.
        inference: How the model will be applied.
        coverage: Of the volume intervals.
        generator: Draws the voxels.
        on_step: Told of each case.

    Returns:
        The model with its calibration: ``temperature``, ``volumes`` (label to ratios),
        ``coverage``, and what was measured: negative log-likelihood and calibration error before
        and after, ``observed_coverage`` by cross-conformal prediction, ``error_auroc``.

    Raises:
        RegionError: There is no case.
        GeometryError: Labels do not lie on the grid of their image.
        ConfigError: The coverage is out of range, or a fold does not exist.
    """
    least = least_cases(coverage)
    bare = replace(model, calibration={})
    seen = []
    for n, case in enumerate(cases, start=1):
        seen.append(_looked_at(bare, case, inference, generator))
        if on_step is not None:
            on_step(Step("calibrate: case", n, n))
    if not seen:
        raise RegionError("a model is calibrated by at least one case, got none: hold some out")
    p = torch.cat([s.probability for s in seen], dim=1)
    truth = torch.cat([s.truth for s in seen])
    heat = fit_temperature(p, truth)
    found: dict[str, Any] = {
        "temperature": heat.value,
        "nll": [heat.before, heat.after],
        "ece": [_ece(p, truth), _ece(tempered(p, heat.value), truth)],
        "coverage": coverage,
        "cases": len(seen),
    }
    told = [s.error_auroc for s in seen if not math.isnan(s.error_auroc)]
    if told:
        found["error_auroc"] = sum(told) / len(told)
    return replace(model, calibration={**found, **_intervals(model, seen, coverage, least)})


def unseen_cases(
    dataset: Dataset, splits: Sequence[Split], *, hold_out: Sequence[str] = ()
) -> Iterator[Unseen]:
    """Give the cases of a data set that a training has left for a judgement, one at a time.

    Args:
        dataset: It was trained on.
        splits: Of the training; with several, each watched case is judged by its fold's network.
        hold_out: Names of cases that no network saw; judged by all.

    Yields:
        Labelled cases that at least one network has not learned from.
    """
    judges = dict.fromkeys(hold_out, -1)
    if len(splits) > 1:
        for i, split in enumerate(splits):
            away = set(split.watched) - set(split.trained)
            judges |= {name: i for name in away if name not in judges}
    for name, fold in sorted(judges.items()):
        sample = read_case(dataset, dataset.case(name))
        if sample.labels is not None:
            yield Unseen(sample.image, sample.labels, fold)


def error_detection(
    entropy: Float[Tensor, "z y x"],
    labels: Integer[Tensor, "z y x"],
    truth: Integer[Tensor, "z y x"],
    *,
    near: float = NEAR,
) -> float:
    """Say how well an uncertainty finds the wrong voxels near the predicted boundary.

    Args:
        entropy: Large where the labels are doubtful.
        labels: Predicted.
        truth: -1 where it is not known.
        near: Voxels from the boundary; farther away it is easy to be right, and sure.

    Returns:
        Chance that a wrong voxel is more doubtful than a right one, 0 to 1; NaN where there is no
        boundary, or none or all are wrong.
    """
    edge = _boundary(labels)
    if not bool(edge.any()):
        return math.nan
    where = (distance_to(edge, (1.0, 1.0, 1.0)) <= near).to(labels.device) & (truth >= 0)
    if not bool(where.any()):
        return math.nan
    return auroc(entropy[where], labels[where] != truth[where])


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What one case gives."""

    fold: int
    probability: Float[Tensor, "k n"]
    truth: Integer[Tensor, " n"]
    predicted_mm3: tuple[float, ...]
    true_mm3: tuple[float, ...]
    whole: bool
    error_auroc: float


def _looked_at(
    model: Model, case: Unseen, inference: Inference, generator: torch.Generator
) -> _Seen:
    if tuple(case.labels.data.shape[1:]) != case.image.grid.shape:
        raise GeometryError(
            f"labels must lie on the grid of their image {case.image.grid.shape}, got "
            f"{tuple(case.labels.data.shape[1:])}: use core.resample_labels"
        )
    folds = inference.folds if case.fold < 0 else (case.fold,)
    wanted = replace(inference, folds=folds, uncertainty=True, probabilities=True)
    found = predict(model, case.image, inference=wanted)
    values = (0, *sorted(model.plan.names))
    truth = case.labels.data[0].to(torch.int64)
    known = torch.isin(truth, torch.tensor(values)) & (truth >= 0)
    where = known.flatten().nonzero()[:, 0]
    order = torch.randperm(len(where), generator=generator)[:TAKEN]
    where = where[order.to(where.device)]
    index = torch.bucketize(truth.flatten()[where], torch.tensor(values))
    labels = found.labels.data[0].to(torch.int64)
    each = case.image.grid.voxel_volume_mm3
    return _Seen(
        case.fold,
        found.maps["probability"].data.flatten(1)[:, where],
        index,
        tuple(float((labels == v).sum()) * each for v in values[1:]),
        tuple(float((truth == v).sum()) * each for v in values[1:]),
        bool(known.all()),
        error_detection(found.maps["entropy"].data[0], labels, torch.where(known, truth, -1)),
    )


def _intervals(model: Model, seen: list[_Seen], coverage: float, least: int) -> dict[str, Any]:
    """Ratios of each label, and how often intervals made from other folds hold the truth."""
    whole = [s for s in seen if s.whole]
    ratios: dict[str, list[float]] = {}
    observed: dict[str, float] = {}
    folds = _folds(whole)
    for k, value in enumerate(sorted(model.plan.names)):
        predicted = torch.tensor([s.predicted_mm3[k] for s in whole], dtype=torch.float64)
        true = torch.tensor([s.true_mm3[k] for s in whole], dtype=torch.float64)
        there = predicted > 0
        if int(there.sum()) < least:
            continue
        found = ratio_interval(predicted, true, coverage=coverage)
        ratios[str(value)] = [found.low, found.high]
        parts = folds[there]
        if all(int((parts != f).sum()) >= least for f in set(parts.tolist())):
            crossed = cross_conformal(predicted[there], true[there], parts, coverage=coverage)
            observed[str(value)] = crossed.coverage
    return {"volumes": ratios, "observed_coverage": observed}


def _folds(seen: list[_Seen]) -> Tensor:
    """Folds of the cases; where one network judged all, five parts of its cases stand for them."""
    folds = torch.tensor([s.fold for s in seen], dtype=torch.int64)
    return folds if len(set(folds.tolist())) > 1 else torch.arange(len(seen)) % 5


def _ece(p: Tensor, truth: Tensor) -> float:
    best = p.max(dim=0)
    return reliability(best.values.clamp(0, 1), best.indices == truth).ece


def _boundary(labels: Integer[Tensor, "z y x"]) -> Bool[Tensor, "z y x"]:
    """Voxels with a neighbour (across a face) of another label."""
    edge = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
    for axis in range(3):
        n = labels.shape[axis]
        if n > 1:
            unlike = labels.narrow(axis, 1, n - 1) != labels.narrow(axis, 0, n - 1)
            edge.narrow(axis, 1, n - 1).logical_or_(unlike)
            edge.narrow(axis, 0, n - 1).logical_or_(unlike)
    return edge
