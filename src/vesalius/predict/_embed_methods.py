"""Embed methods: each way to lay cases of many features out on a few axes."""
# SPDX-License-Identifier: Apache-2.0

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np
import torch

from vesalius.errors import ConfigError, ExtraError
from vesalius.predict._projection import Lda
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

ViewMethod = Literal["pca", "lda", "isomap", "lle", "laplacian", "tsne", "umap"]
METHODS: tuple[ViewMethod, ...] = ("pca", "lda", "isomap", "lle", "laplacian", "tsne", "umap")
PERPLEXITY_SHARE = 3.0


@final
@dataclass(frozen=True, slots=True)
class ViewSettings:
    """How cases are laid out.

    Attributes:
        method: Principal components; linear discriminants (which look at the outcome); geodesic
            distances; locally linear; eigenmaps of the Laplacian; t-SNE; UMAP.
        axes: How many.
        neighbours: Of each case, for methods that join neighbours; of t-SNE three times its
            perplexity. Its trustworthiness is measured at this size.
        seed: Of what is drawn.

    Raises:
        ConfigError: The method is unknown, or a number is out of range.
    """

    method: ViewMethod = "pca"
    axes: int = 2
    neighbours: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"the method of a view must be one of {', '.join(METHODS)}, got {self.method!r}"
            )
        if not 1 <= self.axes <= 10 or self.neighbours < 2 or not 0 <= self.seed < 2**32:
            raise ConfigError(
                "a view must have 1 to 10 axes, 2 neighbours or more and a seed from 0 to "
                f"{2**32 - 1}, got {self.axes}, {self.neighbours} and {self.seed}"
            )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """Cases on axes.

    Attributes:
        coordinates: (cases, axes).
        explained: (axes,) share of the variance, where the method has one; else empty.
        remarks: What must be known.
    """

    coordinates: Floats
    explained: Floats = field(default_factory=lambda: np.zeros(0))
    remarks: tuple[str, ...] = ()


def laid_out(values: Floats, settings: ViewSettings, target: Target | None) -> Laid:
    """Lay cases out by the method of the settings.

    Args:
        values: (cases, features), scaled.
        settings: The method.
        target: The outcome, for lda.

    Returns:
        The cases on axes; the sign of each axis is such that its largest coordinate is positive.

    Raises:
        ConfigError: There are more axes than the features or classes allow, or lda has no outcome.
        ExtraError: UMAP is not installed.
    """
    if settings.method == "lda":
        found = _lda(values, settings, target)
    else:
        found = _BY_FEATURES[settings.method](values, settings)
    turn = np.take_along_axis(
        found.coordinates, np.abs(found.coordinates).argmax(axis=0)[None], axis=0
    )
    return Laid(found.coordinates * np.where(turn < 0, -1.0, 1.0), found.explained, found.remarks)


def _check_axes(axes: int, most: int, what: str) -> None:
    if axes > most:
        raise ConfigError(f"a view of {what} must have at most {most} axes, got {axes}")


def _pca(values: Floats, settings: ViewSettings) -> Laid:
    _check_axes(settings.axes, min(len(values) - 1, values.shape[1]), "these cases and features")
    left, spread, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    k = settings.axes
    return Laid(left[:, :k] * spread[:k], spread[:k] ** 2 / (spread**2).sum())


def _lda(values: Floats, settings: ViewSettings, target: Target | None) -> Laid:
    import pandas as pd

    if target is None:
        raise ConfigError("lda must have an outcome: name it, or take another method")
    classes = len(np.unique(target.strata))
    _check_axes(settings.axes, classes - 1, f"{classes} classes")
    cases, features = (tuple(map(str, range(size))) for size in values.shape)
    table = Table(cases, features, values, pd.DataFrame(index=range(len(cases))))
    found = Lda().fit(table, target).transform(table).values[:, : settings.axes]
    remark = (
        "These axes were chosen by the outcome: classes look apart even where features are noise. "
        "How well they can be told apart is what a validation says, not this picture."
    )
    return Laid(found, remarks=(remark,))


