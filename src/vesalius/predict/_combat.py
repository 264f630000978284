"""Combat: take away what a scanner does to the mean and the spread of each feature."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from vesalius.predict._batches import batches_of, check_sizes, each_batch
from vesalius.predict._coding import Levels
from vesalius.predict._combat_shrink import Shrinkage
from vesalius.predict._combat_statistics import (
    Effect,
    Model,
    Moments,
    check_spread,
    effect_of,
    model_of,
    moments_of,
)
from vesalius.predict._covariates import learn_levels, term_names, term_values
from vesalius.predict._gaps import check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_ROWS = 32
_WAY_OUT = ", or set mean_only"


@final
@dataclass(slots=True, eq=False)
class Combat(Step):
    """Bring features of several batches to one mean and spread, and keep what covariates explain.

    Each feature of a case in a batch is taken as a grand mean, the effect of kept covariates, and
    a location and a scale of the batch. Location and scale are estimated for all features of a
    batch together: what the others say draws those of one feature towards them (empirical Bayes).

    ``transform`` treats cases of a batch of the training with what was learned of it: a case's own
    values are all that is needed. A batch that the training has not seen is estimated from the
    cases given, against the frozen grand mean, spread and weights, with priors of its own features:
    give the cases of a new scanner together, at least 2 (one with ``mean_only``), better 20.

    Never keep the outcome in a pipeline that predicts it: a new case has none, and what is kept
    leaks into the features. Fit inside the folds.

    Attributes:
        batch: Column that names the batch; in a pipeline empty takes that of the description.
        keep: Columns whose effect stays: numbers as they are, texts by level. A case to be
            transformed whose value is missing gets the mean of the training cases.
        parametric: Priors of given form; else the effects on the other features are the prior.
        empirical_bayes: Shrink; else each feature stands for itself.
        mean_only: Correct the location alone; for batches of few cases.
        reference: A batch that stays as it is and to which others are brought; empty for none.
        tol: Relative change at which the iteration stops.
        features_: Seen in training.
        batches_: Seen in training, sorted.
        levels_: What each kept column held.
        mean_: (features,) grand mean at covariates of 0.
        weights_: (terms, features) of the covariates.
        deviation_: (features,) pooled standard deviation within batches.
        typical_: (terms,) mean of the covariates.
        location_: (batches, features) taken away from standardised features.
        scale_: (batches, features) variance, whose root they are divided by.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from vesalius.predict import Table
        >>> where = pd.DataFrame({"scanner": list("aaabbb")})
        >>> values = np.array([[1.0, 2, 3, 11, 12, 13], [5, 3, 4, 3, 5, 4]]).T
        >>> table = Table(tuple("uvwxyz"), ("shifted", "alike"), values, where)
        >>> step = Combat(batch="scanner", empirical_bayes=False).fit(table)
        >>> after = step.transform(table).values[:, 0]
        >>> after[:3].mean().round(6).item(), after[3:].mean().round(6).item()
        (7.0, 7.0)

    References:
        Johnson, Li & Rabinovic (2007), doi:10.1093/biostatistics/kxj037; Fortin et al. (2018),
        doi:10.1016/j.neuroimage.2017.11.024. Equal to the authors' R and Python code to 1e-9, and
        to their Matlab code with ``tol=1e-3``, at which that one stops. Differs from them in: the
        change of the iteration is relative to the magnitude (theirs keeps the sign, so that
        negative locations do not count); likelihoods of many cases do not underflow; a feature
        without spread is refused; a gap is refused.
    """

    batch: str = ""
    keep: tuple[str, ...] = ()
    parametric: bool = True
    empirical_bayes: bool = True
    mean_only: bool = False
    reference: str = ""
    tol: float = 1e-4
    features_: tuple[str, ...] = learned()
    batches_: tuple[str, ...] = learned()
    levels_: dict[str, list[str]] = learned()
    mean_: Floats = learned()
    weights_: Floats = learned()
    deviation_: Floats = learned()
    typical_: Floats = learned()
    location_: Floats = learned()
    scale_: Floats = learned()

    word: ClassVar[str] = "combat"

    @property
    def shrinkage(self) -> Shrinkage:
        """How effects are estimated, as the statistics take it."""
        return Shrinkage(self.parametric, self.empirical_bayes, self.mean_only, self.tol)

    def fit(self, table: Table, target: Target | None = None) -> "Combat":
        """Learn the effects of batches.

        Args:
            table: The training cases, without gaps.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: No batch is named, a column is absent or has a gap, the reference is no
                batch, or a covariate cannot be told from the batch or from the others.
            RegionError: Fewer than two batches, a batch of one case, or too few cases.
            IntensityError: A feature has a gap, or is constant within every batch.
        """
        check_full(table, "Combat")
        levels = batches_of(table, self.batch, "Combat")
        kept = learn_levels(table, self.keep)
        moments = moments_by_batch(table.values, term_values(table, kept, np.zeros(0)), levels)
        return self.learn(moments, table.features, kept)

    def learn(
        self,
        moments: dict[str, Moments],
        features: tuple[str, ...],
        levels: dict[str, list[str]],
    ) -> "Combat":
        """Learn from moments of batches instead of cases, which may stay in their hospitals.

        Args:
            moments: By name of the batch.
            features: Names of the features.
            levels: What each kept column holds, the same for all hospitals.

        Returns:
            Itself, as :meth:`fit` on all cases together to rounding.

        Raises:
            ConfigError: As :meth:`fit`.
            RegionError: As :meth:`fit`.
            IntensityError: As :meth:`fit`.
        """
        moments = {name: moments[name] for name in sorted(moments)}
        if not self.mean_only:
            check_sizes({name: one.cases for name, one in moments.items()}, "Combat", _WAY_OUT)
        model = model_of(moments, term_names(levels), self.reference)
        check_spread(model, features, self.reference)
        effects = [self._effect(name, one, model) for name, one in moments.items()]
        self.features_, self.batches_, self.levels_ = features, tuple(moments), levels
        self.mean_, self.weights_ = model.mean, model.weights
        self.deviation_, self.typical_ = model.deviation, model.typical
        self.location_ = np.stack([one.location for one in effects])
        self.scale_ = np.stack([one.scale for one in effects])
        return self

    def transform(self, table: Table) -> Table:
        """Take away the effects of batches.

        Args:
            table: Cases with the features, the batch and the kept columns of the training.

        Returns:
            Harmonised.

        Raises:
            ConfigError: A column or a feature is absent, or a kept text has a new level.
            RegionError: A new batch of one case, unless ``mean_only``.
            IntensityError: A feature has a gap.
        """
        self.state()
        table = table.select(self.features_)
        if not table.cases:
            return table
        check_full(table, "Combat")
        terms = term_values(table, self.levels_, self.typical_)
        model = Model(self.mean_, self.weights_, self.deviation_, self.typical_)
        levels = batches_of(table, self.batch, "Combat")
        effects = [
            self._known(name, table.values, terms, model, at) for name, at in each_batch(levels)
        ]
        values = _moved(table.values, terms, model, effects, levels)
        if self.reference in levels.names:
            own = levels.codes == levels.names.index(self.reference)
            values[own] = table.values[own]
        return table.with_values(values)

    def _effect(self, name: str, moments: Moments, model: Model) -> Effect:
        if name == self.reference:
            return Effect(np.zeros_like(model.mean), np.ones_like(model.mean))
        return effect_of(moments, model, self.shrinkage)

    def _known(
        self, name: str, values: Floats, terms: Floats, model: Model, at: NDArray[np.intp]
    ) -> Effect:
        if name in self.batches_:
            place = list(self.batches_).index(name)
            return Effect(self.location_[place], self.scale_[place])
        if not self.mean_only:
            check_sizes({name: len(at)}, "Combat", _WAY_OUT)
        return effect_of(moments_of(values[at], terms[at]), model, self.shrinkage)


def _moved(
    values: Floats, terms: Floats, model: Model, effects: Sequence[Effect], levels: Levels
) -> Floats:
    """Take effects away, a few cases at a time, so that what is between stays in the cache."""
    factor = np.stack([1.0 / np.sqrt(one.scale) for one in effects])
    shift = np.stack([one.location for one in effects]) * model.deviation * factor
    moved = np.empty_like(values)
    for first in range(0, len(values), _ROWS):
        rows = slice(first, first + _ROWS)
        own = levels.codes[rows]
        base = terms[rows] @ model.weights + model.mean
        out = moved[rows]
        np.subtract(values[rows], base, out=out)
        out *= factor[own]
        base -= shift[own]
        out += base
    return moved


def moments_by_batch(values: Floats, terms: Floats, levels: Levels) -> dict[str, Moments]:
    """Take the moments of each batch.

    Args:
        values: (cases, features), finite.
        terms: (cases, terms) of the covariates.
        levels: The batch of each case.

    Returns:
        By name of the batch.
    """
    return {name: moments_of(values[at], terms[at]) for name, at in each_batch(levels)}
