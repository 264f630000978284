"""Spectra: closed forms, the Fiedler split, clusters and cuts that are there."""

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError
from vesalius.graph import (
    Graph,
    fiedler,
    laplacian,
    lattice_graph,
    normalised_cut,
    spectral_clusters,
    spectrum,
)


def path(n):
    first = torch.arange(n - 1)
    return Graph(n, torch.stack([first, first + 1], dim=1), torch.ones(n - 1).double())


def cliques(sizes, bridge=0.01):
    """Groups that are joined fully inside and by one weak edge to the next one."""
    edges, weights, start = [], [], 0
    for size in sizes:
        pairs = torch.combinations(torch.arange(start, start + size))
        edges.append(pairs)
        weights.append(torch.ones(len(pairs)).double())
        if start:
            edges.append(torch.tensor([[start - 1, start]]))
            weights.append(torch.tensor([bridge]).double())
        start += size
    truth = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return Graph(start, torch.cat(edges), torch.cat(weights)), truth


@pytest.mark.parametrize("n", [12, 500])
def test_eigenvalues_of_a_path_are_their_closed_form(n):
    """2 - 2 cos(pi k / n), densely and by Lanczos (Spielman, Spectral graph theory, 6.6)."""
    expected = 2 - 2 * np.cos(np.pi * np.arange(4) / n)
    np.testing.assert_allclose(spectrum(path(n), 4).values.numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("kind", ["combinatorial", "symmetric", "random walk"])
def test_vectors_satisfy_the_eigenvalue_equation(kind):
    graph, _ = cliques([4, 6, 5], 0.5)
    found = spectrum(graph, 4, kind=kind)
    matrix = laplacian(graph, kind).to_dense()
    torch.testing.assert_close(
        matrix @ found.vectors, found.vectors * found.values, atol=1e-9, rtol=0
    )
    torch.testing.assert_close(found.vectors.norm(dim=0), torch.ones(4).double())


def test_as_many_zero_eigenvalues_as_parts():
    graph, _ = cliques([4, 4, 4], 0.0)
    values = spectrum(graph, 4).values
    assert float(values[2]) < 1e-10 < float(values[3])


def test_the_fiedler_vector_changes_sign_between_the_halves():
    graph, truth = cliques([5, 7])
    side = fiedler(graph) > 0
    assert len(set(side[truth == 0].tolist())) == len(set(side[truth == 1].tolist())) == 1
    assert side[0] != side[-1]


def test_lanczos_and_dense_agree_on_a_lattice():
    mask = torch.ones(1, 20, 25, dtype=torch.bool)
    x = torch.rand(1, 1, 20, 25, generator=torch.Generator().manual_seed(0))
    graph = lattice_graph(x, mask=mask, scale=0.3, spacing=(1.0, 1.0, 1.0))
    found = spectrum(graph, 3, kind="symmetric")
    exact = np.linalg.eigvalsh(laplacian(graph, "symmetric").to_dense().double().numpy())
    np.testing.assert_allclose(found.values.numpy(), exact[:3], atol=1e-6)


def test_spectral_clusters_find_the_cliques():
    graph, truth = cliques([6, 4, 5, 7])
    found = spectral_clusters(graph, 4, generator=torch.Generator().manual_seed(0))
    assert len({(a, b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)}) == 4


def test_normalised_cuts_find_the_cliques_and_stop():
    graph, truth = cliques([6, 4, 5])
    assert torch.equal(normalised_cut(graph, most=0.5), truth)
    assert len(normalised_cut(graph, most=0.5, count=2).unique()) == 2
    assert int(normalised_cut(graph, most=0.0).max()) == 0


def test_the_first_cut_is_the_least_of_all_cuts():
    graph, _ = cliques([4, 5], 0.3)
    side = normalised_cut(graph, most=2.0, count=2, least=1).bool()
    assert _cost(graph, side) == pytest.approx(
        min(_cost(graph, _bits(k, graph.nodes)) for k in range(1, 2**graph.nodes - 1))
    )


def _bits(k, n):
    return torch.tensor([bool(k >> i & 1) for i in range(n)])


def _cost(graph, side):
    crossing = side[graph.edges[:, 0]] != side[graph.edges[:, 1]]
    cut = float(graph.weights[crossing].sum())
    return sum(cut / float(graph.degrees[part].sum()) for part in (side, ~side))


def test_refuses_counts_that_cannot_be():
    with pytest.raises(ConfigError, match="count must be 1 to the number of nodes, 3, got 4"):
        spectrum(path(3), 4)
    with pytest.raises(ConfigError, match="a Fiedler vector needs at least two nodes"):
        fiedler(Graph(1, torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0)))
    with pytest.raises(ConfigError, match="count and least must be at least 1"):
        normalised_cut(path(3), count=0)
