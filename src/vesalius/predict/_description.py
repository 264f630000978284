"""Description: what the columns of a table mean for the question that is asked."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, fields
from typing import Literal, final

from vesalius.errors import ConfigError

Kind = Literal["binary", "classes", "number", "survival"]


@final
@dataclass(frozen=True, slots=True)
class Description:
    """A small causal description: what is asked, of whom, and what else differs between them.

    Every name is that of a column; an empty name says that there is none. A column named here is
    never a feature.

    Attributes:
        outcome: What is to be predicted; for survival whether the event was seen (1) or not (0).
        kind: Two classes, several classes, a number, or time to an event.
        positive: The class of the event, for two classes; empty takes 1, true or yes, else the
            rarer class.
        time: Time to the event or to the last visit, for survival.
        case: Identifier of a row; empty takes the first of ``case``, ``subject`` and ``id``, else
            rows are numbered.
        group: What must not be split between training and test: the patient.
        batch: What changes the measurement and not the patient: scanner, protocol, site.
        confounders: What changes outcome and features both: age, sex, stage.
        exposure: The quantity whose effect on the outcome is asked, where one is.
        site: The hospital, for leave-one-site-out and for fairness.
        date: When the case was seen, for temporal validation.
        subgroups: Columns for which fairness is reported.
        positive_is: How the event is called in a report; empty takes ``positive``.

    Raises:
        ConfigError: A column has two roles that exclude each other, or survival has no time.
    """

    outcome: str = ""
    kind: Kind = "binary"
    positive: str = ""
    time: str = ""
    case: str = ""
    group: str = ""
    batch: str = ""
    confounders: tuple[str, ...] = ()
    exposure: str = ""
    site: str = ""
    date: str = ""
    subgroups: tuple[str, ...] = ()
    positive_is: str = ""

    def __post_init__(self) -> None:
        if self.outcome:
            for role in ("case", "group", "batch", "exposure", "site", "date", "time"):
                if getattr(self, role) == self.outcome:
                    raise ConfigError(
                        f"a column must have one role, got {self.outcome!r} as outcome and as "
                        f"{role}: name another column for one of them"
                    )
            if self.outcome in self.confounders:
                raise ConfigError(
                    f"the outcome must not be a confounder of itself, got {self.outcome!r}: leave "
                    "it out of the confounders"
                )
        if self.kind == "survival" and not self.time:
            raise ConfigError("survival must have a column of times, got none: name it (--time)")

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that has a role, once each."""
        found: dict[str, None] = {}
        for field in fields(self):
            if field.name in ("kind", "positive", "positive_is"):
                continue
            value = getattr(self, field.name)
            found |= dict.fromkeys(value if isinstance(value, tuple) else (value,))
        return tuple(name for name in found if name)
