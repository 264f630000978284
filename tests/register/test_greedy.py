"""Greedy search of a displacement: known warps, units, masks, channels, rests and refusals."""

import dataclasses

import pytest
import torch
from dense_cases import known_pair, levels_of, missed, stage, texture

from vesalius.core import Displacement, Grid, Image, Linear
from vesalius.errors import ConfigError, ConvergenceError, IntensityError
from vesalius.ops._jacobian import folding
from vesalius.register import Adam
from vesalius.register._comparison import compare
from vesalius.register._dense import solve
from vesalius.register._gaussian import Gaussian
from vesalius.register._greedy import carry, limited, smooth
from vesalius.register._level import Masks
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mse import MeanSquare
from vesalius.register._watch import Watch


@pytest.mark.parametrize(
    "similarity", [LocalNcc(2), MeanSquare(), LocalNcc(2, window="gaussian")], ids=repr
)
def test_recovers_a_known_warp(similarity, generator):
    fixed, moving, flow = known_pair((24, 26, 28), generator)
    plan = stage(similarity=similarity)
    found = solve(levels_of(fixed, moving, plan), plan, Watch())
    assert isinstance(found, Displacement)
    assert missed(found.flow(), flow) < 0.25 * missed(torch.zeros_like(flow), flow)


@pytest.mark.parametrize("spacing_mm", [(2.0, 1.0, 1.5), (0.5, 0.5, 0.5), (30.0, 20.0, 20.0)])
def test_recovers_it_at_any_spacing(spacing_mm, generator):
    fixed, moving, flow = known_pair((24, 26, 28), generator, spacing_mm=spacing_mm)
    fine = min(spacing_mm)
    plan = stage(scales=((2 * fine, 40), (fine, 40)))
    found = solve(levels_of(fixed, moving, plan), plan, Watch())
    assert missed(found.flow(), flow) < 0.3 * missed(torch.zeros_like(flow), flow)


def test_a_slice_moves_in_its_plane_alone(generator):
    fixed, moving, flow = known_pair((1, 40, 44), generator)
    plan = stage()
    found = solve(levels_of(fixed, moving, plan), plan, Watch()).flow()
    assert not found[0].any()
    assert missed(found, flow) < 0.3 * missed(torch.zeros_like(flow), flow)


def test_equal_images_stay_where_they_are(generator):
    _, moving, _ = known_pair((12, 14, 16), generator)
    plan = stage(scales=((1, 5),))
    found = solve(levels_of(moving, moving, plan), plan, Watch())
    assert float(found.flow().abs().max()) < 0.05


def test_does_not_fold_where_the_images_ask_for_it(generator):
    """Unrelated images pull every which way; steps without smoothing of the whole."""
    grid = Grid.from_spacing((16, 18, 20))
    one, two = (Image(texture((16, 18, 20), generator), grid) for _ in range(2))
    plan = stage(scales=((1, 60),), total=None, step=0.8, update=Gaussian(sigma=0.8))
    found = solve(levels_of(one, two, plan), plan, Watch())
    assert float(found.flow().abs().max()) > 2
    assert float(folding(found.flow()).min()) > 0


def test_two_equal_channels_do_what_one_does(generator):
    fixed, moving, _ = known_pair((14, 16, 18), generator)
    plan = stage(scales=((1, 8),))
    one = solve(levels_of(fixed, moving, plan), plan, Watch())
    twice = [Image(i.data.repeat(2, 1, 1, 1), i.grid) for i in (fixed, moving)]
    levels = levels_of(*twice, plan, channel_weights=(0.25, 0.75))
    torch.testing.assert_close(solve(levels, plan, Watch()).data, one.data, atol=1e-3, rtol=0)


def test_a_channel_without_weight_does_not_pull(generator):
    fixed, moving, _ = known_pair((14, 16, 18), generator)
    plan = stage(scales=((1, 8),))
    one = solve(levels_of(fixed, moving, plan), plan, Watch())
    other = [
        Image(torch.cat([i.data, texture((14, 16, 18), generator)]), i.grid)
        for i in (fixed, moving)
    ]
    levels = levels_of(*other, plan, channel_weights=(1.0, 0.0))
    torch.testing.assert_close(solve(levels, plan, Watch()).data, one.data, atol=1e-3, rtol=0)


@pytest.mark.parametrize("similarity", [LocalNcc(2), MeanSquare()], ids=repr)
def test_what_a_mask_hides_does_not_pull(similarity, generator):
    fixed, moving, _ = known_pair((16, 18, 20), generator)
    mask = torch.ones_like(fixed.data)
    mask[..., 10:] = 0
    spoiled = torch.where(mask > 0, fixed.data, texture((16, 18, 20), generator))
    plan = stage(scales=((1, 5),), similarity=similarity)
    masks = Masks(fixed=Image(mask, fixed.grid))
    one, two = (
        solve(levels_of(Image(data, fixed.grid), moving, plan, masks=masks), plan, Watch())
        for data in (fixed.data, spoiled)
    )
    torch.testing.assert_close(one.data, two.data, atol=1e-5, rtol=0)
    free = solve(levels_of(Image(spoiled, fixed.grid), moving, plan), plan, Watch())
    assert float((free.data - one.data).abs().max()) > 0.1


