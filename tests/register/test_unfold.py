"""Unfold: cells that turned over are smoothed, all else stays."""

import torch
from dense_cases import smooth_flow

from vesalius.ops._jacobian import determinants, folding
from vesalius.ops._warp import exponential
from vesalius.register._unfold import unfold, unfold_velocity


def test_a_map_that_does_not_fold_is_left_alone(generator):
    flow = smooth_flow((10, 12, 14), generator, size=1.0)
    assert unfold(flow) is flow
    assert unfold_velocity(flow) is flow


def test_one_turned_cell_is_put_right_and_the_rest_stays(generator):
    flow = smooth_flow((20, 22, 24), generator, size=1.0)
    flow[2, 10, 11, 12] += 1.6
    assert float(folding(flow).min()) < 0
    healed = unfold(flow)
    assert float(folding(healed).min()) > 0
    torch.testing.assert_close(healed[:, :3], flow[:, :3])
    torch.testing.assert_close(healed[..., -3:], flow[..., -3:])


def test_a_checkerboard_that_central_differences_miss_is_put_right():
    index = torch.stack(torch.meshgrid(*[torch.arange(12)] * 3, indexing="ij")).sum(0)
    flow = torch.zeros(3, 12, 12, 12)
    flow[2] = 0.6 * (-1.0) ** index
    assert float(determinants(flow)[1:-1, 1:-1, 1:-1].min()) > 0
    assert float(folding(flow).min()) < 0
    assert float(folding(unfold(flow)).min()) > 0


def test_even_noise_ends(generator):
    """No cell is right at first; the smoother widens until all are."""
    flow = 3 * torch.randn((3, 10, 11, 12), generator=generator)
    assert float(folding(unfold(flow)).min()) > 0


def test_a_slice_is_put_right(generator):
    flow = smooth_flow((1, 20, 22), generator, size=1.0)
    flow[2, 0, 10, 11] += 1.6
    healed = unfold(flow)
    assert float(folding(healed).min()) > 0
    assert not healed[0].any()


def test_both_ways_of_a_velocity_are_put_right(generator):
    velocity = torch.randn((3, 12, 13, 14), generator=generator)
    healed = unfold_velocity(velocity)
    for v in (healed, -healed):
        assert float(folding(exponential(v)).min()) > 0
