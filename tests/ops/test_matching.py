"""Matched objects, beside slow loops in the manner of StarDist, Cellpose and COCO."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._contingency import contingency
from vesalius.ops._matching import (
    coco_precision,
    detection,
    match_objects,
    object_overlaps,
    pooled,
)

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


def scene(seed, *, empty=""):
    """Rectangles, some shifted, some lost, some invented."""
    g = np.random.default_rng(seed)
    truth, pred = np.zeros((1, 40, 44), np.int32), np.zeros((1, 40, 44), np.int32)
    for k in range(int(g.integers(1, 12))):
        y, x, h, w = *g.integers(0, 32, 2), *g.integers(3, 9, 2)
        truth[0, y : y + h, x : x + w] = 3 * k + 2
        dy, dx = g.integers(-2, 3, 2)
        if g.random() < 0.8:
            pred[0, max(y + dy, 0) : y + dy + h, max(x + dx, 0) : x + dx + w] = 40 - k
    if "pred" in empty:
        pred[:] = 0
    if "truth" in empty:
        truth[:] = 0
    return torch.from_numpy(pred), torch.from_numpy(truth)


CASES = [(seed, "") for seed in range(44)] + [
    (s, e) for s in (90, 91) for e in ("pred", "truth", "pred and truth")
]


def slow_iou(pred, truth):
    """(prediction, truth) overlaps by masks."""
    p, t = (np.unique(x[x > 0]) for x in (pred.numpy(), truth.numpy()))
    table = np.zeros((len(p), len(t)))
    for i, a in enumerate(p):
        for j, b in enumerate(t):
            one, two = pred.numpy() == a, truth.numpy() == b
            table[i, j] = (one & two).sum() / (one | two).sum()
    return table


def slow_matching(table, threshold):
    """True positives and sum of overlaps as StarDist and Cellpose assign."""
    n = min(table.shape)
    if not n:
        return 0, 0.0
    costs = -(table >= threshold).astype(float) - table / (2 * n)
    i, j = linear_sum_assignment(costs)
    good = table[i, j] >= threshold
    return int(good.sum()), float(table[i, j][good].sum())


def overlaps_of(pred, truth):
    return object_overlaps(contingency(pred, truth))


@pytest.mark.parametrize(("seed", "empty"), CASES)
def test_equals_the_loops_of_stardist_and_cellpose(seed, empty):
    pred, truth = scene(seed, empty=empty)
    table, pairs = slow_iou(pred, truth), overlaps_of(pred, truth)
    for threshold in THRESHOLDS:
        tp, total = slow_matching(table, threshold)
        fp, fn = table.shape[0] - tp, table.shape[1] - tp
        found = match_objects(pairs, threshold)
        assert (found.true_positives, found.false_positives, found.false_negatives) == (tp, fp, fn)
        scores = detection(found, empty="zero")
        assert scores.average_precision == pytest.approx(tp / (tp + fp + fn) if tp else 0.0)
        assert scores.precision == pytest.approx(tp / (tp + fp) if tp else 0.0)
        assert scores.recall == pytest.approx(tp / (tp + fn) if tp else 0.0)
        assert scores.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp else 0.0)
        if threshold >= 0.5:
            quality = total / (tp + fp / 2 + fn / 2) if tp else 0.0
            assert scores.panoptic_quality == pytest.approx(quality, abs=1e-12)
            assert scores.segmentation_quality == pytest.approx(total / tp if tp else 0.0)
            assert scores.mean_true_score == pytest.approx(total / max(tp + fn, 1))


@pytest.mark.parametrize("seed", range(6))
def test_overlaps_are_those_of_the_masks(seed):
    pred, truth = scene(seed)
    table, pairs = slow_iou(pred, truth), overlaps_of(pred, truth)
    dense = np.zeros(table.shape)
    dense[pairs.row.numpy(), pairs.column.numpy()] = pairs.iou.numpy()
    np.testing.assert_allclose(dense, table, atol=1e-12)
    assert (pairs.iou > 0).all()


def test_the_most_pairs_win_over_the_best_pair():
    """First overlaps both true objects, second only the first one: both can be matched."""
    pred, truth = torch.zeros(2, 1, 1, 40, dtype=torch.int64)
    truth[..., 0:10], truth[..., 10:20] = 1, 2
    pred[..., 4:14] = 1
    pred[..., 0:4] = 2
    found = match_objects(overlaps_of(pred, truth), 0.2)
    assert found.true_positives == 2
    assert sorted(found.matched.tolist()) == [[1, 2], [2, 1]]


def test_numbers_of_objects_do_not_matter():
    pred, truth = scene(3)
    renumbered = torch.where(pred > 0, 1000 - pred, 0)
    one, two = overlaps_of(pred, truth), overlaps_of(renumbered, truth)
    assert detection(match_objects(one, 0.5)) == pytest.approx(detection(match_objects(two, 0.5)))


def test_nothing_to_find_and_nothing_found_is_no_score():
    zero = torch.zeros(1, 3, 3, dtype=torch.int64)
    found = match_objects(overlaps_of(zero, zero), 0.5)
    assert all(math.isnan(x) for x in detection(found))
    assert set(detection(found, empty="zero")) == {0.0}


def test_one_without_objects_scores_nothing():
    pred, zero = scene(4)[0], torch.zeros(1, 40, 44, dtype=torch.int32)
    assert set(detection(match_objects(overlaps_of(pred, zero), 0.5))) == {0.0}
    assert set(detection(match_objects(overlaps_of(zero, pred), 0.5))) == {0.0}


def test_pooled_images_count_every_object_alike():
    matchings = tuple(match_objects(overlaps_of(*scene(seed)), 0.5) for seed in (1, 2, 5))
    joined = pooled(matchings)
    for name in ("true_positives", "false_positives", "false_negatives"):
        assert getattr(joined, name) == sum(getattr(m, name) for m in matchings)
    assert float(joined.iou.sum()) == pytest.approx(sum(float(m.iou.sum()) for m in matchings))


def slow_coco(table, scores, threshold):
    """COCO's loop: best free truth for each prediction, precision at 101 recalls."""
    free, hits = set(range(table.shape[1])), []
    for i in np.argsort(-np.asarray(scores), kind="mergesort"):
        good = [j for j in free if table[i, j] >= threshold]
        best = max(good, key=lambda j, i=i: table[i, j], default=None)
        free.discard(best)
        hits.append(best is not None)
    tp = np.cumsum(hits)
    recall, precision = tp / table.shape[1], tp / np.arange(1, len(hits) + 1)
    for k in range(len(precision) - 1, 0, -1):
        precision[k - 1] = max(precision[k - 1], precision[k])
    read = np.zeros(101)
    for k, place in enumerate(np.searchsorted(recall, np.linspace(0, 1, 101), side="left")):
        if place < len(precision):
            read[k] = precision[place]
    return read.mean()


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_loop_of_coco(seed):
    pred, truth = scene(seed)
    pairs = overlaps_of(pred, truth)
    g = torch.Generator().manual_seed(seed)
    scores = torch.rand(len(pairs.first), generator=g, dtype=torch.float64)
    if len(scores):
        expected = slow_coco(slow_iou(pred, truth), scores.numpy(), 0.5)
        assert coco_precision(pairs, scores, 0.5) == pytest.approx(expected, abs=1e-12)
    else:
        assert coco_precision(pairs, scores, 0.5) == 0.0


