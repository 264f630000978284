"""The index finds the nearest points: exactly, whatever the block, the copies and the ties."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vesalius.predict._index as module
from vesalius.errors import ExtraError, RegionError
from vesalius.predict.retrieve import build_graph, build_index, recall


def points(count=200, dimensions=6, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def slow(x, queries, own, groups, k):
    """Every distance, sorted by distance and then by row."""
    rows, far = [], []
    for q, mine in zip(queries, own, strict=True):
        apart = [
            (float(np.sqrt(((x[i] - q) ** 2).sum())), i) for i in range(len(x)) if groups[i] != mine
        ]
        best = sorted(apart)[:k]
        rows.append([i for _, i in best])
        far.append([d for d, _ in best])
    return np.array(rows), np.array(far)


class TestExact:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(2, 40), st.integers(1, 7), st.integers(1, 12), st.integers(0, 99))
    def test_agrees_with_every_distance_sorted(self, count, dimensions, k, seed):
        x = points(count, dimensions, seed)
        groups = np.random.default_rng(seed).integers(0, 4, count)
        own = groups[:3]
        if min((groups != mine).sum() for mine in own) < k:
            return
        found = build_index(x, groups).nearest(x[:3], own, k)
        rows, far = slow(x, x[:3], own, groups, k)
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_allclose(found.distances, far, rtol=1e-12)

    def test_agrees_with_scikit_learn(self):
        from sklearn.neighbors import NearestNeighbors

        x = points(500, 20)
        found = build_index(x, np.arange(500)).nearest(x[:50] + 0.1, np.full(50, -1), 7)
        far, rows = (
            NearestNeighbors(n_neighbors=7, algorithm="brute").fit(x).kneighbors(x[:50] + 0.1)
        )
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_allclose(found.distances, far, rtol=1e-9)

    def test_a_point_is_never_its_own_neighbour(self):
        x = points(30)
        own = np.arange(30)
        found = build_index(x, own).nearest(x, own, 5)
        assert not (found.rows == own[:, None]).any()

    def test_points_of_the_own_group_are_left_out(self):
        x = points(30)
        groups = np.arange(30) // 3
        found = build_index(x, groups).nearest(x, groups, 4)
        assert not (groups[found.rows] == groups[:, None]).any()

    def test_does_not_depend_on_the_size_of_the_block(self, monkeypatch):
        x = points(60)
        own = np.arange(60)
        whole = build_index(x, own).nearest(x, own, 3)
        monkeypatch.setattr(module, "_BLOCK", 130)
        parts = build_index(x, own).nearest(x, own, 3)
        np.testing.assert_array_equal(parts.rows, whole.rows)
        np.testing.assert_array_equal(parts.distances, whole.distances)

    def test_keeps_small_distances_that_products_lose(self):
        # far from the origin |a|^2 + |b|^2 - 2ab has no digit left of 1e-6
        x = points(50) + 1e3
        x[7] = x[3]
        x[7, 0] += 1e-6
        found = build_index(x, np.arange(50)).nearest(x[3:4], np.array([3]), 1)
        assert found.rows[0, 0] == 7
        assert found.distances[0, 0] == pytest.approx(1e-6, rel=1e-3)

    def test_counts_ties_beyond_the_last_and_takes_the_first(self):
        x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [5.0, 5.0]])
        found = build_index(x, np.arange(6)).nearest(x[:1], np.array([0]), 2)
        assert found.rows.tolist() == [[1, 2]]
        assert found.tied.tolist() == [2]

    def test_a_copy_is_at_distance_zero(self):
        x = points(10)
        x[4] = x[2]
        found = build_index(x, np.arange(10)).nearest(x[2:3], np.array([2]), 1)
        assert (found.rows[0, 0], found.distances[0, 0]) == (4, 0.0)

    def test_no_query_gives_no_rows(self):
        found = build_index(points(5), np.arange(5)).nearest(points(0), np.zeros(0, int), 2)
        assert found.rows.shape == (0, 2)

    @pytest.mark.parametrize("k", [0, -1, 5])
    def test_refuses_more_neighbours_than_there_are(self, k):
        x = points(5)
        with pytest.raises(RegionError, match="from 1 to the 4 cases"):
            build_index(x, np.arange(5)).nearest(x[:1], np.array([0]), k)


class TestGraph:
    def test_finds_nearly_all_true_neighbours_with_exact_distances(self):
        x, own = points(1500, 8), np.arange(1500)
        truth = build_index(x, own).nearest(x[::30], own[::30], 10)
        found = build_graph(x, own).nearest(x[::30], own[::30], 10)
        assert recall(found, truth) > 0.95
        same = found.rows == truth.rows
        np.testing.assert_allclose(found.distances[same], truth.distances[same], rtol=1e-12)

    def test_leaves_out_a_whole_group(self):
        x, groups = points(120, 4), np.arange(120) // 40
        found = build_graph(x, groups).nearest(x[:5], groups[:5], 6)
        assert (groups[found.rows] != 0).all()

    def test_gives_as_many_as_were_asked_for_to_the_last_one(self):
        x, own = points(12, 3), np.arange(12)
        found = build_graph(x, own).nearest(x[:1], own[:1], 11)
        assert sorted(found.rows[0].tolist()) == list(range(1, 12))

    def test_is_the_same_twice(self):
        x, own = points(400, 5), np.arange(400)
        a = build_graph(x, own).nearest(x[:20], own[:20], 5)
        b = build_graph(x, own).nearest(x[:20], own[:20], 5)
        np.testing.assert_array_equal(a.rows, b.rows)

    def test_refuses_more_neighbours_than_there_are(self):
        x = points(6)
        with pytest.raises(RegionError, match="got 6"):
            build_graph(x, np.arange(6)).nearest(x[:1], np.array([0]), 6)

    def test_names_the_extra_that_is_absent(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "usearch.index", None)
        with pytest.raises(ExtraError, match="extra 'ann'"):
            build_graph(points(5), np.arange(5))


class TestRecall:
    def test_is_the_share_of_true_neighbours(self):
        x = np.arange(10.0)[:, None]
        truth = build_index(x, np.arange(10)).nearest(x[:1], np.array([0]), 4)
        worse = build_index(x[[0, 1, 2, 8, 9]], np.arange(5)).nearest(x[:1], np.array([0]), 4)
        assert recall(truth, truth) == 1.0
        assert recall(worse, truth) == 0.5

    def test_counts_another_point_that_is_as_far(self):
        x = np.array([[0.0], [1.0], [-1.0]])
        index = build_index(x, np.arange(3))
        truth = index.nearest(x[:1], np.array([0]), 1)
        other = build_index(x[[0, 2]], np.arange(2)).nearest(x[:1], np.array([0]), 1)
        assert recall(other, truth) == 1.0
