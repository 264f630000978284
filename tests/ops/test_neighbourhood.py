"""Tests of the neighbourhood differences and dependences."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from level_volumes import cells, level_volumes, patient, random_levels, ranks, voxels_of
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops import _neighbourhood
from vesalius.ops._neighbourhood import Differences, dependences, differences


def around(levels: Tensor, where: tuple[int, int, int], distance: int, planar: bool) -> list[int]:
    """List the levels around a voxel, the voxel and those outside the region left out."""
    z, y, x = where
    dz = 0 if planar else distance
    box = levels[
        z - dz : z + dz + 1, y - distance : y + distance + 1, x - distance : x + distance + 1
    ]
    every = box.reshape(-1).tolist()
    every.pop(len(every) // 2)
    return [level for level in every if level != 0]


def slow_differences(levels: Tensor, distance: int, by_slice: bool) -> list[dict]:
    rank = ranks(levels)
    voxels: Counter[tuple[int, int, int]] = Counter()
    totals: Counter[tuple[int, int, int]] = Counter()
    for where in voxels_of(levels):
        level, beside = int(levels[where]), around(levels, where, distance, by_slice)
        if beside:
            cell = (rank[where[0]] if by_slice else 0, level, len(beside))
            voxels[cell] += 1
            totals[cell] += abs(level * len(beside) - sum(beside))
    return [dict(voxels), {cell: n for cell, n in totals.items() if n}]


def slow_dependences(levels: Tensor, distance: int, alpha: int, by_slice: bool) -> dict:
    rank = ranks(levels)
    count: Counter[tuple[int, int, int]] = Counter()
    for where in voxels_of(levels):
        level = int(levels[where])
        alike = [b for b in around(levels, where, distance, by_slice) if abs(b - level) <= alpha]
        count[rank[where[0]] if by_slice else 0, level, 1 + len(alike)] += 1
    return dict(count)


def both(found: Differences) -> list[dict]:
    return [cells(found.voxels), cells(found.totals)]


@patient
@given(st.data(), st.integers(1, 2), st.booleans())
def test_differences_agree_with_a_slow_loop(
    data: st.DataObject, distance: int, by_slice: bool
) -> None:
    levels = data.draw(level_volumes(pad=distance))
    found = differences(levels, distance=distance, by_slice=by_slice)
    assert both(found) == slow_differences(levels, distance, by_slice)


@patient
@given(st.data(), st.integers(1, 2), st.booleans())
def test_the_torch_path_gives_the_same_differences(
    data: st.DataObject, distance: int, by_slice: bool
) -> None:
    levels = data.draw(level_volumes(pad=distance))
    found = _neighbourhood._differences_torch(levels, distance, by_slice=by_slice)
    assert both(found) == slow_differences(levels, distance, by_slice)


@patient
@given(st.data(), st.integers(1, 2), st.integers(0, 2), st.booleans())
def test_dependences_agree_with_a_slow_loop(
    data: st.DataObject, distance: int, alpha: int, by_slice: bool
) -> None:
    levels = data.draw(level_volumes(pad=distance))
    found = dependences(levels, distance=distance, coarseness=alpha, by_slice=by_slice)
    assert cells(found) == slow_dependences(levels, distance, alpha, by_slice)


@patient
@given(st.data(), st.integers(1, 2), st.integers(0, 2), st.booleans())
def test_the_torch_path_gives_the_same_dependences(
    data: st.DataObject, distance: int, alpha: int, by_slice: bool
) -> None:
    levels = data.draw(level_volumes(pad=distance))
    found = _neighbourhood._dependences_torch(levels, distance, alpha, by_slice=by_slice)
    assert cells(found) == slow_dependences(levels, distance, alpha, by_slice)


def test_high_levels_do_not_overflow() -> None:
    levels = torch.nn.functional.pad(torch.full((3, 3, 3), 32767, dtype=torch.int16), (1,) * 6)
    levels[2, 2, 2] = 1
    found = differences(levels)
    assert both(found) == slow_differences(levels, 1, by_slice=False)
    assert cells(dependences(levels, coarseness=32766)) == slow_dependences(levels, 1, 32766, False)


def test_many_levels_are_counted_sparsely_to_the_same_matrices() -> None:
    levels = random_levels(3, (3, 5, 6), share=0.9, top=3, pad=2).to(torch.int32)
    far = torch.where(levels > 0, levels * 20000, 0)
    assert both(differences(far, distance=2)) == slow_differences(far, 2, by_slice=False)
    assert cells(dependences(far, distance=2)) == slow_dependences(far, 2, 0, by_slice=False)


def test_a_voxel_without_neighbours_is_left_out_of_differences_only() -> None:
    levels = torch.zeros(3, 3, 5, dtype=torch.int16)
    levels[1, 1, 1], levels[1, 1, 3] = 2, 5
    assert both(differences(levels)) == [{}, {}]
    assert cells(dependences(levels)) == {(0, 2, 1): 1, (0, 5, 1): 1}


def test_long_rows_fill_whole_vectors_and_more() -> None:
    levels = random_levels(8, (2, 3, 150), share=0.95, top=2)
    assert both(differences(levels)) == slow_differences(levels, 1, by_slice=False)
    assert cells(dependences(levels)) == slow_dependences(levels, 1, 0, by_slice=False)


def test_refuses_a_volume_without_its_border() -> None:
    levels = torch.from_numpy(np.pad(np.ones((3, 3, 3), np.int16), 1))
    with pytest.raises(ShapeError, match="levels must have a border of 2 zeros along axis 0"):
        differences(levels, distance=2)
    with pytest.raises(ShapeError, match="levels must have a border of 3 zeros along axis 0"):
        dependences(levels, distance=3)


@pytest.mark.gpu
@pytest.mark.parametrize("by_slice", [False, True])
def test_the_gpu_gives_the_same_matrices(by_slice: bool) -> None:
    levels = random_levels(5, (9, 20, 21), share=0.8, top=5)
    on_gpu = levels.cuda()
    found = differences(on_gpu, by_slice=by_slice)
    assert both(found) == both(differences(levels, by_slice=by_slice))
    alike = dependences(on_gpu, by_slice=by_slice)
    assert cells(alike) == cells(dependences(levels, by_slice=by_slice))
