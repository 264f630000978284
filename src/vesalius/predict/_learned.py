"""Learned: what steps and estimators have in common: settings, and a state of plain arrays."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any, ClassVar, TypeVar

from vesalius.errors import ConvergenceError
from vesalius.predict._description import Kind
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_L = TypeVar("_L", bound="Learned")


def learned() -> Any:
    """Declare a field that ``fit`` fills; it is no setting, and absent before ``fit``."""
    return field(init=False, repr=False, compare=False)


class Learned:
    """Something with settings that learns from cases: a dataclass.

    Fields that ``__init__`` takes are settings, stored untouched: numbers, texts, switches, tuples
    of these. Fields made with ``learned()``, whose names end in ``_``, are what was learned: plain
    numbers, texts, tuples or lists, dictionaries of these with text keys, and numpy arrays of
    numbers or booleans. That is all that a saved model holds: JSON and arrays, nothing that runs.
    """

    __slots__ = ()

    word: ClassVar[str] = ""
    """What it is called in a recipe and in a saved model."""

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Names of the settings."""
        return tuple(one.name for one in fields(cls) if one.init)  # type: ignore[arg-type]

    def settings(self) -> dict[str, Any]:
        """Give the settings by name."""
        return {name: getattr(self, name) for name in self.setting_names()}

    def fresh(self: _L, changed: Mapping[str, Any] | None = None) -> _L:
        """Make one with the same settings, but for those changed, that has learned nothing."""
        return type(self)(**(self.settings() | dict(changed or {})))

    def state(self) -> dict[str, Any]:
        """Give what was learned by name.

        Raises:
            ConvergenceError: It has not learned yet.
        """
        found: dict[str, Any] = {}
        for one in fields(self):  # type: ignore[arg-type]
            if not one.init:
                if not hasattr(self, one.name):
                    raise ConvergenceError(
                        f"{type(self).__name__} must be fitted before it is used: call fit first"
                    )
                found[one.name] = getattr(self, one.name)
        return found

    def restored(self: _L, state: Mapping[str, Any]) -> _L:
        """Make one with the same settings that knows ``state``."""
        copy = self.fresh()
        for name, value in state.items():
            setattr(copy, name, value)
        return copy


class Step(Learned, ABC):
    """Something done to a table before an estimator sees it; learned from training cases alone.

    ``fit`` must not keep anything of the target that a new case does not have. ``transform`` gives
    new cases the same treatment; it never looks at an outcome, and never changes its input.
    """

    __slots__ = ()

    needs_target: ClassVar[bool] = False
    """Whether ``fit`` looks at the outcome: such a step outside of the folds is a leak."""

    @abstractmethod
    def fit(self, table: Table, target: Target | None = None) -> "Step":
        """Learn from training cases.

        Args:
            table: The training cases.
            target: Their outcome, for steps that look at it.

        Returns:
            Itself.
        """

    @abstractmethod
    def transform(self, table: Table) -> Table:
        """Treat cases as learned.

        Args:
            table: Any cases with the features that it was fitted on.

        Returns:
            A new table.
        """


class Estimator(Learned, ABC):
    """A model of an outcome given features without gaps, learned from training cases alone."""

    __slots__ = ()

    kinds: ClassVar[tuple[Kind, ...]] = ("binary",)
    """What it can predict."""

    @abstractmethod
    def fit(self, values: Floats, target: Target) -> "Estimator":
        """Learn from training cases.

        Args:
            values: (cases, features), finite.
            target: Their outcome.

        Returns:
            Itself.
        """

    @abstractmethod
    def predict(self, values: Floats) -> Floats:
        """Predict.

        Args:
            values: (cases, features), finite, features as in training.

        Returns:
            (cases, outputs): the probability of the event (one column); of every class; the
            number; or for survival a risk, greater where the event is expected earlier.
        """

    def importances(self) -> Floats:
        """Give (features,) signed weights of a linear model, or shares of a model of trees.

        Returns:
            Empty where the model has none.
        """
        import numpy as np

        return np.zeros(0)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Settings worth trying in the inner folds, from the simplest model to the richest.

        Args:
            values: (cases, features) of the training cases.
            target: Their outcome.

        Returns:
            Changes of settings for ``fresh``; one empty change where nothing is tuned.
        """
        return ({},)

    def path(
        self,
        values: Floats,
        target: Target,
        held_out: Floats,
        settings: Sequence[Mapping[str, Any]],
    ) -> Floats:
        """Predict held-out cases with each of several settings.

        Linear models override it, since a whole path of weights costs little more than one fit;
        what they give must be what one fit for each setting gives.

        Args:
            values: (cases, features) of the training cases.
            target: Their outcome.
            held_out: (other cases, features) to predict.
            settings: Changes of settings, as :meth:`grid` gives them.

        Returns:
            (settings, other cases, outputs).
        """
        import numpy as np

        fitted = (self.fresh(change).fit(values, target) for change in settings)
        return np.stack([one.predict(held_out) for one in fitted])
