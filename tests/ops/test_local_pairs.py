"""Local pairs: sums over cubes equal counting each cube from the start."""

import numpy as np
import pytest
import torch

from vesalius.errors import ShapeError
from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE, cooccurrence
from vesalius.ops._local_pairs import local_cooccurrence, local_pair_mean

SOLID = IN_PLANE + THROUGH_PLANE


def volume(seed: int = 0, shape: tuple[int, int, int] = (5, 6, 7)) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 5, shape).astype(np.int16))


def cube(levels: torch.Tensor, centre: tuple[int, ...], radius: int) -> torch.Tensor:
    part = tuple(slice(max(0, c - radius), c + radius + 1) for c in centre)
    return torch.nn.functional.pad(levels[part], (1,) * 6)


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_matrices_equal_those_of_each_cube(radius):
    levels = volume()
    centres = torch.tensor([(0, 0, 0), (2, 3, 3), (4, 5, 6), (0, 5, 2)])
    counts = local_cooccurrence(levels, centres, steps=SOLID, radius=radius)
    assert counts.matrices == 4 * 13
    for k, centre in enumerate(centres.tolist()):
        expected = cooccurrence(cube(levels, tuple(centre), radius), directions=SOLID)
        here = counts.matrix // 13 == k
        assert torch.equal(counts.matrix[here] - 13 * k, expected.matrix)
        assert torch.equal(counts.row[here], expected.row)
        assert torch.equal(counts.column[here], expected.column)
        assert torch.equal(counts.count[here], expected.count)


@pytest.mark.parametrize("step", SOLID)
@pytest.mark.parametrize("radius", [1, 3])
def test_means_equal_those_over_the_pairs_of_each_cube(step, radius):
    levels = volume(1)
    mean = local_pair_mean(levels, lambda a, b: (a - b) ** 2, steps=(step,), radius=radius)
    for centre in ((0, 0, 0), (2, 2, 3), (4, 5, 6)):
        counts = cooccurrence(cube(levels, centre, radius), directions=(step,))
        apart = (counts.row - counts.column).double() ** 2
        weight = counts.count * torch.where(counts.row == counts.column, 1, 2)
        expected = float((weight * apart).sum() / weight.sum()) if len(weight) else float("nan")
        assert float(mean[centre]) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_a_volume_without_a_region_has_no_mean():
    empty = torch.zeros(3, 3, 3, dtype=torch.int16)
    mean = local_pair_mean(empty, lambda a, b: a + b, steps=SOLID, radius=1)
    assert bool(mean.isnan().all())


@pytest.mark.gpu
def test_means_are_the_same_on_the_gpu():
    levels = volume(2, (12, 13, 14))
    here, there = (
        local_pair_mean(x, lambda a, b: (a - b).abs(), steps=SOLID, radius=2)
        for x in (levels, levels.cuda())
    )
    assert torch.equal(here.nan_to_num(), there.cpu().nan_to_num())


def test_a_cube_of_one_voxel_is_refused():
    with pytest.raises(ShapeError, match="radius must be at least 1"):
        local_pair_mean(volume(), lambda a, b: a, steps=SOLID, radius=0)
    with pytest.raises(ShapeError, match="radius must be at least 1"):
        local_cooccurrence(volume(), torch.zeros(1, 3).long(), steps=SOLID, radius=0)
