"""Cohort: which features are reliable, that is, differ more between subjects than within one."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vesalius.errors import ConfigError, RegionError
from vesalius.measure._feature import Value
from vesalius.measure._measurement import Measurement
from vesalius.measure._reliability import Icc
from vesalius.measure._uncertainty import cohort_reliability

if TYPE_CHECKING:
    import pandas as pd


def cohort_table(measurements: Sequence[Measurement]) -> "pd.DataFrame":
    """Join the tables of a cohort and fill ``icc``, ``icc_low`` and ``grade``.

    The perturbed measurements of each subject are its repeats; regions are matched by name. A
    region that fewer than two subjects have keeps these columns empty.

    Args:
        measurements: One for each subject, made with ``uncertainty`` and one configuration.

    Returns:
        The long table of all subjects, in their order; ``reason`` says why an ICC is missing where
        there could be one.

    Raises:
        RegionError: Fewer than two subjects, or one was measured without error bars.
        ConfigError: The configurations differ.

    References:
        Koo & Li (2016), doi:10.1016/j.jcm.2016.02.012: ICC(1,1), graded on the lower end of its
        95% interval.
    """
    import pandas as pd

    _check(measurements)
    found = {label: _reliability(measurements, label) for label in _shared_labels(measurements)}
    table = pd.concat([m.table for m in measurements], ignore_index=True)
    keys = [_key(*row) for row in table[["filter", "feature", "aggregation"]].to_numpy()]
    places = zip(table["label"], keys, strict=True)
    values = [found.get(label, {}).get(key) for label, key in places]
    nan = float("nan")
    return table.assign(
        icc=[nan if v is None else v.value for v in values],
        icc_low=[nan if v is None else v.low for v in values],
        grade=["" if v is None else v.grade for v in values],
        reason=[
            old or (f"icc: {v.reason}" if v is not None and v.reason else "")
            for old, v in zip(table["reason"], values, strict=True)
        ],
    )


def _check(measurements: Sequence[Measurement]) -> None:
    if len(measurements) < 2:
        raise RegionError(
            f"a cohort must have at least two subjects, got {len(measurements)}: "
            "one scan has repeatability, not reliability"
        )
    digests = {m.config.digest for m in measurements}
    if len(digests) > 1:
        raise ConfigError(
            f"a cohort must be measured with one configuration, got {len(digests)}: "
            "measure again with one"
        )
    if any(not m.repeats and not m.failures for m in measurements):
        raise RegionError(
            "a cohort must be measured with error bars, one subject has none: "
            "use extract(..., uncertainty=True)"
        )


def _shared_labels(measurements: Sequence[Measurement]) -> list[str]:
    names = dict.fromkeys(name for m in measurements for name in m.repeats)
    return [name for name in names if sum(name in m.repeats for m in measurements) > 1]


def _reliability(measurements: Sequence[Measurement], label: str) -> dict[str, Icc]:
    return cohort_reliability([m.repeats[label] for m in measurements if label in m.repeats])


def _key(filtered: str, feature: str, aggregation: str) -> str:
    return Value(feature, aggregation, 0.0, "", "" if filtered == "original" else filtered).key  # type: ignore[arg-type]
