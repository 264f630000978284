"""Tests of the run length counts."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from level_volumes import cells, level_volumes, patient, random_levels, ranks, voxels_of
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops import _runs
from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE
from vesalius.ops._runs import run_lengths

ALL = IN_PLANE + THROUGH_PLANE


def slow_runs(levels: Tensor, by_slice: bool) -> dict[tuple[int, int, int], int]:
    directions = IN_PLANE if by_slice else ALL
    rank = ranks(levels)
    count: Counter[tuple[int, int, int]] = Counter()
    for z, y, x in voxels_of(levels):
        level = int(levels[z, y, x])
        for d, (dz, dy, dx) in enumerate(directions):
            if int(levels[z - dz, y - dy, x - dx]) == level:
                continue
            n = 1
            while int(levels[z + n * dz, y + n * dy, x + n * dx]) == level:
                n += 1
            count[(rank[z] * len(directions) if by_slice else 0) + d, level, n] += 1
    return dict(count)


@patient
@given(level_volumes(top=3), st.booleans())
def test_agrees_with_a_slow_loop(levels: Tensor, by_slice: bool) -> None:
    counts = run_lengths(levels, directions=IN_PLANE if by_slice else ALL, by_slice=by_slice)
    assert cells(counts) == slow_runs(levels, by_slice)


@patient
@given(level_volumes(top=3), st.booleans())
def test_the_torch_path_gives_the_same_matrices(levels: Tensor, by_slice: bool) -> None:
    directions = IN_PLANE if by_slice else ALL
    counts = _runs._runs_torch(levels, directions, by_slice=by_slice)
    assert cells(counts) == slow_runs(levels, by_slice)


def test_every_voxel_is_in_one_run_of_each_direction() -> None:
    levels = random_levels(4, (7, 20, 33), share=0.8, top=3)
    counts = run_lengths(levels)
    voxels = torch.zeros(13, dtype=torch.int64)
    voxels.index_add_(0, counts.matrix, counts.count * counts.column)
    assert voxels.tolist() == [int((levels > 0).sum())] * 13


def test_a_flat_box_has_runs_of_its_edges() -> None:
    levels = torch.nn.functional.pad(torch.full((3, 4, 5), 7, dtype=torch.int16), (1,) * 6)
    counts = run_lengths(levels, directions=((0, 0, 1), (0, 1, 0), (1, 0, 0)))
    assert cells(counts) == {(0, 7, 5): 12, (1, 7, 4): 15, (2, 7, 3): 20}


def test_long_rows_fill_whole_vectors_and_more() -> None:
    levels = random_levels(8, (2, 3, 150), share=0.95, top=2)
    assert cells(run_lengths(levels)) == slow_runs(levels, by_slice=False)


def test_many_levels_are_counted_sparsely_to_the_same_matrices() -> None:
    levels = random_levels(3, (3, 8, 9), share=0.9, top=2, pad=1).to(torch.int32)
    sparse = run_lengths(torch.where(levels > 0, levels * 30000, 0))
    found = {(m, r // 30000, c): n for (m, r, c), n in cells(sparse).items()}
    assert found == cells(run_lengths(levels))


def test_refuses_a_volume_without_its_border() -> None:
    with pytest.raises(ShapeError, match="levels must have a border of 1 zeros along axis 0"):
        run_lengths(torch.ones(3, 3, 3, dtype=torch.int16))


@pytest.mark.gpu
def test_the_gpu_gives_the_same_matrices() -> None:
    levels = random_levels(5, (9, 20, 21), share=0.8, top=5)
    assert cells(run_lengths(levels.cuda())) == cells(run_lengths(levels))
