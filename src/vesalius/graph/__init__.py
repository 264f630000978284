"""Graphs on images: superpixels (SLIC), Laplacians, spectra, clusters, minimum cuts.

Floor 3. ``slic`` splits an image into pieces; ``Graph`` joins samples or pieces (``lattice_graph``,
``region_graph``); ``spectrum``, ``fiedler``, ``spectral_clusters``, ``normalised_cut`` and
``minimum_cut`` divide it; ``kmeans`` and ``fit_mixture`` group points.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.graph._embedding import embedding_loss, propagate
from vesalius.graph._graph import Graph, laplacian, lattice_graph, region_graph
from vesalius.graph._kmeans import Clusters, kmeans
from vesalius.graph._max_flow import Cut, minimum_cut
from vesalius.graph._mixture import Fitting, Mixture, fit_mixture
from vesalius.graph._slic import slic
from vesalius.graph._soft_assignment import sharpened, soft_assignment
from vesalius.graph._spectral import (
    Spectrum,
    fiedler,
    normalised_cut,
    spectral_clusters,
    spectrum,
)

__all__ = [
    "Clusters",
    "Cut",
    "Fitting",
    "Graph",
    "Mixture",
    "Spectrum",
    "embedding_loss",
    "fiedler",
    "fit_mixture",
    "kmeans",
    "laplacian",
    "lattice_graph",
    "minimum_cut",
    "normalised_cut",
    "propagate",
    "region_graph",
    "sharpened",
    "slic",
    "soft_assignment",
    "spectral_clusters",
    "spectrum",
]
