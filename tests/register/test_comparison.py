"""Comparison: what a level compares: the fused path, the plain one, weights and channels."""

import dataclasses

import pytest
import torch
from dense_cases import known_pair, levels_of, smooth_flow, stage

from vesalius.core import Image
from vesalius.ops._warp import warp
from vesalius.register._comparison import compare, pull
from vesalius.register._level import Masks
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mse import MeanSquare
from vesalius.register.similarity import FeatureCosine, Features


def level_of(generator, shape=(10, 12, 14), **options):
    fixed, moving, flow = known_pair(shape, generator)
    return levels_of(fixed, moving, stage(scales=((1, 1),)), **options)[0], flow


def test_fused_and_plain_forces_are_equal(generator):
    """Autograd through the similarity, against the kernel that writes forces at once."""
    level, flow = level_of(generator)
    similarity = LocalNcc(2)
    comparison = compare(level, similarity, flow)
    warped = comparison.warped(flow * 0)
    loss, force = comparison.pull(warped)
    weight = comparison.weight
    tracked = warped.clone().requires_grad_()
    wanted = similarity(comparison.fixed, tracked, weight)
    (slope,) = torch.autograd.grad(wanted, tracked)
    assert loss == pytest.approx(float(wanted.detach()), abs=1e-5)
    x = warped[0]
    along = torch.zeros_like(force)
    along[0, 1:-1] = (x[2:] - x[:-2]) / 2
    along[1, :, 1:-1] = (x[:, 2:] - x[:, :-2]) / 2
    along[2, :, :, 1:-1] = (x[:, :, 2:] - x[:, :, :-2]) / 2
    inside = (slice(None), *[slice(1, -1)] * 3)
    wrong = (force + slope * along)[inside].abs().max()
    assert float(wrong) < 1e-4 * float(force.abs().max())


@pytest.mark.parametrize("similarity", [LocalNcc(1), MeanSquare()], ids=repr)
def test_the_force_points_downhill(similarity, generator):
    level, _ = level_of(generator)
    comparison = compare(level, similarity, torch.zeros(3, 10, 12, 14))
    zero = torch.zeros(3, 10, 12, 14)
    loss, force = comparison.pull(comparison.warped(zero))
    step = 0.2 * force / force.abs().max()
    assert comparison.pull(comparison.warped(step))[0] < loss
    assert comparison.pull(comparison.warped(-step))[0] > loss


def test_channels_weigh_as_asked(generator):
    """The loss of two channels is the weighted sum of theirs."""
    level, flow = level_of(generator)
    other = dataclasses.replace(
        level,
        fixed=torch.cat([level.fixed, level.fixed.flip(1)]),
        moving=torch.cat([level.moving, level.moving.flip(2)]),
        channel_weights=(0.3, 0.7),
    )
    first = compare(level, LocalNcc(2), flow)
    second = compare(
        dataclasses.replace(level, fixed=level.fixed.flip(1), moving=level.moving.flip(2)),
        LocalNcc(2),
        flow,
    )
    losses = [c.pull(c.warped(flow))[0] for c in (first, second)]
    both = compare(other, LocalNcc(2), flow)
    assert both.pull(both.warped(flow))[0] == pytest.approx(0.3 * losses[0] + 0.7 * losses[1])


def test_weights_of_both_images_multiply(generator):
    fixed, moving, _ = known_pair((10, 12, 14), generator)
    halves = [torch.ones(1, 10, 12, 14) for _ in range(2)]
    halves[0][:, :, :4] = 0
    halves[1][..., 9:] = 0
    masks = Masks(*[Image(h, fixed.grid) for h in halves])
    level = levels_of(fixed, moving, stage(scales=((1, 1),)), masks=masks)[0]
    weight = compare(level, LocalNcc(2), torch.zeros(3, 10, 12, 14)).weight
    assert weight is not None
    torch.testing.assert_close(weight, halves[0] * halves[1])


def test_no_weight_is_kept_where_all_counts(generator):
    level, flow = level_of(generator)
    free = dataclasses.replace(level, moving_weight=None)
    assert compare(free, LocalNcc(2), flow).weight is None
    inside = compare(level, LocalNcc(2), flow * 0).weight  # the moving image covers the fixed one
    assert inside is None


def test_pulls_against_another_fixed_image(generator):
    level, flow = level_of(generator)
    comparison = compare(level, LocalNcc(2), flow)
    warped = comparison.warped(flow)
    assert pull(comparison, comparison.fixed)(warped)[0] == comparison.pull(warped)[0]
    assert pull(comparison, warped)(warped)[0] < 0.01
    assert smooth_flow((3, 4, 5), generator).dtype == torch.float32


def test_features_are_made_of_each_channel_by_itself(generator):
    """Five features of each of two channels: none is lost, and each channel keeps its weight."""
    level, flow = level_of(generator)
    two = dataclasses.replace(
        level,
        fixed=torch.cat([level.fixed, level.fixed.flip(1)]),
        moving=torch.cat([level.moving, level.moving.flip(2)]),
        channel_weights=(0.25, 0.75),
    )
    five = Features(lambda x: torch.cat([x, x**2, 1 - x, x.sin(), x.cos()]), "five")
    similarity = FeatureCosine(five)
    comparison = compare(two, similarity, flow)
    loss, _ = comparison.pull(comparison.warped(flow))
    parts = []
    for fixed, moving in zip(two.fixed, two.moving, strict=True):
        warped = warp(five(moving[None]), flow, offset=two.margin)
        parts.append(float(similarity(five(fixed[None]), warped, comparison.weight)))
    assert loss == pytest.approx(0.25 * parts[0] + 0.75 * parts[1], rel=1e-5)


def test_in_a_mid_space_the_fixed_mask_moves_with_the_fixed_image(generator):
    fixed, moving, flow = known_pair((10, 12, 14), generator)
    mask = fixed.map(lambda x: (x > 0).float())
    plan = stage(scales=((1, 1),))
    (level,) = levels_of(fixed, moving, plan, masks=Masks(fixed=mask))
    comparison = compare(level, MeanSquare(), 0.5 * flow, back=-0.5 * flow)
    seen = warp(level.moving_weight, 0.5 * flow, offset=level.margin)
    torch.testing.assert_close(comparison.weight, warp(mask.data, -0.5 * flow) * seen)
    still = compare(level, MeanSquare(), 0.5 * flow)
    torch.testing.assert_close(still.weight, mask.data * seen)
