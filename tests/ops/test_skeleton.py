"""Skeletons: topology by Euler numbers and components, thinness, beside scikit-image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import euler_number, label
from skimage.morphology import skeletonize

from vesalius.ops._skeleton import skeleton


def noise(seed, shape, sigma):
    g = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(
        g.random(shape), [s if n > 1 else 0 for s, n in zip(sigma, shape, strict=True)]
    )
    return torch.from_numpy(field > np.quantile(field, 0.55))


def topology(mask):
    """Euler number, components inside, components outside (with a frame)."""
    flat = mask.shape[0] == 1
    x = np.pad(mask[0].numpy() if flat else mask.numpy(), 1)
    full = x.ndim
    return (
        int(euler_number(x, connectivity=full)),
        int(label(x, connectivity=full).max()),
        int(label(~x, connectivity=1).max()),
    )


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.8, 1.5]))
@settings(max_examples=25)
def test_keeps_objects_and_holes_in_a_plane(seed, sigma):
    mask = noise(seed, (1, 24, 29), (0, sigma, sigma))
    thin = skeleton(mask)
    assert topology(thin) == topology(mask)
    assert not (thin & ~mask).any()


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.8, 1.5]))
@settings(max_examples=25)
def test_keeps_objects_tunnels_and_cavities_in_a_volume(seed, sigma):
    mask = noise(seed, (11, 12, 13), (sigma, sigma, sigma))
    thin = skeleton(mask)
    assert topology(thin) == topology(mask)
    assert not (thin & ~mask).any()


@pytest.mark.parametrize("shape", [(1, 20, 22), (9, 10, 11)])
def test_thinning_twice_is_thinning_once(shape):
    thin = skeleton(noise(3, shape, (1, 1, 1)))
    assert torch.equal(skeleton(thin), thin)


def test_is_one_sample_wide_in_a_plane():
    """No 2 x 2 block is left that could lose a sample."""
    thin = skeleton(noise(4, (1, 60, 60), (0, 3, 3)))[0].numpy().astype(int)
    blocks = thin[1:, 1:] + thin[:-1, 1:] + thin[1:, :-1] + thin[:-1, :-1]
    assert (blocks == 4).sum() <= 2
    assert 0 < thin.sum() < 400


def test_a_rod_becomes_its_axis():
    z, y, x = np.ogrid[:30, :15, :15]
    rod = torch.from_numpy(((y - 7) ** 2 + (x - 7) ** 2 <= 16) & (z > 2) & (z < 27))
    at = skeleton(rod).nonzero()
    assert 12 <= len(at) <= 26
    assert (at[:, 1:] - 7).abs().max() <= 1
    assert at[:, 0].max() - at[:, 0].min() >= 11


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_long_bar_keeps_its_length_whatever_its_width(width):
    bar = torch.zeros(8, 8, 40, dtype=torch.bool)
    bar[1 : 1 + width, 1 : 1 + width, 2:38] = True
    for mask in (bar, bar[1:2]):
        at = skeleton(mask).nonzero()
        assert 36 - width <= len(at) <= 38
        assert at[:, 2].max() - at[:, 2].min() >= 35 - width


def test_a_ring_stays_a_ring_and_a_shell_a_shell():
    z, y, x = np.ogrid[:1, :25, :25]
    r = np.sqrt((y - 12.0) ** 2 + (x - 12) ** 2) + 0 * z
    ring = torch.from_numpy((r > 5) & (r < 10))
    assert topology(skeleton(ring)) == (0, 1, 2)
    z, y, x = np.ogrid[:17, :17, :17]
    r = np.sqrt((z - 8.0) ** 2 + (y - 8) ** 2 + (x - 8) ** 2)
    shell = torch.from_numpy((r > 3.5) & (r < 7))
    assert topology(skeleton(shell))[2] == 2


def test_a_solid_thing_becomes_a_few_samples_and_nothing_stays_nothing():
    ball = torch.zeros(1, 7, 7, dtype=torch.bool)
    ball[0, 2:5, 2:5] = True
    assert 1 <= int(skeleton(ball).sum()) <= 3
    assert skeleton(ball)[0, 3, 3]
    assert not skeleton(torch.zeros(4, 4, 4, dtype=torch.bool)).any()
    assert skeleton(torch.ones(1, 1, 1, dtype=torch.bool)).all()


@pytest.mark.parametrize("shape", [(1, 90, 90), (32, 32, 32)])
def test_lies_where_that_of_scikit_image_lies(shape):
    mask = noise(5, shape, (3, 3, 3))
    ours = skeleton(mask).numpy()
    theirs = skeletonize(mask[0].numpy() if shape[0] == 1 else mask.numpy()).reshape(shape) > 0
    for one, two in ((ours, theirs), (theirs, ours)):
        away = ndimage.distance_transform_edt(~two)[one]
        assert np.mean(away <= 2) > 0.8
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.35)


def test_the_mask_is_left_as_it_was():
    mask = noise(6, (1, 20, 20), (0, 1, 1))
    before = mask.clone()
    skeleton(mask)
    assert torch.equal(mask, before)
