"""Methods that see an image as points or as a graph: clusters, supervoxels, cuts, random fields."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._clusters import GaussianMixture, KMeans
from vesalius.segment._dense_crf import DenseCrf, sharpen
from vesalius.segment._graph_cut import GraphCut
from vesalius.segment._supervoxels import NormalisedCut, SpectralClusters, Supervoxels

__all__ = [
    "DenseCrf",
    "GaussianMixture",
    "GraphCut",
    "KMeans",
    "NormalisedCut",
    "SpectralClusters",
    "Supervoxels",
    "sharpen",
]
