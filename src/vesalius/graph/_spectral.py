"""Spectra of graphs: first eigenvectors, the Fiedler vector, spectral clusters, normalised cuts."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.graph._graph import Graph, LaplacianKind, laplacian
from vesalius.graph._kmeans import kmeans

_DENSE = 400
"""Graphs up to so many nodes are solved densely: exact, and as fast."""

_SHIFT = -1e-2
"""Of the eigenvalue solver, in units of the mean degree: a little below the spectrum, so that the
factorised matrix is positive definite although the Laplacian is singular."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """The smallest eigenvalues of a Laplacian, with their vectors.

    Attributes:
        values: Increasing; the first is 0.
        vectors: One column each, unit length; the entry of largest magnitude is positive.
    """

    values: Float[Tensor, " k"]
    vectors: Float[Tensor, "n k"]


def spectrum(graph: Graph, count: int, *, kind: LaplacianKind = "combinatorial") -> Spectrum:
    """Find the first eigenvectors of a graph's Laplacian.

    Small graphs are solved densely, larger ones by Lanczos' method on the inverse, shifted a
    little below zero (the small eigenvalues, close together, become large and far apart).

    Args:
        graph: Undirected.
        count: Eigenvectors, 1 to the number of nodes.
        kind: Of the Laplacian. ``"random walk"`` gives the vectors of the generalised problem
            (D - W) v = l D v, which normalised cuts need.

    Returns:
        Eigenvalues and vectors, float64.

    Raises:
        ConfigError: ``count`` is below 1 or above the number of nodes.
    """
    if not 1 <= count <= graph.nodes:
        raise ConfigError(f"count must be 1 to the number of nodes, {graph.nodes}, got {count}")
    symmetric: LaplacianKind = "combinatorial" if kind == "combinatorial" else "symmetric"
    whole = Graph(graph.nodes, graph.edges, graph.weights.double())
    values, vectors = _smallest(laplacian(whole, symmetric), count)
    if kind == "random walk":
        degrees = whole.degrees.cpu().numpy()
        vectors = vectors / np.sqrt(np.where(degrees > 0, degrees, 1.0))[:, None]
        vectors = vectors / np.linalg.norm(vectors, axis=0)
    top = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[top, np.arange(count)] < 0, -1.0, 1.0)
    device = graph.weights.device
    return Spectrum(
        torch.from_numpy(np.maximum(values, 0.0)).to(device), torch.from_numpy(vectors).to(device)
    )


def _smallest(matrix: Tensor, count: int) -> tuple[Any, Any]:
    n = matrix.shape[0]
    if n <= _DENSE or count >= n - 1:
        from scipy.linalg import eigh

        return tuple(eigh(matrix.to_dense().cpu().numpy(), subset_by_index=[0, count - 1]))
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import eigsh

    index = matrix.indices().cpu().numpy()
    sparse = csc_matrix((matrix.values().cpu().numpy(), index), shape=(n, n))
    shift = _SHIFT * max(float(sparse.diagonal().mean()), 1e-12)
    start = np.cos(np.arange(n) * 0.7) + 1.5  # any vector that no eigenvector is at right angles to
    values, vectors = eigsh(sparse, k=count, sigma=shift, which="LM", v0=start)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def fiedler(graph: Graph, *, kind: LaplacianKind = "combinatorial") -> Float[Tensor, " n"]:
    """Give the eigenvector of the second smallest eigenvalue: the softest way to split a graph.

    The first one is known without work (constant for the combinatorial Laplacian): it splits
    nothing and is left out. In a graph that falls apart the second eigenvalue is 0 too, and the
    vector tells the parts from each other.

    Args:
        graph: At least two nodes.
        kind: Of the Laplacian.

    Returns:
        Unit length, float64.

    Raises:
        ConfigError: There are fewer than two nodes.

    References:
        Fiedler (1973), doi:10.21136/CMJ.1973.101168.
    """
    if graph.nodes < 2:
        raise ConfigError(f"a Fiedler vector needs at least two nodes, got {graph.nodes}")
    return spectrum(graph, 2, kind=kind).vectors[:, 1]


def spectral_clusters(
    graph: Graph, count: int, *, generator: torch.Generator
) -> Int64[Tensor, " n"]:
    """Group nodes by the rows of the first eigenvectors of the symmetric Laplacian.

    Args:
        graph: With at least ``count`` nodes.
        count: Number of groups.
        generator: Of the k-means on the rows.

    Returns:
        Group of each node, 0 to ``count`` - 1.

    Raises:
        ConfigError: ``count`` is below 1 or above the number of nodes.

    References:
        Ng, Jordan & Weiss (2001), "On spectral clustering: analysis and an algorithm".
    """
    rows = spectrum(graph, count, kind="symmetric").vectors
    length = rows.norm(dim=1, keepdim=True)
    rows = rows / torch.where(length > 0, length, torch.ones_like(length))
    tries = [kmeans(rows, count, generator=generator) for _ in range(5)]
    return min(tries, key=lambda groups: groups.inertia).labels


def normalised_cut(
    graph: Graph, *, most: float = 0.2, count: int = 64, least: int = 2
) -> Int64[Tensor, " n"]:
    """Split a graph in two again and again, each time where the normalised cut is least.

    Cut(A, B) / assoc(A, all) + cut(A, B) / assoc(B, all), the associations taken within the part
    that is split. The second generalised eigenvector orders the nodes; every place of that order
    is tried. The part with the least cut is split first.

    Args:
        graph: Undirected.
        most: A split with a larger normalised cut (0 to 2) is not made.
        count: Groups at most.
        least: Nodes of a part at least.

    Returns:
        Group of each node, from 0, numbered by the first node of each.

    Raises:
        ConfigError: ``count`` or ``least`` is below 1, or ``most`` is negative.

    References:
        Shi & Malik (2000), doi:10.1109/34.868688, eq. (2), (11) and section 3. Differs from it
        in: all splitting points are tried, not an even choice of them; no stability test.
    """
    if count < 1 or least < 1 or not most >= 0:
        raise ConfigError(
            f"count and least must be at least 1 and most at least 0, got {count}, {least}, {most}"
        )
    from scipy.sparse import coo_matrix

    ends, weights = graph.edges.cpu().numpy(), graph.weights.double().cpu().numpy()
    half = coo_matrix((weights, (ends[:, 0], ends[:, 1])), shape=(graph.nodes, graph.nodes))
    matrix = (half + half.T).tocsr()
    waiting = [_best_split(matrix, np.arange(graph.nodes), least)]
    while len(waiting) < count:
        next_ = min(range(len(waiting)), key=lambda i: waiting[i][0])
        if not waiting[next_][0] <= most:
            break
        _, one, other = waiting.pop(next_)
        waiting += [_best_split(matrix, one, least), _best_split(matrix, other, least)]
    labels = np.zeros(graph.nodes, dtype=np.int64)
    groups = [np.concatenate([one, other]) for _, one, other in waiting]
    for k, nodes in enumerate(sorted(groups, key=lambda nodes: int(nodes.min()))):
        labels[nodes] = k
    return torch.from_numpy(labels).to(graph.edges.device)


def _best_split(matrix: Any, nodes: Any, least: int) -> tuple[float, Any, Any]:
    """Give the least normalised cut of a part, and its two sides (infinite where none is)."""
    none = (float("inf"), nodes, nodes[:0])
    if len(nodes) < 2 * least:
        return none
    part = matrix[nodes][:, nodes].tocoo()
    upper = part.row < part.col
    edges = torch.from_numpy(np.stack([part.row[upper], part.col[upper]], axis=1).astype(np.int64))
    graph = Graph(len(nodes), edges, torch.from_numpy(part.data[upper]))
    order = np.argsort(fiedler(graph, kind="random walk").cpu().numpy(), kind="stable")
    place = np.empty(len(nodes), dtype=np.int64)
    place[order] = np.arange(len(nodes))
    # an edge is cut by every splitting point that lies between its two ends
    low, high = np.sort(place[edges.numpy()], axis=1).T
    weights = graph.weights.numpy()
    change = np.bincount(low, weights, len(nodes)) - np.bincount(high, weights, len(nodes))
    cut = np.cumsum(change)[:-1]
    volume = np.cumsum(graph.degrees.numpy()[order])
    inside, outside = volume[:-1], volume[-1] - volume[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.where(cut <= 1e-12 * max(volume[-1], 1e-300), 0.0, cut / inside + cut / outside)
    cost[: least - 1] = np.inf
    cost[len(cost) - (least - 1) :] = np.inf
    at = int(np.argmin(cost))
    return (float(cost[at]), nodes[np.sort(order[: at + 1])], nodes[np.sort(order[at + 1 :])])
