"""The loss whose minimum is the spectral embedding of a graph, and propagation along its edges."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError
from vesalius.graph._graph import Graph, laplacian


def embedding_loss(
    vectors: Float[Tensor, "n k"], matrix: Float[Tensor, "rows columns"], *, weight: float = 1.0
) -> Float[Tensor, ""]:
    """Rate an embedding: small for the first eigenvectors of a Laplacian, and for them alone.

    tr(V' L V) + weight * sum_{i != j} ((v_i' L v_j)^2 + (v_i' v_j)^2) + weight * sum_i
    (v_i' v_i - 1)^2. The off-diagonal sums alone, as they are often printed, are zero for V = 0
    and for any set of eigenvectors: the trace chooses the smallest, the last term fixes their
    length.

    Args:
        vectors: V, one column each.
        matrix: L, dense or sparse.
        weight: Of the two conditions.

    Returns:
        The loss; differentiable in ``vectors``.

    Raises:
        ShapeError: The sizes do not fit.
        ConfigError: ``weight`` is not positive.
    """
    n = vectors.shape[0]
    if tuple(matrix.shape) != (n, n):
        raise ShapeError(f"matrix must have shape ({n}, {n}), got {tuple(matrix.shape)}")
    if not weight > 0:
        raise ConfigError(f"weight must be positive, got {weight}")
    energy = vectors.T @ (matrix @ vectors)
    gram = vectors.T @ vectors
    apart = 1 - torch.eye(vectors.shape[1]).to(vectors)
    mixed = ((energy * apart).square() + (gram * apart).square()).sum()
    length = (gram.diagonal() - 1).square().sum()
    return energy.diagonal().sum() + weight * (mixed + length)


def propagate(
    graph: Graph, x: Float[Tensor, "n d"], *, steps: int, deflate: bool = False
) -> Float[Tensor, "n d"]:
    """Average features along edges again and again, as stacked graph convolutions do.

    One step multiplies by (I + S) / 2 with S = D^-1/2 W D^-1/2 (the half keeps a bipartite
    graph from flickering). On a connected graph all features tend to multiples of one vector,
    D^1/2 1, so that deep stacks forget what they saw; in a graph of several parts each part keeps
    its own. Deflation takes that vector out at each step (one per connected part is not needed:
    the others stay), so that what is left tends to the Fiedler vector instead of nothing.

    Args:
        graph: Undirected.
        x: Features of each node.
        steps: How often.
        deflate: Whether the trivial vector is taken out.

    Returns:
        Features after the last step; differentiable.

    Raises:
        ShapeError: There is not one row for each node.
        ConfigError: ``steps`` is negative.
    """
    if len(x) != graph.nodes:
        raise ShapeError(f"x must have one row for each of {graph.nodes} nodes, got {len(x)}")
    if steps < 0:
        raise ConfigError(f"steps must be at least 0, got {steps}")
    matrix = laplacian(graph, "symmetric").to(x)
    trivial = graph.degrees.to(x).sqrt()[:, None]
    trivial = trivial / trivial.norm().clamp_min(torch.finfo(x.dtype).tiny)
    out = x
    for _ in range(steps):
        out = out - 0.5 * (matrix @ out)
        if deflate:
            out = out - trivial * (trivial.T @ out)
    return out
