"""Matching: which object of one label array is which of the other, and the scores that follow."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._contingency import Contingency

Empty = Literal["nan", "zero"]

_RECALLS = 101  # places on the recall axis at which COCO reads precision


class Overlaps(NamedTuple):
    """Pairs of objects that share samples; 0 is background and no object.

    Attributes:
        first: Labels of the objects of the first array (prediction), sorted.
        second: Labels of the objects of the second array (truth), sorted.
        row: Place in ``first`` of each pair.
        column: Place in ``second`` of each pair.
        iou: Intersection over union of each pair, above 0.
    """

    first: Int[Tensor, " n"]
    second: Int[Tensor, " m"]
    row: Int[Tensor, " k"]
    column: Int[Tensor, " k"]
    iou: Float[Tensor, " k"]


class Matching(NamedTuple):
    """Objects that were found, at one threshold.

    Attributes:
        threshold: Least intersection over union of a match.
        matched: (n, 2) labels of each matched pair (first, second), in the order of the first.
        iou: Of each matched pair.
        false_positives: Objects of the first array without a partner.
        false_negatives: Objects of the second array without a partner.
    """

    threshold: float
    matched: Int[Tensor, "n 2"]
    iou: Float[Tensor, " n"]
    false_positives: int
    false_negatives: int

    @property
    def true_positives(self) -> int:
        """Matched pairs."""
        return len(self.iou)


class Detection(NamedTuple):
    """How well objects were found, at one threshold.

    Where neither array has objects, all are NaN (or 0, as asked for); where one has none, 0.

    Attributes:
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: 2 TP / (2 TP + FP + FN): also the recognition quality RQ.
        average_precision: TP / (TP + FP + FN): what Cellpose calls average precision, StarDist
            accuracy, and the 2018 Data Science Bowl precision. COCO's is another figure.
        segmentation_quality: Mean overlap of the matched pairs (SQ; StarDist: mean matched score).
        panoptic_quality: PQ = SQ x RQ.
        mean_true_score: Sum of the overlaps of the matched pairs by the number of true objects.
    """

    precision: float
    recall: float
    f1: float
    average_precision: float
    segmentation_quality: float
    panoptic_quality: float
    mean_true_score: float


def object_overlaps(counts: Contingency) -> Overlaps:
    """Give the intersection over union of all objects that meet.

    Args:
        counts: Of prediction (first) and truth (second); label 0 is background.

    Returns:
        The pairs, by row, then column.
    """
    one, two = counts.sizes
    both = (counts.first[counts.row] != 0) & (counts.second[counts.column] != 0)
    row, column, shared = counts.row[both], counts.column[both], counts.shared[both]
    iou = shared.double() / (one[row] + two[column] - shared)
    keep_one, keep_two = counts.first != 0, counts.second != 0
    return Overlaps(
        counts.first[keep_one],
        counts.second[keep_two],
        (keep_one.cumsum(0) - 1)[row],
        (keep_two.cumsum(0) - 1)[column],
        iou,
    )


def match_objects(overlaps: Overlaps, threshold: float) -> Matching:
    """Pair each object with at most one of the other array: as many pairs as there can be.

    Of all ways to make the most pairs, the one with the largest sum of overlaps is taken. Above a
    threshold of 0.5 there is only one way.

    Args:
        overlaps: Of prediction and truth.
        threshold: A pair may match from this intersection over union on (>=), above 0, at most 1.

    Returns:
        The pairs and what stayed alone.

    Raises:
        UnitError: The threshold is outside (0, 1].

    References:
        Assignment as in Cellpose (Stringer et al., 2021, doi:10.1038/s41592-020-01018-x) and
        StarDist (Weigert et al., 2020, doi:10.1109/WACV45572.2020.9093435). Differs from both
        in: pairs below the threshold have no say in ties.
    """
    if not 0.0 < threshold <= 1.0:
        raise UnitError(
            f"threshold must be above 0 and at most 1, got {threshold}: 0.5 is usual, and 0 would "
            "match objects that do not touch"
        )
    good = (overlaps.iou >= threshold).nonzero()[:, 0]
    kept = good[_assign(overlaps, good)] if threshold <= 0.5 else good
    pairs = torch.stack(
        [overlaps.first[overlaps.row[kept]], overlaps.second[overlaps.column[kept]]], dim=1
    )
    return Matching(
        threshold,
        pairs,
        overlaps.iou[kept],
        len(overlaps.first) - len(kept),
        len(overlaps.second) - len(kept),
    )


def _assign(overlaps: Overlaps, good: Tensor) -> Tensor:
    """Give the places in ``good`` of the best assignment, solved where objects touch several."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    row, column = overlaps.row[good].numpy(), overlaps.column[good].numpy()
    iou = overlaps.iou[good].numpy()
    n, m = len(overlaps.first), len(overlaps.second)
    links = coo_matrix((np.ones(len(row)), (row, n + column)), shape=(n + m, n + m))
    group = connected_components(links, directed=False)[1][row]
    order = np.argsort(group, kind="stable")
    kept: list[int] = []
    for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(part) < 2:
            kept += part.tolist()
            continue
        rows, r = np.unique(row[part], return_inverse=True)
        columns, c = np.unique(column[part], return_inverse=True)
        gain, place = np.zeros((len(rows), len(columns))), np.full((len(rows), len(columns)), -1)
        # one more pair outweighs any sum of overlaps
        gain[r, c] = 1.0 + iou[part] / (2 * min(gain.shape))
        place[r, c] = part
        chosen = place[linear_sum_assignment(gain, maximize=True)]
        kept += chosen[chosen >= 0].tolist()
    return torch.tensor(sorted(kept), dtype=torch.int64)