def _isomap(values: Floats, settings: ViewSettings) -> Laid:
    from sklearn.manifold import Isomap

    _, said = _joined(values, settings)
    model = Isomap(n_neighbors=settings.neighbours, n_components=settings.axes)
    with warnings.catch_warnings():  # of groups that are not joined: said already
        warnings.simplefilter("ignore")
        return Laid(np.asarray(model.fit_transform(values)), remarks=said)


def _lle(values: Floats, settings: ViewSettings) -> Laid:
    from sklearn.manifold import LocallyLinearEmbedding

    _, said = _joined(values, settings)
    model = LocallyLinearEmbedding(
        n_neighbors=settings.neighbours,
        n_components=settings.axes,
        eigen_solver="dense",
        random_state=settings.seed,
    )
    return Laid(np.asarray(model.fit_transform(values)), remarks=said)


def _laplacian(values: Floats, settings: ViewSettings) -> Laid:
    """Give eigenmaps: Belkin & Niyogi (2003), doi:10.1162/089976603321780317, sec. 2, weights 1."""
    from vesalius.graph import Graph, spectrum

    parts, said = _joined(values, settings)
    pairs = torch.from_numpy(np.argwhere(np.triu(parts)))
    graph = Graph(len(values), pairs, torch.ones(len(pairs), dtype=torch.float64))
    found = spectrum(graph, settings.axes + 1, kind="symmetric").vectors[:, 1:]
    return Laid((found / graph.degrees.sqrt()[:, None]).numpy(), remarks=said)


def _tsne(values: Floats, settings: ViewSettings) -> Laid:
    from sklearn.manifold import TSNE

    _check_axes(settings.axes, 3, "t-SNE")
    perplexity = max(settings.neighbours / PERPLEXITY_SHARE, 2.0)
    model = TSNE(
        n_components=settings.axes,
        perplexity=perplexity,
        init="pca",
        random_state=settings.seed,
        n_jobs=1,
    )
    found = np.asarray(model.fit_transform(values), dtype=np.float64)
    return Laid(found, remarks=(_NO_DISTANCE.format("t-SNE"),))


def _umap(values: Floats, settings: ViewSettings) -> Laid:
    try:
        from umap import UMAP
    except ImportError as error:
        raise ExtraError(
            "a view by umap needs umap-learn, which is not installed: install vesalius[predict], "
            "or use tsne"
        ) from error
    model = UMAP(
        n_components=settings.axes,
        n_neighbors=settings.neighbours,
        random_state=settings.seed,
        n_jobs=1,
    )
    found = np.asarray(model.fit_transform(values), dtype=np.float64)
    return Laid(found, remarks=(_NO_DISTANCE.format("UMAP"),))


_NO_DISTANCE = (
    "In a view by {} distances between clusters and their sizes mean nothing, and noise may "
    "look clustered; only who is near whom can be read."
)
_BY_FEATURES: dict[str, Callable[[Floats, ViewSettings], Laid]] = {
    "pca": _pca,
    "isomap": _isomap,
    "lle": _lle,
    "laplacian": _laplacian,
    "tsne": _tsne,
    "umap": _umap,
}


def _joined(values: Floats, settings: ViewSettings) -> tuple[np.ndarray, tuple[str, ...]]:
    """Join each case with its neighbours; say where the cases fall apart.

    Returns:
        (cases, cases) booleans, both ways; and the remark.
    """
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import kneighbors_graph

    near = kneighbors_graph(values, settings.neighbours, include_self=False)
    both = (near + near.T) > 0
    parts, _ = connected_components(both, directed=False)
    if parts == 1:
        return both.toarray(), ()
    return both.toarray(), (
        f"The cases fall into {parts} groups that no neighbourhood of {settings.neighbours} joins: "
        "where these lie to each other means nothing.",
    )
