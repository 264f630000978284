"""Table: the features of cases, with what else is known of them and how they were made."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError, IntensityError, ShapeError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
NOT_GIVEN = "not given"
"""Reason of a value that was absent in the file."""
MOST = 1e150
"""Greatest magnitude of a value: sums of squares must stay finite."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Features of cases.

    Attributes:
        cases: Identifier of each row; all differ.
        features: Name of each feature; all differ.
        values: (cases, features); NaN only where ``reasons`` says why.
        columns: What else is known: outcome, batch, clinical columns; one row for each case, in
            their order, none of them a feature.
        reasons: Why a value is missing, by (case, feature).
        units: Unit of each feature, where known.
        parameters: Hash of the parameters that the features were made with; empty where unknown.
            A model refuses features of other parameters.
        history: What was done to the whole table, oldest first, such as a harmonisation and the
            cases that it was fitted on.

    Raises:
        ShapeError: The parts do not fit.
        ConfigError: A case or a feature occurs twice.
        IntensityError: A value is infinite or beyond ``MOST``, or missing without a reason.
    """

    cases: tuple[str, ...]
    features: tuple[str, ...]
    values: Floats = field(repr=False)
    columns: "pd.DataFrame" = field(repr=False)
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)
    units: Mapping[str, str] = field(default_factory=dict, repr=False)
    parameters: str = ""
    history: tuple[Provenance, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        wanted = (len(self.cases), len(self.features))
        if self.values.shape != wanted or len(self.columns) != wanted[0]:
            raise ShapeError(
                f"values must be (cases, features) = {wanted} and columns have {wanted[0]} rows, "
                f"got {self.values.shape} and {len(self.columns)}"
            )
        for what, names in (("case", self.cases), ("feature", self.features)):
            if twice := _first_twice(names):
                raise ConfigError(
                    f"each {what} must occur once, got {twice!r} again: rename it, or join its rows"
                )
        beyond = np.abs(self.values) > MOST
        if beyond.any():
            i, j = (int(k[0]) for k in np.nonzero(beyond))
            raise IntensityError(
                f"features must be finite and at most {MOST:g}, got {self.values[i, j]} for "
                f"{self.features[j]!r} of case {self.cases[i]!r}: leave the cell empty where there "
                "is no value"
            )
        self._check_reasons()

    def _check_reasons(self) -> None:
        missing = np.isnan(self.values)
        if not missing.any():
            return
        for i, j in zip(*np.nonzero(missing), strict=True):
            if not self.reasons.get((self.cases[i], self.features[j])):
                raise IntensityError(
                    f"a missing value must have a reason, {self.features[j]!r} of case "
                    f"{self.cases[i]!r} has none: make the table with as_table, or say why"
                )

    def rows(self, chosen: Sequence[int] | NDArray[np.integer]) -> "Table":
        """Keep rows, in the order given."""
        at = np.asarray(chosen, dtype=np.int64)
        cases = tuple(self.cases[i] for i in at)
        kept = set(cases)
        return replace(
            self,
            cases=cases,
            values=self.values[at],
            columns=self.columns.iloc[at].reset_index(drop=True),
            reasons={key: why for key, why in self.reasons.items() if key[0] in kept},
        )

    def select(self, features: Sequence[str]) -> "Table":
        """Keep features, in the order given.

        Args:
            features: Names.

        Returns:
            The smaller table; this one where nothing changes.

        Raises:
            ConfigError: A feature is absent.
        """
        if tuple(features) == self.features:
            return self
        place = {name: j for j, name in enumerate(self.features)}
        if absent := [name for name in features if name not in place]:
            raise ConfigError(
                f"the table must have the feature {absent[0]!r}, it has not "
                f"({len(absent)} of {len(features)} are absent): measure with the same "
                "configuration, or fit without it"
            )
        kept = set(features)
        return replace(
            self,
            features=tuple(features),
            values=self.values[:, [place[name] for name in features]],
            reasons={key: why for key, why in self.reasons.items() if key[1] in kept},
            units={name: unit for name, unit in self.units.items() if name in kept},
        )

    def with_values(self, values: Floats) -> "Table":
        """Put new values of the same cases and features in place; filled gaps lose their reason."""
        if not self.reasons:
            return replace(self, values=values)
        gone = ~np.isnan(values)
        place = {name: j for j, name in enumerate(self.features)}
        row = {name: i for i, name in enumerate(self.cases)}
        kept = {
            key: why for key, why in self.reasons.items() if not gone[row[key[0]], place[key[1]]]
        }
        return replace(self, values=values, reasons=kept)

    def column(self, name: str) -> "pd.Series":
        """Give a column by name.

        Args:
            name: Of the column.

        Returns:
            One value for each case.

        Raises:
            ConfigError: There is no such column, or it is a feature.
        """
        if name in self.features:
            raise ConfigError(
                f"a column that a step or a role works with must be no feature, {name!r} is one: "
                "give it a role in the description (confounders), or leave it out of the features"
            )
        if name not in self.columns:
            near = ", ".join(repr(str(one)) for one in self.columns.columns[:8]) or "none"
            raise ConfigError(
                f"the table must have the column {name!r}, it has {near}: check the spelling"
            )
        return self.columns[name]

    def noted(self, record: Provenance) -> "Table":
        """Write down what was done to the table."""
        return replace(self, history=(*self.history, record))


def _first_twice(names: Sequence[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
