"""Labels against the truth: slow loops, empty cases, grids, equality with other faces."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from vesalius.core import Grid, Labels, Linear
from vesalius.errors import GeometryError, RegionError, ShapeError, UnitError
from vesalius.learn.losses import soft_dice
from vesalius.measure._compare import GROUPS, MEAN, SCORES
from vesalius.measure.evaluate import compare
from vesalius.register.evaluate import compare_labels

GRID = Grid.from_spacing((8, 14, 12), (2.0, 0.7, 1.3), origin_mm=(4.0, -3.0, 9.0))
EVERYTHING = ("overlap", "surface", "area", "centreline", "boundary")


def labels(seed, shape=(8, 14, 12), grid=GRID, classes=3):
    g = np.random.default_rng(seed)
    size = [1.2 if n > 1 else 0 for n in shape]
    fields = np.stack([ndimage.gaussian_filter(g.random(shape), size) for _ in range(classes + 1)])
    return Labels(torch.from_numpy(fields.argmax(axis=0))[None].to(torch.uint8), grid)


def slow(one, two, spacing, tau):
    """Every figure of one label by MONAI's way: erosion, distance transform, counts."""
    a, b = one.numpy(), two.numpy()
    if a.shape[0] == 1:
        a, b, spacing = a[0], b[0], spacing[1:]
    edges = [m ^ ndimage.binary_erosion(m) for m in (a, b)]
    away = [ndimage.distance_transform_edt(~e, sampling=spacing) for e in edges]
    there, back = away[1][edges[0]], away[0][edges[1]]
    both = np.concatenate([there, back])
    tp, fp, fn, tn = (a & b).sum(), (a & ~b).sum(), (b & ~a).sum(), (~a & ~b).sum()
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "precision": tp / (tp + fp),
        "volume_error": (fp - fn) / (tp + fn),
        "hausdorff_mm": both.max(),
        "hd95_mm": np.percentile(both, 95),
        "hd95_directed_mm": max(np.percentile(there, 95), np.percentile(back, 95)),
        "assd_mm": both.mean(),
        "nsd": (both <= tau).mean(),
    }


@pytest.mark.parametrize("seed", range(40))
def test_equals_a_slow_loop_on_random_volumes(seed):
    pred, truth = labels(seed), labels(seed + 1000)
    found = compare(pred, truth, tau_mm=1.5)
    assert len(found.labels) == 3
    for score in found.labels:
        expected = slow(pred.mask(score.value), truth.mask(score.value), GRID.spacing_mm, 1.5)
        for name, value in expected.items():
            assert getattr(score, name) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("seed", range(10))
def test_equals_a_slow_loop_on_random_planes(seed):
    grid = Grid.from_spacing((1, 20, 25), (5.0, 0.5, 0.8))
    pred, truth = (labels(s, (1, 20, 25), grid, 2) for s in (seed, seed + 1000))
    for score in compare(pred, truth).labels:
        expected = slow(pred.mask(score.value), truth.mask(score.value), grid.spacing_mm, 1.0)
        for name, value in expected.items():
            assert getattr(score, name) == pytest.approx(value, abs=1e-6), name


def one_label(where, names=None):
    data = torch.zeros(1, *GRID.shape, dtype=torch.uint8)
    if where:
        data[0, 2:5, 3:9, 3:8] = 1
    return Labels(data, GRID, names or {})


@pytest.mark.parametrize(("pred", "truth"), [(True, False), (False, True)])
def test_a_label_in_one_only_scores_nothing_and_is_infinitely_far(pred, truth):
    (score,) = compare(one_label(pred), one_label(truth), measures=EVERYTHING).labels
    for name in ("dice", "iou", "nsd", "nsd_area", "cldice", "boundary_iou"):
        assert getattr(score, name) == 0, name
    for name in ("hausdorff_mm", "hd95_mm", "hd95_directed_mm", "assd_mm"):
        assert getattr(score, name) == math.inf, name
    assert math.isnan(score.precision if truth else score.sensitivity)
    assert math.isnan(score.volume_error) == pred
    assert score.volume_error_mm3 == pytest.approx((90 if pred else -90) * 2.0 * 0.7 * 1.3)


