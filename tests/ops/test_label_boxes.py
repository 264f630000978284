"""Boxes of labels, beside argwhere."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import UnitError
from vesalius.ops._label_boxes import joined_box, label_boxes


def slow_box(labels, value):
    at = np.argwhere(labels.numpy() == value)
    return [[0, 0]] * 3 if not len(at) else np.stack([at.min(0), at.max(0) + 1], axis=1).tolist()


@given(st.integers(0, 10_000), st.sampled_from([0, -7, 5_000_000]))
def test_equals_argwhere(seed, shift):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 30, (3, 4, 5), generator=g) + shift
    values = (7 + shift, 2 + shift, 29 + shift, 100 + shift)
    found = label_boxes(labels, values)
    assert found.tolist() == [slow_box(labels, v) for v in values]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.uint16, torch.int32])
def test_any_integer_type_will_do(dtype):
    labels = torch.tensor([[[0, 3, 3], [5, 0, 3]]]).to(dtype)
    assert label_boxes(labels, (3, 5)).tolist() == [
        [[0, 1], [0, 2], [1, 3]],
        [[0, 1], [1, 2], [0, 1]],
    ]


def test_labels_beyond_the_table_belong_to_nothing():
    labels = torch.tensor([[[250, 1, -4]]], dtype=torch.int64)
    assert label_boxes(labels, (1, 2)).tolist() == [[[0, 1], [0, 1], [1, 2]], [[0, 0]] * 3]


def test_no_values_have_no_boxes():
    assert label_boxes(torch.zeros(1, 2, 2, dtype=torch.int64), ()).shape == (0, 3, 2)


def test_boxes_join_and_a_flat_thing_in_a_volume_keeps_a_neighbour():
    one, two, none = torch.tensor(
        [[[4, 5], [0, 2], [1, 2]], [[4, 5], [3, 4], [0, 1]], [[0, 0], [0, 0], [0, 0]]]
    )
    assert joined_box(one, two, depth=1) == (slice(4, 5), slice(0, 4), slice(0, 2))
    assert joined_box(one, none, depth=9) == (slice(4, 6), slice(0, 2), slice(1, 2))
    assert joined_box(one, two, depth=5) == (slice(3, 5), slice(0, 4), slice(0, 2))
    assert joined_box(none, none, depth=5) is None


def test_refuses_a_label_twice():
    with pytest.raises(UnitError, match="different labels to have a box each"):
        label_boxes(torch.zeros(1, 2, 2, dtype=torch.int64), (1, 1))
