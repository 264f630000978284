"""Similar cases, and distances that are learned from an outcome."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._embedding import Embedding
from vesalius.predict._index import (
    GraphIndex,
    Index,
    Nearest,
    build_graph,
    build_index,
    recall,
)
from vesalius.predict._likeness import Likeness, Neighbour, Shared, Similar
from vesalius.predict._metric_learning import Mahalanobis
from vesalius.predict._similar import similar, similar_to
from vesalius.predict._spaces import Metric

__all__ = [
    "Embedding",
    "GraphIndex",
    "Index",
    "Likeness",
    "Mahalanobis",
    "Metric",
    "Nearest",
    "Neighbour",
    "Shared",
    "Similar",
    "build_graph",
    "build_index",
    "recall",
    "similar",
    "similar_to",
]
