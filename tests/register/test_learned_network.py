"""What goes into a registration network and what comes out: cells, ranges, half resolution."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vesalius.core import Grid
from vesalius.register._learned_network import (
    fold,
    force,
    inputs,
    level_velocity,
    normalised,
    shown,
    velocity,
)
from vesalius.register._level import Level


class Answer(nn.Module):
    """A network that answers what it was told to and keeps what it saw."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        self.seen = x
        return self.answer(x)


def ramp(dims):
    """Answer the coarse sample's place on the fine lattice, along the last axis."""

    def answer(x):
        place = 2.0 * torch.arange(x.shape[-1]) + 0.5
        return place.expand(1, dims, *x.shape[2:]).clone()

    return answer


@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(1, 2))
def test_folding_keeps_every_sample_once(size, channels):
    pair = torch.arange(channels * size[0] * size[1] * size[2]).float().view(1, channels, *size)
    folded = fold(pair)
    half = tuple((n + 1) // 2 for n in size)
    assert folded.shape == (1, 8 * channels, *half)
    for z in range(size[0]):
        for y in range(size[1]):
            for x in range(size[2]):
                cell = 4 * (z % 2) + 2 * (y % 2) + x % 2
                at = folded[0, cell * channels : (cell + 1) * channels, z // 2, y // 2, x // 2]
                assert torch.equal(at, pair[0, :, z, y, x])


def test_folding_repeats_the_border_of_an_odd_size():
    folded = fold(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
    assert folded[0, :, 0].tolist() == [[1.0, 3.0], [2.0, 3.0], [1.0, 3.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("dims", "size"), [(3, (6, 8, 10)), (3, (5, 7, 9)), (2, (1, 6, 11)), (3, (1 + 2, 2, 3))]
)
def test_the_answer_of_half_resolution_lies_where_its_samples_are(dims, size):
    """A ramp in samples stays a ramp; the factor 2 is the unit of the finer lattice."""
    image = torch.rand(1, *size)
    found = velocity(Answer(ramp(dims)), image, image, dims=dims)
    assert found.shape == (3, *size)
    inside = found[2, :, :, 1 : 2 * ((size[2] + 1) // 2) - 1]
    expected = 2.0 * torch.arange(size[2])[1 : 1 + inside.shape[2]]
    torch.testing.assert_close(inside, expected.expand_as(inside).float())
    if dims == 2:
        assert not bool(found[0].any())


def test_a_level_shows_the_network_the_moving_image_under_the_fixed_one():
    fixed = torch.rand(1, 4, 6, 8)
    moving = torch.zeros(1, 4 + 2, 6 + 4, 8 + 6)
    moving[:, 1:-1, 2:-2, 3:-3] = fixed
    network = Answer(ramp(3))
    level = Level(Grid.from_spacing((4, 6, 8)), fixed, moving, (1, 2, 3))
    level_velocity(network, level, dims=3)
    torch.testing.assert_close(network.seen[:, 0:16:2], network.seen[:, 1:16:2])
    assert float(network.seen[:, 16:].abs().amax()) < 1e-5  # equal images push nowhere


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_gain_and_offset_do_not_matter(gain, offset):
    image = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)).double()
    one, other = normalised(image), normalised(gain * image + offset)
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert float(one.amin()) == 0.0


def test_ranges_are_brought_to_the_99th_percentile():
    image = torch.linspace(0, 200, 1001, dtype=torch.float64).view(1, 1, 7, 143) - 50
    assert float(normalised(image).amax()) == pytest.approx(200 / 198, rel=1e-6)


def test_one_bright_spot_and_a_constant_stay_finite():
    spot = torch.zeros(1, 10, 10, 10)
    spot[0, 3, 3, 3] = 7.0
    assert float(normalised(spot).amax()) == 1.0
    assert not bool(normalised(torch.full((1, 2, 3, 4), 5.0)).any())


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_the_force_points_where_the_moving_image_must_be_looked_up(axis):
    """moving(x) = fixed(x - 0.2): the lookup must go 0.2 ahead, in ramps and along one axis."""
    place = torch.linspace(0, 1, 9).view([-1 if a == axis else 1 for a in range(5)])
    fixed = place.expand(1, 1, *[9 if a == axis else 4 for a in (2, 3, 4)])
    found = force(fixed, fixed - 0.2 / 8)
    inside = found.narrow(axis, 2, 5)[:, axis - 2]
    slope, apart = 1 / 8, 0.2 / 8
    expected = apart * slope / (slope**2 + apart**2 + 1e-3)
    torch.testing.assert_close(inside, torch.full_like(inside, expected))
    others = [k for k in range(3) if k != axis - 2]
    assert not bool(found[:, others].any())


def test_the_force_is_at_most_half_a_sample(generator):
    one, two = torch.rand(2, 1, 2, 8, 9, 7, generator=generator)
    found = force(one, two)
    assert found.shape == (1, 6, 8, 9, 7)
    assert float(found.abs().amax()) <= 0.5


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (3, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("side", [1, 2, 3, 9, 16])
def test_what_is_shown_has_the_channels_that_the_plan_counts(dims, channels, side):
    pair = torch.rand(1, 2 * channels, *([side] * dims))
    seen = shown(pair)
    assert seen.shape == (1, inputs(dims, channels), *([(side + 1) // 2] * dims))
    assert bool(torch.isfinite(seen).all())
