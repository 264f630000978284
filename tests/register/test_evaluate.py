"""The report of a registration: known figures, oracles, landmarks of a challenge, refusals."""

import json
import math

import numpy as np
import pytest
import torch
from evaluation_cases import GRID, STILL, Judged, boxes, texture

from vesalius.core import Displacement, Grid, Image, Labels, Linear, Points, Velocity
from vesalius.errors import GeometryError, RegionError, ShapeError
from vesalius.register.evaluate import (
    alikeness,
    compare_labels,
    evaluate,
    folding,
    inverse_consistency,
    landmark_error,
)

BACK = Linear.translation((1.5, 0.0, 0.0))  # one voxel along x of GRID


def judged(transform=BACK, start=STILL):
    fixed = texture()
    moving = fixed.map(lambda x: x.roll(1, 3))
    return Judged(transform, start, fixed, moving)


def smooth_velocity(size, seed=3):
    from scipy.ndimage import gaussian_filter

    noise = torch.randn(3, *GRID.shape, generator=torch.Generator().manual_seed(seed)).double()
    wide = torch.from_numpy(gaussian_filter(noise.numpy(), (0, 3, 3, 3), mode="wrap"))
    return Velocity(size * wide / wide.abs().max(), GRID)


def test_before_and_after_are_of_the_start_and_of_the_transform():
    report = evaluate(judged(), labels=(boxes(), boxes(shift=(0, 0, 1))))
    assert [s.dice for s in report.after] == [1, 1]
    assert report.mean_dice == 1
    assert report.before[0].dice == pytest.approx(2 * 5 / 12)
    assert report.before[1].jaccard == pytest.approx(3 / 5)
    assert report.mean_dice_before == pytest.approx((5 / 6 + 0.75) / 2)
    assert report.similarity_after.ncc > 0.999 > report.similarity_before.ncc


def test_a_structure_knows_its_name_volume_and_distances():
    one, _ = compare_labels(boxes(), boxes(shift=(0, 0, 1)), STILL)
    assert (one.name, one.layer, one.value) == ("one", 0, 1)
    assert one.fixed_mm3 == pytest.approx(4 * 5 * 6 * 3.0)
    assert one.moving_mm3 == one.fixed_mm3
    assert one.hd95_mm == pytest.approx(1.5)
    assert 0 < one.assd_mm < 1.5


def test_a_label_agrees_with_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    a, b = boxes(), boxes(shift=(1, -1, 2))
    found = compare_labels(a, b, STILL)
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(x.data[0].numpy()) for x in (a, b)))
    for s in found:
        assert s.dice == pytest.approx(measure.GetDiceCoefficient(s.value))


def test_a_structure_that_one_image_lacks_has_no_overlap_and_no_distance():
    lacking = Labels(torch.where(boxes().data == 4, 0, boxes().data), GRID)
    for pair in ((boxes(), lacking), (lacking, boxes())):
        found = compare_labels(*pair, STILL)
        assert [s.value for s in found] == [1, 4]
        assert (found[0].dice, found[1].dice) == (1, 0)
        assert math.isnan(found[1].hd95_mm)
        assert math.isnan(found[1].assd_mm)


def test_labels_that_leave_the_image_are_lost_not_an_error():
    far = Linear.translation((500.0, 0.0, 0.0))
    found = compare_labels(boxes(), boxes(), far)
    assert [s.dice for s in found] == [0, 0]


def test_no_labels_at_all_give_no_structures():
    empty = Labels(torch.zeros((1, *GRID.shape), dtype=torch.uint8), GRID)
    assert compare_labels(empty, empty, STILL) == ()


def test_layers_are_compared_each_with_its_own():
    data = torch.cat([boxes().data, boxes(shift=(0, 0, 1)).data])
    found = compare_labels(Labels(data, GRID), Labels(data.flip(0), GRID), STILL)
    assert [(s.layer, s.value) for s in found] == [(0, 1), (0, 4), (1, 1), (1, 4)]
    assert found[0].dice == found[2].dice < 1


