"""Objects against the true ones: conventions, empty images, pooling, real nuclei."""

import json
import math

import pytest
import torch

from vesalius.core import Grid, Labels
from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.measure._compare_objects import THRESHOLDS
from vesalius.measure.evaluate import compare_objects, pool_objects


def squares(places, size=6):
    data = torch.zeros(1, 1, 40, 40, dtype=torch.int32)
    for k, (y, x) in enumerate(places, start=1):
        data[0, 0, y : y + size, x : x + size] = k
    return Labels(data, Grid.from_spacing((1, 40, 40), (1.0, 0.25, 0.25)))


TRUTH = squares([(2, 2), (2, 20), (20, 2), (20, 20)])
NOTHING = squares([])


def test_counts_what_was_found_missed_and_invented():
    found = compare_objects(squares([(20, 20), (2, 3), (30, 30)]), TRUTH)
    half = found.at(0.5)
    assert (half.true_positives, half.false_positives, half.false_negatives) == (2, 1, 2)
    assert half.average_precision == pytest.approx(2 / 5)
    assert half.precision == pytest.approx(2 / 3)
    assert half.recall == pytest.approx(2 / 4)
    assert half.segmentation_quality == pytest.approx((1 + 5 / 7) / 2)
    assert half.panoptic_quality == pytest.approx(half.f1 * half.segmentation_quality)
    strict = found.at(0.75)
    assert strict.true_positives == 1
    # the moved square counts at 0.5 to 0.7, five of the ten thresholds
    assert found.mean_ap == pytest.approx((5 * 2 / 5 + 5 * 1 / 6) / 10)
    assert (found.pred_objects, found.truth_objects) == (3, 4)


def test_the_truth_itself_is_perfect_under_any_numbers():
    other = Labels(torch.where(TRUTH.data > 0, 90 - TRUTH.data, 0), TRUTH.grid)
    found = compare_objects(other, TRUTH)
    assert found.mean_ap == 1
    assert (found.rand_error, found.split_bits, found.merge_bits) == (0, 0, 0)


def test_merged_objects_lower_precision_of_pairs_and_split_ones_recall():
    merged = Labels((TRUTH.data > 0).int(), TRUTH.grid)
    found = compare_objects(merged, TRUTH)
    assert found.rand_recall == 1
    assert found.rand_precision < 0.3
    assert found.merge_bits > found.split_bits == 0
    back = compare_objects(TRUTH, merged)
    assert back.rand_precision == 1
    assert back.split_bits == pytest.approx(found.merge_bits)


def test_empty_images():
    both = compare_objects(NOTHING, NOTHING)
    assert math.isnan(both.mean_ap)
    assert math.isnan(both.rand_error)
    for pred, truth in ((TRUTH, NOTHING), (NOTHING, TRUTH)):
        assert compare_objects(pred, truth).mean_ap == 0


def test_pooling_gives_every_object_the_same_weight():
    few = compare_objects(squares([(2, 2)]), squares([(2, 2)]))
    many = compare_objects(NOTHING, TRUTH)
    (half, *_) = pool_objects((few, many))
    assert half.average_precision == pytest.approx(1 / 5)
    assert half.threshold == 0.5


def test_sure_mistakes_cost_more_in_cocos_figure():
    pred = squares([(2, 2), (30, 30)])
    good = compare_objects(pred, TRUTH, confidence=(0.9, 0.1))
    bad = compare_objects(pred, TRUTH, confidence=(0.1, 0.9))
    assert good.coco_ap == pytest.approx(26 / 101)  # precision 1 up to a recall of 1/4
    assert bad.coco_ap == pytest.approx(good.coco_ap / 2)
    assert math.isnan(compare_objects(pred, TRUTH).coco_ap)


def test_figures_name_score_and_threshold():
    figures = compare_objects(TRUTH, TRUTH, thresholds=(0.5, 0.9)).figures()
    assert figures["objects", "AP@0.5"] == figures["objects", "PQ@0.9"] == 1
    assert figures["objects", "truth_objects"] == 4


def test_speaks_json():
    back = json.loads(json.dumps(compare_objects(NOTHING, NOTHING).to_dict(), allow_nan=False))
    assert back["mean_ap"] is None
    assert [f["threshold"] for f in back["found"]] == list(THRESHOLDS)


def test_refuses_what_cannot_be_matched():
    with pytest.raises(GeometryError, match="prediction and truth must lie on one grid"):
        compare_objects(Labels(TRUTH.data, Grid.from_spacing((1, 40, 40))), TRUTH)
    layers = Labels(torch.cat([TRUTH.data, TRUTH.data]), TRUTH.grid)
    with pytest.raises(ShapeError, match="objects must lie in one layer to be matched, got 2"):
        compare_objects(layers, layers)
    with pytest.raises(UnitError, match="thresholds must hold at least one overlap"):
        compare_objects(TRUTH, TRUTH, thresholds=())
    with pytest.raises(ShapeError, match="one number for each of 4 predicted objects, got 1"):
        compare_objects(TRUTH, TRUTH, confidence=(0.5,))
    with pytest.raises(UnitError, match=r"threshold must be one that was scored, 0\.52 is not"):
        compare_objects(TRUTH, TRUTH).at(0.52)
    with pytest.raises(ShapeError, match="share their thresholds to be pooled"):
        pool_objects(())


def test_nuclei_shifted_by_a_pixel_are_still_found(data_dir):
    from vesalius import io

    truth = io.open_labels(data_dir / "segmentation" / "stardist" / "mask2d.tif")
    found = compare_objects(Labels(truth.data.roll(1, 3), truth.grid), truth)
    assert found.truth_objects == 125
    assert found.at(0.5).average_precision > 0.95
    assert found.at(0.95).average_precision < 0.2
    thresholds = [f.average_precision for f in found.found]
    assert thresholds == sorted(thresholds, reverse=True)
