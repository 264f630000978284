"""Tests of the emphases against their definitions on dense matrices, and of the four families."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vesalius.measure import _gldzm, _glrlm, _glszm, _ngldm
from vesalius.measure._emphasis import emphases
from vesalius.measure._stack import Floats
from vesalius.ops._counts import Counts


def stack(*matrices: NDArray[np.int64]) -> Counts:
    """Give dense matrices (levels and lengths from 1) as sparse counts."""
    dense = np.stack(matrices)
    matrix, row, column = (torch.from_numpy(a) for a in np.nonzero(dense))
    return Counts(matrix, row + 1, column + 1, torch.from_numpy(dense[dense > 0]), len(matrices))


def matrix(seed: int) -> NDArray[np.int64]:
    random = np.random.default_rng(seed)
    return random.integers(1, 9, (5, 7)) * (random.random((5, 7)) < 0.6)


def defined(n: NDArray[np.int64], voxels: float) -> Floats:
    """Apply IBSI's definitions to the dense matrix, one by one."""
    i, j = np.meshgrid(np.arange(1, 6), np.arange(1, 8), indexing="ij")
    total = n.sum()
    p = n / total
    some = p[p > 0]
    return np.array(
        [
            (p / j**2).sum(),
            (p * j**2).sum(),
            (p / i**2).sum(),
            (p * i**2).sum(),
            (p / (i * j) ** 2).sum(),
            (p * i**2 / j**2).sum(),
            (p * j**2 / i**2).sum(),
            (p * i**2 * j**2).sum(),
            (n.sum(axis=1) ** 2).sum() / total,
            (n.sum(axis=1) ** 2).sum() / total**2,
            (n.sum(axis=0) ** 2).sum() / total,
            (n.sum(axis=0) ** 2).sum() / total**2,
            total / voxels,
            (p * (i - (p * i).sum()) ** 2).sum(),
            (p * (j - (p * j).sum()) ** 2).sum(),
            -(some * np.log2(some)).sum(),
        ]
    )


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definitions(seed: int) -> None:
    n = matrix(seed)
    found = emphases(stack(n), np.array([123.0]))
    np.testing.assert_allclose(found[:, 0], defined(n, 123.0), rtol=1e-12, atol=1e-12)


def test_the_matrices_of_a_stack_do_not_mix() -> None:
    every = [matrix(seed) for seed in range(4)]
    found = emphases(stack(*every), np.array([1.0, 2.0, 3.0, 4.0]))
    wanted = np.stack([defined(n, 1.0 + k) for k, n in enumerate(every)], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_long_length_is_counted_once_for_each_matrix() -> None:
    n = torch.tensor([3, 1, 2, 1])
    matrices, levels = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 2, 1, 3])
    lengths = torch.tensor([1, 1_000_000, 2, 1_000_000])
    found = emphases(Counts(matrices, levels, lengths, n, 2), np.ones(2))
    assert found[1].tolist() == pytest.approx([(3 + 1e12) / 4, (8 + 1e12) / 3], rel=1e-14)
    assert found[10].tolist() == pytest.approx([(9 + 1) / 4, (4 + 1) / 3], rel=1e-14)


def test_one_cell_has_no_entropy_and_no_variance() -> None:
    n = np.zeros((5, 7), np.int64)
    n[2, 3] = 11
    found = emphases(stack(n), np.array([44.0]))[:, 0]
    assert found[13:].tolist() == [0.0, 0.0, 0.0]
    assert not np.signbit(found[15])


def test_the_percentage_is_of_the_voxels() -> None:
    n = matrix(1)
    covered = (n * np.arange(1, 8)).sum()
    assert _glrlm.measure_glrlm(stack(n))[12, 0] == n.sum() / covered
    assert _glszm.measure_glszm(stack(n))[12, 0] == n.sum() / covered
    assert _gldzm.measure_gldzm(stack(n), np.array([50.0]))[12, 0] == n.sum() / 50
    assert _ngldm.measure_ngldm(stack(n))[12, 0] == 1.0


def test_dependences_have_an_energy() -> None:
    n = matrix(2)
    found = _ngldm.measure_ngldm(stack(n))
    np.testing.assert_allclose(found[16, 0], ((n / n.sum()) ** 2).sum(), rtol=1e-13)


@pytest.mark.parametrize(
    ("module", "size"), [(_glrlm, 16), (_glszm, 16), (_gldzm, 16), (_ngldm, 17)]
)
def test_the_catalogue_fits_the_arithmetic(module: object, size: int) -> None:
    features = module.FEATURES
    assert len({feature.tag for feature in features}) == len(features) == size
    assert len({feature.code for feature in features}) == size
    order = [feature.tag.split("_", 1)[1] for feature in features]
    assert order[8:10] == ["glnu", "glnu_norm"]
    assert order[13] == "gl_var"
    assert "perc" in order[12]
    assert order[15].endswith("_entr")