def test_labels_of_another_grid_are_pulled_onto_the_fixed_one():
    wide = GRID.crop((-2, -3, -1), (20, 22, 22))
    data = torch.zeros((1, *wide.shape), dtype=torch.int16)
    data[0, 2:16, 3:19, 1:19] = boxes().data[0]
    assert all(s.dice == 1 for s in compare_labels(boxes(), Labels(data, wide), STILL))


def test_landmark_errors_are_distances_in_the_moving_world():
    fixed = Points(torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    shifts = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 10.0]])
    found = landmark_error(fixed, Points(fixed.data + shifts), STILL, grid=GRID)
    assert (found.count, found.mean_mm, found.median_mm, found.max_mm) == (3, 5, 5, 10)
    assert found.p95_mm == pytest.approx(np.percentile([5, 0, 10], 95))
    diagonal = math.hypot(14 * 2.0, 16 * 1.0, 18 * 1.5)
    assert found.mean_relative == pytest.approx(5 / diagonal)
    assert found.median_relative == pytest.approx(5 / diagonal)


def test_landmarks_map_from_fixed_to_moving_and_not_back():
    fixed = Points(torch.tensor([[1.0, 2.0, 3.0]]))
    moving = Points(BACK(fixed.data))
    assert landmark_error(fixed, moving, BACK, grid=GRID).mean_mm == pytest.approx(0, abs=1e-6)
    assert landmark_error(fixed, moving, BACK.inverse(), grid=GRID).mean_mm == pytest.approx(3)


def test_the_diagonal_of_a_slice_leaves_its_thickness_out():
    flat = Grid.from_spacing((1, 30, 40), (100.0, 1.0, 1.0))
    one, two = Points(torch.zeros(1, 3)), Points(torch.tensor([[3.0, 4.0, 0.0]]))
    assert landmark_error(one, two, STILL, grid=flat).mean_relative == pytest.approx(0.1)


