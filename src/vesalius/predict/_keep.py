"""Keep and Drop: choose features by name."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, final

from vesalius.errors import ConfigError
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Table
from vesalius.predict._target import Target


@final
@dataclass(slots=True, eq=False)
class Keep(Step):
    """Keep features whose name fits one of several patterns.

    Attributes:
        patterns: As file names are matched: ``*`` stands for any text, ``?`` for one letter; case
            matters.
        kept_: Features that are kept.
    """

    patterns: tuple[str, ...] = ("*",)
    kept_: tuple[str, ...] = learned()

    word: ClassVar[str] = "keep"

    def fit(self, table: Table, target: Target | None = None) -> "Keep":
        """Find the features.

        Args:
            table: The training cases.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: A pattern fits no feature.
        """
        _check_patterns(self.patterns, table.features)
        self.kept_ = tuple(name for name in table.features if _fits(name, self.patterns))
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


@final
@dataclass(slots=True, eq=False)
class Drop(Step):
    """Drop features whose name fits one of several patterns.

    Attributes:
        patterns: As those of :class:`Keep`.
        kept_: Features that are kept.
    """

    patterns: tuple[str, ...] = ()
    kept_: tuple[str, ...] = learned()

    word: ClassVar[str] = "drop"

    def fit(self, table: Table, target: Target | None = None) -> "Drop":
        """Find the features.

        Args:
            table: The training cases.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: A pattern fits no feature.
        """
        _check_patterns(self.patterns, table.features)
        self.kept_ = tuple(name for name in table.features if not _fits(name, self.patterns))
        return self

    def transform(self, table: Table) -> Table:
        """Drop the features that were found.

        Args:
            table: Any cases with the others.

        Returns:
            Without these features.
        """
        self.state()
        return table.select(self.kept_)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_patterns(patterns: tuple[str, ...], features: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in features):
            near = ", ".join(features[:4]) or "none"
            raise ConfigError(
                f"a pattern must fit a feature, {pattern!r} fits none of {len(features)} "
                f"({near}, ...): check the spelling"
            )
