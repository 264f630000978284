"""Objects, their boxes and sizes against slow loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.ops._object_boxes import equivalent_diameters, object_boxes


@given(st.integers(0, 10_000), st.sampled_from([torch.int16, torch.int32, torch.int64]))
def test_agrees_with_a_slow_loop(seed, dtype):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 6, (2, 5, 6), generator=draw).to(dtype)
    found = object_boxes(labels)
    values = sorted(set(labels[labels > 0].tolist()))
    assert found.values.tolist() == values
    for k, value in enumerate(values):
        where = (labels == value).nonzero()
        box = torch.stack([where.amin(0), where.amax(0) + 1], dim=1).flatten()
        assert found.boxes[k].tolist() == box.tolist()
        assert int(found.sizes[k]) == len(where)
        assert ((found.numbers == k + 1) == (labels == value).numpy()).all()


def test_numbers_values_far_apart():
    labels = torch.tensor([[[0, 2**40, 7], [-3, 2**40, 9]]])
    found = object_boxes(labels)
    assert found.values.tolist() == [7, 9, 2**40]
    assert found.numbers.tolist() == [[[0, 3, 1], [0, 3, 2]]]


@pytest.mark.parametrize("shape", [(1, 4, 4), (0, 3, 3)])
def test_finds_no_object_in_nothing(shape):
    found = object_boxes(torch.zeros(shape, dtype=torch.int32))
    assert len(found.values) == len(found.sizes) == len(found.boxes) == 0


def test_a_disc_and_a_ball_have_their_own_diameter():
    np.testing.assert_allclose(equivalent_diameters(np.array([314]), 2), 20, rtol=1e-3)
    np.testing.assert_allclose(equivalent_diameters(np.array([4189]), 3), 20, rtol=1e-3)
