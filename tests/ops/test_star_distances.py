"""Distances along rays and depths, against slow loops; what is not known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from vesalius.errors import ConfigError
from vesalius.ops._star_distances import edge_shares, ray_directions, star_distances


def patches(seed, shape=(13, 15), values=4):
    """Codes in blocks: objects that touch, with corners, and one that is not known."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, values, size=tuple(1 + n // 3 for n in shape))
    return torch.from_numpy(np.kron(small, np.ones((3, 3), int))[: shape[0], : shape[1]].copy())


def marched(codes, y, x, direction, step=1e-3):
    """Walk in small steps until the nearest sample is of another object."""
    t = 0.0
    while True:
        t += step
        i, j = (math.floor(c + t * d + 0.5) for c, d in zip((y, x), direction, strict=True))
        if not (0 <= i < codes.shape[0] and 0 <= j < codes.shape[1]) or codes[i, j] == 0:
            return -t
        if codes[i, j] != codes[y, x]:
            return t


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_a_slow_march(seed):
    codes = patches(seed)
    rays = 10  # none through the corners of samples, where a march in steps may slip past
    found = star_distances(codes, rays)
    table, draw = codes.numpy(), np.random.default_rng(seed)
    inside = np.argwhere(table >= 2)
    for y, x in inside[draw.choice(len(inside), 12)]:
        for k, direction in enumerate(ray_directions(rays).numpy()):
            wanted = marched(table, y, x, direction)
            assert float(found[k, y, x]) == pytest.approx(wanted, abs=2e-3), (y, x, k)


def test_a_rectangle_has_the_distances_of_a_rectangle():
    codes = torch.ones(9, 11, dtype=torch.int64)
    codes[2:6, 3:9] = 2
    found = star_distances(codes, 8)[:, 3, 4]
    # right, then turning to larger y: 4.5 right, 2.5 down, 1.5 left, 1.5 up
    corner = 2**0.5
    wanted = [4.5, 2.5 * corner, 2.5, 1.5 * corner, 1.5, 1.5 * corner, 1.5, 1.5 * corner]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_a_ray_goes_through_the_corner_where_two_samples_touch():
    codes = torch.ones(6, 6, dtype=torch.int64)
    codes[2, 2] = codes[3, 3] = 2
    found = star_distances(codes, 8)
    assert float(found[1, 2, 2]) == pytest.approx(1.5 * 2**0.5)
    assert float(found[0, 2, 2]) == 0.5


def test_is_zero_outside_and_negative_where_the_end_is_not_seen():
    codes = torch.ones(5, 6, dtype=torch.int64)
    codes[:, :3] = 2
    codes[2, 2] = 0
    found = star_distances(codes, 4)
    assert float(found[:, codes < 2].abs().max()) == 0
    assert found[:, 1, 1].tolist() == [1.5, -3.5, -1.5, -1.5]
    assert found[:, 2, 1].tolist() == [-0.5, -2.5, -1.5, -2.5]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_turning_the_image_turns_the_rays(seed, k):
    codes = patches(seed, (9, 12))
    rays = 8
    turned = star_distances(torch.rot90(codes, k).contiguous(), rays)
    wanted = torch.rot90(star_distances(codes, rays), k, (1, 2))
    # a quarter turn takes x to -y: rays lose a quarter of their numbers
    torch.testing.assert_close(turned, wanted.roll(-k * rays // 4, 0))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_depths_agree_with_scipy(seed):
    labels = patches(seed, (14, 17)).numpy()
    found = edge_shares(torch.from_numpy(labels)).numpy()
    for value in range(1, labels.max() + 1):
        mask = labels == value
        if not mask.any() or mask.all():
            continue
        # scipy counts no border as an edge either
        depth = distance_transform_edt(mask)
        np.testing.assert_allclose(found[mask], (depth / depth.max())[mask], rtol=1e-6)
    assert not found[labels == 0].any()


def test_an_object_that_fills_the_image_is_as_deep_everywhere():
    assert edge_shares(torch.full((4, 5), 7)).unique().tolist() == [1.0]
    assert edge_shares(torch.full((4, 5), -1)).unique().tolist() == [0.0]


@pytest.mark.parametrize("rays", [2, 7])
def test_refuses_numbers_of_rays_without_mirror_images(rays):
    with pytest.raises(ConfigError, match=rf"even number of at least 4, got {rays}"):
        star_distances(torch.ones(3, 3, dtype=torch.int64), rays)
