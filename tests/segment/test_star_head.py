"""Stars: from objects to distances and back, after turns, at borders; loss, mirrors, refusals."""

import math

import numpy as np
import pytest
import tifffile
import torch

from vesalius.errors import ConfigError, ShapeError
from vesalius.learn import UNetPlan
from vesalius.learn.augment import MICROSCOPY, NONE, Truth, augment
from vesalius.segment._flow_head import found_share
from vesalius.segment._fold_training import SAMPLED
from vesalius.segment._heads import make_head
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._star_head import DISTANCE_WEIGHT, GAIN, StarHead

ONE = (1.0, 1.0, 1.0)
HEAD = StarHead(rays=16, least_size=5)


def ellipses(shape=(44, 52), angle=0.5):
    """Three that touch or nearly do, and one cut by the border."""
    y, x = (a.double() for a in torch.meshgrid(*map(torch.arange, shape), indexing="ij"))
    labels = torch.zeros(shape, dtype=torch.int32)
    for k, (cy, cx) in enumerate([(12.0, 14.0), (14.0, 34.0), (31.0, 22.0), (43.0, 45.0)]):
        along = (y - cy) * math.sin(angle) + (x - cx) * math.cos(angle)
        across = (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
        labels[(along / 10) ** 2 + (across / 7) ** 2 <= 1] = k + 1
    return labels[None]


def made(labels, head=HEAD):
    """What is compared with outputs, (1, rays + 1, y, x)."""
    return head.turned(head.targets(labels, ONE)[:, 0][None], torch.eye(2)[None])


def outputs_of(targets):
    """Outputs that are sure of these targets, (rays + 1, 1, y, x)."""
    likely = torch.logit(targets[0, -1:].clamp(1e-6, 1 - 1e-6))
    return torch.cat([targets[0, :-1].abs() / GAIN, likely])[:, None]


@pytest.mark.parametrize("rays", [16, 32])
def test_convex_objects_come_back_from_their_targets(rays):
    labels, head = ellipses(), StarHead(rays=rays)
    found = head.decode(outputs_of(made(labels, head)), ONE)
    assert found_share(found, labels, 0.85) == 1.0
    assert head.score(found, labels) == 1.0


def test_real_nuclei_come_back_from_their_targets(data_dir):
    path = data_dir / "segmentation" / "stardist" / "mask2d.tif"
    labels = torch.from_numpy(tifffile.imread(path).astype(np.int32))[None]
    head = StarHead(least_size=1)
    found = head.decode(outputs_of(made(labels, head)), ONE)
    assert found_share(found, labels, 0.5) == 1.0
    assert found_share(found, labels, 0.75) >= 0.95
    assert found_share(found, labels, 0.9) >= 0.9


def test_targets_hold_objects_and_depth_and_what_is_not_known():
    labels = ellipses()
    labels[0, :, :3] = -1
    targets = HEAD.targets(labels, ONE)
    assert targets.shape == (2, 1, 44, 52)
    assert targets[0].unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert torch.equal(targets[0] == 0, labels == -1)
    depth = targets[1][labels == 1]
    assert 0 < float(depth.min()) < 0.2
    assert float(depth.max()) == 1


def test_numbers_of_objects_may_be_large():
    labels = torch.where(ellipses() == 2, 2_000_000_000, ellipses())
    codes = HEAD.targets(labels, ONE)[0]
    assert codes.unique().tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_turning_targets_is_turning_labels(k):
    sampled = torch.rot90(HEAD.targets(ellipses(), ONE)[:, 0], k, (1, 2))[None]
    found = HEAD.turned(sampled.contiguous(), torch.eye(2)[None])
    wanted = made(torch.rot90(ellipses(), k, (1, 2)).contiguous())
    torch.testing.assert_close(found, wanted)


def test_distances_are_those_of_the_objects_after_an_augmentation():
    labels = ellipses((60, 60))
    targets = HEAD.targets(labels, ONE)[:, 0][None].expand(4, -1, -1, -1).contiguous()
    known = torch.ones(4, 1, 60, 60)
    found = augment(
        torch.zeros(4, 1, 60, 60),
        Truth(targets, known, *SAMPLED["stars"]),
        size=(40, 40),
        spacing=(1.0, 1.0),
        augmentation=MICROSCOPY,
        generator=torch.Generator().manual_seed(3),
    )
    assert torch.equal(found.targets[:, :1] == 0, found.weight == 0)
    turned = HEAD.turned(found.targets, found.matrix)
    for one, codes in zip(turned, found.targets[:, 0], strict=True):
        objects = torch.where(codes > 1, codes - 1, 0).int()[None]
        back = HEAD.decode(outputs_of(one[None]), ONE)
        # pieces cut off at a border may have no middle in the patch
        assert found_share(back, objects, 0.5) >= 0.75


def test_scaled_objects_have_scaled_distances():
    labels = ellipses()
    large = labels.repeat_interleave(3, 1).repeat_interleave(3, 2)
    # the middle of each three by three is where the sample was
    small, thrice = made(labels), made(large)[..., 1::3, 1::3]
    torch.testing.assert_close(thrice[:, :-1], 3 * small[:, :-1])


def test_padding_is_not_known():
    targets = torch.nn.functional.pad(HEAD.targets(ellipses(), ONE)[:, 0], (0, 0, 0, 6))[None]
    padded = HEAD.turned(targets, torch.eye(2)[None])[..., :44, :]
    torch.testing.assert_close(padded, made(ellipses()))
    cut = padded[0, :-1, 43, 45]
    assert bool((cut[1:8] < 0).all())  # the rays towards larger y leave the image
    assert bool((cut[9:15] > 0).all())


def test_the_loss_is_cross_entropy_and_weighted_distance():
    draw = torch.Generator().manual_seed(1)
    head = StarHead(rays=4)
    outputs = torch.randn(2, 5, 6, 7, generator=draw)
    targets = torch.rand(2, 5, 6, 7, generator=draw)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, 4:], targets[:, 4:])
    error = (GAIN * outputs[:, :4] - targets[:, :4]).abs().mean(1, keepdim=True)
    mean = (targets[:, 4:] * error).sum() / targets[:, 4:].sum()
    found = head.loss(outputs, targets, torch.ones(2, 1, 6, 7))
    torch.testing.assert_close(found, entropy + DISTANCE_WEIGHT * mean)