def detection(matching: Matching, *, empty: Empty = "nan") -> Detection:
    """Score one matching.

    To score several images together add up their matchings (sum TP, FP and FN) with
    :func:`pooled`.

    Args:
        matching: Of prediction and truth.
        empty: What all scores are where neither array has objects: ``"nan"`` (nothing can be said,
            Cellpose) or ``"zero"`` (StarDist).

    Returns:
        The scores.

    References:
        Kirillov et al. (2019), doi:10.1109/CVPR.2019.00963, eqs. (1)-(2), but with the threshold
        itself allowed. Caicedo et al. (2019), doi:10.1038/s41592-019-0612-7.
    """
    tp, fp, fn = matching.true_positives, matching.false_positives, matching.false_negatives
    if tp + fp + fn == 0:
        return Detection(*(7 * [0.0 if empty == "zero" else math.nan]))
    total = float(matching.iou.sum())
    rq = 2 * tp / (2 * tp + fp + fn)
    sq = total / tp if tp else 0.0
    return Detection(
        precision=tp / (tp + fp) if tp else 0.0,
        recall=tp / (tp + fn) if tp else 0.0,
        f1=rq,
        average_precision=tp / (tp + fp + fn),
        segmentation_quality=sq,
        panoptic_quality=sq * rq,
        mean_true_score=total / (tp + fn) if tp else 0.0,
    )


def pooled(matchings: tuple[Matching, ...]) -> Matching:
    """Join the matchings of several images, so that every object weighs the same.

    Args:
        matchings: At one threshold, at least one.

    Returns:
        One matching; labels of different images are not told apart any more.

    Raises:
        ShapeError: There is none, or the thresholds differ.
    """
    if len({m.threshold for m in matchings}) != 1:
        raise ShapeError(
            "matchings must be at least one and share one threshold to be pooled, got thresholds "
            f"{sorted({m.threshold for m in matchings})}"
        )
    return Matching(
        matchings[0].threshold,
        torch.cat([m.matched for m in matchings]),
        torch.cat([m.iou for m in matchings]),
        sum(m.false_positives for m in matchings),
        sum(m.false_negatives for m in matchings),
    )


def coco_precision(overlaps: Overlaps, scores: Float[Tensor, " n"], threshold: float) -> float:
    """Average precision as COCO has it: the area below precision over recall.

    Predicted objects come in the order of their scores; each takes the best true object that is
    still free. Precision is made to fall with recall and read at 101 recalls.

    Args:
        overlaps: Of prediction and truth.
        scores: How sure each object of ``overlaps.first`` is; equal scores keep their order.
        threshold: Least intersection over union of a match.

    Returns:
        Between 0 and 1; NaN where there is no true object (COCO leaves such a class out).

    Raises:
        ShapeError: The scores do not fit the objects.

    References:
        Lin et al. (2014), doi:10.1007/978-3-319-10602-1_48. Differs from the COCO tools in: no
        crowds, no size ranges, no limit of 100 objects in an image.
    """
    if len(scores) != len(overlaps.first):
        raise ShapeError(
            f"scores must give one number for each of {len(overlaps.first)} predicted objects, got "
            f"{len(scores)}"
        )
    if not len(overlaps.second):
        return math.nan
    hits = _greedy_hits(overlaps, scores, threshold)
    found, tried = hits.cumsum(0), torch.arange(1, len(hits) + 1, dtype=torch.float64)
    recall = found / len(overlaps.second)
    precision = (found / tried).flip(0).cummax(0).values.flip(0) if len(hits) else found
    at = torch.linspace(0, 1, _RECALLS, dtype=torch.float64)
    place = torch.searchsorted(recall, at)
    read = torch.cat([precision, precision.new_zeros(1)])[place]
    return float(read.mean())


def _greedy_hits(overlaps: Overlaps, scores: Tensor, threshold: float) -> Float[Tensor, " n"]:
    """Say for each prediction, best score first, whether it found a free true object."""
    candidates: dict[int, list[tuple[float, int]]] = {}
    for row, column, iou in zip(
        overlaps.row.tolist(), overlaps.column.tolist(), overlaps.iou.tolist(), strict=True
    ):
        if iou >= threshold:
            candidates.setdefault(row, []).append((iou, column))
    taken: set[int] = set()
    hits = []
    for row in scores.argsort(descending=True, stable=True).tolist():
        free = [pair for pair in candidates.get(row, ()) if pair[1] not in taken]
        if free:
            taken.add(max(free)[1])
        hits.append(float(bool(free)))
    return torch.tensor(hits, dtype=torch.float64)
