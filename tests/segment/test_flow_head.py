"""The flow head: targets, their turning, the loss, and the way back to objects."""

import math

import pytest
import torch

from vesalius.errors import ConfigError, ShapeError
from vesalius.learn import UNetPlan
from vesalius.segment._flow_head import GAIN, FlowHead, found_share
from vesalius.segment._heads import make_head
from vesalius.segment._plan import Normalisation, Plan

ONE = (1.0, 1.0, 1.0)


def balls(shape, centres, radius, spacing=ONE):
    place = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"), -1)
    labels = torch.zeros(shape, dtype=torch.int32)
    for k, centre in enumerate(centres):
        far = ((place - torch.tensor(centre)) * torch.tensor(spacing)).norm(dim=-1)
        labels[far <= radius] = k + 1
    return labels


def plane():
    return balls((1, 40, 44), [(0.0, 12, 12), (0.0, 13, 29), (0.0, 29, 20)], 8)


def volume(spacing=ONE):
    return balls((12, 24, 26), [(5.0, 8, 8), (6.0, 15, 17)], 6, spacing)


def outputs_of(head, labels, sure=6.0):
    targets = head.targets(labels, ONE)
    d = head.dims
    return torch.cat([GAIN * targets[:d], sure * (2 * targets[d:] - 1)])


@pytest.mark.parametrize(
    ("head", "labels"),
    [
        (FlowHead(2), plane()),
        (FlowHead(3), volume()),
        (FlowHead(3, across=2.0), volume((2.0, 1.0, 1.0))),
    ],
)
def test_objects_come_back_from_their_targets(head, labels):
    targets = head.targets(labels, ONE)
    assert targets.shape == (head.outputs, *labels.shape)
    assert head.outputs == head.dims + 1
    found = head.decode(outputs_of(head, labels), ONE)
    assert head.score(found, labels) == 1.0
    assert found_share(found, labels, 0.95) == 1.0


