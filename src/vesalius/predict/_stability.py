"""Stability: keep features that come out alike when the measurement is repeated."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.io.tables import read_rows
from vesalius.measure._measurement import wide_names
from vesalius.predict._error_bars import LEAST_SUBJECTS, reliability_of_error_bars
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

if TYPE_CHECKING:
    import pandas as pd

LONG = "features.parquet"
"""File of a cohort folder that holds a row for each value."""


@final
@dataclass(slots=True, eq=False)
class Stability(Step):
    """Keep features whose reliability is known to be good.

    The reliability comes from repeated measurements, not from the table that is fitted: from other
    cases, or from perturbed images of the same cases, for which no outcome is needed. So it may be
    given once for all folds.

    Attributes:
        least: Smallest intraclass correlation coefficient of a kept feature.
        icc: Coefficient of each feature, by name; best the lower end of its interval, as
            :func:`stability_from` takes it.
        unknown: What becomes of a feature without a coefficient.
        kept_: Features that are kept.
        dropped_: Why a feature was dropped, by name.

    References:
        Koo & Li (2016), doi:10.1016/j.jcm.2016.02.012: 0.75 and more is good reliability, to be
        read off the lower end of the 95% interval.
    """

    least: float = 0.75
    icc: tuple[tuple[str, float], ...] = ()
    unknown: Literal["drop", "keep"] = "drop"
    kept_: tuple[str, ...] = learned()
    dropped_: dict[str, str] = learned()

    word: ClassVar[str] = "stability"

    def fit(self, table: Table, target: Target | None = None) -> "Stability":
        """Find the reliable features.

        Args:
            table: The training cases.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: No coefficient is given, or none of them belongs to a feature.
        """
        known = dict(self.icc)
        if not set(known) & set(table.features):
            raise ConfigError(
                f"Stability must know the reliability of the features, got {len(known)} "
                f"coefficients for none of {len(table.features)} features: make it with "
                "stability_from(a table measured with error bars)"
            )
        self.dropped_ = {}
        for name in table.features:
            if name not in known:
                if self.unknown == "drop":
                    self.dropped_[name] = "its reliability is unknown"
            elif not known[name] >= self.least:
                self.dropped_[name] = f"ICC {known[name]:.3g} is less than {self.least:g}"
        self.kept_ = tuple(name for name in table.features if name not in self.dropped_)
        return self

    def transform(self, table: Table) -> Table:
        """Keep the features that were found.

        Args:
            table: Any cases with them.

        Returns:
            With these features alone.
        """
        self.state()
        return table.select(self.kept_)


def stability_from(
    measured: "str | Path | pd.DataFrame", *, least: float = 0.75, on: str = "icc_low"
) -> Stability:
    """Make the filter from measurements with error bars.

    Where the table holds no coefficient but error bars, as the folder of a cohort that was measured
    with ``--uncertainty`` does, the coefficients are computed from these
    (:func:`reliability_of_error_bars`).

    Args:
        measured: The long table of a cohort as :func:`vesalius.measure.cohort_table` gives it, its
            Parquet file, or the folder of a cohort run that holds ``features.parquet``.
        least: Smallest coefficient of a kept feature.
        on: Column of the coefficient: ``icc_low``, the lower end of the 95% interval, or ``icc``.

    Returns:
        A step that knows the coefficient of every feature, named as in the wide table; for a
        feature of several regions the smallest.

    Raises:
        ConfigError: The table has no such column, or no coefficient: it was measured without error
            bars.
        FormatError: A file cannot be read.
    """
    long = measured if not isinstance(measured, str | Path) else _long_table(Path(measured))
    wanted = ["filter", "feature", "aggregation", "discretisation", on]
    if absent := [name for name in wanted if name not in long.columns]:
        raise ConfigError(
            f"a long table must have the column {absent[0]!r}, it has "
            f"{', '.join(map(str, long.columns[:6]))}, ...: give the table of measure.cohort_table"
        )
    # a column without a single number comes out of a text file as text
    there = np.isfinite(_numbers(long[on]))
    if on in ("icc", "icc_low") and not there.any():
        return _from_error_bars(long, least, on)
    known = long.loc[there, wanted]
    names = wide_names(known)
    least_of = known[on].astype(float).groupby(names.to_numpy(), sort=False).min()
    return Stability(least=least, icc=tuple((str(name), float(v)) for name, v in least_of.items()))


def _numbers(column: "pd.Series") -> Floats:
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)


def _from_error_bars(long: "pd.DataFrame", least: float, on: str) -> Stability:
    found = reliability_of_error_bars(long) if "perturb_sd" in long.columns else long.iloc[:0]
    if not len(found):
        raise ConfigError(
            f"the column {on!r} must hold coefficients, got {len(long)} rows without one, and no "
            f"feature of {LEAST_SUBJECTS} subjects or more has error bars: measure with error bars "
            "(uncertainty=True, cohort run --uncertainty)"
        )
    of = found.groupby("feature", sort=False)[on].min()
    return Stability(least=least, icc=tuple((str(name), float(v)) for name, v in of.items()))


def _long_table(path: Path) -> "pd.DataFrame":
    return read_rows(path / LONG if path.is_dir() else path)
