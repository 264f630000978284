"""Locally normalised images: windows of mean 0 and variance 1, the same however an image lies."""

import numpy as np
import pytest
import torch
from linear_cases import centred, moved, sampled
from scipy.ndimage import gaussian_filter

from vesalius.core import Grid, resample
from vesalius.register._linear_features import (
    FLAT,
    locally_normalised,
    window_mm,
    window_weight,
)
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._ncc import Ncc


def test_each_window_has_mean_zero_and_variance_one():
    grid = Grid.from_spacing((14, 15, 16), (2.0, 1.5, 1.0))
    x = np.random.default_rng(0).standard_normal((14, 15, 16))
    sigma = [np.sqrt(r * (r + 1) / 3) for r in (1.5, 2.0, 3.0)]
    mean = gaussian_filter(x, sigma, mode="nearest")
    variance = gaussian_filter(x * x, sigma, mode="nearest") - mean**2
    true = (x - mean) / np.sqrt(variance + FLAT)
    found = locally_normalised(torch.from_numpy(x)[None], grid, None, radius_mm=3.0)
    middle = (slice(6, 8),) * 3
    np.testing.assert_allclose(found[0].numpy()[middle], true[middle], rtol=2e-2, atol=5e-3)


def test_a_flat_image_becomes_nothing():
    grid = Grid.from_spacing((6, 6, 6))
    flat = locally_normalised(torch.full((1, 6, 6, 6), 3.0), grid, None, radius_mm=2.0)
    torch.testing.assert_close(flat, torch.zeros(1, 6, 6, 6), atol=1e-4, rtol=0)


def test_samples_without_weight_are_not_seen():
    grid = Grid.from_spacing((10, 10, 10))
    x = torch.rand(1, 10, 10, 10, generator=torch.Generator().manual_seed(1))
    weight = torch.ones(1, 10, 10, 10)
    weight[..., :4] = 0
    spoilt = torch.where(weight > 0, x, 50.0)
    one, two = (locally_normalised(v, grid, weight, radius_mm=2.0) for v in (x, spoilt))
    torch.testing.assert_close(one[..., 4:], two[..., 4:], atol=1e-4, rtol=1e-4)


def test_a_turned_image_is_normalised_as_the_image_then_turned():
    """What makes a search by it unbiased: windows are round and measured in mm."""
    turn = moved(np.random.default_rng(1), angle_deg=40, shift_mm=0)
    grids = centred((32, 32, 32), (1.5, 1.5, 1.5)), centred((24, 26, 40), (2.0, 1.8, 1.2))
    one = sampled(grids[0])
    two = sampled(grids[1], transform=turn.inverse())
    spread = one.data.std()
    mean = one.data.mean()

    def seen(image):
        ready = (image.data - mean) / spread
        return image.map(lambda _: locally_normalised(ready, image.grid, None, radius_mm=5.0))

    pulled = resample(seen(two), grids[0], transform=turn, anti_alias=False).data
    inner = (slice(None), *[slice(10, 22)] * 3)
    apart = (pulled - seen(one).data)[inner]
    assert float(apart.std()) < 0.05 * float(pulled[inner].std())


def test_the_weight_rises_from_the_edge_of_the_image():
    grid = Grid.from_spacing((1, 9, 9), (1.0, 1.0, 2.0))
    weight = window_weight(grid, None, radius_mm=4.0, device=torch.device("cpu"))
    assert weight.shape == (1, 1, 9, 9)
    assert weight[0, 0, 2].tolist() == [0.0, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.0]
    assert weight[0, 0, :, 4].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]


def test_a_few_slices_have_no_edge_or_none_would_be_left():
    grid = Grid.from_spacing((2, 7, 9), (6.0, 1.0, 2.0))
    weight = window_weight(grid, None, radius_mm=4.0, device=torch.device("cpu"))
    assert weight[0, :, :, 4].tolist() == [[1.0] * 7] * 2


def test_the_weight_rises_from_the_edge_of_a_mask():
    grid = Grid.from_spacing((20, 20, 20))
    mask = torch.ones(1, 20, 20, 20)
    mask[..., :8] = 0
    row = window_weight(grid, mask, radius_mm=3.0, device=mask.device)[0, 10, 10].tolist()
    assert row[:8] == [0.0] * 8
    assert 0.2 < row[8] < 0.6
    assert row[8] < row[9] < row[10] < row[12]
    assert row[14] == pytest.approx(1, abs=5e-3)


def test_the_window_is_measured_by_the_mean_distance_of_samples():
    grid = Grid.from_spacing((4, 4, 4), (4.0, 2.0, 1.0))
    assert window_mm(LocalNcc(3), grid) == pytest.approx(6.0)
    assert window_mm(LocalNcc(3), Grid.from_spacing((1, 4, 4), (9.0, 4.0, 1.0))) == pytest.approx(6)
    assert window_mm(Ncc(), grid) == 0
