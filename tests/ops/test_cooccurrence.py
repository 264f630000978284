"""Tests of the co-occurrence counts."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from level_volumes import cells, level_volumes, patient, random_levels, ranks, voxels_of
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.ops import _cooccurrence
from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE, cooccurrence
from vesalius.ops._counts import check_levels

ALL = IN_PLANE + THROUGH_PLANE


def slow_pairs(levels: Tensor, distance: int, by_slice: bool) -> dict[tuple[int, int, int], int]:
    directions = IN_PLANE if by_slice else ALL
    rank = ranks(levels)
    count: Counter[tuple[int, int, int]] = Counter()
    for z, y, x in voxels_of(levels):
        for d, (dz, dy, dx) in enumerate(directions):
            a = int(levels[z, y, x])
            b = int(levels[z + distance * dz, y + distance * dy, x + distance * dx])
            matrix = rank[z] * len(directions) + d if by_slice else d
            if b:
                count[matrix, min(a, b), max(a, b)] += 2 if a == b else 1
    return dict(count)


@patient
@given(st.data(), st.integers(1, 3), st.booleans())
def test_agrees_with_a_slow_loop(data: st.DataObject, distance: int, by_slice: bool) -> None:
    levels = data.draw(level_volumes(pad=distance))
    directions = IN_PLANE if by_slice else ALL
    counts = cooccurrence(levels, directions=directions, distance=distance, by_slice=by_slice)
    assert cells(counts) == slow_pairs(levels, distance, by_slice)


@patient
@given(st.data(), st.integers(1, 2), st.booleans())
def test_the_torch_path_gives_the_same_matrices(
    data: st.DataObject, distance: int, by_slice: bool
) -> None:
    levels = data.draw(level_volumes(pad=distance))
    directions = IN_PLANE if by_slice else ALL
    steps = tuple((distance * z, distance * y, distance * x) for z, y, x in directions)
    counts = _cooccurrence._pairs_torch(levels, steps, by_slice=by_slice)
    assert cells(counts) == slow_pairs(levels, distance, by_slice)


def test_thirteen_directions_are_half_of_the_neighbours() -> None:
    both = {*ALL, *((-z, -y, -x) for z, y, x in ALL)}
    assert len(ALL) == 13
    assert len(both) == 26


def test_many_levels_are_counted_sparsely_to_the_same_matrices() -> None:
    levels = random_levels(3, (3, 8, 9), share=0.9, top=4, pad=1).to(torch.int32)
    sparse = cooccurrence(torch.where(levels > 0, levels * 9000, 0))
    dense = cooccurrence(levels)
    assert {(m, r // 9000, c // 9000): n for (m, r, c), n in cells(sparse).items()} == cells(dense)


def test_one_voxel_gives_empty_matrices() -> None:
    levels = torch.zeros(3, 3, 3, dtype=torch.int16)
    levels[1, 1, 1] = 2
    counts = cooccurrence(levels)
    assert counts.matrices == 13
    assert counts.count.numel() == 0


def test_the_input_is_untouched() -> None:
    levels = random_levels(1, (3, 4, 5), share=0.7, top=5)
    before = levels.clone()
    cooccurrence(levels)
    assert torch.equal(levels, before)


def test_refuses_a_volume_without_its_border() -> None:
    with pytest.raises(ShapeError, match="levels must have a border of 2 zeros along axis 0"):
        cooccurrence(random_levels(0, (3, 3, 3), share=1.0, top=2, pad=1), distance=2)


def test_refuses_what_is_not_a_level_volume() -> None:
    with pytest.raises(UnitError, match="levels must be integers, got"):
        check_levels(torch.zeros(3, 3, 3), IN_PLANE)
    with pytest.raises(ShapeError, match=r"levels must have shape \(z, y, x\), got \(3, 3\)"):
        check_levels(torch.zeros(3, 3, dtype=torch.int16), IN_PLANE)
    with pytest.raises(IntensityError, match="levels must not exceed 65535, got 65536"):
        check_levels(torch.full((3, 3, 3), 65536, dtype=torch.int32), IN_PLANE)


@pytest.mark.gpu
def test_the_gpu_gives_the_same_matrices() -> None:
    levels = random_levels(5, (9, 20, 21), share=0.8, top=20)
    assert cells(cooccurrence(levels.cuda())) == cells(cooccurrence(levels))


def test_the_sum_of_a_matrix_is_twice_the_number_of_pairs() -> None:
    levels = torch.from_numpy(np.pad(np.ones((4, 5, 6), np.int16), 1))
    counts = cooccurrence(levels, directions=((0, 0, 1),))
    assert counts.count.tolist() == [2 * 4 * 5 * 5]
