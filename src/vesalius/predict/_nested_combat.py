"""Nested Combat: several things that change the measurement, taken away one after another."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, Literal, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._coding import levels_of
from vesalius.predict._combat import Combat
from vesalius.predict._learned import Step, learned
from vesalius.predict._shift_tests import shift_tests
from vesalius.predict._table import Table
from vesalius.predict._target import Target

_LEVEL = 0.05
"""Of the test that counts features still affected."""
_ALL_ORDERS = 4
"""With more columns than this, one is chosen after another instead of trying every order."""


@final
@dataclass(slots=True, eq=False)
class NestedCombat(Step):
    """Apply ComBat for each of several batch columns in turn, in the order that helps most.

    Scanner, kernel and contrast agent each shift features, and their combinations are too many for
    one column. Each column is harmonised on what the one before left. The last one is harmonised
    best, since it is not disturbed any more: with ``best`` every order of up to four columns is
    tried on the training cases, and that one is taken after which the fewest features differ
    between batches (Anderson-Darling, p < 0.05, counted for every column and added up; of two
    alike the one nearer to the order given). Of five or more columns that one is taken next which
    leaves the fewest. Each column is treated as :class:`Combat` treats it, new batches too.

    Attributes:
        batches: Columns that name batches.
        keep: Columns whose effect stays; never the outcome.
        order: The best, or as given.
        parametric: As in :class:`Combat`.
        empirical_bayes: As in :class:`Combat`.
        mean_only: As in :class:`Combat`.
        tol: As in :class:`Combat`.
        order_: Columns in the order in which they are harmonised.
        before_: How many features differ between the batches of each column.
        affected_: How many do afterwards: not always fewer, since features of heavy tails are not
            made alike by a location and a scale; transform such features first.
        stages_: What each column's :class:`Combat` learned.

    References:
        Horng et al. (2022), doi:10.1038/s41598-022-08412-9 (nested), and
        doi:10.1038/s41598-022-23328-0 (best order). Differs from them in: no feature is dropped
        on the way, and features are counted for all columns together.
    """

    batches: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    order: Literal["best", "given"] = "best"
    parametric: bool = True
    empirical_bayes: bool = True
    mean_only: bool = False
    tol: float = 1e-4
    order_: tuple[str, ...] = learned()
    before_: dict[str, int] = learned()
    affected_: dict[str, int] = learned()
    stages_: dict[str, dict[str, Any]] = learned()

    word: ClassVar[str] = "nested-combat"

    def fit(self, table: Table, target: Target | None = None) -> "NestedCombat":
        """Learn the order and what each column does.

        Args:
            table: The training cases, without gaps.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: No column is named, one is named twice, or as :meth:`Combat.fit`.
            RegionError: As :meth:`Combat.fit`.
            IntensityError: As :meth:`Combat.fit`.
        """
        if not self.batches or len(set(self.batches)) < len(self.batches):
            raise ConfigError(
                "NestedCombat must know columns of batches, each once, got "
                f"{', '.join(map(repr, self.batches)) or 'none'}: name them with batches="
            )
        order = self.batches if self.order == "given" else self._best(table)
        self.before_ = {name: _affected(table, name) for name in order}
        stages: dict[str, dict[str, Any]] = {}
        for name in order:
            stage = self._stage(name).fit(table)
            stages[name] = stage.state()
            table = stage.transform(table)
        self.order_, self.stages_ = tuple(order), stages
        self.affected_ = {name: _affected(table, name) for name in order}
        return self

    def transform(self, table: Table) -> Table:
        """Take away the effect of each column in turn.

        Args:
            table: Cases with the features, batches and kept columns of the training.

        Returns:
            Harmonised.

        Raises:
            ConfigError: As :meth:`Combat.transform`.
            RegionError: As :meth:`Combat.transform`.
            IntensityError: As :meth:`Combat.transform`.
        """
        self.state()
        for name in self.order_:
            table = self._stage(name).restored(self.stages_[name]).transform(table)
        return table

    def _stage(self, name: str) -> Combat:
        return Combat(
            batch=name,
            keep=self.keep,
            parametric=self.parametric,
            empirical_bayes=self.empirical_bayes,
            mean_only=self.mean_only,
            tol=self.tol,
        )

    def _best(self, table: Table) -> tuple[str, ...]:
        if len(self.batches) > _ALL_ORDERS:
            return self._one_after_another(table)
        tables: dict[tuple[str, ...], Table] = {(): table}

        def after(order: tuple[str, ...]) -> Table:
            # orders that begin alike share their beginning
            if order not in tables:
                before = after(order[:-1])
                tables[order] = self._stage(order[-1]).fit(before).transform(before)
            return tables[order]

        return min(permutations(self.batches), key=lambda order: self._left(after(order)))

    def _one_after_another(self, table: Table) -> tuple[str, ...]:
        order: list[str] = []
        while len(order) < len(self.batches):
            rest = [name for name in self.batches if name not in order]
            tried = {name: self._stage(name).fit(table).transform(table) for name in rest}
            left = [self._left(tried[name]) for name in rest]
            order.append(rest[left.index(min(left))])
            table = tried[order[-1]]
        return tuple(order)

    def _left(self, table: Table) -> int:
        return sum(_affected(table, name) for name in self.batches)


def _affected(table: Table, column: str) -> int:
    _, p = shift_tests(table.values, levels_of(table, column).codes)["anderson"]
    return int(np.sum(p < _LEVEL))