def test_a_label_in_neither_has_no_score():
    found = compare(one_label(False), one_label(False), measures=EVERYTHING, values=((0, 1),))
    (score,) = found.labels
    for name in set(SCORES) - {"specificity", "pred_mm3", "truth_mm3", "volume_error_mm3"}:
        assert math.isnan(getattr(score, name)), name
    assert score.specificity == 1
    assert math.isnan(found.mean("dice"))


def test_a_truth_that_fills_the_grid_leaves_nothing_out():
    full = Labels(torch.ones(1, *GRID.shape, dtype=torch.uint8), GRID)
    (score,) = compare(one_label(True), full).labels
    assert math.isnan(score.specificity)
    assert score.precision == 1


def test_the_truth_itself_is_perfect():
    truth = labels(5)
    for score in compare(truth, truth, measures=EVERYTHING).labels:
        for name in ("dice", "iou", "sensitivity", "nsd", "nsd_area", "cldice", "boundary_iou"):
            assert getattr(score, name) == 1, name
        assert score.hausdorff_mm == score.volume_error == 0


def test_gives_only_what_was_asked_for():
    found = compare(labels(1), labels(2), measures=("centreline",))
    assert found.scores == ("cldice",)
    assert math.isnan(found.labels[0].dice)
    assert 0 < found.labels[0].cldice <= 1
    assert set(GROUPS) == set(SCORES)


def test_the_mean_is_over_labels_that_have_the_figure():
    truth = labels(7)
    pred = Labels(torch.where(truth.data == 2, 0, truth.data), GRID)
    found = compare(pred, truth)
    assert found.mean("dice") == pytest.approx(2 / 3)
    assert found.mean("precision") == 1  # that of the lost label is not known
    assert found.mean("hd95_mm") == math.inf
    assert found.figures()[MEAN, "dice"] == found.mean("dice")
    assert found.figures()["label 2", "dice"] == 0


def test_layers_and_names_are_kept_apart():
    two = torch.cat([labels(1).data, labels(2).data])
    pred, truth = Labels(two, GRID), Labels(two.flip(0), GRID, {(1, 2): "kidney"})
    found = compare(pred, truth)
    assert [(s.layer, s.value) for s in found.labels] == [(k, v) for k in (0, 1) for v in (1, 2, 3)]
    assert found.labels[4].name == "kidney"
    single = compare(labels(1), labels(2))
    assert found.labels[0].dice == single.labels[0].dice