def test_coco_leaves_out_a_class_without_truth():
    pred, truth = scene(7, empty="truth")
    pairs = overlaps_of(pred, truth)
    assert math.isnan(coco_precision(pairs, torch.ones(len(pairs.first)), 0.5))


def test_ten_thousand_objects_take_no_table():
    side = 100
    truth = torch.arange(1, side * side + 1).reshape(1, side, side)
    big = truth.repeat_interleave(4, 1).repeat_interleave(4, 2)
    pairs = overlaps_of(big.roll(1, 2), big)
    assert match_objects(pairs, 0.5).true_positives == side * side
    assert len(pairs.iou) < 3 * side * side


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.5, math.nan])
def test_refuses_a_threshold_that_is_no_overlap(threshold):
    with pytest.raises(UnitError, match="threshold must be above 0 and at most 1"):
        match_objects(overlaps_of(*scene(1)), threshold)


def test_refuses_to_pool_two_thresholds_or_nothing():
    pairs = overlaps_of(*scene(1))
    with pytest.raises(ShapeError, match="share one threshold to be pooled"):
        pooled((match_objects(pairs, 0.5), match_objects(pairs, 0.6)))
    with pytest.raises(ShapeError, match="share one threshold to be pooled"):
        pooled(())


def test_refuses_scores_that_do_not_fit():
    with pytest.raises(ShapeError, match="one number for each of"):
        coco_precision(overlaps_of(*scene(1)), torch.ones(99), 0.5)
