"""Tidy objects against scipy: pieces, holes, sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from vesalius.errors import ConfigError
from vesalius.ops._tidy_objects import tidy_objects


def slowly(mask):
    """Largest piece with its holes filled, by scipy."""
    flat = mask.shape[0] == 1
    part = mask[0] if flat else mask
    pieces, count = ndimage.label(part)
    sizes = ndimage.sum_labels(part, pieces, range(1, count + 1))
    filled = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))
    return filled[None] if flat else filled


@pytest.mark.parametrize("shape", [(1, 14, 15), (7, 8, 9)])
@given(seed=st.integers(0, 10_000))
def test_agrees_with_scipy_for_one_object(shape, seed):
    noise = np.random.default_rng(seed).normal(size=shape)
    mask = ndimage.gaussian_filter(noise, 0.8) > -0.05
    mask[0, 0, 0] = True
    found = tidy_objects(torch.from_numpy(mask.astype(np.int32))).numpy()
    assert set(np.unique(found)) == {0, 1}
    pieces, count = ndimage.label(mask)
    sizes = np.sort(ndimage.sum_labels(mask, pieces, range(1, count + 1)))
    if count == 1 or sizes[-1] > sizes[-2]:  # equals: either may be kept
        assert (found > 0).tolist() == slowly(mask).tolist()


def test_a_ring_is_filled_in_a_plane_and_open_in_a_volume():
    ring = torch.ones(1, 5, 5, dtype=torch.int32)
    ring[0, 2, 2] = 0
    assert int(tidy_objects(ring).sum()) == 25
    thick = torch.nn.functional.pad(ring, (0, 0, 0, 0, 1, 1))
    assert int(tidy_objects(thick).sum()) == 24  # a ring in a volume has a way through


def test_an_object_in_a_hole_stays():
    labels = torch.ones(1, 7, 7, dtype=torch.int32)
    labels[0, 2:5, 2:5] = 0
    labels[0, 3, 3] = 2
    found = tidy_objects(labels)
    assert int(found[0, 3, 3]) == 2
    assert int((found == 1).sum()) == 48


def test_small_objects_go_and_the_others_move_up():
    labels = torch.zeros(1, 6, 12, dtype=torch.int32)
    labels[0, 1:4, 1:4], labels[0, 1, 6], labels[0, 3:6, 8:11] = 3, 5, 9
    found = tidy_objects(labels, least_size=2)
    assert found.unique().tolist() == [0, 1, 2]
    assert int(found[0, 4, 9]) == 2
    assert int(found[0, 1, 6]) == 0


def test_leaves_its_input_as_it_is():
    labels = torch.randint(0, 4, (3, 6, 6), dtype=torch.int32)
    kept = labels.clone()
    tidy_objects(labels)
    assert torch.equal(labels, kept)


def test_nothing_stays_nothing():
    assert int(tidy_objects(torch.zeros(1, 4, 4, dtype=torch.int32)).sum()) == 0


def test_refuses_a_size_below_one():
    with pytest.raises(ConfigError, match="least_size must be at least 1, got 0"):
        tidy_objects(torch.zeros(1, 4, 4, dtype=torch.int32), least_size=0)