def test_speaks_json():
    text = json.dumps(compare(one_label(True), one_label(False)).to_dict(), allow_nan=False)
    back = json.loads(text)
    assert back["labels"][0]["hd95_mm"] == "inf"
    assert back["labels"][0]["sensitivity"] is None
    assert back["mean"]["dice"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_report_of_a_registration_has_the_same_figures(seed):
    pred, truth = labels(seed), labels(seed + 50)
    ours = compare(pred, truth).labels
    theirs = compare_labels(truth, pred, Linear.identity())
    for one, two in zip(ours, theirs, strict=True):
        # sums in another order: surfaces are listed from the other side
        assert (one.dice, one.iou, one.hd95_mm, one.assd_mm) == pytest.approx(
            (two.dice, two.jaccard, two.hd95_mm, two.assd_mm), rel=1e-12
        )
        assert (one.pred_mm3, one.truth_mm3) == (two.moving_mm3, two.fixed_mm3)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_hard_labels_is_one_less_dice(seed):
    pred, truth = labels(seed), labels(seed + 80)
    hot = torch.nn.functional.one_hot(pred.data[0].long(), 4).movedim(-1, 0)[None]
    sure = torch.where(hot > 0, 60.0, -60.0).double()
    loss = soft_dice(sure, truth.data.long()[None], torch.ones(1, 1, *GRID.shape).double())
    assert float(loss) == pytest.approx(1 - compare(pred, truth).mean("dice"), abs=1e-6)


def test_says_in_what_grids_differ_and_how_to_resample():
    pred = labels(1)
    moved = Labels(pred.data, Grid.from_spacing((8, 14, 12), (2.0, 0.7, 1.3)))
    with pytest.raises(
        GeometryError, match=r"origin differs by 10\.3 mm.*convert PRED OUT --labels"
    ):
        compare(moved, pred)
    small = labels(1, (8, 14, 10), Grid.from_spacing((8, 14, 10), (2.0, 0.7, 1.5)))
    with pytest.raises(GeometryError, match=r"size differs.*spacing differs by up to 0\.2 mm"):
        compare(small, pred)


def test_refuses_a_sheared_grid_only_where_distances_are_asked_for():
    affine = GRID.affine.clone()
    affine[0, 1] = 0.4
    sheared = Grid(GRID.shape, affine)
    pred, truth = labels(1, grid=sheared), labels(2, grid=sheared)
    with pytest.raises(GeometryError, match="distances need a grid with orthogonal axes, got a"):
        compare(pred, truth)
    assert compare(pred, truth, measures=("overlap",)).labels[0].dice > 0


def test_refuses_what_cannot_be_compared():
    pred = labels(1)
    with pytest.raises(ShapeError, match="same number of layers to be compared, got 2 and 1"):
        compare(Labels(torch.cat([pred.data, pred.data]), GRID), pred)
    with pytest.raises(RegionError, match="both hold only background"):
        compare(one_label(False), one_label(False))
    with pytest.raises(UnitError, match="measures must be some of area, boundary"):
        compare(pred, pred, measures=())
    with pytest.raises(UnitError, match="tolerance must be a distance"):
        compare(pred, pred, tau_mm=-1.0)


def test_the_input_is_left_as_it_was():
    pred, truth = labels(1), labels(2)
    before = pred.data.clone(), truth.data.clone()
    compare(pred, truth, measures=EVERYTHING)
    assert torch.equal(pred.data, before[0])
    assert torch.equal(truth.data, before[1])


def test_hippocampi_moved_by_a_millimetre_are_a_millimetre_apart(data_dir):
    from vesalius import io

    path = sorted((data_dir / "segmentation" / "hippocampus" / "labels").glob("*.nii.gz"))[0]
    truth = io.open_labels(path)
    found = compare(Labels(truth.data.roll(1, 3), truth.grid), truth, tau_mm=1.0)
    assert [s.value for s in found.labels] == [1, 2]
    for score in found.labels:
        assert score.hausdorff_mm == pytest.approx(1.0)
        assert score.nsd == 1
        assert 0.75 < score.dice < 0.95
        assert score.volume_error == 0


def test_labels_of_one_name_keep_their_own_figures():
    data = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    data[0, 0, :2], data[0, 0, 2:], data[1, 0, 0] = 1, 2, 1
    names = {(0, 1): "lesion", (0, 2): "lesion", (1, 1): MEAN}
    truth = Labels(data, Grid.from_spacing((1, 4, 4), (1.0, 1.0, 1.0)), names)
    turned = Labels(data.where(data != 2, torch.zeros_like(data)), truth.grid)
    found = compare(turned, truth, measures=("overlap",))
    assert [one.name for one in found.labels] == [
        "lesion (layer 0, label 1)",
        "lesion (layer 0, label 2)",
        f"{MEAN} (layer 1, label 1)",
    ]
    figures = found.figures()
    assert [figures[one.name, "dice"] for one in found.labels] == [1.0, 0.0, 1.0]
    assert figures[MEAN, "dice"] == pytest.approx(2 / 3)


def test_a_layer_that_is_not_there_is_refused():
    one = labels(3)
    with pytest.raises(RegionError, match=r"values must lie in layers 0 to 0.*got layers \[2\]"):
        compare(one, one, values=((0, 1), (2, 1)))
