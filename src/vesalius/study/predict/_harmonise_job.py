"""Job of a harmonisation: which columns, which method, what is kept."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import asdict, dataclass, field
from typing import Literal, final

from vesalius.errors import ConfigError
from vesalius.predict import Step
from vesalius.study.predict._job import Columns

Method = Literal["combat", "nested", "quantile", "zscore", "none"]

NAMES = {
    "combat": "ComBat",
    "nested": "nested ComBat",
    "quantile": "quantile normalisation",
    "zscore": "z-scores in each batch",
    "none": "no harmonisation",
}


@final
@dataclass(frozen=True, slots=True)
class Manner:
    """How a method works.

    Attributes:
        reference: Batch that stays as it is; empty for none.
        mean_only: Correct the location alone (ComBat).
        parametric: Priors of given form (ComBat).
        empirical_bayes: Draw the effects on the features towards each other (ComBat).
    """

    reference: str = ""
    mean_only: bool = False
    parametric: bool = True
    empirical_bayes: bool = True


@final
@dataclass(frozen=True, slots=True)
class HarmoniseJob:
    """What is asked of a harmonisation.

    Attributes:
        columns: Roles of columns; the batch must be named.
        batches: Further columns of batches, for ``nested``.
        method: How; ``none`` looks at batch effects alone.
        keep: Columns whose effect on the features stays; empty keeps the confounders.
        manner: Of the method.
        accept_confounded: Go on where batch and outcome cannot be told apart.
        seed: Of everything that is drawn.

    Raises:
        ConfigError: No batch is named, or an option does not belong to the method.
    """

    columns: Columns = field(default_factory=Columns)
    batches: tuple[str, ...] = ()
    method: Method = "combat"
    keep: tuple[str, ...] = ()
    manner: Manner = Manner()
    accept_confounded: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.columns.description.batch:
            raise ConfigError("a batch must be named to harmonise, got none: name it with --batch")
        if len(self.every_batch) > 1 and self.method not in ("nested", "none"):
            raise ConfigError(
                f"{self.method} must have one batch, got {', '.join(self.every_batch)}: take "
                "--method nested, or name one"
            )
        plain = Manner(reference=self.manner.reference)
        if self.manner != plain and self.method not in ("combat", "nested"):
            raise ConfigError(
                "mean-only, non-parametric and no-eb must go with ComBat, got the method "
                f"{self.method!r}: leave them out"
            )
        if self.manner.reference and self.method not in ("combat", "quantile"):
            raise ConfigError(
                "a reference batch must go with combat or quantile, got the method "
                f"{self.method!r}: leave it out"
            )
        if self.keep and self.method in ("quantile", "zscore"):
            raise ConfigError(
                f"columns to keep must go with ComBat, got the method {self.method!r}, which "
                "keeps nothing: leave them out"
            )

    @property
    def every_batch(self) -> tuple[str, ...]:
        """Columns of batches, the described one first."""
        return tuple(dict.fromkeys((self.columns.description.batch, *self.batches)))

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns whose effect stays."""
        if self.method in ("quantile", "zscore", "none"):
            return ()
        return self.keep or self.columns.description.confounders

    def to_json(self) -> dict[str, object]:
        """Give the settings as JSON types."""
        return asdict(self)

    def step(self) -> Step:
        """Build what is to be fitted."""
        from vesalius.predict.harmonise import Combat, NestedCombat, Quantile, ZScore

        batch, manner = self.columns.description.batch, self.manner
        if self.method == "quantile":
            return Quantile(batch, manner.reference)
        if self.method == "zscore":
            return ZScore(batch)
        if self.method == "nested":
            return NestedCombat(
                self.every_batch,
                keep=self.kept,
                parametric=manner.parametric,
                empirical_bayes=manner.empirical_bayes,
                mean_only=manner.mean_only,
            )
        return Combat(
            batch,
            self.kept,
            parametric=manner.parametric,
            empirical_bayes=manner.empirical_bayes,
            mean_only=manner.mean_only,
            reference=manner.reference,
        )
