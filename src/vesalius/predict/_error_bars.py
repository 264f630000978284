"""Error bars to reliability: how much of a feature's spread is patients, how much measurement."""
# SPDX-License-Identifier: Apache-2.0

from typing import TYPE_CHECKING

import numpy as np

from vesalius.measure._measurement import wide_names

if TYPE_CHECKING:
    import pandas as pd

LEAST_SUBJECTS = 3


def reliability_of_error_bars(long: "pd.DataFrame", *, confidence: float = 0.95) -> "pd.DataFrame":
    """Compute an intraclass correlation for each feature from values and their error bars.

    For a feature with values v of n subjects and standard deviations s of their perturbed
    measurements, ICC = B / (B + W) with B the variance of v and W the mean of s squared: ICC(1,1)
    for many repeats, the value itself in place of the mean of its repeats. The interval takes W as
    known and B as a variance of n normal values. Where a whole cohort's repeats are at hand
    ``measure.cohort_table`` is exact.

    Args:
        long: A long table with ``label``, ``value`` and ``perturb_sd``, one row for each subject,
            region and feature.
        confidence: Of the interval.

    Returns:
        One row for each feature of each region: ``feature`` as in the wide table, ``label``,
        ``icc``, ``icc_low``, ``subjects``. Features with fewer than three subjects that have an
        error bar, and features that are the same in all, are left out.

    References:
        Shrout & Fleiss (1979), doi:10.1037/0033-2909.86.2.420, ICC(1,1), with the number of repeats
        taken to infinity.
    """
    import pandas as pd
    from scipy.stats import chi2

    numbers = long[["value", "perturb_sd"]].apply(pd.to_numeric, errors="coerce")
    rows = long.assign(**numbers)[np.isfinite(numbers).all(axis=1)]
    # a column of empty texts comes out of some files as missing numbers
    parts = ["filter", "feature", "aggregation", "discretisation"]
    rows = rows.assign(**{name: rows[name].astype(object).fillna("") for name in parts})
    keyed = pd.DataFrame(
        {
            "feature": wide_names(rows) if len(rows) else [],
            "label": rows["label"],
            "value": rows["value"].astype(float),
            "within": np.square(rows["perturb_sd"].astype(float)),
        }
    )
    grouped = keyed.groupby(["feature", "label"], sort=False)
    found = grouped.agg(
        between=("value", "var"), within=("within", "mean"), subjects=("value", "size")
    ).reset_index()
    found = found[(found["subjects"] >= LEAST_SUBJECTS) & (found["between"] + found["within"] > 0)]
    df = found["subjects"] - 1
    lowest = found["between"] * df / chi2.ppf(0.5 + confidence / 2, df)
    return pd.DataFrame(
        {
            "feature": found["feature"],
            "label": found["label"],
            "icc": found["between"] / (found["between"] + found["within"]),
            "icc_low": lowest / (lowest + found["within"]),
            "subjects": found["subjects"],
        }
    ).reset_index(drop=True)
