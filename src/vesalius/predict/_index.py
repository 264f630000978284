"""Index: the nearest of many points, exactly and in blocks, or approximately by a graph."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ExtraError, RegionError
from vesalius.predict._table import Floats

Ints = NDArray[np.int64]

_BLOCK = 4_000_000
"""Distances that are held at once."""
_SAME = 1e-9
"""Distances that differ by less than this share are equal: the rest is rounding."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The nearest points of each query, the nearest first; of equals the one that stands first.

    Attributes:
        rows: (queries, k) which points.
        distances: (queries, k) Euclidean.
        tied: (queries,) how many further points are as far as the last.
    """

    rows: Ints
    distances: Floats
    tied: Ints


@final
@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Points among which is searched.

    Attributes:
        points: (points, dimensions), finite.
        groups: (points,) whose each point is; a query never finds points of its own group.
        squares: (points,) squared length of each.
    """

    points: Floats = field(repr=False)
    groups: Ints = field(repr=False)
    squares: Floats = field(repr=False)

    def nearest(self, queries: Floats, own: Ints, k: int) -> Nearest:
        """Find the nearest points by comparing with every one.

        Candidates come from matrix products; their distances are then taken from differences, so
        that those of near copies are not lost in rounding.

        Args:
            queries: (queries, dimensions), finite.
            own: (queries,) group of each; negative for none.
            k: How many are wanted.

        Returns:
            The nearest.

        Raises:
            RegionError: There are fewer points of other groups.
        """
        block = max(1, _BLOCK // max(len(self.points), 1))
        found = [
            self._block(queries[low : low + block], own[low : low + block], k)
            for low in range(0, len(queries), block)
        ]
        rows = [row for part in found for row in part]
        return Nearest(
            np.array([row[0] for row in rows], dtype=np.int64).reshape(len(rows), k),
            np.array([row[1] for row in rows], dtype=np.float64).reshape(len(rows), k),
            np.array([row[2] for row in rows], dtype=np.int64),
        )

    def _block(self, queries: Floats, own: Ints, k: int) -> list[tuple[Ints, Floats, int]]:
        lengths = np.einsum("ij,ij->i", queries, queries)
        squares = queries @ self.points.T
        squares *= -2.0
        squares += self.squares
        squares += lengths[:, None]
        # what the products may be wrong by
        slack = 1e-13 * (lengths + self.squares.max(initial=0.0))
        return [
            self._row(queries[i], own[i], squares[i], k, float(slack[i]))
            for i in range(len(queries))
        ]

    def _row(
        self, query: Floats, own: np.int64, squares: Floats, k: int, slack: float
    ) -> tuple[Ints, Floats, int]:
        squares[self.groups == own] = np.inf
        check_enough(int(np.isfinite(squares).sum()), k)
        last = float(np.partition(squares, k - 1)[k - 1])
        close = np.flatnonzero(squares <= last * (1 + 2 * _SAME) + 2 * slack)
        distances = np.sqrt(np.square(self.points[close] - query).sum(axis=1))
        return _first(close, distances, k)


def build_index(points: Floats, groups: Ints) -> Index:
    """Make points ready to be searched.

    Args:
        points: (points, dimensions), finite, best with mean 0.
        groups: (points,) whose each point is.

    Returns:
        The index; it holds the points, not a copy.
    """
    return Index(points, groups, np.einsum("ij,ij->i", points, points))


@final
@dataclass(frozen=True, slots=True, eq=False)
class GraphIndex:
    """Points in a graph of neighbours (HNSW), searched approximately in float32.

    Attributes:
        points: (points, dimensions), finite.
        groups: (points,) whose each point is.
        graph: Of usearch.

    References:
        Malkov & Yashunin (2020), doi:10.1109/TPAMI.2018.2889473.
    """

    points: Floats = field(repr=False)
    groups: Ints = field(repr=False)
    graph: Any = field(repr=False)

    def nearest(self, queries: Floats, own: Ints, k: int) -> Nearest:
        """Find points that are near, most of them the nearest; distances are exact.

        Args:
            queries: (queries, dimensions), finite.
            own: (queries,) group of each; negative for none.
            k: How many are wanted.

        Returns:
            What was found; ties are those among the candidates.

        Raises:
            RegionError: There are fewer points of other groups.
        """
        rows = [self._row(query, int(mine), k) for query, mine in zip(queries, own, strict=True)]
        return Nearest(
            np.array([row[0] for row in rows], dtype=np.int64).reshape(len(rows), k),
            np.array([row[1] for row in rows], dtype=np.float64).reshape(len(rows), k),
            np.array([row[2] for row in rows], dtype=np.int64),
        )

    def _row(self, query: Floats, own: int, k: int) -> tuple[Ints, Floats, int]:
        mine = int((self.groups == own).sum())
        check_enough(len(self.points) - mine, k)
        asked = min(len(self.points), 4 * k + mine)
        while True:
            match = self.graph.search(query.astype(np.float32), asked, threads=1)
            keys = np.sort(np.asarray(match.keys, dtype=np.int64))
            keys = keys[self.groups[keys] != own]
            if len(keys) >= k:
                break
            if asked >= len(self.points):  # the graph does not reach all of them
                keys = np.flatnonzero(self.groups != own)
                break
            asked = min(len(self.points), 4 * asked)
        return _first(keys, np.sqrt(np.square(self.points[keys] - query).sum(axis=1)), k)


def build_graph(points: Floats, groups: Ints) -> GraphIndex:
    """Make points ready to be searched approximately; slow once, fast for every query after.

    Args:
        points: (points, dimensions), finite.
        groups: (points,) whose each point is.

    Returns:
        The index; the same points give the same graph.

    Raises:
        ExtraError: usearch is not installed.
    """
    try:
        usearch = import_module("usearch.index")
    except ImportError as error:
        raise ExtraError(
            "an approximate search must have the extra 'ann' (usearch), it is not installed: "
            "pip install 'vesalius[ann]', or search exactly"
        ) from error
    graph = usearch.Index(ndim=points.shape[1], metric="l2sq", dtype="f32")
    # one thread: with more the graph would depend on who comes first
    graph.add(np.arange(len(points)), points.astype(np.float32), threads=1)
    return GraphIndex(points, groups, graph)


def recall(found: Nearest, truth: Nearest) -> float:
    """Give the share of the true neighbours that were found; equally far ones count as such.

    Args:
        found: Approximately.
        truth: Exactly, of the same queries and as many neighbours.

    Returns:
        From 0 to 1.
    """
    limit = truth.distances[:, -1:] * (1 + _SAME)
    return float((found.distances <= limit).mean())


def check_enough(there: int, k: int) -> None:
    """Refuse to look for more neighbours than there are.

    Args:
        there: Cases that may be neighbours.
        k: How many are wanted.

    Raises:
        RegionError: There are fewer, or none is wanted.
    """
    if k < 1 or there < k:
        raise RegionError(
            f"the number of similar cases must be from 1 to the {there} cases that may be "
            f"neighbours, got {k}: ask for fewer, or give more cases"
        )


def _first(rows: Ints, distances: Floats, k: int) -> tuple[Ints, Floats, int]:
    order = np.lexsort((rows, distances))
    kept = order[:k]
    last = float(distances[kept[-1]])
    tied = int((distances <= last * (1 + _SAME)).sum()) - k
    return rows[kept], distances[kept], tied
