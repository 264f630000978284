"""Tests of the grey tone difference features against their definitions."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from texture_cases import random_case

from vesalius.measure._ngtdm import FEATURES, measure_ngtdm
from vesalius.ops._counts import Counts
from vesalius.ops._neighbourhood import Differences, differences


def slow_table(data: NDArray[np.int16]) -> tuple[dict[int, int], dict[int, float]]:
    """Count voxels with neighbours, and sum |level - mean of the neighbours|, by level."""
    n: dict[int, int] = {}
    s: dict[int, float] = {}
    for z, y, x in np.argwhere(data > 0):
        box = data[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].ravel()
        beside = np.delete(box, 13)
        beside = beside[beside > 0]
        level = int(data[z, y, x])
        if len(beside):
            n[level] = n.get(level, 0) + 1
            s[level] = s.get(level, 0.0) + abs(level - beside.mean())
    return n, s


def defined(n: dict[int, int], s: dict[int, float]) -> list[float]:
    """Apply IBSI's definitions, pair by pair."""
    size = sum(n.values())
    p = {i: k / size for i, k in n.items()}
    pairs = [(i, j) for i in p for j in p]
    rough, whole, m = sum(p[i] * s[i] for i in p), sum(s.values()), len(p)
    spread = sum(p[i] * p[j] * (i - j) ** 2 for i, j in pairs) / (m * (m - 1))
    return [
        1 / rough,
        spread * whole / size,
        rough / sum(abs(i * p[i] - j * p[j]) for i, j in pairs),
        sum(abs(i - j) * (p[i] * s[i] + p[j] * s[j]) / (p[i] + p[j]) for i, j in pairs) / size,
        sum((p[i] + p[j]) * (i - j) ** 2 for i, j in pairs) / whole,
    ]


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definitions(seed: int) -> None:
    levels = random_case(seed, (3, 5, 4), top=7).data
    found = measure_ngtdm(differences(levels))[:, 0]
    np.testing.assert_allclose(found, defined(*slow_table(levels.numpy())), rtol=1e-12)


def stack(rows: list[int], counts: list[int]) -> Counts:
    row = torch.tensor(rows, dtype=torch.int64)
    eight = torch.full_like(row, 8)
    return Counts(torch.zeros_like(row), row, eight, torch.tensor(counts, dtype=torch.int64), 1)


def test_a_flat_region_has_complexity_alone() -> None:
    found = measure_ngtdm(Differences(stack([3], [40]), stack([], [])))[:, 0]
    assert np.isnan(found).tolist() == [True, True, True, False, True]
    assert found[3] == 0.0


def test_busyness_is_undefined_where_levels_and_shares_balance() -> None:
    found = measure_ngtdm(Differences(stack([1, 2], [20, 10]), stack([1, 2], [8, 8])))[:, 0]
    assert np.isnan(found[2])
    assert np.isfinite(found[[0, 1, 3, 4]]).all()


def test_nothing_counted_leaves_everything_undefined() -> None:
    assert np.isnan(measure_ngtdm(Differences(stack([], []), stack([], [])))).all()
    assert all(feature.undefined for feature in FEATURES)