@pytest.mark.parametrize("case", ["0001", "0002", "0003"])
def test_landmarks_of_a_challenge_start_as_far_apart_as_a_loop_says(data_dir, case):
    """Lung CT of Learn2Reg: voxel indices at 1.75 x 1.25 x 1.75 mm."""
    base = data_dir / "registration" / "l2r_eval_landmarks"
    size = np.array([1.75, 1.25, 1.75])
    fixed, moving = (
        np.loadtxt(base / f"landmarksTr_LungCT_{case}_000{k}.csv", delimiter=",") * size
        for k in (0, 1)
    )
    slow = [math.dist(a, b) for a, b in zip(fixed.tolist(), moving.tolist(), strict=True)]
    grid = Grid.from_spacing((208, 192, 192), (1.75, 1.25, 1.75))
    found = landmark_error(
        Points(torch.from_numpy(fixed)), Points(torch.from_numpy(moving)), STILL, grid=grid
    )
    assert found.count == len(slow) >= 80
    assert found.mean_mm == pytest.approx(sum(slow) / len(slow))
    assert found.median_mm == pytest.approx(sorted(slow)[len(slow) // 2], abs=0.5)
    assert 5 < found.mean_mm < 25


def test_a_linear_map_has_no_folds_and_no_spread():
    grown = Linear(torch.diag(torch.tensor([1.1, 1.1, 1.1, 1.0], dtype=torch.float64)))
    found = folding(grown, GRID)
    assert (found.folded_percent, found.folded_cells_percent) == (0, 0)
    assert found.non_diffeomorphic_mm3 == 0
    assert found.sd_log_jacobian == pytest.approx(0, abs=1e-6)
    assert found.smallest == pytest.approx(1.331)


def test_folds_are_counted_in_mm3_and_percent():
    data = torch.zeros(3, *GRID.shape, dtype=torch.float64)
    data[0] = -2 * 1.5 * torch.arange(18.0)  # L runs along x: a mirror
    found = folding(Displacement(data, GRID), GRID)
    assert found.folded_percent == found.folded_cells_percent == 100
    assert found.non_diffeomorphic_percent == pytest.approx(100)
    assert found.non_diffeomorphic_mm3 == pytest.approx(13 * 15 * 17 * 3.0)


def test_the_determinant_does_not_depend_on_the_directions_of_the_grid():
    velocity = smooth_velocity(3.0)
    turned = Grid(
        GRID.shape, Linear.rotation((20, 30, 10), centre_mm=(0, 0, 0)).matrix @ GRID.affine
    )
    rotate = turned.affine[:3, :3] @ torch.linalg.inv(GRID.affine[:3, :3])
    data = torch.einsum("ij,jzyx->izyx", rotate, velocity.data)
    one, two = folding(velocity, GRID), folding(Velocity(data, turned), turned)
    assert two.sd_log_jacobian == pytest.approx(one.sd_log_jacobian, rel=1e-6)
    assert two.smallest == pytest.approx(one.smallest, rel=1e-6)


def test_the_exact_inverse_leads_back():
    found = inverse_consistency(BACK, GRID, moving=GRID)
    assert found.max_mm == pytest.approx(0, abs=1e-9)
    assert 0 < found.count < 14 * 16 * 18  # the last column leaves the image
    assert found.remark == ""


def test_a_velocity_leads_back_to_a_fraction_of_a_voxel():
    found = inverse_consistency(smooth_velocity(2.0), GRID, moving=GRID)
    assert 0 < found.mean_mm < 0.05
    assert found.mean_mm < found.max_mm


def test_a_map_without_an_inverse_says_so():
    data = torch.zeros(3, *GRID.shape, dtype=torch.float64)
    data[0] = -2 * 1.5 * torch.arange(18.0)
    found = inverse_consistency(
        Displacement(data, GRID),
        GRID.crop((0, 0, -18), (14, 16, 36)),
        moving=GRID.crop((0, 0, -18), (14, 16, 36)),
    )
    assert math.isnan(found.mean_mm)
    assert found.remark.startswith("no inverse")


def test_images_that_do_not_meet_have_no_figures():
    far = Linear.translation((1e4, 0.0, 0.0))
    assert inverse_consistency(far, GRID, moving=GRID).remark.startswith("no point of the fixed")
    found = alikeness(texture(), texture(), far)
    assert math.isnan(found.ncc)
    assert math.isnan(found.mutual_information)
    assert found.shared == 0


def entropy(shares):
    return -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())


def test_similarity_agrees_with_numpy_and_with_entropies():
    a, b = texture(seed=1), texture(seed=2)
    found = alikeness(a, b, STILL)
    x, y = a.data.flatten().numpy(), b.data.flatten().numpy()
    assert found.ncc == pytest.approx(np.corrcoef(x, y)[0, 1])
    joint = np.histogram2d(x, y, bins=32)[0] / x.size
    expected = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint)
    assert found.mutual_information == pytest.approx(expected)
    assert found.shared == 1


def test_only_what_both_images_have_is_compared():
    fixed, moving = judged().fixed, judged().moving
    found = alikeness(fixed, moving, BACK)
    assert found.shared == pytest.approx(17 / 18)
    assert found.ncc == pytest.approx(1)


def test_a_constant_image_has_no_similarity():
    flat = Image(torch.ones((1, *GRID.shape)), GRID)
    found = alikeness(flat, texture(), STILL)
    assert math.isnan(found.ncc)
    assert math.isnan(found.mutual_information)


def test_integer_images_and_channels_are_compared():
    both = torch.cat([texture(seed=1).data, texture(seed=2).data])
    fixed = Image((1000 * both).to(torch.int16), GRID)
    assert alikeness(fixed, fixed, STILL).ncc == pytest.approx(1)


def test_a_mask_chooses_where_folds_and_similarity_are_measured():
    found = judged()
    mask = torch.zeros((1, *GRID.shape))
    mask[:, 2:8] = 1
    whole, part = evaluate(found), evaluate(found, mask=Image(mask, GRID))
    assert part.similarity_before.shared == pytest.approx(6 / 14)
    assert part.similarity_before.ncc != whole.similarity_before.ncc