def test_a_ray_that_left_the_patch_teaches_a_least_distance():
    head = StarHead(rays=4)
    targets = torch.tensor([-4.0, -4.0, 4.0, 4.0, 1.0]).reshape(1, 5, 1, 1)
    near, far = (torch.full((1, 5, 1, 1), d / GAIN) for d in (3.0, 9.0))
    near[:, 4] = far[:, 4] = 50.0  # sure of the object: no cross-entropy
    weight = torch.ones(1, 1, 1, 1)
    assert float(head.loss(near, targets, weight)) == pytest.approx(DISTANCE_WEIGHT * 1.0)
    assert float(head.loss(far, targets, weight)) == pytest.approx(DISTANCE_WEIGHT * 2.5)


def test_what_is_not_known_does_not_count():
    targets = made(ellipses())
    weight = torch.zeros(1, 1, 44, 52)
    weight[..., :20] = 1
    outputs = torch.zeros_like(targets, requires_grad=True)
    HEAD.loss(outputs, targets, weight).backward()
    assert outputs.grad is not None
    assert float(outputs.grad[..., 20:].abs().max()) == 0
    assert float(outputs.grad[..., :20].abs().max()) > 0
    assert float(HEAD.loss(outputs, targets, 0 * weight).detach()) == 0


def test_the_gradient_of_the_loss_is_that_of_differences():
    draw = torch.Generator().manual_seed(5)
    head = StarHead(rays=4)
    outputs = torch.randn(1, 5, 3, 3, generator=draw)
    targets = torch.rand(1, 5, 3, 3, generator=draw)
    targets[:, :2] *= -20  # some bounds hold, some do not
    weight = torch.ones(1, 1, 3, 3)
    point = outputs.clone().requires_grad_(True)
    head.loss(point, targets, weight).backward()
    assert point.grad is not None
    for k in range(5):
        step = torch.zeros_like(outputs)
        step[0, k, 1, 2] = 1e-3
        rise = head.loss(outputs + step, targets, weight) - head.loss(
            outputs - step, targets, weight
        )
        assert float(rise) / 2e-3 == pytest.approx(float(point.grad[0, k, 1, 2]), abs=3e-4)


