"""Longitudinal Combat: batches of patients who come again, each with an offset of his own."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._batches import batches_of, check_sizes, each_batch
from vesalius.predict._coding import Levels, levels_of
from vesalius.predict._combat import moments_by_batch
from vesalius.predict._combat_shrink import Shrinkage, naive, shrunk
from vesalius.predict._combat_statistics import check_spread, model_of
from vesalius.predict._covariates import learn_levels, term_names, term_values
from vesalius.predict._gaps import check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._random_intercept import expected_offsets, random_intercept
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target


@final
@dataclass(slots=True, eq=False)
class LongitudinalCombat(Step):
    """Bring visits of the same patients on several scanners to one mean and spread.

    As :class:`Combat`, but each patient has an offset of his own in every feature (a random
    intercept): what does not change from visit to visit is not taken for the scanner, and a scanner
    that saw only patients of one kind is still told from them by those who changed scanners. Keep
    the time between visits as a covariate. Where nobody comes twice it is :class:`Combat` with an
    unbiased spread.

    A case of a patient of the training is treated with the offset learned, any other patient with
    that which his cases in the table suggest; so give the visits of a new patient together. A batch
    that the training has not seen is refused.

    Attributes:
        batch: Column that names the batch; in a pipeline empty takes that of the description.
        subject: Column that names the patient.
        keep: Columns whose effect stays, such as time; never the outcome.
        empirical_bayes: Shrink; else each feature stands for itself.
        mean_only: Correct the location alone.
        tol: Relative change at which the iteration stops.
        features_: Seen in training.
        batches_: Seen in training, sorted.
        levels_: What each kept column held.
        mean_: (features,) grand mean at covariates of 0.
        weights_: (terms, features) of the covariates.
        typical_: (terms,) mean of the covariates.
        ratio_: (features,) variance between patients, in units of that within.
        deviation_: (features,) standard deviation within patients.
        effects_: (batches, features) effect on the mean, before it is shrunk, weighted sum 0.
        location_: (batches, features) taken away from standardised features.
        scale_: (batches, features) variance, whose root they are divided by.
        subjects_: A digest of each patient's name: the model names nobody.
        intercepts_: (patients, features) offset of each.

    References:
        Beer et al. (2020), doi:10.1016/j.neuroimage.2020.117129, eq. 2 to 5, with the restricted
        likelihood for the spread. Differs from the authors' code in: one random intercept, its
        ratio found to 1e-8 by an exact search; the iteration stops at ``tol`` and not after 30.
    """

    batch: str = ""
    subject: str = ""
    keep: tuple[str, ...] = ()
    empirical_bayes: bool = True
    mean_only: bool = False
    tol: float = 1e-8
    features_: tuple[str, ...] = learned()
    batches_: tuple[str, ...] = learned()
    levels_: dict[str, list[str]] = learned()
    mean_: Floats = learned()
    weights_: Floats = learned()
    typical_: Floats = learned()
    ratio_: Floats = learned()
    deviation_: Floats = learned()
    effects_: Floats = learned()
    location_: Floats = learned()
    scale_: Floats = learned()
    subjects_: tuple[str, ...] = learned()
    intercepts_: Floats = learned()

    word: ClassVar[str] = "longitudinal-combat"

    def fit(self, table: Table, target: Target | None = None) -> "LongitudinalCombat":
        """Learn the effects of batches and the offsets of patients.

        Args:
            table: The training cases, without gaps.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: No batch or patient is named, a column is absent or has a gap, or a
                covariate cannot be told from the batch or from the others.
            RegionError: Fewer than two batches, a batch of one case, or too few cases.
            IntensityError: A feature has a gap, or is constant within every batch.
        """
        check_full(table, "LongitudinalCombat")
        batches, subjects = self._batches(table), self._subjects(table)
        if not self.mean_only:
            sizes = dict(zip(batches.names, map(int, batches.counts), strict=True))
            check_sizes(sizes, "LongitudinalCombat", ", or set mean_only")
        levels = learn_levels(table, self.keep)
        terms = term_values(table, levels, np.zeros(0))
        moments = moments_by_batch(table.values, terms, batches)
        check_spread(model_of(moments, term_names(levels)), table.features)
        centre, size = terms.mean(axis=0), terms.std(axis=0)
        design = np.column_stack([batches.indicators, (terms - centre) / size])
        model = random_intercept(table.values, design, subjects.codes)
        count = len(batches.names)
        self.features_, self.batches_, self.levels_ = table.features, batches.names, levels
        self.weights_ = model.weights[count:] / size[:, None]
        shift = centre @ self.weights_
        share = batches.counts / len(table.cases)
        self.mean_ = share @ model.weights[:count] - shift
        self.effects_ = model.weights[:count] - shift - self.mean_
        self.typical_, self.ratio_, self.deviation_ = centre, model.ratio, model.deviation
        self.subjects_ = tuple(_digest(name) for name in subjects.names)
        self.intercepts_ = model.intercepts
        base = self.mean_ + terms @ self.weights_ + model.intercepts[subjects.codes]
        self._learn_effects((table.values - base) / self.deviation_, batches)
        return self

    def transform(self, table: Table) -> Table:
        """Take away the effects of batches.

        Args:
            table: Cases with the features, batch, patient and kept columns of the training.

        Returns:
            Harmonised.

        Raises:
            ConfigError: A column or a feature is absent, or a batch is new.
            IntensityError: A feature has a gap.
        """
        self.state()
        table = table.select(self.features_)
        if not table.cases:
            return table
        check_full(table, "LongitudinalCombat")
        batches = self._batches(table)
        if new := [name for name in batches.names if name not in self.batches_]:
            raise ConfigError(
                f"LongitudinalCombat must have seen the batch, got {new[0]!r} where there were "
                f"{', '.join(map(repr, self.batches_[:8]))}: fit with cases of it, or use Combat"
            )
        place = np.array([list(self.batches_).index(name) for name in batches.names])[batches.codes]
        base = self.mean_ + term_values(table, self.levels_, self.typical_) @ self.weights_
        offsets = self._offsets(table.values - base - self.effects_[place], self._subjects(table))
        base += offsets
        moved = (table.values - base) / self.deviation_ - self.location_[place]
        return table.with_values(moved / np.sqrt(self.scale_[place]) * self.deviation_ + base)

    def _learn_effects(self, standard: Floats, batches: Levels) -> None:
        options = Shrinkage(mean_only=self.mean_only, tol=self.tol)
        location, scale = [], []
        for _, at in each_batch(batches):
            own = standard[at]
            mean = own.mean(axis=0)
            squares = np.square(own - mean).sum(axis=0)
            hat = naive(len(own), mean, squares, mean_only=self.mean_only)
            one = shrunk(hat, options) if self.empirical_bayes else (hat.location, hat.scale)
            location.append(one[0])
            scale.append(one[1])
        self.location_, self.scale_ = np.stack(location), np.stack(scale)

    def _offsets(self, residuals: Floats, subjects: Levels) -> Floats:
        """Give (cases, features) offsets: those learned, or those that the cases suggest."""
        offsets = expected_offsets(residuals, subjects.codes, self.ratio_)
        known = {name: k for k, name in enumerate(self.subjects_)}
        for code, name in enumerate(subjects.names):
            if (at := known.get(_digest(name))) is not None:
                offsets[code] = self.intercepts_[at]
        return np.asarray(offsets[subjects.codes])

    def _batches(self, table: Table) -> Levels:
        return batches_of(table, self.batch, "LongitudinalCombat")

    def _subjects(self, table: Table) -> Levels:
        if not self.subject:
            raise ConfigError(
                "LongitudinalCombat must know the column of the patient, got none: name it with "
                "subject="
            )
        return levels_of(table, self.subject)


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:16]
