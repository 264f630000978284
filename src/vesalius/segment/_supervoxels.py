"""Supervoxels, and classes of them: spectral clusters and normalised cuts."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.core import Image, Step
from vesalius.errors import ConfigError, RegionError
from vesalius.graph import Graph, normalised_cut, region_graph, slic, spectral_clusters, spectrum
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._segmentation import Curve, Segmentation
from vesalius.segment._voxels import Ground, Voxels, by_brightness, check_count, voxels

_FLOOR = 1e-6
"""Least weight of an edge, of the largest: keeps a graph in one piece for the eigenvalue solver."""


@final
@dataclass(frozen=True, slots=True)
class Supervoxels(Method):
    """Split the image into compact pieces that follow its edges (SLIC).

    Attributes:
        count: Pieces wanted; those that are found differ a little.
        compactness_sd: Difference of value that weighs as much as the edge of a piece, in
            standard deviations of the image; small values follow faint edges.
        steps: Rounds at most.
    """

    count: int = 1000
    compactness_sd: float = 0.5
    steps: int = 10

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`."""
        points = voxels(image, hints)
        labels = _pieces(points, self.count, self.compactness_sd, self.steps)
        if on_step is not None:
            on_step(Step("supervoxels", 1, 1))
        return Segmentation(
            points.painted(labels[points.inside], dtype=torch.int32),
            values={"pieces": float(labels.max()), "size_mm": _edge_mm(points, self.count)},
            settings={"method": "Supervoxels", **asdict(self)},
        )


@final
@dataclass(frozen=True, slots=True)
class SpectralClusters(Method):
    """Group supervoxels by the first eigenvectors of the graph of their likeness.

    Neighbouring pieces are alike where their mean values are close. Classes are therefore
    connected, more or less: two far objects of the same value tend to become two classes.

    Attributes:
        count: Classes, the ground among them.
        ground: Which class is 0: the darkest, the brightest, or none.
        pieces: Supervoxels wanted.
        contrast_sd: Difference of value at which likeness has fallen to exp(-1/2), in standard
            deviations of the image.
    """

    count: int = 2
    ground: Ground = "dark"
    pieces: int = 400
    contrast_sd: float = 0.5

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`."""
        check_count(self.count, "count, the number of classes,")
        points = voxels(image, hints)
        labels, graph = _likeness(points, self.pieces, self.contrast_sd)
        if on_step is not None:
            on_step(Step("supervoxels", 1, 2))
        if graph.nodes < self.count:
            raise ConfigError(
                f"pieces must be at least count, {self.count}, only {graph.nodes} were found: "
                "raise pieces"
            )
        groups = spectral_clusters(graph, self.count, generator=torch.Generator().manual_seed(0))
        if on_step is not None:
            on_step(Step("spectrum", 2, 2))
        shown = min(graph.nodes, self.count + 6)
        values = spectrum(graph, shown, kind="symmetric").values.cpu()
        curve = Curve(
            "Spectrum of the likeness graph",
            torch.arange(1, shown + 1, dtype=torch.float64),
            values,
            "number",
            "eigenvalue",
            (float(self.count),),
        )
        return _grouped(points, labels, groups, self.ground, (curve,), _named(self))


@final
@dataclass(frozen=True, slots=True)
class NormalisedCut(Method):
    """Split the graph of supervoxels where the normalised cut is least, again and again.

    Attributes:
        most: A split whose normalised cut (0 to 2) is larger is not made.
        count: Classes at most.
        ground: Which class is 0: the darkest, the brightest, or none.
        pieces: Supervoxels wanted.
        contrast_sd: Difference of value at which likeness has fallen to exp(-1/2), in standard
            deviations of the image.
    """

    most: float = 0.05
    count: int = 16
    ground: Ground = "dark"
    pieces: int = 400
    contrast_sd: float = 0.5

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`."""
        check_count(self.count, "count, the number of classes,")
        points = voxels(image, hints)
        labels, graph = _likeness(points, self.pieces, self.contrast_sd)
        if on_step is not None:
            on_step(Step("supervoxels", 1, 2))
        groups = normalised_cut(graph, most=self.most, count=self.count)
        if on_step is not None:
            on_step(Step("cuts", 2, 2))
        return _grouped(points, labels, groups, self.ground, (), _named(self))


def _named(method: SpectralClusters | NormalisedCut) -> dict[str, object]:
    return {"method": type(method).__name__, **asdict(method)}


def _edge_mm(points: Voxels, count: int) -> float:
    """Give the edge of a piece so that about ``count`` fill the mask."""
    grid = points.image.grid
    felt = [s for s, n in zip(grid.spacing_mm, grid.shape, strict=True) if n > 1] or [1.0]
    return float((len(points.values) * math.prod(felt) / count) ** (1 / len(felt)))


def _pieces(points: Voxels, count: int, compactness_sd: float, steps: int) -> Int[Tensor, "z y x"]:
    if count < 1 or not compactness_sd > 0 or steps < 1:
        raise ConfigError(
            "pieces and steps must be at least 1 and compactness_sd positive, got "
            f"{count}, {steps} and {compactness_sd}"
        )
    return slic(
        points.scaled_volume(),
        spacing=points.image.grid.spacing_mm,
        size=_edge_mm(points, count),
        compactness=compactness_sd,
        steps=steps,
        mask=points.inside,
    )


def _likeness(points: Voxels, pieces: int, contrast_sd: float) -> tuple[Tensor, Graph]:
    """Split into pieces and join neighbours: shared faces times likeness of the mean values."""
    if not contrast_sd > 0:
        raise ConfigError(f"contrast_sd must be positive, got {contrast_sd}")
    if not bool(points.scaled.any()):
        raise RegionError(
            "values must differ to be parted by likeness, the image is constant where it counts: "
            "there is nothing to part"
        )
    labels = _pieces(points, pieces, 0.5 * contrast_sd, 10)
    graph = region_graph(labels)
    means = _means(labels[points.inside].long() - 1, points.scaled, graph.nodes)
    step = means[graph.edges[:, 0]] - means[graph.edges[:, 1]]
    alike = torch.exp(-0.5 * step.square().sum(dim=1) / contrast_sd**2)
    return labels, Graph(graph.nodes, graph.edges, graph.weights * alike.clamp_min(_FLOOR))


def _means(group: Tensor, values: Float[Tensor, "n c"], count: int) -> Float[Tensor, "k c"]:
    sums = values.new_zeros((count, values.shape[1])).index_add_(0, group, values)
    return sums / torch.bincount(group, minlength=count).clamp_min(1)[:, None]


def _grouped(
    points: Voxels,
    labels: Tensor,
    groups: Tensor,
    ground: Ground,
    curves: tuple[Curve, ...],
    settings: dict[str, object],
) -> Segmentation:
    """Paint groups of pieces, from dark to bright."""
    each = groups.to(labels.device)[labels[points.inside].long() - 1]
    return Segmentation(
        points.painted(by_brightness(each, points.values, ground)),
        curves=curves,
        values={"pieces": float(labels.max()), "classes": float(int(groups.max()) + 1)},
        settings=settings,
    )
