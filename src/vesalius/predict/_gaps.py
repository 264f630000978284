"""Gaps: what a step or a model that cannot work with missing values says of the first one."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.predict._table import Floats, Table


def check_full(table: Table, who: str) -> None:
    """Refuse a table with missing values.

    Args:
        table: Any cases.
        who: What cannot work with them, for the message.

    Raises:
        IntensityError: A value is missing; names the first and why.
    """
    missing = np.isnan(table.values)
    if not missing.any():
        return
    i, j = (int(k[0]) for k in np.nonzero(missing))
    case, feature = table.cases[i], table.features[j]
    raise IntensityError(
        f"{who} must have every value, got {int(missing.sum())} missing, first {feature!r} of case "
        f"{case!r} ({table.reasons[case, feature]}): put an Impute step before it, or leave out "
        "the feature"
    )


def check_cases(table: Table, who: str, least: int = 2) -> None:
    """Refuse a table of too few cases.

    Args:
        table: The training cases.
        who: What cannot learn from them, for the message.
        least: Cases that are needed.

    Raises:
        RegionError: There are fewer.
    """
    if len(table.cases) < least:
        raise RegionError(
            f"{who} must learn from at least {least} cases, got {len(table.cases)}: give more cases"
        )


def check_values(values: Floats, features: int, who: str) -> None:
    """Refuse what a fitted model cannot work with.

    Args:
        values: (cases, features).
        features: How many it learned from; negative while it learns.
        who: The model, for the message.

    Raises:
        ShapeError: There are more or fewer features.
        IntensityError: A value is not finite.
    """
    if values.ndim != 2 or (features >= 0 and values.shape[1] != features):
        raise ShapeError(
            f"{who} must get (cases, {features if features >= 0 else 'features'}) values, "
            f"as many features as in training, got {values.shape}"
        )
    if not np.isfinite(values).all():
        i, j = (int(k[0]) for k in np.nonzero(~np.isfinite(values)))
        raise IntensityError(
            f"{who} must get finite values, got {values[i, j]} in row {i}, feature {j}: put an "
            "Impute step before it"
        )
