"""Embed quality: whether neighbours in a view are neighbours in truth, and the other way round."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, ShapeError
from vesalius.predict._table import Floats

Ints = NDArray[np.int64]
MOST = 3000
"""Cases of which distances of all pairs are held; of more, so many at equal steps."""


@final
@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How far a view can be believed at the scale of a neighbourhood; 1 is perfect.

    Attributes:
        trustworthiness: Neighbours in the view are neighbours in truth.
        continuity: Neighbours in truth are neighbours in the view.
        neighbours: Size of the neighbourhood.
    """

    trustworthiness: float
    continuity: float
    neighbours: int


def faithfulness(truth: Floats, view: Floats, neighbours: int) -> Faithfulness:
    """Compare the neighbourhoods of cases in a view with those in the space of the features.

    Args:
        truth: (cases, features).
        view: (cases, axes).
        neighbours: Size of the neighbourhood, below half of the cases.

    Returns:
        Trustworthiness and continuity; of more than 3000 cases of so many.

    Raises:
        ShapeError: The cases differ in number.
        ConfigError: The neighbourhood is empty, or half of the cases or more.

    References:
        Venna & Kaski (2001), doi:10.1007/3-540-44668-0_68, eq. (1) and (2).
    """
    if len(truth) != len(view):
        raise ShapeError(
            f"features and view must have the same cases, got {len(truth)} and {len(view)}"
        )
    if len(truth) > MOST:
        chosen = np.linspace(0, len(truth) - 1, MOST).astype(np.int64)
        truth, view = truth[chosen], view[chosen]
    if not 1 <= neighbours < len(truth) / 2:
        raise ConfigError(
            f"a neighbourhood must have at least one case and less than half of {len(truth)}, got "
            f"{neighbours}: change neighbours"
        )
    ranks, seen = _ranks(truth), _ranks(view)
    return Faithfulness(_kept(ranks, seen, neighbours), _kept(seen, ranks, neighbours), neighbours)


def distances(values: Floats) -> Floats:
    """Give the Euclidean distance of every pair of cases, those of a case to itself 0."""
    from scipy.spatial.distance import pdist, squareform

    return np.asarray(squareform(pdist(values)))


def _ranks(values: Floats) -> Ints:
    """Rank, for each case, all others by distance: 1 the nearest, 0 itself."""
    apart = distances(values)
    np.fill_diagonal(apart, -1.0)
    order = apart.argsort(axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(values))[None], axis=1)
    return ranks


def _kept(truth: Ints, view: Ints, k: int) -> float:
    size = len(truth)
    intruders = (view <= k) & (truth > k)
    penalty = float((truth[intruders] - k).sum())
    return 1 - 2 / (size * k * (2 * size - 3 * k - 1)) * penalty
