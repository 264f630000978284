"""Summits that stand out by a height: equal to scikit-image, numbered, masks, plateaus."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._h_maxima import h_maxima


@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_finds_the_summits_that_scikit_image_finds(seed, h, plane):
    from skimage.morphology import h_maxima as oracle

    shape = (1, 12, 13) if plane else (6, 7, 8)
    height = np.random.default_rng(seed).integers(0, 12, shape).astype(np.int32)
    square = height[0] if plane else height
    expected = oracle(square, h, footprint=np.ones((3,) * square.ndim)).reshape(shape) > 0
    np.testing.assert_array_equal(h_maxima(torch.from_numpy(height), h).numpy() > 0, expected)


def test_a_summit_counts_by_its_pass_not_by_its_height():
    ridge = torch.tensor([[[0.0, 9, 6, 8, 1, 5, 0]]])
    assert h_maxima(ridge, 1.5).flatten().tolist() == [0, 1, 0, 2, 0, 3, 0]
    assert h_maxima(ridge, 3.0).flatten().tolist() == [0, 1, 0, 0, 0, 2, 0]
    assert h_maxima(ridge, 100.0).flatten().tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_equal_summits_over_a_shallow_pass_have_one_number():
    ridge = torch.tensor([[[3, 9, 8, 9, 3, 9, 3]]])
    assert h_maxima(ridge, 2).flatten().tolist() == [0, 1, 0, 1, 0, 2, 0]


def test_a_plateau_is_one_summit():
    height = torch.zeros(4, 5, 6)
    height[1:3, 2:4, 2:5] = 2.0
    found = h_maxima(height, 1.0)
    assert torch.equal(found > 0, height == 2)
    assert int(found.max()) == 1


def test_each_part_of_the_mask_has_a_summit():
    mask = torch.ones(1, 3, 9, dtype=torch.bool)
    mask[:, :, 4] = False
    found = h_maxima(torch.arange(9.0).expand(1, 3, 9), 50.0, mask)
    assert found[:, :, :4].max() == 1
    assert found[:, :, 5:].max() == 2
    assert not found[:, :, 4].any()


def test_an_empty_mask_has_none():
    assert not h_maxima(torch.rand(2, 3, 4), 0.1, torch.zeros(2, 3, 4, dtype=torch.bool)).any()


@pytest.mark.parametrize("h", [0.0, -1.0, float("nan")])
def test_refuses_a_height_that_is_not_positive(h):
    with pytest.raises(ConfigError, match="h must be a positive height"):
        h_maxima(torch.rand(2, 3, 4), h)


def test_refuses_a_mask_of_another_shape():
    with pytest.raises(ShapeError, match="mask must have the shape of the height"):
        h_maxima(torch.rand(2, 3, 4), 1.0, torch.ones(2, 3, 5, dtype=torch.bool))
