"""Graphs and Laplacians: lattices and regions are joined as they touch."""

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import laplacian as reference

from vesalius.errors import RegionError, ShapeError
from vesalius.graph import Graph, laplacian, lattice_graph, region_graph


def path(n=5):
    """Nodes in a row, weight 1, 2, 3, ..."""
    first = torch.arange(n - 1)
    return Graph(n, torch.stack([first, first + 1], dim=1), torch.arange(1.0, n).double())


def dense(graph):
    out = np.zeros((graph.nodes, graph.nodes))
    for (a, b), w in zip(graph.edges.tolist(), graph.weights.tolist(), strict=True):
        out[a, b] = out[b, a] = w
    return out


@pytest.mark.parametrize("kind", ["combinatorial", "symmetric"])
def test_the_laplacian_is_that_of_scipy(kind):
    expected = reference(coo_matrix(dense(path())), normed=kind == "symmetric").toarray()
    np.testing.assert_allclose(laplacian(path(), kind).to_dense().numpy(), expected, atol=1e-12)


def test_rows_of_the_random_walk_laplacian_add_up_to_nothing():
    rows = laplacian(path(), "random walk").to_dense()
    torch.testing.assert_close(rows.sum(dim=1), torch.zeros(5).double())
    torch.testing.assert_close(rows.diagonal(), torch.ones(5).double())


def test_a_lonely_node_has_a_row_of_zeros():
    graph = Graph(3, torch.tensor([[0, 1]]), torch.ones(1))
    for kind in ("combinatorial", "symmetric", "random walk"):
        assert float(laplacian(graph, kind).to_dense()[2].abs().sum()) == 0


def test_degrees_are_the_sums_of_weights():
    assert path().degrees.tolist() == [1, 3, 5, 7, 4]


def test_a_lattice_joins_face_neighbours_inside_the_mask():
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    mask[0, 1, 1] = False
    graph = lattice_graph(torch.zeros(1, 1, 3, 3), mask=mask, scale=1.0, spacing=(1.0, 1.0, 1.0))
    assert (graph.nodes, len(graph.edges)) == (8, 8)
    assert torch.equal(graph.weights, torch.ones(8))


def test_lattice_weights_fall_with_the_step_and_the_distance():
    x = torch.tensor([[[[0.0, 2.0]], [[0.0, 2.0]]]])
    mask = torch.ones(2, 1, 2, dtype=torch.bool)
    graph = lattice_graph(x, mask=mask, scale=1.0, spacing=(4.0, 1.0, 1.0))
    found = {tuple(e): w for e, w in zip(graph.edges.tolist(), graph.weights.tolist(), strict=True)}
    assert found[(0, 1)] == pytest.approx(np.exp(-2.0))
    assert found[(0, 2)] == pytest.approx(0.25)


def test_one_sample_is_a_graph_without_edges():
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    graph = lattice_graph(torch.zeros(1, 1, 1, 1), mask=one, scale=1.0, spacing=(1.0, 1.0, 1.0))
    assert (graph.nodes, len(graph.edges)) == (1, 0)


def test_regions_are_joined_by_the_faces_they_share():
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 6, (4, 6, 7), generator=g)
    graph = region_graph(labels)
    expected = {}
    for axis in range(3):
        n = labels.shape[axis]
        a, b = labels.narrow(axis, 0, n - 1).flatten(), labels.narrow(axis, 1, n - 1).flatten()
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            if one != other and one and other:
                key = (min(one, other) - 1, max(one, other) - 1)
                expected[key] = expected.get(key, 0) + 1
    edges = [tuple(e) for e in graph.edges.tolist()]
    assert edges == sorted(expected)
    assert dict(zip(edges, graph.weights.tolist(), strict=True)) == expected


def test_refuses_graphs_that_cannot_be():
    with pytest.raises(ShapeError, match="edges must join two different nodes of 0 to 1"):
        Graph(2, torch.tensor([[0, 2]]), torch.ones(1))
    with pytest.raises(RegionError, match="weights of edges must be finite"):
        Graph(2, torch.tensor([[0, 1]]), -torch.ones(1))
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
    with pytest.raises(RegionError, match="mask must hold at least one sample, it is empty"):
        lattice_graph(torch.zeros(1, 1, 2, 2), mask=nothing, scale=1.0, spacing=(1.0, 1.0, 1.0))
    with pytest.raises(RegionError, match="labels must hold at least one region"):
        region_graph(torch.zeros(1, 2, 2, dtype=torch.int64))
