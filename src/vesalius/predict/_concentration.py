"""Concentration: whether "near" still means something with so many features."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import numpy as np

from vesalius.errors import RegionError
from vesalius.predict._embed_quality import MOST, distances
from vesalius.predict._table import Floats

LEAST = 1.0
"""Relative contrast below which the nearest case is hardly nearer than the farthest."""
WIDE = 10.0
"""Intrinsic dimension from which neighbourhoods of hundreds of cases are empty."""


@final
@dataclass(frozen=True, slots=True)
class Concentration:
    """How distances between cases spread.

    Attributes:
        contrast: Median over the cases of (farthest - nearest) / nearest.
        dimension: Intrinsic dimension, by the distances to the two nearest; NaN where these are
            equal everywhere, as for whole numbers.
        features: Dimension of the space.
        cases: How many were compared.
        duplicates: Cases that lie on another one; they are left out.
        remark: What it means, where nearest neighbours mean little; empty else.
    """

    contrast: float
    dimension: float
    features: int
    cases: int
    duplicates: int
    remark: str = ""


def concentration(values: Floats) -> Concentration:
    """Measure whether distances still tell cases apart.

    Args:
        values: (cases, features), of comparable spread.

    Returns:
        Contrast and intrinsic dimension; of more than 3000 cases of so many.

    Raises:
        RegionError: Fewer than five cases differ.

    References:
        Beyer et al. (1999), doi:10.1007/3-540-49257-7_15, def. 3, for the contrast; Facco et al.
        (2017), doi:10.1038/s41598-017-11873-y, eq. (4), for the dimension, the largest tenth of
        the ratios left out as there.
    """
    if len(values) > MOST:
        values = values[np.linspace(0, len(values) - 1, MOST).astype(np.int64)]
    kept = np.unique(values, axis=0, return_index=True)[1]
    lost, values = len(values) - len(kept), values[np.sort(kept)]
    if len(values) < 5:
        raise RegionError(
            f"distances must be of at least 5 cases that differ, got {len(values)}: add cases"
        )
    apart = np.sort(distances(values), axis=1)[:, 1:]
    contrast = float(np.median((apart[:, -1] - apart[:, 0]) / apart[:, 0]))
    dimension = two_nearest_dimension(apart[:, 1] / apart[:, 0])
    found = Concentration(contrast, dimension, values.shape[1], len(values), lost)
    return Concentration(contrast, dimension, values.shape[1], len(values), lost, _said(found))


def two_nearest_dimension(ratios: Floats) -> float:
    """Estimate the intrinsic dimension from ratios of the distances to the two nearest.

    Args:
        ratios: (cases,) second to first, 1 or more.

    Returns:
        The slope of -log(1 - share of the cases below) on the log of the ratio, through the origin;
        NaN where all ratios are 1, as for points of a lattice.
    """
    rising = np.sort(ratios)
    count = len(rising)
    share = np.arange(1, count + 1) / count
    kept = max(int(0.9 * count), 2)
    x, y = np.log(rising[:kept]), -np.log1p(-share[:kept])
    square = float(x @ x)
    return float(x @ y) / square if square > 0 else float("nan")


def _said(found: Concentration) -> str:
    said = []
    if found.contrast < LEAST:
        said.append(
            f"the farthest case is only {1 + found.contrast:.2f} times as far as the nearest "
            f"({found.features} features)"
        )
    if found.dimension > WIDE:
        said.append(
            f"the cases spread in about {found.dimension:.0f} directions, which {found.cases} "
            "cases cannot fill"
        )
    if not said:
        return ""
    return (
        f"Nearest neighbours mean little here: {'; '.join(said)}. Choose features or project them "
        "before you compare cases by distance, and do not read structure into small clusters."
    )