@pytest.mark.parametrize("axes", [[], [0], [1], [0, 1]])
def test_outputs_for_a_mirrored_image_are_brought_back(axes):
    labels = ellipses()
    flipped = labels.flip([a + 1 for a in axes]).contiguous()
    back = made(flipped).flip([a + 2 for a in axes])
    torch.testing.assert_close(HEAD.mirrored(back, axes), made(labels))


def test_scores_empty_and_unknown():
    empty, truth = torch.zeros(1, 44, 52, dtype=torch.int32), ellipses()
    assert HEAD.score(empty, empty) == 1.0
    assert HEAD.score(empty, truth) == 0.0
    assert HEAD.score(truth, torch.where(truth == 2, -1, truth)) == 1.0


def test_learns_a_toy():
    """A linear network of one layer learns the distances of one picture by heart."""
    torch.manual_seed(0)
    labels = ellipses()
    targets, weight = made(labels), torch.ones(1, 1, 44, 52)
    outputs = torch.zeros_like(targets).requires_grad_(True)
    descent = torch.optim.Adam([outputs], lr=0.1)
    for _ in range(120):
        descent.zero_grad()
        HEAD.loss(outputs, targets, weight).backward()
        descent.step()
    found = HEAD.decode(outputs.detach()[0][:, None], ONE)
    assert found_share(found, labels, 0.75) == 1.0


def test_refuses_volumes_and_names_flows():
    with pytest.raises(ConfigError, match=r"stars are polygons in 2 axes, .* 3: .*--task flows"):
        StarHead(3)


@pytest.mark.parametrize(
    "wrong",
    [{"probability": 0.0}, {"probability": 1.0}, {"overlap": 1.5}, {"least_size": 0}],
)
def test_refuses_numbers_that_no_star_has(wrong):
    with pytest.raises(ConfigError, match="stars need a probability between 0 and 1"):
        StarHead(**wrong)


def test_refuses_an_odd_number_of_rays():
    with pytest.raises(ConfigError, match="rays must be an even number of at least 4, got 15"):
        StarHead(rays=15)


def test_refuses_labels_of_several_slices():
    with pytest.raises(ShapeError, match=r"labels of one slice, got \(3, 8, 8\)"):
        HEAD.targets(torch.zeros(3, 8, 8, dtype=torch.int32), ONE)


def test_refuses_targets_of_another_head():
    with pytest.raises(ShapeError, match=r"must have shape \(batch, 2, y, x\), got \(1, 3, 8, 8\)"):
        HEAD.turned(torch.zeros(1, 3, 8, 8), torch.eye(2)[None])


@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (17, 2, 8, 8)])
def test_refuses_outputs_of_another_head(shape):
    with pytest.raises(ShapeError, match="a star head has 17 outputs of one slice"):
        HEAD.decode(torch.zeros(shape), ONE)


def plan(dims=2, outputs=33, **settings):
    return Plan(
        head="stars",
        names={1: "nucleus"},
        channels=("1",),
        spacing_mm=(0.0, 0.0, 0.0),
        normalisation=(Normalisation("percentiles", 1.0, 99.8),),
        patch=(1, 32, 32),
        network=UNetPlan(dims, 1, outputs, width=4, levels=2),
        head_settings=settings,
    )


def test_a_plan_makes_the_head_with_its_settings():
    assert make_head(plan()) == StarHead()
    head = make_head(plan(outputs=17, rays=16.0, overlap=0.3, least_size=7.0))
    assert head == StarHead(rays=16, overlap=0.3, least_size=7)


def test_refuses_a_setting_that_the_head_does_not_have():
    with pytest.raises(ConfigError, match=r"settings of a star head must be .* got across"):
        make_head(plan(across=2.0))


def test_refuses_a_plan_for_volumes():
    with pytest.raises(ConfigError, match="stars are polygons in 2 axes"):
        make_head(plan(dims=3))


def test_nothing_moves_without_an_augmentation():
    targets = HEAD.targets(ellipses(), ONE)[:, 0][None]
    found = augment(
        torch.zeros(1, 1, 44, 52),
        Truth(targets, torch.ones(1, 1, 44, 52), *SAMPLED["stars"]),
        size=(44, 52),
        spacing=(1.0, 1.0),
        augmentation=NONE,
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.equal(found.targets, targets)
