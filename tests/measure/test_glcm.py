"""Tests of the co-occurrence features against their definitions on dense matrices."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vesalius.measure._glcm import FEATURES, measure_glcm
from vesalius.ops._counts import Counts

LEVELS = 6


def stack(*matrices: NDArray[np.int64]) -> Counts:
    """Give the upper halves of symmetric matrices (grey levels from 1) as sparse counts."""
    upper = np.stack([np.triu(matrix) for matrix in matrices])
    matrix, row, column = (torch.from_numpy(a) for a in np.nonzero(upper))
    count = torch.from_numpy(upper[upper > 0])
    return Counts(matrix, row + 1, column + 1, count, matrices=len(matrices))


def symmetric(seed: int, share: float = 0.7) -> NDArray[np.int64]:
    random = np.random.default_rng(seed)
    half = random.integers(1, 9, (LEVELS, LEVELS)) * (random.random((LEVELS, LEVELS)) < share)
    return half + half.T


def bits(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def defined(matrix: NDArray[np.int64]) -> dict[str, float]:
    """Apply IBSI's definitions to the full matrix, one by one."""
    p = matrix / matrix.sum()
    i, j = np.meshgrid(np.arange(1, LEVELS + 1), np.arange(1, LEVELS + 1), indexing="ij")
    px = p.sum(axis=1)
    gap, both = np.abs(i - j), i + j
    diff = np.array([p[gap == k].sum() for k in range(LEVELS)])
    total = np.array([p[both == k].sum() for k in range(2, 2 * LEVELS + 1)])
    k, s = np.arange(LEVELS), np.arange(2, 2 * LEVELS + 1)
    mean = (px * np.arange(1, LEVELS + 1)).sum()
    variance = ((i - mean) ** 2 * p).sum()
    outer = px[:, None] * px[None]
    hxy1 = -(p * np.log2(np.where(outer > 0, outer, 1))).sum()
    hxy2 = bits(outer)
    off = gap > 0
    return {
        "cm_joint_max": p.max(),
        "cm_joint_avg": mean,
        "cm_joint_var": variance,
        "cm_joint_entr": bits(p),
        "cm_diff_avg": (k * diff).sum(),
        "cm_diff_var": ((k - (k * diff).sum()) ** 2 * diff).sum(),
        "cm_diff_entr": bits(diff),
        "cm_sum_avg": (s * total).sum(),
        "cm_sum_var": ((s - (s * total).sum()) ** 2 * total).sum(),
        "cm_sum_entr": bits(total),
        "cm_energy": (p**2).sum(),
        "cm_contrast": (gap**2 * p).sum(),
        "cm_dissimilarity": (gap * p).sum(),
        "cm_inv_diff": (p / (1 + gap)).sum(),
        "cm_inv_diff_norm": (p / (1 + gap / LEVELS)).sum(),
        "cm_inv_diff_mom": (p / (1 + gap**2)).sum(),
        "cm_inv_diff_mom_norm": (p / (1 + gap**2 / LEVELS**2)).sum(),
        "cm_inv_var": (p[off] / gap[off] ** 2).sum(),
        "cm_corr": ((i - mean) * (j - mean) * p).sum() / variance,
        "cm_auto_corr": (i * j * p).sum(),
        "cm_clust_tend": ((i + j - 2 * mean) ** 2 * p).sum(),
        "cm_clust_shade": ((i + j - 2 * mean) ** 3 * p).sum(),
        "cm_clust_prom": ((i + j - 2 * mean) ** 4 * p).sum(),
        "cm_info_corr1": (bits(p) - hxy1) / bits(px),
        "cm_info_corr2": np.sqrt(1 - np.exp(-2 * (hxy2 - bits(p)))),
    }


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definitions(seed: int) -> None:
    matrix = symmetric(seed)
    found = measure_glcm(stack(matrix), LEVELS)[:, 0]
    wanted = defined(matrix)
    assert [feature.tag for feature in FEATURES] == list(wanted)
    np.testing.assert_allclose(found, list(wanted.values()), rtol=1e-12, atol=1e-12)


def test_the_matrices_of_a_stack_do_not_mix() -> None:
    matrices = [symmetric(seed, 0.5) for seed in range(4)]
    together = measure_glcm(stack(*matrices), LEVELS)
    alone = np.hstack([measure_glcm(stack(matrix), LEVELS) for matrix in matrices])
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_an_empty_matrix_has_no_values() -> None:
    empty = np.zeros((LEVELS, LEVELS), np.int64)
    found = measure_glcm(stack(symmetric(1), empty), LEVELS)
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[:, 1]).all()


def test_one_level_leaves_correlations_undefined() -> None:
    flat = np.zeros((LEVELS, LEVELS), np.int64)
    flat[2, 2] = 8
    found = measure_glcm(stack(flat), LEVELS)[:, 0]
    nan = {feature.tag for feature, value in zip(FEATURES, found, strict=True) if np.isnan(value)}
    assert nan == {"cm_corr", "cm_info_corr1"}
    assert dict(zip((f.tag for f in FEATURES), found, strict=True))["cm_joint_avg"] == 3.0


def test_every_feature_says_when_it_is_undefined() -> None:
    assert all(feature.undefined and feature.formula and feature.code for feature in FEATURES)
    assert len({feature.tag for feature in FEATURES}) == len(FEATURES) == 25
