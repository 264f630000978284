"""Made-up shapes: the known velocity is the truth, chance comes from the generator alone."""

from dataclasses import replace

import pytest
import torch

from vesalius.errors import ConfigError
from vesalius.ops._warp import exponential, warp
from vesalius.register._learned_shapes import draw_pair
from vesalius.register._overlap_loss import SoftDice
from vesalius.register.learned import Shapes

SMALL = Shapes(side=24, structures=6, reach=1.5, noise=0.0)


def drawn(shapes=SMALL, *, seed=1, dims=3, channels=1):
    generator = torch.Generator().manual_seed(seed)
    return draw_pair(shapes, dims=dims, channels=channels, generator=generator)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_known_velocity_lays_the_moving_structures_on_the_fixed_ones(dims, seed):
    pair = drawn(seed=seed, dims=dims)
    inside = (slice(None), *(slice(4, -4) if n > 1 else slice(None) for n in (dims - 2, 9, 9)))
    before = SoftDice()(pair.fixed_parts[inside], pair.moving_parts[inside])
    warped = warp(pair.moving_parts, exponential(pair.velocity))
    after = SoftDice()(pair.fixed_parts[inside], warped[inside])
    assert float(after) < 0.25 * float(before) + 0.03


def test_the_moving_image_follows_the_same_velocity():
    """Without noise both show one brightness, up to bias and gamma."""
    pair = max((drawn(seed=s) for s in range(6)), key=lambda p: float(p.velocity.abs().amax()))
    warped = warp(pair.moving, exponential(pair.velocity))[:, 4:-4, 4:-4, 4:-4]
    fixed = pair.fixed[:, 4:-4, 4:-4, 4:-4]
    moved = torch.corrcoef(torch.stack([fixed.flatten(), warped.flatten()]))[0, 1]
    still = pair.moving[:, 4:-4, 4:-4, 4:-4].flatten()
    before = torch.corrcoef(torch.stack([fixed.flatten(), still]))[0, 1]
    assert 1 - moved < 0.6 * (1 - before)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("dims", "depth"), [(2, 1), (3, 24)])
def test_sizes_are_those_asked_for(dims, depth, channels):
    pair = drawn(dims=dims, channels=channels)
    assert pair.fixed.shape == pair.moving.shape == (channels, depth, 24, 24)
    assert pair.fixed_parts.shape == (6, depth, 24, 24)
    assert pair.velocity.shape == (3, depth, 24, 24)


def test_memberships_are_parts_of_a_whole():
    pair = drawn(seed=5)
    for parts in (pair.fixed_parts, pair.moving_parts):
        torch.testing.assert_close(parts.sum(0), torch.ones(24, 24, 24))
        assert float(parts.amin()) >= -1e-6


def test_a_slice_does_not_move_through_its_plane():
    pair = drawn(dims=2)
    assert not bool(pair.velocity[0].any())
    assert float(pair.velocity[1:].abs().amax()) > 0.1


def test_velocities_stay_within_their_reach():
    sizes = [float(drawn(seed=s).velocity.square().mean().sqrt()) for s in range(8)]
    assert max(sizes) <= 1.5 + 1e-5
    assert max(sizes) > 0.75
    assert min(sizes) >= 0.15 - 1e-5


def test_one_seed_makes_one_pair_and_another_seed_another():
    one, same, other = drawn(seed=7), drawn(seed=7), drawn(seed=8)
    assert torch.equal(one.fixed, same.fixed)
    assert torch.equal(one.velocity, same.velocity)
    assert not torch.equal(one.fixed, other.fixed)


def test_any_contrast_gives_structures_another_brightness_in_each_image():
    def related(contrast):
        values = []
        for seed in range(4):
            pair = drawn(replace(SMALL, contrast=contrast, reach=0.0), seed=seed)
            both = torch.stack([pair.fixed.flatten(), pair.moving.flatten()])
            values.append(float(torch.corrcoef(both)[0, 1]))
        return values

    assert min(related("same")) > 0.9
    assert min(related("any")) < 0.7


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"side": 4}, "side must be at least 8 and structures at least 2, got 4"),
        ({"structures": 1}, "structures at least 2, got 32 and 1"),
        ({"reach": -1.0}, "must not be negative, got"),
        ({"noise": float("nan")}, "must not be negative, got"),
        ({"truth": float("inf")}, "must not be negative, got"),
    ],
)
def test_refuses_impossible_shapes(changes, match):
    with pytest.raises(ConfigError, match=match):
        Shapes(**changes)
