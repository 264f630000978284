"""Dead leaves: the same seed gives the same images, with edges, plateaus and many sizes."""

import pytest
import torch

from vesalius.errors import ConfigError
from vesalius.physics import dead_leaves


def drawn(count=8, shape=(48, 64), seed=0, leaves=80):
    g = torch.Generator().manual_seed(seed)
    return dead_leaves(count, shape=shape, leaves=leaves, generator=g)


def test_images_come_from_the_generator_alone():
    torch.manual_seed(1)
    one = drawn(seed=3)
    torch.manual_seed(2)
    assert torch.equal(one, drawn(seed=3))
    assert not torch.equal(one, drawn(seed=4))


@pytest.mark.parametrize("shape", [(48, 64), (1, 1), (7, 30), (33, 33)])
def test_any_size_can_be_drawn(shape):
    x = drawn(3, shape)
    assert x.shape == (3, *shape)
    assert x.dtype == torch.float32
    assert bool(torch.isfinite(x).all())


def test_values_stay_near_the_unit_interval():
    x = drawn(32)
    assert float(((x > -0.2) & (x < 1.2)).float().mean()) > 0.99
    assert 0.4 < float(x.mean()) < 0.6


def test_images_differ_from_each_other():
    x = drawn(16)
    means = x.mean(dim=(1, 2))
    assert float(means.std()) > 0.02
    assert float(torch.pdist(x.flatten(1)).min()) > 1.0


def test_there_are_edges_and_plateaus():
    """Half of the slopes are nearly zero while some are steep: unlike noise, unlike blur."""
    slope = drawn(32).diff(dim=-1).abs()
    assert float(slope.median()) < 0.02
    assert float((slope > 0.2).float().mean()) > 0.01
    gaussian = torch.randn(32, 48, 64, generator=torch.Generator().manual_seed(0))
    noise = gaussian.diff(dim=-1).abs()
    ours, theirs = slope.quantile(0.98) / slope.mean(), noise.quantile(0.98) / noise.mean()
    assert float(ours) > 1.5 * float(theirs)


def test_the_spectrum_falls_as_a_power_of_the_frequency():
    """Leaves of all sizes: the power at 4 times the frequency is lower by 4^2 to 4^4."""
    x = drawn(64, (96, 96))
    power = torch.fft.rfft2(x - x.mean(dim=(1, 2), keepdim=True)).abs().square().mean(dim=0)
    low, high = float(power[0, 3:6].mean()), float(power[0, 12:24].mean())
    assert 16 < low / high < 256


def test_more_leaves_make_smaller_parts():
    few, many = (drawn(32, leaves=n).diff(dim=-1).abs().mean() for n in (5, 150))
    assert float(many) > 1.3 * float(few)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"shape": (0, 5)}, {"leaves": 0}])
def test_refuses_sizes_below_one(wrong):
    with pytest.raises(ConfigError, match="count, leaves and shape must be at least 1"):
        drawn(**wrong)
