"""Tests of stacks of sparse count matrices."""

import numpy as np
import pytest
import torch
from level_volumes import cells, random_levels

from vesalius.ops import _counts
from vesalius.ops._counts import Counts, coalesce, concatenate, from_table, merge


def entries(seed: int = 0, size: int = 200) -> list[torch.Tensor]:
    random = np.random.default_rng(seed)
    return [torch.from_numpy(random.integers(0, high, size)) for high in (3, 4, 5, 9)]


def summed(columns: list[torch.Tensor]) -> dict[tuple[int, int, int], int]:
    total: dict[tuple[int, int, int], int] = {}
    for m, r, c, n in zip(*(column.tolist() for column in columns), strict=True):
        total[m, r, c] = total.get((m, r, c), 0) + n
    return total


@pytest.mark.parametrize("limit", [1, 1 << 22])
def test_coalesce_adds_up_equal_cells(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(_counts, "TABLE_CELLS", limit)
    columns = entries()
    columns[3] += 1
    assert cells(coalesce(*columns, matrices=3)) == summed(columns)


def test_coalesce_of_nothing_is_empty() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    empty = coalesce(nothing, nothing, nothing, nothing, matrices=4)
    assert (empty.matrices, empty.count.numel()) == (4, 0)


def test_from_table_lists_the_cells_that_are_not_zero() -> None:
    table = np.random.default_rng(1).integers(0, 3, (2, 3, 4)).astype(np.uint32)
    wanted = {(m, r, c): int(n) for (m, r, c), n in np.ndenumerate(table) if n}
    assert cells(from_table(table)) == wanted


def test_merge_adds_matrices() -> None:
    table = np.random.default_rng(1).integers(0, 3, (6, 3, 4)).astype(np.uint32)
    wanted = np.stack([table[::2].sum(0), table[1::2].sum(0)])
    found = merge(from_table(table), torch.arange(6) % 2, matrices=2)
    assert cells(found) == cells(from_table(wanted.astype(np.uint32)))


def test_concatenate_puts_one_behind_the_other() -> None:
    table = np.random.default_rng(1).integers(0, 3, (5, 3, 4)).astype(np.uint32)
    joined = concatenate(from_table(table[:2]), from_table(table[2:]))
    assert isinstance(joined, Counts)
    assert cells(joined) == cells(from_table(table))


def test_rows_cover_exactly_the_region() -> None:
    levels = random_levels(1, (4, 5, 6), share=0.2, top=3).numpy()
    rows = _counts.nonempty_rows(levels)
    flat = levels.reshape(-1)
    covered = np.zeros(flat.size, bool)
    for start, stop in zip(rows.start, rows.stop, strict=True):
        assert flat[int(start)] != 0
        assert flat[int(stop) - 1] != 0
        covered[int(start) : int(stop)] = True
    assert not flat[~covered].any()
    assert rows.slices == len(np.unique(np.nonzero(levels)[0]))
