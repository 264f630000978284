"""The joint histogram of two label arrays, beside a dictionary that counts pairs."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ShapeError
from vesalius.ops import _contingency
from vesalius.ops._contingency import contingency

LABELS = st.lists(st.tuples(st.integers(-3, 70_000), st.integers(0, 4)), min_size=1, max_size=60)


def as_dict(counts):
    pairs = zip(
        counts.first[counts.row].tolist(), counts.second[counts.column].tolist(), strict=True
    )
    return dict(zip(pairs, counts.shared.tolist(), strict=True))


@given(LABELS)
def test_counts_as_a_dictionary_does(pairs):
    one, two = torch.tensor(pairs).unbind(dim=1)
    assert as_dict(contingency(one, two.to(torch.int16))) == dict(Counter(pairs))


def test_labels_are_sorted_and_sizes_are_sums():
    one, two = torch.tensor([[5, 5, 2], [0, 2, 2]]), torch.tensor([[1, 1, 1], [9, 9, 1]])
    counts = contingency(one, two)
    assert counts.first.tolist() == [0, 2, 5]
    assert counts.second.tolist() == [1, 9]
    assert [x.tolist() for x in counts.sizes] == [[1, 3, 2], [4, 2]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int64])
def test_any_integer_type_will_do(dtype):
    x = torch.tensor([0, 200 if dtype != torch.int16 else 2, 1]).to(dtype)
    assert int(contingency(x, x).shared.sum()) == 3


def test_pieces_join_without_a_seam(monkeypatch):
    g = torch.Generator().manual_seed(1)
    one, two = torch.randint(0, 4, (2, 5, 6, 7), generator=g)
    whole = as_dict(contingency(one, two))
    monkeypatch.setattr(_contingency, "_PIECE", 13)
    assert as_dict(contingency(one, two)) == whole


def test_a_view_is_counted_as_it_looks():
    x = torch.arange(12).reshape(3, 4)
    assert as_dict(contingency(x.T, x.T.contiguous())) == {(k, k): 1 for k in range(12)}


def test_refuses_arrays_of_two_shapes_and_empty_ones():
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(4,\)"):
        contingency(torch.zeros(3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ShapeError, match="at least one sample to be counted together"):
        contingency(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
