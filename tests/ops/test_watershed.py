"""Watershed: equal to a slow flood and to scikit-image, lines, compactness, touching objects."""

import heapq

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.ops._rank_queue import levels, lowest, mark, ranked, unmark
from vesalius.ops._watershed import Flood, neighbour_steps, split_touching, watershed


def scene(seed, shape, *, whole):
    rng = np.random.default_rng(seed)
    height = rng.integers(0, 12, shape) if whole else rng.random(shape)
    markers = np.zeros(shape, np.int32)
    markers.reshape(-1)[rng.choice(markers.size, 8, replace=False)] = np.arange(1, 9)
    mask = rng.random(shape) > 0.2
    markers.reshape(-1)[0] = 9
    mask.reshape(-1)[0] = True
    return height, markers, mask


def slow_flood(height, markers, mask):
    """Flood a plane with a heap: lowest first, then first in first out."""
    labels, heap, age = markers * mask, [], 0
    for at in np.argwhere(labels):
        heapq.heappush(heap, (height[tuple(at)], age, tuple(at)))
        age += 1
    while heap:
        level, _, (y, x) = heapq.heappop(heap)
        for j, i in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            if 0 <= j < height.shape[0] and 0 <= i < height.shape[1]:
                if labels[j, i] or not mask[j, i]:
                    continue
                labels[j, i] = labels[y, x]
                heapq.heappush(heap, (max(level, height[j, i]), age, (j, i)))
                age += 1
    return labels


def tensors(*arrays):
    return tuple(torch.from_numpy(a) for a in arrays)


@given(st.integers(0, 10_000), st.booleans())
def test_agrees_with_a_slow_flood(seed, whole):
    height, markers, mask = scene(seed, (1, 11, 13), whole=whole)
    found = watershed(*tensors(height, markers, mask))
    np.testing.assert_array_equal(found[0].numpy(), slow_flood(height[0], markers[0], mask[0]))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("touch", ["faces", "corners"])
@pytest.mark.parametrize("shape", [(9, 8, 11), (1, 20, 23)])
def test_agrees_with_scikit_image(seed, touch, shape):
    from skimage.segmentation import watershed as oracle

    height, markers, mask = scene(seed, shape, whole=False)
    squeezed = [a.squeeze() for a in (height, markers, mask)]
    connectivity = 1 if touch == "faces" else squeezed[0].ndim
    expected = oracle(*squeezed[:2], mask=squeezed[2], connectivity=connectivity)
    found = watershed(*tensors(height, markers, mask), Flood(touch))
    np.testing.assert_array_equal(found.numpy(), expected.reshape(shape))


@pytest.mark.parametrize("seed", range(6))
def test_compact_basins_agree_with_scikit_image(seed):
    from skimage.segmentation import watershed as oracle

    height, markers, mask = scene(seed, (9, 8, 11), whole=False)
    found = watershed(*tensors(height, markers, mask), Flood(compactness=0.5))
    expected = oracle(height, markers, mask=mask, compactness=0.5)
    np.testing.assert_array_equal(found.numpy(), expected)


def test_compactness_follows_the_spacing():
    flat = torch.zeros(1, 21, 21)
    markers = torch.zeros(1, 21, 21, dtype=torch.int32)
    markers[0, 10, 2], markers[0, 10, 18] = 1, 2
    found = watershed(flat, markers, None, Flood(compactness=1.0, spacing=(1.0, 3.0, 0.5)))
    assert int((found == 1).sum()) in range(10 * 21, 11 * 21 + 1)
    assert bool((found[0, :, :10] == 1).all())


@pytest.mark.parametrize("seed", range(6))
def test_lines_separate_all_basins_and_are_thin(seed):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).random((1, 24, 24))
    height = torch.from_numpy(gaussian_filter(noise, (0, 2, 2)))
    _, markers, _ = scene(seed, (1, 24, 24), whole=False)
    found = watershed(height, torch.from_numpy(markers), None, Flood(lines=True))[0].numpy()
    drawn = markers[0] > 0
    pairs = ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]))
    for here, there in pairs:
        a, b = found[here], found[there]
        touching = drawn[here] & drawn[there]  # markers that touch leave no room for a line
        assert not ((a != b) & (a > 0) & (b > 0) & ~touching).any()
    full = watershed(height, torch.from_numpy(markers))[0].numpy()
    assert (found[markers[0] > 0] == markers[0][markers[0] > 0]).all()
    assert 0 < (found == 0).sum() < 0.5 * found.size
    # a line is dry: what could be reached only across it is flooded from the other side
    assert (found == full)[found > 0].mean() > 0.93


def test_a_pass_in_sixteen_bits_is_seen_exactly():
    height = torch.tensor([[[0, 40_001, 40_000, 40_002, 0]]], dtype=torch.int32)
    markers = torch.tensor([[[1, 0, 0, 0, 2]]])
    assert watershed(height, markers).flatten().tolist() == [1, 1, 1, 2, 2]


