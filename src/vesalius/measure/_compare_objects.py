"""Compare objects: how many of the true objects were found, at which overlap, and how they erred.

Each value is one object: a nucleus, a cell, a lesion. For classes use ``compare``.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass
from typing import final

import torch

from vesalius.core import Labels
from vesalius.errors import ShapeError, UnitError
from vesalius.measure._compare import check_alike, plain
from vesalius.ops._contingency import contingency
from vesalius.ops._matching import (
    Detection,
    Matching,
    coco_precision,
    detection,
    match_objects,
    object_overlaps,
    pooled,
)
from vesalius.ops._partition import adapted_rand, variation_of_information

_AT = {"AP": "average_precision", "F1": "f1", "PQ": "panoptic_quality"}

_SINGLE = (
    "mean_ap",
    "pred_objects",
    "truth_objects",
    "rand_error",
    "rand_precision",
    "rand_recall",
    "split_bits",
    "merge_bits",
    "coco_ap",
)

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@final
@dataclass(frozen=True, slots=True)
class Found:
    """Objects that were found at one threshold.

    Attributes:
        threshold: Least intersection over union of a match.
        true_positives: Matched pairs.
        false_positives: Predicted objects without a true one.
        false_negatives: True objects that were missed.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: 2 TP / (2 TP + FP + FN); recognition quality.
        average_precision: TP / (TP + FP + FN): Cellpose's average precision, StarDist's accuracy.
        segmentation_quality: Mean overlap of the matched pairs.
        panoptic_quality: F1 times segmentation quality.
        mean_true_score: Sum of the overlaps by the number of true objects.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float
    recall: float
    f1: float
    average_precision: float
    segmentation_quality: float
    panoptic_quality: float
    mean_true_score: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class ObjectComparison:
    """Objects against the true ones.

    Where neither has objects, scores are NaN and count in no mean; where one has none, they are 0.

    Attributes:
        found: One entry for each threshold.
        matchings: The same with the pairs; ``pool_objects`` joins those of several images.
        pred_objects: Number predicted.
        truth_objects: Number in the truth.
        rand_error: Adapted Rand error, background of the truth left out.
        rand_precision: Lowered by merged objects.
        rand_recall: Lowered by split objects.
        split_bits: Variation of information by cutting true objects, all samples counted.
        merge_bits: Variation of information by joining them.
        coco_ap: COCO's average precision, mean over the thresholds; NaN without ``confidence``.
    """

    found: tuple[Found, ...]
    matchings: tuple[Matching, ...]
    pred_objects: int
    truth_objects: int
    rand_error: float
    rand_precision: float
    rand_recall: float
    split_bits: float
    merge_bits: float
    coco_ap: float = math.nan

    @property
    def mean_ap(self) -> float:
        """Mean of TP / (TP + FP + FN) over the thresholds (2018 Data Science Bowl)."""
        return sum(f.average_precision for f in self.found) / len(self.found)

    def figures(self) -> dict[tuple[str, str], float]:
        """Give each figure by what it is of and its name: precision at each threshold first."""
        found = {
            ("objects", f"{name}@{f.threshold:g}"): float(getattr(f, field))
            for name, field in _AT.items()
            for f in self.found
        }
        single = {name: float(getattr(self, name)) for name in _SINGLE}
        return found | {("objects", name): v for name, v in single.items()}

    def at(self, threshold: float) -> Found:
        """Give the scores at one of the thresholds.

        Raises:
            UnitError: There is no such threshold.
        """
        for entry in self.found:
            if math.isclose(entry.threshold, threshold):
                return entry
        raise UnitError(
            f"threshold must be one that was scored, {threshold} is not: there are "
            f"{', '.join(f'{f.threshold:g}' for f in self.found)}"
        )

    def to_dict(self) -> dict[str, object]:
        """Give everything but the pairs as JSON types; NaN becomes None."""
        rows = [{k: plain(v) for k, v in asdict(f).items()} for f in self.found]
        return {"found": rows} | {name: plain(getattr(self, name)) for name in _SINGLE}


def compare_objects(
    pred: Labels,
    truth: Labels,
    *,
    thresholds: tuple[float, ...] = THRESHOLDS,
    confidence: tuple[float, ...] = (),
) -> ObjectComparison:
    """Score objects against the true ones; each value but 0 is one object.

    Args:
        pred: What is judged; one layer.
        truth: What is right; on the same grid.
        thresholds: Least intersection over union of a match, one entry of the result each.
        confidence: How sure each predicted object is, by rising value, for COCO's figure; empty
            leaves it out.

    Returns:
        The scores.

    Raises:
        GeometryError: The grids differ.
        ShapeError: There is more than one layer, or ``confidence`` does not fit.
        UnitError: A threshold is outside (0, 1], or there is none.
    """
    check_alike(pred, truth)
    if truth.data.shape[0] != 1:
        raise ShapeError(
            f"objects must lie in one layer to be matched, got {truth.data.shape[0]} layers: pick "
            "one with Labels(labels.data[k:k + 1], labels.grid)"
        )
    if not thresholds:
        raise UnitError("thresholds must hold at least one overlap, such as 0.5; got none")
    counts = contingency(pred.data[0], truth.data[0])
    pairs = object_overlaps(counts)
    matchings = tuple(match_objects(pairs, t) for t in thresholds)
    rand, variation = adapted_rand(counts), variation_of_information(counts)
    coco = math.nan
    if confidence:
        scores = torch.tensor(confidence, dtype=torch.float64)
        coco = sum(coco_precision(pairs, scores, t) for t in thresholds) / len(thresholds)
    return ObjectComparison(
        tuple(_found(m) for m in matchings),
        matchings,
        len(pairs.first),
        len(pairs.second),
        *rand,
        variation.split,
        variation.merge,
        coco,
    )


def pool_objects(comparisons: tuple[ObjectComparison, ...]) -> tuple[Found, ...]:
    """Score the objects of several images together: every object weighs the same.

    Args:
        comparisons: At least one, with the same thresholds.

    Returns:
        One entry for each threshold.

    Raises:
        ShapeError: There is none, or the thresholds differ.
    """
    if len({tuple(f.threshold for f in c.found) for c in comparisons}) != 1:
        raise ShapeError(
            "comparisons must be at least one and share their thresholds to be pooled, got "
            f"{len(comparisons)}"
        )
    columns = zip(*(c.matchings for c in comparisons), strict=True)
    return tuple(_found(pooled(tuple(column))) for column in columns)


def _found(matching: Matching) -> Found:
    scores: Detection = detection(matching)
    return Found(
        matching.threshold,
        matching.true_positives,
        matching.false_positives,
        matching.false_negatives,
        *scores,
    )