def test_the_report_becomes_json_without_nan():
    lacking = Labels(torch.where(boxes().data == 4, 0, boxes().data), GRID)
    points = Points(torch.rand(5, 3)), Points(torch.rand(5, 3))
    report = evaluate(judged(), labels=(boxes(), lacking), landmarks=points)
    text = json.dumps(report.to_dict(), allow_nan=False)
    back = json.loads(text)
    assert back["after"][1]["hd95_mm"] is None
    assert back["landmarks_after"]["count"] == 5
    assert back["seconds"] == 1.5
    assert back["mean_dice"] == pytest.approx(report.mean_dice)
    assert back["peak_ram_mb"] > 10


def test_the_table_has_a_line_for_each_figure():
    points = Points(torch.rand(5, 3)), Points(torch.rand(5, 3))
    short = evaluate(judged()).rows()
    labels = boxes(), boxes(shift=(0, 0, 1))
    full = evaluate(judged(), labels=labels, landmarks=points).rows()
    names = [row.name for row in full]
    assert len(full) == len(short) + 8
    assert len(set(names)) == len(names)
    assert next(r for r in full if r.name.startswith("Dice")).after == "1"
    assert next(r for r in full if r.name.startswith("SD of log")).before == ""
    assert next(r for r in short if "Time" in r.name).after == "1.5"


def test_what_is_not_known_is_said_in_the_table():
    data = torch.ones((1, *GRID.shape))
    report = evaluate(Judged(STILL, STILL, Image(data, GRID), Image(data, GRID)))
    assert report.rows()[0].after == "not known"
    assert math.isnan(report.mean_dice)


def test_a_slice_is_judged_too():
    flat = Grid.from_spacing((1, 20, 24), (1.0, 1.0, 1.0))
    image = texture(flat)
    labels = Labels((image.data > image.data.mean()).to(torch.uint8), flat)
    found = evaluate(Judged(STILL, STILL, image, image), labels=(labels, labels))
    assert found.mean_dice == 1
    assert found.after[0].hd95_mm == 0
    assert found.folding.sd_log_jacobian == 0
    assert found.consistency.max_mm == 0


def test_refuses_landmarks_that_do_not_pair():
    one, two = Points(torch.zeros(2, 3)), Points(torch.zeros(3, 3))
    with pytest.raises(ShapeError, match="landmarks must pair, at least one, got"):
        evaluate(judged(), landmarks=(one, two))
    with pytest.raises(ShapeError, match="landmarks must pair, at least one, got"):
        evaluate(judged(), landmarks=(Points(torch.zeros(0, 3)), Points(torch.zeros(0, 3))))


def test_refuses_labels_of_another_number_of_layers():
    double = Labels(boxes().data.repeat(2, 1, 1, 1), GRID)
    with pytest.raises(ShapeError, match="the same number of layers to be compared"):
        compare_labels(boxes(), double, STILL)


def test_refuses_a_sheared_grid_for_distances():
    affine = GRID.affine.clone()
    affine[0, 1] += 0.5
    sheared = Labels(boxes().data, Grid(GRID.shape, affine))
    with pytest.raises(GeometryError, match="distances of surfaces need a grid with orthogonal"):
        compare_labels(sheared, boxes(), STILL)


def test_refuses_a_mask_off_the_fixed_grid():
    mask = Image(torch.ones(1, 3, 3, 3), Grid.from_spacing((3, 3, 3)))
    with pytest.raises(ShapeError, match="mask must have one channel on the fixed grid"):
        evaluate(judged(), mask=mask)


def test_refuses_an_empty_mask():
    mask = Image(torch.zeros((1, *GRID.shape)), GRID)
    with pytest.raises(RegionError, match=r"mask must have a voxel above 0\.5 to judge by"):
        evaluate(judged(), mask=mask)


def test_refuses_a_mask_of_the_right_shape_in_another_place():
    away = Grid.from_spacing(GRID.shape, GRID.spacing_mm, origin_mm=(500.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="mask must lie on the fixed grid, they differ"):
        evaluate(judged(), mask=Image(torch.ones((1, *GRID.shape)), away))
