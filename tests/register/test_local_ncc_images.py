"""Local correlation as a similarity: its options, what it makes of images, its other window."""

import pytest
import torch
from dense_cases import texture

from vesalius.errors import ConfigError, IntensityError
from vesalius.register._local_ncc import LocalNcc

SPACING = (1.0, 1.0, 1.0)


@pytest.mark.parametrize("radius", [0, -2])
def test_refuses_a_window_of_no_width(radius):
    with pytest.raises(ConfigError, match=f"radius must be at least 1 sample, got {radius}"):
        LocalNcc(radius)


def test_features_have_mean_0_and_variance_1(generator):
    image = 40 + 7 * texture((8, 9, 10), generator).repeat(2, 1, 1, 1)
    made = LocalNcc().features(image, SPACING)
    torch.testing.assert_close(made.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.var((1, 2, 3), correction=0), torch.ones(2))


def test_features_are_taken_where_it_counts(generator):
    image = texture((8, 9, 10), generator)
    weight = torch.ones_like(image)
    weight[..., 5:] = 0
    spoiled = torch.where(weight > 0, image, 1e3)
    inside = LocalNcc().features(spoiled, SPACING, weight)[..., :5]
    assert float(inside.std(correction=0)) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e6])
def test_refuses_a_constant(value):
    with pytest.raises(IntensityError, match="each channel must vary where it counts"):
        LocalNcc().features(torch.full((1, 4, 5, 6), value), SPACING)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_what_is_not_finite(value, generator):
    image = texture((4, 5, 6), generator)
    image[0, 1, 2, 3] = value
    with pytest.raises(IntensityError, match="images must be finite to correlate"):
        LocalNcc().features(image, SPACING)


def test_both_windows_see_about_the_same(generator):
    """Equal variance of the window: losses of a blurred pair lie close."""
    one = LocalNcc().features(texture((14, 14, 14), generator), SPACING)
    two = LocalNcc().features(one + 0.7 * texture((14, 14, 14), generator) / 0.1, SPACING)
    box = float(LocalNcc(2)(one, two))
    bell = float(LocalNcc(2, window="gaussian")(one, two))
    assert 0.1 < box < 0.99
    assert bell == pytest.approx(box, rel=0.15)


def test_several_channels_are_the_mean_of_theirs(generator):
    one, two, three = (texture((6, 7, 8), generator) for _ in range(3))
    similarity = LocalNcc(2)
    both = similarity(torch.cat([one, two]), torch.cat([three, three]))
    apart = (similarity(one, three) + similarity(two, three)) / 2
    torch.testing.assert_close(both, apart)
    loss, slope = similarity.gradient(torch.cat([one, two]), torch.cat([three, three]))
    assert loss == pytest.approx(float(both), abs=1e-5)
    torch.testing.assert_close(slope[:1] * 2, similarity.gradient(one, three)[1])