def test_what_leaves_the_moving_image_does_not_count(generator):
    fixed, moving, _ = known_pair((16, 18, 20), generator)
    cut = Grid.from_spacing((16, 18, 12))
    level = levels_of(fixed, Image(moving.data[..., :12].clone(), cut), stage(scales=((1, 1),)))[0]
    comparison = compare(level, LocalNcc(2), torch.zeros(3, 16, 18, 20))
    assert comparison.weight is not None
    assert float(comparison.weight[..., :11].min()) > 0.99
    assert not comparison.weight[..., 14:].any()


def test_the_loss_falls_and_every_step_is_told(generator):
    fixed, moving, _ = known_pair((16, 18, 20), generator)
    plan = stage(scales=((2, 6), (1, 5)))
    watch = Watch(11)
    solve(levels_of(fixed, moving, plan), plan, watch)
    fine = [e.loss for e in watch.entries if e.spacing_mm == 1]
    assert len(watch.entries) == 11
    assert fine[-1] < fine[0]
    assert all(0 < e.mean_step_mm < 0.8 for e in watch.entries)


def test_rests_before_the_last_step_when_nothing_improves(generator):
    fixed, moving, _ = known_pair((14, 14, 14), generator, size=0.5)
    plan = dataclasses.replace(stage(scales=((1, 300),)), tol=1e-3)
    watch = Watch()
    solve(levels_of(fixed, moving, plan), plan, watch)
    assert 10 <= len(watch.entries) < 200


def test_the_start_transform_comes_after_the_deformation(generator):
    """Move the moving header away: given the way back, the deformation is the same."""
    fixed, moving, _ = known_pair((14, 16, 18), generator)
    away = Linear.translation((7.0, -4.0, 3.0))
    shifted = Image(moving.data, Grid(moving.grid.shape, away.matrix @ moving.grid.affine))
    plan = stage(scales=((1, 10),))
    here = solve(levels_of(fixed, moving, plan), plan, Watch())
    from vesalius.register._level import make_level

    there = solve((make_level(fixed, shifted, 1.0, start=away),), plan, Watch())
    torch.testing.assert_close(there.data, here.data, atol=2e-2, rtol=0)


def test_a_force_that_is_not_finite_is_refused():
    with pytest.raises(ConvergenceError, match="force must be finite at every step"):
        limited(torch.full((3, 2, 2, 2), float("nan")), 0.5)


def test_no_force_is_no_step():
    assert not limited(torch.zeros(3, 2, 2, 2), 0.5).any()


def test_the_longest_vector_is_the_step(generator):
    update = limited(torch.randn((3, 4, 5, 6), generator=generator), 0.3)
    assert float(update.norm(dim=0).max()) == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize("fill", [float("nan"), 1.0])
def test_images_that_cannot_be_compared_are_refused(fill, generator):
    fixed, moving, _ = known_pair((8, 8, 8), generator)
    spoiled = Image(torch.full_like(moving.data, fill), moving.grid)
    plan = stage(scales=((1, 2),))
    with pytest.raises(IntensityError, match=r"must be finite to correlate|must vary where it"):
        solve(levels_of(fixed, spoiled, plan), plan, Watch())


def test_another_optimiser_is_refused(generator):
    plan = dataclasses.replace(stage(), optimiser=Adam())
    with pytest.raises(ConfigError, match="needs optimiser Greedy, got Adam"):
        solve((), plan, Watch())


def test_a_linear_model_is_refused():
    with pytest.raises(ConfigError, match="searches displacement, velocity or symmetric"):
        solve((), stage("rigid"), Watch())


def test_a_carried_flow_moves_the_same_way_in_mm():
    old = Grid.from_spacing((8, 9, 10), (4.0, 2.0, 2.0))
    from vesalius.core import centred_grid

    new = centred_grid(old, (2.0, 1.0, 1.0))
    flow = torch.ones(3, 8, 9, 10)
    wanted = torch.full((3, *new.shape), 2.0)
    torch.testing.assert_close(carry(flow, old, new), wanted)
    assert carry(flow, old, old) is flow


def test_a_smoother_speaks_mm(generator):
    """A smoother that leaves z alone in mm sees mm, whatever the spacing."""
    grid = Grid.from_spacing((6, 7, 8), (3.0, 1.0, 2.0))
    flow = torch.randn((3, 6, 7, 8), generator=generator)
    same = smooth(Gaussian(), flow, grid)
    torch.testing.assert_close(same, flow)
    force = smooth(Gaussian(), flow, grid, force=True)
    scale = torch.tensor([9.0, 1.0, 4.0])[:, None, None, None]
    torch.testing.assert_close(force * scale, flow)


def test_the_pulled_image_is_the_fixed_one(generator):
    """The oracle's warp and ours agree in direction: no sign is lost on the way."""
    fixed, moving, flow = known_pair((14, 16, 18), generator)
    level = levels_of(fixed, moving, stage(scales=((1, 1),)))[0]
    comparison = compare(level, MeanSquare(), torch.zeros_like(flow))
    inside = (slice(None), *[slice(4, -4)] * 3)
    near = (comparison.warped(flow) - comparison.fixed)[inside].abs().mean()
    wrong = (comparison.warped(-flow) - comparison.fixed)[inside].abs().mean()
    assert float(near) < 0.3 * float(wrong)
