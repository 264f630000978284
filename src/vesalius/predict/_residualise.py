"""Residualise: what follows linearly from confounders is taken out of every feature."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._coding import is_number, levels_of, terms_of
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Bools, Target

_FLAT = 1e-12
"""A spread below this share of the largest magnitude is rounding, not spread."""


@final
@dataclass(slots=True, eq=False)
class Residualise(Step):
    """Take out of every feature what follows linearly from confounders, as learned in training.

    A feature becomes itself less the part that its least-squares line gives for the case's
    confounders, plus the part for the mean confounders of training: the mean over training cases
    stays. Numbers enter as they are, texts as indicators; the weights are the least ones where
    confounders depend on each other. A text that training did not have counts as the mean of all
    training cases. A gap of a feature stays; the line is learned from the cases that have it.

    Never put the outcome among ``columns``: a new case has none.

    Attributes:
        columns: Columns of the confounders; empty changes nothing.
        levels_: Values of each text column, in the order of their terms; empty for numbers.
        mean_: (terms,) mean in training.
        weight_: (terms, features) change of a feature for one unit of a term.
        features_: The features that it learned.

    References:
        Friston et al. (1994), doi:10.1002/hbm.460020402 (effects of no interest in the linear
        model). Learned in training cases alone: Snoek et al. (2019),
        doi:10.1016/j.neuroimage.2018.09.074.
    """

    word: ClassVar[str] = "residualise"

    columns: tuple[str, ...] = ()
    levels_: dict[str, tuple[str, ...]] = learned()
    mean_: Floats = learned()
    weight_: Floats = learned()
    features_: tuple[str, ...] = learned()

    def fit(self, table: Table, target: Target | None = None) -> "Residualise":
        """Learn the line of each feature.

        Args:
            table: The training cases, with the columns of the confounders.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: A column is absent or has gaps, or there are fewer cases than terms.
        """
        self.levels_ = {
            name: () if is_number(table, name) else levels_of(table, name).names
            for name in self.columns
        }
        terms = np.concatenate([part for part, _ in self._parts(table)], axis=1)
        self.features_ = table.features
        self.mean_ = terms.mean(axis=0)
        if len(table.cases) < terms.shape[1] + 2:
            raise ConfigError(
                f"residualise must have more cases than terms, got {len(table.cases)} cases and "
                f"{terms.shape[1]} terms of {', '.join(self.columns)}: name fewer columns"
            )
        size = _size(terms)
        self.weight_ = _weights((terms - self.mean_) / size, table.values) / size[:, None]
        return self

    def transform(self, table: Table) -> Table:
        """Take out what follows from the confounders of each case.

        Args:
            table: Cases with the features and the columns it was fitted on.

        Returns:
            A new table; gaps stay.

        Raises:
            ConfigError: A feature or column is absent, or a column has gaps.
        """
        self.state()
        table = table.select(self.features_)
        return table.with_values(table.values - (self._terms(table) - self.mean_) @ self.weight_)

    def _terms(self, table: Table) -> Floats:
        terms, start = [], 0
        for part, strange in self._parts(table):
            part[strange] = self.mean_[start : start + part.shape[1]]
            start += part.shape[1]
            terms.append(part)
        return np.concatenate(terms, axis=1)

    def _parts(self, table: Table) -> list[tuple[Floats, Bools]]:
        """Give the terms of each column, and which cases have a text that training had not."""
        none = np.zeros(len(table.cases), dtype=bool)
        parts = [(np.zeros((len(table.cases), 0)), none)]
        for name in self.columns:
            if known := tuple(self.levels_[name]):
                part = _indicators(table, name, known)
                parts.append((part, part.sum(axis=1) == 0))
            else:
                parts.append((_numbers(table, name), none))
        return parts


def _numbers(table: Table, name: str) -> Floats:
    if not is_number(table, name):
        raise ConfigError(
            f"column {name!r} must hold numbers as in training, got texts: correct the column"
        )
    return terms_of(table, (name,)).values


def _indicators(table: Table, name: str, known: tuple[str, ...]) -> Floats:
    levels = levels_of(table, name)
    texts = np.array(levels.names, dtype=object)[levels.codes]
    return np.asarray(texts[:, None] == np.array(known, dtype=object), dtype=np.float64)


def _size(terms: Floats) -> Floats:
    """Give (terms,) the spread of each, so that its unit decides nothing; infinite for none."""
    spread = terms.std(axis=0)
    flat = spread <= _FLAT * np.abs(terms).max(axis=0, initial=0.0)
    return np.where(flat, np.inf, spread)


def _weights(centred: Floats, values: Floats) -> Floats:
    """Solve least squares for each feature; features with gaps one by one on their cases."""
    gaps = np.isnan(values)
    whole = ~gaps.any(axis=0)
    weight = np.zeros((centred.shape[1], values.shape[1]))
    if not centred.shape[1]:
        return weight
    weight[:, whole] = _least(centred, values[:, whole])
    for j in np.flatnonzero(~whole):
        there = ~gaps[:, j]
        if there.sum() > centred.shape[1] + 1:
            own = centred[there] - centred[there].mean(axis=0)
            weight[:, [j]] = _least(own, values[there][:, [j]])
    return weight


def _least(centred: Floats, values: Floats) -> Floats:
    return np.asarray(np.linalg.pinv(centred, rcond=1e-10) @ (values - values.mean(axis=0)))