def test_water_does_not_pass_the_mask():
    markers = torch.zeros(1, 3, 9, dtype=torch.int64)
    markers[0, 1, 0] = 7
    mask = torch.ones(1, 3, 9, dtype=torch.bool)
    mask[:, :, 4] = False
    found = watershed(torch.zeros(1, 3, 9), markers, mask)
    assert bool((found[:, :, :4] == 7).all())
    assert not bool(found[:, :, 4:].any())


def test_leaves_its_input_as_it_is():
    height, markers, mask = tensors(*scene(3, (5, 6, 7), whole=True))
    before = [t.clone() for t in (height, markers, mask)]
    watershed(height, markers, mask)
    assert all(torch.equal(a, b) for a, b in zip(before, (height, markers, mask), strict=True))


def balls(*centres, radius, shape):
    axes = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    inside = torch.zeros(shape, dtype=torch.bool)
    for centre in centres:
        inside |= sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2
    return inside


@pytest.mark.parametrize(
    ("shape", "centres"),
    [((1, 30, 50), ((0, 15, 15), (0, 15, 33))), ((26, 26, 42), ((13, 13, 12), (13, 13, 29)))],
)
def test_splits_two_touching_balls_in_the_middle(shape, centres):
    parts = split_touching(balls(*centres, radius=10, shape=shape), (1.0, 1.0, 1.0), 1.0)
    sizes = parts[parts > 0].bincount()[1:]
    assert len(sizes) == 2
    assert abs(int(sizes[0]) - int(sizes[1])) <= 0.06 * int(sizes.sum())
    assert parts[tuple(centres[0])] != parts[tuple(centres[1])]


def test_a_greater_depth_splits_less():
    mask = balls((0, 15, 15), (0, 15, 33), radius=10, shape=(1, 30, 50))
    counts = [int(split_touching(mask, (1.0, 1.0, 1.0), h).max()) for h in (0.5, 2.0, 20.0)]
    assert counts == [2, 2, 1]


def test_the_depth_has_the_unit_of_the_spacing():
    mask = balls((0, 15, 15), (0, 15, 33), radius=10, shape=(1, 30, 50))
    assert int(split_touching(mask, (0.1, 0.1, 0.1), 0.2).max()) == 2
    assert int(split_touching(mask, (0.1, 0.1, 0.1), 2.0).max()) == 1


def test_a_full_mask_is_one_part_and_an_empty_one_none():
    assert (
        int(split_touching(torch.ones(1, 9, 9, dtype=torch.bool), (1.0, 1.0, 1.0), 1.0).max()) == 1
    )
    assert not split_touching(torch.zeros(3, 4, 5, dtype=torch.bool), (1.0, 1.0, 1.0), 1.0).any()


def test_refuses_markers_of_another_shape():
    with pytest.raises(ShapeError, match="markers must have the shape of the height"):
        watershed(torch.zeros(1, 4, 4), torch.ones(1, 4, 5, dtype=torch.int32))


def test_refuses_a_height_that_is_not_a_number():
    with pytest.raises(IntensityError, match="heights must be numbers, got NaN"):
        watershed(torch.full((1, 4, 4), torch.nan), torch.ones(1, 4, 4, dtype=torch.int32))


@pytest.mark.parametrize("value", [0, -1, 2**31])
def test_refuses_markers_that_mark_nothing(value):
    markers = torch.full((1, 4, 4), value, dtype=torch.int64)
    with pytest.raises(RegionError, match=r"markers must have positive values below 2\^31"):
        watershed(torch.zeros(1, 4, 4), markers)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_refuses_a_negative_compactness(value):
    with pytest.raises(ConfigError, match="compactness must be 0 or a positive number"):
        Flood(compactness=value)


@given(st.lists(st.integers(-50, 50), max_size=60), st.booleans())
def test_ranks_keep_the_order(values, real):
    array = np.array(values, np.float32 if real else np.int64)
    ranks, count = ranked(array)
    assert ((array[:, None] < array) == (ranks[:, None] < ranks)).all()
    assert all(0 <= r < count for r in ranks)


def test_integers_far_apart_are_sorted_instead():
    ranks, count = ranked(np.array([-(2**40), 5, 2**40, 5]))
    assert (ranks.tolist(), count) == ([0, 1, 2, 1], 3)


@given(st.sets(st.integers(0, 70_000), min_size=1, max_size=40))
def test_the_bit_tree_gives_ranks_in_order(there):
    starts = levels(70_001)
    words = np.zeros(starts[-1], np.uint64)
    for rank in there:
        mark(words, starts, rank)
    got = []
    while (rank := lowest(words, starts)) >= 0:
        got.append(rank)
        unmark(words, starts, rank)
    assert got == sorted(there)


def test_neighbours_of_a_plane_lie_in_it():
    assert neighbour_steps((1, 5, 7), "faces").tolist() == [-7, -1, 1, 7]
    assert len(neighbour_steps((4, 5, 7), "corners")) == 26
