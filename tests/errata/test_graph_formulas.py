"""Errata 2, 3, 17 and 20: embedding loss, soft assignment, sampling weights, graph convolution."""

import pytest
import torch

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.graph import (
    Graph,
    embedding_loss,
    fiedler,
    laplacian,
    propagate,
    sharpened,
    soft_assignment,
    spectrum,
)
from vesalius.ops._gumbel import gumbel_top_k


def ladder(parts=1):
    """A path of eight nodes, or two paths."""
    first = torch.arange(7) if parts == 1 else torch.tensor([0, 1, 2, 4, 5, 6])
    edges = torch.stack([first, first + 1], dim=1)
    return Graph(8, edges, torch.linspace(1, 2, len(edges), dtype=torch.float64))


def printed_loss(vectors, matrix):
    """Erratum 2 as printed: the off-diagonal sums alone."""
    apart = 1 - torch.eye(vectors.shape[1], dtype=vectors.dtype)
    energy, gram = vectors.T @ matrix @ vectors, vectors.T @ vectors
    return ((energy * apart) ** 2 + (gram * apart) ** 2).sum()


def test_the_printed_loss_cannot_tell_the_embedding_from_nothing():
    matrix = laplacian(ladder()).to_dense()
    every = spectrum(ladder(), 8).vectors
    for wrong in (torch.zeros(8, 3).double(), every[:, 5:]):
        assert float(printed_loss(wrong, matrix)) == pytest.approx(0.0, abs=1e-12)
    right = embedding_loss(every[:, :3], matrix, weight=10.0)
    assert float(right) < float(embedding_loss(every[:, 5:], matrix, weight=10.0))
    assert float(right) < float(embedding_loss(torch.zeros(8, 3).double(), matrix, weight=10.0))


def test_descent_on_the_right_loss_finds_the_first_eigenvectors():
    matrix = laplacian(ladder()).to_dense()
    g = torch.Generator().manual_seed(0)
    v = (0.3 * torch.randn(8, 2, generator=g, dtype=torch.float64)).requires_grad_()
    optimiser = torch.optim.LBFGS([v], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = embedding_loss(v, matrix, weight=50.0)
        loss.backward()
        return loss

    optimiser.step(closure)
    first = spectrum(ladder(), 2).vectors
    span = torch.linalg.qr(v.detach()).Q
    torch.testing.assert_close(span @ span.T, first @ first.T, atol=2e-2, rtol=0)


def test_the_embedding_loss_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"matrix must have shape \(3, 3\)"):
        embedding_loss(torch.zeros(3, 1), torch.zeros(2, 2))
    with pytest.raises(ConfigError, match="weight must be positive"):
        embedding_loss(torch.zeros(2, 1), torch.zeros(2, 2), weight=0.0)


def test_soft_assignment_uses_the_squared_distance():
    """Erratum 3: with the first power a point at distance 2 would get (1 + 2)^-1."""
    x, centres = torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]])
    kernel = torch.tensor([1.0, 1 / (1 + 4.0)])
    torch.testing.assert_close(soft_assignment(x, centres)[0], kernel / kernel.sum())
    tau = 3.0
    kernel = torch.tensor([1.0, (1 + 4 / tau) ** (-(tau + 1) / 2)])
    torch.testing.assert_close(soft_assignment(x, centres, tau=tau)[0], kernel / kernel.sum())


def test_the_target_of_soft_assignment_is_sharper():
    g = torch.Generator().manual_seed(1)
    share = soft_assignment(torch.randn(40, 2, generator=g), torch.tensor([[-1.0, 0], [1.0, 0]]))
    target = sharpened(share)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(40))
    assert float(target.max(dim=1).values.mean()) > float(share.max(dim=1).values.mean())


def test_soft_assignment_refuses_no_freedom():
    with pytest.raises(ConfigError, match="tau, the degrees of freedom, must be positive"):
        soft_assignment(torch.zeros(1, 1), torch.zeros(1, 1), tau=0.0)


def test_weights_by_exp_overflow_where_drawing_by_logarithms_does_not():
    """Erratum 17: exp(500 skew) is infinite in float32 from 88.7 on."""
    log_weights = 500 * torch.tensor([0.1, 0.5, 0.9, 1.0, 1.0])
    assert bool(torch.isinf(log_weights.exp()).any())
    drawn = gumbel_top_k(log_weights, 2, generator=torch.Generator().manual_seed(0))
    assert sorted(drawn.tolist()) == [3, 4]


def test_drawing_follows_the_weights_and_repeats_nothing():
    weights = torch.tensor([0.1, 0.2, 0.7])
    g = torch.Generator().manual_seed(3)
    first = [gumbel_top_k(weights.log(), 3, generator=g).tolist() for _ in range(1500)]
    assert all(sorted(row) == [0, 1, 2] for row in first)
    counts = torch.bincount(torch.tensor([row[0] for row in first])) / 1500
    torch.testing.assert_close(counts, weights, atol=0.05, rtol=0)


def test_what_has_no_weight_is_never_drawn():
    log_weights = torch.tensor([0.0, float("-inf"), 1.0])
    drawn = gumbel_top_k(log_weights, 2, generator=torch.Generator().manual_seed(0))
    assert sorted(drawn.tolist()) == [0, 2]
    with pytest.raises(RegionError, match="count must be 0 to the 2 indices"):
        gumbel_top_k(log_weights, 3, generator=torch.Generator())
    with pytest.raises(IntensityError, match="log weights must be below infinity"):
        gumbel_top_k(torch.tensor([float("nan")]), 1, generator=torch.Generator())


def test_stacked_averages_collapse_on_a_connected_graph():
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    deep = propagate(ladder(), x, steps=2000)
    values = torch.linalg.svdvals(deep)
    assert float(values[1] / values[0]) < 1e-6


def test_they_do_not_collapse_where_the_graph_falls_apart():
    """Erratum 20: two parts keep two vectors."""
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svdvals(propagate(ladder(parts=2), x, steps=2000))
    assert float(values[1] / values[0]) > 1e-2
    assert float(values[2] / values[0]) < 1e-6


def test_deflation_keeps_the_next_eigenvector():
    x = torch.randn(8, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    deep = propagate(ladder(), x, steps=2000, deflate=True)[:, 0]
    second = fiedler(ladder(), kind="symmetric")
    assert float((deep / deep.norm() @ second).abs()) == pytest.approx(1.0, abs=1e-6)


def test_propagation_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match="one row for each of 8 nodes, got 3"):
        propagate(ladder(), torch.zeros(3, 1), steps=1)
    with pytest.raises(ConfigError, match="steps must be at least 0"):
        propagate(ladder(), torch.zeros(8, 1), steps=-1)