def test_the_last_target_is_the_mask_and_unknown_counts_as_outside():
    labels = plane()
    labels[0, :3] = -1
    targets = FlowHead(2).targets(labels, ONE)
    assert torch.equal(targets[2] > 0, labels > 0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_turning_targets_is_turning_labels(k):
    head = FlowHead(2)
    labels = plane()
    turned = torch.rot90(labels, k, (1, 2)).contiguous()
    sampled = torch.rot90(head.targets(labels, ONE)[:, 0], k, (1, 2))[None]
    angle = k * math.pi / 2
    # a quarter turn of the array takes (y, x) to (-x, y): new to old is its inverse
    back = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    found = head.turned(sampled, back[None])
    wanted = head.targets(turned, ONE)[:, 0]
    agree = (found[0, :2] * wanted[:2]).sum(0)[turned[0] > 0]
    assert float(agree.mean()) > 0.98


def test_mirrors_and_scales_keep_vectors_of_length_one():
    head = FlowHead(3)
    targets = head.targets(volume(), ONE)[None]
    matrix = torch.diag(torch.tensor([-1.0, 0.7, 0.7]))[None]
    found = head.turned(targets, matrix)
    length = found[0, :3].norm(dim=0)
    assert bool((length.sub(1).abs().lt(1e-4) | (length == 0)).all())
    assert bool((found[0, 0] * targets[0, 0] <= 0).all())
    assert torch.equal(found[:, 3], targets[:, 3])


def test_interpolated_borders_fall_to_one_side():
    head = FlowHead(2)
    targets = torch.tensor([[0.4, 0.0, 0.4], [0.8, 0.0, 0.8]]).reshape(2, 3, 1, 1)
    found = head.turned(targets, torch.eye(2).expand(2, 2, 2))
    assert found[0].flatten().tolist() == [0, 0, 0]
    assert found[1].flatten().tolist() == [1, 0, 1]


def test_a_turn_out_of_the_plane_knows_the_spacing():
    head = FlowHead(3, across=2.0)
    up = torch.zeros(1, 4, 1, 1, 1)
    up[0, 0] = up[0, 3] = 1  # up by one unit is half a sample
    quarter = torch.tensor([[0.0, 0.5, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # in samples
    found = head.turned(up, quarter[None])[0, :3].flatten()
    torch.testing.assert_close(found.abs(), torch.tensor([0.0, 1.0, 0.0]))


def test_the_loss_is_that_of_cellpose():
    head = FlowHead(2)
    draw = torch.Generator().manual_seed(1)
    outputs = torch.randn(2, 3, 6, 7, generator=draw)
    targets = torch.randn(2, 3, 6, 7, generator=draw)
    targets[:, 2] = (targets[:, 2] > 0).float()
    weight = torch.ones(2, 1, 6, 7)
    square = torch.nn.functional.mse_loss(outputs[:, :2], 5 * targets[:, :2]) / 2
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, 2], targets[:, 2])
    torch.testing.assert_close(head.loss(outputs, targets, weight), square + entropy)


def test_what_is_not_known_does_not_count():
    head = FlowHead(3)
    targets = head.targets(volume(), ONE)[None]
    weight = torch.zeros(1, 1, *targets.shape[2:])
    weight[..., :10] = 1
    outputs = torch.zeros_like(targets, requires_grad=True)
    head.loss(outputs, targets, weight).backward()
    assert outputs.grad is not None
    assert float(outputs.grad[..., 10:].abs().max()) == 0
    assert float(outputs.grad[..., :10].abs().max()) > 0
    assert float(head.loss(outputs, targets, 0 * weight).detach()) == 0


def test_perfect_outputs_cost_almost_nothing():
    head = FlowHead(2)
    labels = plane()
    good = outputs_of(head, labels, sure=20.0)[None]
    targets = head.targets(labels, ONE)[None]
    assert float(head.loss(good, targets, torch.ones(1, 1, *labels.shape))) < 1e-5


def test_scores_empty_and_unknown():
    head = FlowHead(2)
    empty, truth = torch.zeros(1, 40, 44, dtype=torch.int32), plane()
    assert head.score(empty, empty) == 1.0
    assert head.score(empty, truth) == 0.0
    unknown = torch.where(truth == 2, -1, truth)
    assert head.score(truth, unknown) == 1.0  # an object where nothing is known is not false


def test_rules_grow_with_the_zoom():
    rules = FlowHead(2, least_size=10).rules(zoom=3.0)
    assert (rules.least_size, rules.steps) == (90, 600)


@pytest.mark.parametrize(
    "wrong", [{"dims": 1}, {"least_size": 0}, {"across": 0.0}, {"across": math.inf}]
)
def test_refuses_numbers_that_no_flow_has(wrong):
    with pytest.raises(ConfigError, match="flows need 2 or 3 axes"):
        FlowHead(**wrong)


def test_refuses_outputs_of_another_head():
    with pytest.raises(ShapeError, match="a flow head has 3 outputs, got 4"):
        FlowHead(2).decode(torch.zeros(4, 1, 8, 8), ONE)


def test_refuses_a_matrix_of_other_axes():
    with pytest.raises(ShapeError, match=r"matrix must have shape \(1, 2, 2\)"):
        FlowHead(2).turned(torch.zeros(1, 3, 4, 4), torch.eye(3)[None])


def plan(**changes):
    network = UNetPlan(2, 1, changes.pop("outputs", 3), width=4, levels=2)
    settings = {"head": "flows", "names": {1: "nucleus"}, "channels": ("1",), **changes}
    return Plan(
        spacing_mm=(0.0, 0.0, 0.0),
        normalisation=(Normalisation("percentiles", 1.0, 99.8),),
        patch=(1, 32, 32),
        network=network,
        **settings,
    )


def test_a_plan_makes_the_head_with_its_settings():
    head = make_head(plan(head_settings={"least_size": 7.0, "most_error": 0.5}))
    assert head == FlowHead(2, least_size=7, most_error=0.5)


def test_refuses_a_setting_that_the_head_does_not_have():
    with pytest.raises(ConfigError, match=r"settings of a flow head must be .* got rays"):
        make_head(plan(head_settings={"rays": 32.0}))


def test_refuses_a_network_with_other_outputs():
    with pytest.raises(ConfigError, match="must have the 3 outputs of its head 'flows'"):
        make_head(plan(outputs=5))
