"""Weighted graphs: lattices of samples, adjacent regions, and their Laplacians."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from vesalius.errors import RegionError, ShapeError
from vesalius.ops._jit import kernel

LaplacianKind = Literal["combinatorial", "symmetric", "random walk"]
Triple = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """An undirected graph with weighted edges.

    Attributes:
        nodes: How many there are.
        edges: Two different nodes each; an edge stands once.
        weights: Of each edge, 0 or more.

    Raises:
        ShapeError: An edge names a node that is not there, or joins a node to itself.
        RegionError: A weight is negative or not finite.
    """

    nodes: int
    edges: Int64[Tensor, "m 2"]
    weights: Float[Tensor, " m"]

    def __post_init__(self) -> None:
        if len(self.edges):
            low, high = int(self.edges.min()), int(self.edges.max())
            if low < 0 or high >= self.nodes or bool((self.edges[:, 0] == self.edges[:, 1]).any()):
                raise ShapeError(
                    f"edges must join two different nodes of 0 to {self.nodes - 1}, "
                    f"got nodes {low} to {high}, or an edge from a node to itself"
                )
            if not bool((torch.isfinite(self.weights) & (self.weights >= 0)).all()):
                raise RegionError("weights of edges must be finite and at least 0")

    @property
    def degrees(self) -> Float[Tensor, " n"]:
        """Sum of the weights at each node."""
        out = self.weights.new_zeros(self.nodes)
        for end in (0, 1):
            out.index_add_(0, self.edges[:, end], self.weights)
        return out


def laplacian(graph: Graph, kind: LaplacianKind = "combinatorial") -> Float[Tensor, "n n"]:
    """Give the Laplacian of a graph as a sparse tensor.

    Args:
        graph: A node without edges gets a row of zeros.
        kind: ``"combinatorial"`` D - W, ``"symmetric"`` D^-1/2 (D - W) D^-1/2, or
            ``"random walk"`` D^-1 (D - W).

    Returns:
        Sparse coordinates, coalesced; dtype of the weights.
    """
    degrees = graph.degrees
    left, right = graph.edges[:, 0], graph.edges[:, 1]
    rows = torch.cat([left, right, torch.arange(graph.nodes).to(left)])
    columns = torch.cat([right, left, torch.arange(graph.nodes).to(left)])
    values = torch.cat([-graph.weights, -graph.weights, degrees])
    inverse = torch.where(degrees > 0, 1 / degrees, torch.zeros_like(degrees))
    if kind == "symmetric":
        values = values * (inverse[rows] * inverse[columns]).sqrt()
    elif kind == "random walk":
        values = values * inverse[rows]
    size = (graph.nodes, graph.nodes)
    index = torch.stack([rows, columns])
    return torch.sparse_coo_tensor(index, values, size, check_invariants=True).coalesce()


def lattice_graph(
    x: Float[Tensor, "c z y x"], *, mask: Bool[Tensor, "z y x"], scale: float, spacing: Triple
) -> Graph:
    """Join face neighbours of a lattice; the weight falls with the difference of their values.

    Args:
        x: Samples.
        mask: True where samples are nodes, numbered in scan order.
        scale: Difference of value at which the weight has fallen to exp(-1/2).
        spacing: Distance of samples along (z, y, x), any unit; farther neighbours weigh less, by
            the smallest spacing over their distance.

    Returns:
        The graph.

    Raises:
        RegionError: The mask is empty.
    """
    if not bool(mask.any()):
        raise RegionError("mask must hold at least one sample, it is empty: there are no nodes")
    number = torch.full(mask.shape, -1, dtype=torch.int64, device=mask.device)
    number[mask] = torch.arange(int(mask.sum()), device=mask.device)
    felt = [s for s, n in zip(spacing, mask.shape, strict=True) if n > 1] or [1.0]
    edges, weights = [], []
    for axis in range(3):
        n = mask.shape[axis]
        if n < 2:
            continue
        a, b = number.narrow(axis, 0, n - 1), number.narrow(axis, 1, n - 1)
        step = x.narrow(axis + 1, 1, n - 1) - x.narrow(axis + 1, 0, n - 1)
        both = (a >= 0) & (b >= 0)
        square = step.square().sum(dim=0)[both]
        edges.append(torch.stack([a[both], b[both]], dim=1))
        weights.append(torch.exp(-0.5 * square / scale**2) * (min(felt) / spacing[axis]))
    if not edges:
        return Graph(1, number.new_zeros((0, 2)), x.new_zeros(0))
    return Graph(int(mask.sum()), torch.cat(edges), torch.cat(weights))


def region_graph(labels: Int[Tensor, "z y x"]) -> Graph:
    """Join labelled regions that share faces; the weight is the number of faces they share.

    Args:
        labels: 0 is no region; region k is node k - 1.

    Returns:
        Nodes 0 to the largest label - 1; edges sorted, the smaller node first.

    Raises:
        RegionError: There is no region.
    """
    values = np.ascontiguousarray(labels.cpu().numpy().astype(np.int64))
    count = int(values.max()) if values.size else 0
    if count < 1:
        raise RegionError("labels must hold at least one region (a value above 0), they hold none")
    pairs = _faces(values, np.int64(count + 1))
    keys, faces = np.unique(pairs, return_counts=True)
    edges = np.stack([keys // (count + 1) - 1, keys % (count + 1) - 1], axis=1)
    return Graph(
        count,
        torch.from_numpy(edges).to(labels.device),
        torch.from_numpy(faces.astype(np.float64)).to(labels.device),
    )


@kernel
@no_type_check
def _faces(labels, base):
    """Give low * base + high of the two labels of each face between different regions."""
    nz, ny, nx = labels.shape
    out = np.empty(64, dtype=np.int64)
    count = 0
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                a = labels[z, y, x]
                if a == 0:
                    continue
                for axis in range(3):
                    b = a
                    if axis == 0 and z + 1 < nz:
                        b = labels[z + 1, y, x]
                    elif axis == 1 and y + 1 < ny:
                        b = labels[z, y + 1, x]
                    elif axis == 2 and x + 1 < nx:
                        b = labels[z, y, x + 1]
                    if b != a and b != 0:
                        if count == len(out):
                            wider = np.empty(2 * count, dtype=np.int64)
                            wider[:count] = out
                            out = wider
                        out[count] = min(a, b) * base + max(a, b)
                        count += 1
    return out[:count]
