"""Overlap of labels, beside SimpleITK, loops and the cases that are defined by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._overlap import overlap


def maps(seed, shape=(6, 7, 8), most=5, dtype=torch.int16):
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(0, most, shape, generator=g).to(dtype) for _ in range(2))


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_simpleitk(seed):
    sitk = pytest.importorskip("SimpleITK")
    a, b = maps(seed)
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(x.numpy()) for x in (a, b)))
    found = overlap(a, b, (1, 2, 3, 4))
    for k, value in enumerate((1, 2, 3, 4)):
        assert float(found.dice[k]) == pytest.approx(measure.GetDiceCoefficient(value))
        assert float(found.jaccard[k]) == pytest.approx(measure.GetJaccardCoefficient(value))


@given(st.integers(0, 1000))
def test_equals_the_definition_by_sets(seed):
    a, b = maps(seed, (40,))
    for value in (1, 3):
        one, two = (set(torch.nonzero(x == value).flatten().tolist()) for x in (a, b))
        found = overlap(a, b, (value,))
        assert int(found.first[0]) == len(one)
        assert int(found.second[0]) == len(two)
        assert int(found.both[0]) == len(one & two)
        if one | two:
            assert float(found.dice[0]) == pytest.approx(2 * len(one & two) / (len(one) + len(two)))
            assert float(found.jaccard[0]) == pytest.approx(len(one & two) / len(one | two))


@given(st.integers(0, 1000))
def test_is_symmetric_and_dice_follows_from_jaccard(seed):
    a, b = maps(seed, (60,))
    there, back = overlap(a, b, (1, 2)), overlap(b, a, (1, 2))
    torch.testing.assert_close(there.dice, back.dice)
    torch.testing.assert_close(there.dice, 2 * there.jaccard / (1 + there.jaccard))


def test_keeps_the_order_of_the_values():
    a, b = maps(3)
    there, back = overlap(a, b, (4, 1, 2)), overlap(a, b, (2, 1, 4))
    assert there.dice.tolist() == back.dice.flip(0).tolist()


def test_equal_labels_overlap_wholly():
    a, _ = maps(4)
    assert overlap(a, a, (1, 2, 3)).dice.tolist() == [1.0] * 3


def test_a_label_in_one_map_alone_has_no_overlap():
    a, b = torch.tensor([1, 1, 0]), torch.tensor([0, 0, 0])
    found = overlap(a, b, (1,))
    assert found.dice.tolist() == [0.0]
    assert found.jaccard.tolist() == [0.0]
    assert (found.first.tolist(), found.second.tolist()) == ([2], [0])


def test_a_label_in_neither_map_has_no_figure():
    found = overlap(torch.zeros(3, dtype=torch.uint8), torch.zeros(3, dtype=torch.uint8), (7,))
    assert math.isnan(found.dice[0])
    assert math.isnan(found.jaccard[0])


def test_no_values_give_no_figures():
    a, b = maps(5)
    assert overlap(a, b, ()).dice.numel() == 0


def test_empty_maps_are_compared_too():
    empty = torch.zeros(0, dtype=torch.int32)
    assert overlap(empty, empty, (1,)).first.tolist() == [0]


@pytest.mark.parametrize("values", [(-5, 3), (1, 2_000_000), (0, 1)])
def test_takes_any_whole_number_as_a_label(values):
    a = torch.tensor([values[0], values[1], values[1], 9, -9])
    b = torch.tensor([values[0], values[1], values[0], 9, -9])
    found = overlap(a, b, values)
    assert found.both.tolist() == [1, 1]
    assert found.dice.tolist() == pytest.approx([2 / 3, 2 / 3])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_the_number_type_does_not_matter(dtype):
    a, b = maps(6, dtype=dtype)
    one, two = maps(6)
    torch.testing.assert_close(overlap(a, b, (1, 2)).dice, overlap(one, two, (1, 2)).dice)


def test_refuses_maps_of_two_shapes():
    with pytest.raises(ShapeError, match="labels must have one shape to be compared"):
        overlap(torch.zeros(3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), (1,))


def test_refuses_a_value_named_twice():
    a, b = maps(7)
    with pytest.raises(UnitError, match="values must be different labels"):
        overlap(a, b, (1, 1))


@pytest.mark.gpu
def test_the_gpu_counts_the_same():
    a, b = maps(8)
    torch.testing.assert_close(overlap(a.cuda(), b.cuda(), (1, 2)).dice, overlap(a, b, (1, 2)).dice)
