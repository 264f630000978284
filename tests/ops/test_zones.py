"""Tests of the zone counts."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from level_volumes import cells, level_volumes, patient, random_levels, ranks
from scipy import ndimage
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops import _zones
from vesalius.ops._distance import edge_distance
from vesalius.ops._zones import Zones, zones


def slow_zones(levels: Tensor, depth: Tensor, by_slice: bool) -> list[dict]:
    structure = np.ones((3, 3, 3), int)
    if by_slice:
        structure[[0, 2]] = 0
    rank = ranks(levels)
    sizes: Counter[tuple[int, int, int]] = Counter()
    distances: Counter[tuple[int, int, int]] = Counter()
    for level in set(levels[levels > 0].tolist()):
        label, found = ndimage.label((levels == level).numpy(), structure)
        for k in range(1, found + 1):
            where = label == k
            matrix = rank[int(np.argwhere(where)[0, 0])] if by_slice else 0
            sizes[matrix, level, int(where.sum())] += 1
            distances[matrix, level, int(depth.numpy()[where].min())] += 1
    return [dict(sizes), dict(distances)]


def both(found: Zones) -> list[dict]:
    return [cells(found.sizes), cells(found.distances)]


@patient
@given(level_volumes(top=3), st.booleans())
def test_agrees_with_labelling_each_level(levels: Tensor, by_slice: bool) -> None:
    depth = edge_distance(levels != 0, planar=by_slice)
    assert both(zones(levels, depth, by_slice=by_slice)) == slow_zones(levels, depth, by_slice)


@patient
@given(level_volumes(top=3), st.booleans())
def test_the_torch_path_gives_the_same_matrices(levels: Tensor, by_slice: bool) -> None:
    depth = edge_distance(levels != 0, planar=by_slice)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_zones, "vectorised", lambda levels: True)
        found = zones(levels, depth, by_slice=by_slice)
    assert both(found) == slow_zones(levels, depth, by_slice)


@pytest.mark.parametrize("by_slice", [False, True])
@pytest.mark.parametrize("smooth", [0.0, 1.0, 2.0])
def test_agrees_on_larger_volumes(smooth: float, by_slice: bool) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(12, 30, 31)), smooth)
    data = np.digitize(noise, np.quantile(noise, [0.2, 0.4, 0.6, 0.8]))
    levels = torch.from_numpy(np.pad(data, 1).astype(np.int16))
    depth = edge_distance(torch.from_numpy(np.pad(np.ones_like(data, bool), 1)), planar=by_slice)
    found = zones(levels, depth, by_slice=by_slice)
    assert both(found) == slow_zones(levels, depth, by_slice)


def test_a_spiral_is_one_zone() -> None:
    plane = torch.zeros(9, 9, dtype=torch.int16)
    plane[1:8, 1] = plane[7, 1:8] = plane[1:8, 7] = plane[1, 3:8] = plane[1:6, 3] = 2
    plane[5, 3:6] = 2
    found = zones(plane[None], torch.ones(1, 9, 9, dtype=torch.int32), by_slice=True)
    assert cells(found.sizes) == {(0, 2, int((plane == 2).sum())): 1}


def test_large_zones_are_counted() -> None:
    levels = torch.zeros(3, 202, 202, dtype=torch.int16)
    levels[1, 1:-1, 1:-1] = 500
    levels[1, 50, 50] = 3
    found = zones(levels, torch.ones_like(levels, dtype=torch.int32))
    assert cells(found.sizes) == {(0, 3, 1): 1, (0, 500, 200 * 200 - 1): 1}


def test_the_distance_is_of_the_mask_given_not_of_the_levels() -> None:
    levels = torch.zeros(7, 7, 7, dtype=torch.int16)
    levels[3, 3, 3] = 4
    mask = torch.zeros(7, 7, 7, dtype=torch.bool)
    mask[1:-1, 1:-1, 1:-1] = True
    found = zones(levels, edge_distance(mask))
    assert cells(found.distances) == {(0, 4, 3): 1}


def test_refuses_a_depth_of_another_shape() -> None:
    levels = random_levels(0, (2, 3, 4), share=1.0, top=2)
    with pytest.raises(ShapeError, match=r"depth must have the shape of levels \(4, 5, 6\)"):
        _zones._check_depth(levels, torch.ones(4, 5, 5, dtype=torch.int32))


@pytest.mark.gpu
@pytest.mark.parametrize("by_slice", [False, True])
def test_the_gpu_gives_the_same_matrices(by_slice: bool) -> None:
    levels = random_levels(5, (9, 20, 21), share=0.8, top=3)
    depth = edge_distance(levels != 0, planar=by_slice)
    on_gpu = zones(levels.cuda(), depth.cuda(), by_slice=by_slice)
    assert both(on_gpu) == both(zones(levels, depth, by_slice=by_slice))
