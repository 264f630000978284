"""Correlated: groups of features that say the same, found by their ranks."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._table import Floats, Table


def correlated_groups(table: Table, *, above: float = 0.7) -> tuple[tuple[str, ...], ...]:
    """Group features of which every two are correlated.

    Args:
        table: Cases; a gap counts as the middle rank.
        above: |Spearman's rho| that every two features of a group exceed, from 0 to 1.

    Returns:
        Names of each group, in the order of the table; a feature like no other is a group.

    Raises:
        ConfigError: ``above`` is not between 0 and 1.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if not 0 < above < 1:
        raise ConfigError(f"above must lie between 0 and 1, got {above:g}: 0.7 is usual")
    names = table.features
    if len(names) < 2 or len(table.cases) < 3:
        return tuple((name,) for name in names)
    away = 1 - np.abs(spearman(table.values))
    upper = away[np.triu_indices(len(names), 1)].clip(0, 1)
    number = fcluster(linkage(upper, "complete"), 1 - above, "distance")
    groups: dict[int, list[str]] = {}
    for name, k in zip(names, number.tolist(), strict=True):
        groups.setdefault(k, []).append(name)
    return tuple(tuple(one) for one in groups.values())


def spearman(values: Floats) -> Floats:
    """Give Spearman's correlation of every two columns.

    Args:
        values: (cases, features); a gap counts as the middle rank.

    Returns:
        (features, features); 0 beside a constant column, 1 on the diagonal.
    """
    from scipy.stats import rankdata

    gaps = np.isnan(values)
    # a gap is last here, and at the middle below: the ranks of the others stay as they are
    ranks = rankdata(np.where(gaps, np.inf, values), axis=0)
    centred = ranks - (np.sum(~gaps, axis=0) + 1) / 2
    centred = np.where(gaps, 0.0, centred)
    length = np.sqrt(np.square(centred).sum(axis=0))
    scaled = np.where(length > 0, centred / np.where(length > 0, length, 1.0), 0.0)
    found = np.asarray(scaled.T @ scaled)
    np.fill_diagonal(found, 1.0)
    return found
