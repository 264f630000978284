"""Losses: slopes, what counts, equality with the counts of labels, and refusals."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from vesalius.errors import ConfigError, ShapeError
from vesalius.learn import losses
from vesalius.ops._overlap import overlap

HARD = 60.0
"""Log-odds at which a probability is 1 to all digits."""


def full_losses():
    """Every loss of outputs, truth and weight, found by its parameters."""
    for name in losses.__all__:
        function = getattr(losses, name)
        if list(inspect.signature(function).parameters)[:3] == ["logits", "target", "weight"]:
            yield pytest.param(function, id=name)


ALL = list(full_losses())
SHAPES = [(2, 3, 2, 3), (1, 3, 2, 2, 3)]


def case(shape=(2, 3, 5, 6), seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=g, dtype=dtype)
    target = torch.randint(0, shape[1], (shape[0], 1, *shape[2:]), generator=g)
    weight = torch.rand(target.shape, generator=g, dtype=dtype) + 0.1
    return logits, target, weight


def hard(labels, classes=3):
    """Outputs whose soft maximum is the indicator of the labels."""
    return HARD * torch.nn.functional.one_hot(labels[:, 0], classes).movedim(-1, 1).double()


def test_the_contract_covers_the_losses_of_full_truth():
    names = {p.id for p in ALL}
    assert {"cross_entropy", "soft_dice", "dice_cross_entropy", "focal", "tversky"} <= names
    assert {"boundary", "centre_line_dice", "boxes"} <= names


@pytest.mark.parametrize("shape", SHAPES, ids=["2-D", "3-D"])
@pytest.mark.parametrize("loss", ALL)
def test_every_slope_is_right(loss, shape):
    logits, target, weight = case(shape)
    assert gradcheck(lambda x: loss(x, target, weight), (logits.requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("loss", ALL)
def test_what_is_not_known_counts_for_nothing(loss):
    logits, target, weight = case()
    weight[:, :, :2] = 0.0
    expected = loss(logits, target, weight)
    marked = target.clone()
    marked[:, :, :2] = -1
    full = torch.where(weight == 0, 1.0, weight)
    if loss not in {losses.boundary, losses.boxes}:  # distances and bags do not know of weights
        torch.testing.assert_close(loss(logits, marked, full), expected)
    else:
        torch.testing.assert_close(loss(logits, marked, weight), loss(logits, marked, full))
    other = logits.clone()
    other[:, :, :2] += 3.0 * torch.randn(2, 3, 2, 6, dtype=torch.float64)
    if loss is not losses.centre_line_dice:  # thinning looks at neighbours
        torch.testing.assert_close(loss(other, marked, full), loss(logits, marked, full))


@pytest.mark.parametrize("loss", ALL)
def test_nothing_known_at_all_is_finite_and_without_slope(loss):
    logits, target, weight = case()
    logits.requires_grad_()
    value = loss(logits, target, 0 * weight)
    value.backward()
    assert math.isfinite(value.item())
    assert float(logits.grad.abs().max()) == 0.0


@pytest.mark.parametrize("loss", ALL)
def test_the_truth_is_better_than_chance_and_than_its_opposite(loss):
    _, target, weight = case((2, 3, 8, 9))
    target[:, :, 2:6, 2:6] = 1
    one = torch.ones_like(weight)
    right, wrong = hard(target), hard((target + 1) % 3)
    assert float(loss(right, target, one)) < float(loss(0 * right, target, one))
    assert float(loss(0 * right, target, one)) < float(loss(wrong, target, one))


@pytest.mark.parametrize("loss", ALL)
def test_halves_are_widened_and_the_input_is_left_alone(loss):
    logits, target, weight = case(dtype=torch.float32)
    kept = logits.clone(), target.clone(), weight.clone()
    value = loss(logits, target, weight)
    assert value.shape == ()
    assert value.dtype == torch.float32
    half = loss(logits.bfloat16(), target, weight)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, value, atol=0.03, rtol=0.03)
    for a, b in zip(kept, (logits, target, weight), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("loss", ALL)
def test_the_order_of_the_batch_does_not_matter(loss):
    logits, target, weight = case((3, 3, 5, 6))
    turned = loss(logits.flip(0), target.flip(0), weight.flip(0))
    torch.testing.assert_close(turned, loss(logits, target, weight))


@pytest.mark.parametrize("loss", ALL)
def test_refuses_shapes_and_classes_that_do_not_fit(loss):
    logits, target, weight = case()
    with pytest.raises(ShapeError, match=r"target and weight must have shape \(2, 1, 5, 6\)"):
        loss(logits, target[:, :, :4], weight)
    with pytest.raises(ShapeError, match="target and weight must have shape"):
        loss(logits, target, weight[:1])
    with pytest.raises(ConfigError, match="a target must be a class from 0 to 1 or negative"):
        loss(logits[:, :2], target, weight)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_one_minus_soft_dice_of_hard_outputs_is_the_dice_of_the_labels(seed, pooled):
    g = torch.Generator().manual_seed(seed)
    found, true = torch.randint(0, 3, (2, 2, 1, 6, 7), generator=g)
    loss = losses.soft_dice(
        hard(found), true, torch.ones(2, 1, 6, 7, dtype=torch.float64), pooled=pooled
    )
    groups = [(found, true)] if pooled else list(zip(found, true, strict=True))
    dice = torch.stack([overlap(a, b, (1, 2)).dice for a, b in groups])
    assert 1 - float(loss) == pytest.approx(float(dice.mean()), abs=1e-5)


def test_an_empty_class_that_was_found_empty_has_dice_one():
    target = torch.zeros(1, 1, 4, 4, dtype=torch.int64)
    one = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    assert float(losses.soft_dice(hard(target), target, one)) == pytest.approx(0.0, abs=1e-9)
    found = hard(torch.ones_like(target))
    assert float(losses.soft_dice(found, target, one)) == pytest.approx(0.5, abs=1e-5)
    both = losses.soft_dice(hard(target), target, one, background=True)
    assert float(both) == pytest.approx(0.0, abs=1e-9)


def test_cross_entropy_agrees_with_torch():
    logits, target, weight = case()
    marked = target.clone()
    marked[:, :, 0] = -1
    expected = torch.nn.functional.cross_entropy(logits, marked[:, 0], ignore_index=-1)
    torch.testing.assert_close(
        losses.cross_entropy(logits, marked, torch.ones_like(weight)), expected
    )


def test_focal_with_power_zero_is_cross_entropy_and_tversky_at_one_half_is_dice():
    found = case()
    torch.testing.assert_close(losses.focal(*found, gamma=0.0), losses.cross_entropy(*found))
    torch.testing.assert_close(losses.tversky(*found, missed=0.5), losses.soft_dice(*found))
    total = losses.cross_entropy(*found) + 0.5 * losses.soft_dice(*found)
    torch.testing.assert_close(losses.dice_cross_entropy(*found, dice=0.5), total)


def test_focal_is_what_its_formula_says():
    p = 0.8
    logits = torch.tensor([[math.log(1 - p), math.log(p)]], dtype=torch.float64).view(1, 2, 1, 1)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    value = losses.focal(logits, one.long(), one, gamma=2.0)
    assert float(value) == pytest.approx(-((1 - p) ** 2) * math.log(p))


def test_tversky_punishes_what_is_missed_by_its_strength():
    true = torch.zeros(1, 1, 4, 4, dtype=torch.int64)
    true[..., :2, :] = 1
    less, more = true.clone(), true.clone()
    less[..., 0, :] = 0
    more[..., 2, :] = 1
    one = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    value = {
        k: losses.tversky(hard(v, 2), true, one, missed=0.9)
        for k, v in (("less", less), ("more", more))
    }
    assert float(value["less"]) == pytest.approx(1 - 4 / (4 + 0.9 * 4), abs=1e-5)
    assert float(value["more"]) == pytest.approx(1 - 8 / (8 + 0.1 * 4), abs=1e-5)


def test_boundary_of_hard_outputs_is_the_sum_of_signed_distances():
    """A square that was found one column too large pays the distance of that column."""
    true = torch.zeros(1, 1, 1, 7, dtype=torch.int64)
    true[..., 2:5] = 1
    found = true.clone()
    found[..., 5] = 1
    one = torch.ones(1, 1, 1, 7, dtype=torch.float64)
    spacing = (1.0, 1.0, 2.0)
    exact = losses.boundary(hard(true, 2), true, one, spacing=spacing)
    more = losses.boundary(hard(found, 2), true, one, spacing=spacing)
    assert float(exact) == pytest.approx(-(2 + 4 + 2) / 7)
    assert float(more - exact) == pytest.approx(2 / 7)


def test_a_break_costs_more_centre_line_than_dice():
    true = torch.zeros(1, 1, 15, 31, dtype=torch.int64)
    true[..., 6:9, 2:29] = 1
    broken, thin = true.clone(), true.clone()
    broken[..., 14:17] = 0
    thin[..., 6, :] = 0
    one = torch.ones(true.shape, dtype=torch.float64)

    def cost(found):
        return float(losses.centre_line_dice(hard(found, 2), true, one, steps=3))

    assert cost(true) == pytest.approx(0.0, abs=1e-5)
    assert cost(broken) > 2 * cost(thin)


def test_the_soft_skeleton_of_a_bar_is_its_middle_line():
    bar = torch.zeros(1, 1, 9, 21)
    bar[..., 3:6, 3:18] = 1
    line = losses.soft_skeleton(bar, steps=3)
    assert set(torch.unique(line).tolist()) == {0.0, 1.0}
    assert bool((line[..., 4, 4:17] == 1).all())
    assert float(line[..., :3, :].sum() + line[..., 6:, :].sum()) == 0.0
    assert float(line[..., [3, 5], 6:15].sum()) == 0.0


def test_deep_supervision_weighs_each_level_half_as_much_as_the_finer_one():
    g = torch.Generator().manual_seed(3)
    sizes = [(5, 9), (3, 5), (2, 3)]
    outputs = [torch.randn(2, 3, *n, generator=g, dtype=torch.float64) for n in sizes]
    target = torch.randint(0, 3, (2, 1, 5, 9), generator=g)
    weight = torch.rand(2, 1, 5, 9, generator=g, dtype=torch.float64)
    each = [
        losses.cross_entropy(y, target[..., ::n, ::n], weight[..., ::n, ::n])
        for y, n in zip(outputs, (1, 2, 4), strict=True)
    ]
    value = losses.deep_supervision(outputs, target, weight, loss=losses.cross_entropy)
    torch.testing.assert_close(value, (4 * each[0] + 2 * each[1] + each[2]) / 7)
    alone = losses.deep_supervision(outputs[:1], target, weight, loss=losses.cross_entropy)
    torch.testing.assert_close(alone, each[0])


def test_deep_supervision_takes_targets_of_any_loss():
    """Flows are numbers in several channels; a network that gives them exactly has no loss."""
    flow = torch.randn(1, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    one = torch.ones(1, 1, 6, 7)

    def squared(y, target, weight):
        return (weight * (y - target).square()).mean()

    exact = (flow, flow[..., ::2, ::2])
    assert float(losses.deep_supervision(exact, flow, one, loss=squared)) == 0.0
    away = (flow + 1, flow[..., ::2, ::2])
    assert float(losses.deep_supervision(away, flow, one, loss=squared)) == pytest.approx(2 / 3)


def test_deep_supervision_refuses_no_output_a_wrong_order_and_a_wrong_size():
    logits, target, weight = case((2, 3, 8, 8))
    with pytest.raises(ConfigError, match="at least one output"):
        losses.deep_supervision((), target, weight, loss=losses.cross_entropy)
    with pytest.raises(ShapeError, match="outputs must come finest first"):
        losses.deep_supervision(
            (logits[..., ::2, ::2], logits), target, weight, loss=losses.cross_entropy
        )
    with pytest.raises(ShapeError, match="sample of the truth, got 3 of 8"):
        losses.deep_supervision(
            (logits, logits[..., :3, :3]), target, weight, loss=losses.cross_entropy
        )


def test_boxes_are_content_with_what_touches_all_sides_and_stays_inside():
    target = torch.zeros(1, 1, 12, 12, dtype=torch.int64)
    target[..., 1:5, 1:5] = 1
    target[..., 1:5, 7:11] = 1  # a second box in the same rows: bags of its own
    disc = torch.zeros_like(target)
    disc[..., 1:5, 2:4] = disc[..., 2:4, 1:5] = 1
    disc[..., 1:5, 8:10] = disc[..., 2:4, 7:11] = 1
    small, missed = disc.clone(), disc.clone()
    small[..., 1, :] = 0
    missed[..., 7:11] = 0
    one = torch.ones(target.shape, dtype=torch.float64)
    cost = {
        k: float(losses.boxes(hard(v, 2), target, one))
        for k, v in (("disc", disc), ("small", small), ("missed", missed))
    }
    assert cost["disc"] == pytest.approx(0.0, abs=1e-5)
    assert cost["small"] > 0.05
    assert cost["missed"] > 0.2
    outside = disc.clone()
    outside[..., 9, 9] = 1
    assert float(losses.boxes(hard(outside, 2), target, one)) > 0.3


def test_a_box_that_is_cut_off_asks_for_nothing_along_the_cut():
    """Its object may lie beyond the edge; across the cut every line still meets it."""
    target = torch.zeros(1, 1, 12, 12, dtype=torch.int64)
    target[..., 3:7, 8:] = 1  # reaches the right edge
    column = torch.zeros_like(target)
    column[..., 3, 8:] = 1  # each column is met, three of four rows are not
    one = torch.ones(target.shape, dtype=torch.float64)
    assert float(losses.boxes(hard(column, 2), target, one)) == pytest.approx(0.0, abs=1e-5)
    assert float(losses.boxes(hard(0 * column, 2), target, one)) > 0.5
    target[..., 11] = 0  # one sample short of the edge: the rows count
    column[..., 11] = 0
    assert float(losses.boxes(hard(column, 2), target, one)) > 0.1


def test_like_neighbours_want_one_class_and_unlike_ones_do_not_care():
    image = torch.zeros(1, 1, 6, 12, dtype=torch.float64)
    image[..., 6:] = 5.0
    left = (image == 0).long()
    one = torch.ones_like(image)
    along, across = hard(left, 2), hard(1 - left, 2)
    assert float(losses.affinity(along, image, one)) == pytest.approx(0.0, abs=1e-5)
    assert float(losses.affinity(across, image, one)) == pytest.approx(0.0, abs=1e-5)
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 6, 12, dtype=torch.float64)
    assert float(losses.affinity(logits, image, one)) > 0.3
    part = logits[..., :4].clone().requires_grad_()
    assert gradcheck(
        lambda x: losses.affinity(x, image[..., :4], one[..., :4]), (part,), fast_mode=True
    )
    tiny = losses.affinity(logits[..., :1, :2], image[..., :1, :2], one[..., :1, :2])
    assert float(tiny) == 0.0


def test_tags_ask_for_a_class_somewhere_and_for_absent_ones_nowhere():
    labels = torch.zeros(2, 1, 6, 6, dtype=torch.int64)
    labels[0, 0, 2:4, 2:4] = 1
    present = torch.tensor([[True, False], [False, False]])
    logits = 8 * torch.nn.functional.one_hot(labels[:, 0], 3).movedim(-1, 1).double()
    right = float(losses.image_tags(logits, present))
    wrong = float(losses.image_tags(logits, ~present))
    assert right < 0.1
    assert wrong > 3
    logits = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: losses.image_tags(x, present), (logits,), fast_mode=True)


def test_consistency_is_the_mean_square_of_the_probabilities_and_moves_the_student_alone():
    a, _, weight = case(seed=1)
    b, _, _ = case(seed=2)
    a.requires_grad_()
    b.requires_grad_()
    value = losses.consistency(a, b, torch.ones_like(weight))
    expected = (a.softmax(1) - b.softmax(1)).square().mean()
    torch.testing.assert_close(value, expected)
    value.backward()
    assert a.grad is not None
    assert b.grad is None
    few = a[..., :2, :2].detach().clone().requires_grad_()
    part = b[..., :2, :2].detach(), weight[..., :2, :2]
    assert gradcheck(lambda x: losses.consistency(x, *part), (few,), fast_mode=True)
    assert float(losses.consistency(a, a, weight).detach()) == 0.0


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_the_ramp_rises_from_almost_nothing_to_one(done, over):
    value = losses.ramp_up(done, over=over)
    assert math.exp(-5) <= value <= 1
    assert losses.ramp_up(1.0, over=over) == 1.0
    assert losses.ramp_up(min(1.0, done + 0.1), over=over) >= value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, t, w: losses.focal(x, t, w, gamma=-1.0), "gamma must not be negative"),
        (lambda x, t, w: losses.tversky(x, t, w, missed=1.5), "missed must be from 0 to 1"),
        (lambda x, t, w: losses.soft_dice(x[:, :1], 0 * t, w), "a class beside the background"),
        (lambda x, t, w: losses.boundary(x[:, :1], 0 * t, w), "a shape needs a class beside"),
        (lambda x, t, w: losses.centre_line_dice(x, t, w, steps=-1), "steps must not be negative"),
        (lambda x, t, w: losses.soft_skeleton(x[0], steps=1), "centre lines need 2 or 3 spatial"),
        (lambda x, t, w: losses.boxes(x, t, w, tightness=-1.0), "tightness must not be negative"),
        (lambda x, t, w: losses.affinity(x, w, w, likeness=2.0), "likeness must be from 0 to 1"),
        (lambda x, t, w: losses.affinity(x, w, w, reach=0), "reach at least 1"),
        (
            lambda x, t, w: losses.image_tags(x, torch.ones(2, 2) > 0, sharpness=0.0),
            "sharpness must be positive",
        ),
        (lambda x, t, w: losses.ramp_up(1.5), "done and over must be shares"),
    ],
)
def test_refuses_settings_out_of_range(call, message):
    with pytest.raises(ConfigError, match=message):
        call(*case())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: losses.affinity(x, w[:, :, :2], w), "image must have batch and size"),
        (lambda x, w: losses.image_tags(x, torch.ones(2, 3) > 0), "a tag for each class"),
        (lambda x, w: losses.consistency(x, x[:, :2], w), "teacher must have the shape"),
    ],
)
def test_refuses_weak_truth_of_another_shape(call, message):
    logits, _, weight = case()
    with pytest.raises(ShapeError, match=message):
        call(logits, weight)
