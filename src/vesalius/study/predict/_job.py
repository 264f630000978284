"""Job: what is asked of a table: which columns mean what, by which recipe, validated how."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, TypeVar, final

from vesalius.errors import ConfigError
from vesalius.predict import Description, Threshold
from vesalius.predict.validate import Split

_S = TypeVar("_S", Description, Split)


@final
@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table are what.

    Attributes:
        description: Roles of columns.
        features: Patterns of features; empty takes every number without a role.
        leave_out: Patterns of columns that are no features.
    """

    description: Description = field(default_factory=Description)
    features: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class FitJob:
    """What is asked of a fit.

    Attributes:
        columns: Of the table.
        config: Recipe file; none takes the default recipe of the kind of outcome.
        split: How it is validated; what differs from the default goes before what ``config`` says.
        threshold: How the threshold of a decision is chosen.
        validate: Whether it is validated at all.
        permutations: Of the outcome, for a p-value; 0 for none.
        learning_curve: Whether the validation is also made on shares of the cases.
        accept_leaks: Whether it goes on where a leak is certain.
        drop_duplicates: Whether of cases with the same values the first alone is kept.
        stable_in: A cohort measured with error bars; features below ``least_icc`` there are left
            out. None for no such filter.
        least_icc: Smallest lower end of a kept feature's intraclass correlation.
        seed: Of everything that is drawn.
        workers: Processes that share the folds.

    Raises:
        ConfigError: The permutations are negative, or are asked for without a validation.
    """

    columns: Columns = field(default_factory=Columns)
    config: Path | None = None
    split: Split = field(default_factory=Split)
    threshold: Threshold = field(default_factory=Threshold)
    validate: bool = True
    permutations: int = 0
    learning_curve: bool = False
    accept_leaks: bool = False
    drop_duplicates: bool = False
    stable_in: Path | None = None
    least_icc: float = 0.75
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.permutations < 0 or (self.permutations and not self.validate):
            raise ConfigError(
                f"permutations must be 0 or more, and need a validation, got {self.permutations} "
                f"with{'' if self.validate else 'out'} one: 199 give a p-value of .005"
            )


@final
@dataclass(frozen=True, slots=True)
class JudgeJob:
    """What is asked of a validation.

    Attributes:
        how: On other cases, in nested folds of those learned from, or what fits the table.
        folds: Outer folds, where nested.
        repeats: Of the folds.
        recalibrate: Whether recalibration on these cases is shown beside.
        other_parameters: Whether features of other parameters are accepted.
        seed: Of everything that is drawn.
        workers: Processes that share the folds.
        times: For survival, times at which the AUC is asked for, in the unit of the times.
    """

    how: Literal["auto", "nested", "external"] = "auto"
    folds: int = 5
    repeats: int = 1
    recalibrate: bool = False
    other_parameters: bool = False
    seed: int = 0
    workers: int = 1
    times: tuple[float, ...] = ()


def said_over(said: _S, written: _S) -> _S:
    """Let what was said on the command line go before what a file says.

    Args:
        said: On the command line.
        written: In the recipe.

    Returns:
        Every role or setting that was said, else as written.
    """
    plain = type(said)()
    changed = {
        one.name: getattr(said, one.name)
        for one in fields(said)
        if getattr(said, one.name) != getattr(plain, one.name)
    }
    return replace(written, **changed)
