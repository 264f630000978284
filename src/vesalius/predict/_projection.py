"""Projection: few combinations of features in place of many: principal components, Fisher's LDA."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._gaps import check_cases, check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._univariate import need_target


@final
@dataclass(slots=True, eq=False)
class Pca(Step):
    """Replace features by their principal components, ``pc1``, ``pc2``, ...

    Features must have comparable spread: put ``Scale`` before it. The sign of a component is such
    that its largest weight is positive.

    Attributes:
        components: Most components that are kept.
        share: Components are kept until they hold this share of the variance; 1 sets no limit.
        features_: Seen in training.
        mean_: (features,).
        axes_: (components, features), of unit length.
        shares_: (components,) share of the variance.

    References:
        Pearson (1901), doi:10.1080/14786440109462720.
    """

    components: int = 10
    share: float = 1.0
    features_: tuple[str, ...] = learned()
    mean_: Floats = learned()
    axes_: Floats = learned()
    shares_: Floats = learned()

    word: ClassVar[str] = "pca"

    def fit(self, table: Table, target: Target | None = None) -> "Pca":
        """Find the components.

        Args:
            table: The training cases, without gaps.
            target: Not looked at.

        Returns:
            Itself.

        Raises:
            ConfigError: Fewer than one component is asked for, or ``share`` is not in (0, 1].
            IntensityError: A value is missing.
            RegionError: Fewer than two cases.
        """
        if self.components < 1 or not 0 < self.share <= 1:
            raise ConfigError(
                "Pca must keep at least one component and a share in (0, 1], got "
                f"components={self.components} and share={self.share}"
            )
        check_cases(table, "Pca")
        check_full(table, "Pca")
        self.features_ = table.features
        self.mean_ = table.values.mean(axis=0)
        axes, power = _components(table.values - self.mean_)
        total = power.sum()
        shares = power / total if total > 0 else power
        enough = int(np.searchsorted(np.cumsum(shares), self.share - 1e-12)) + 1
        kept = min(self.components, enough, int((shares > 1e-12).sum()))
        self.axes_, self.shares_ = axes[:kept].copy(), shares[:kept].copy()
        return self

    def transform(self, table: Table) -> Table:
        """Give the components of cases.

        Args:
            table: Any cases with the features of the training, without gaps.

        Returns:
            With the components as features.
        """
        self.state()
        table = table.select(self.features_)
        return _projected(table, table.values - self.mean_, self.axes_, "pc")


@final
@dataclass(slots=True, eq=False)
class Lda(Step):
    """Replace features by the combinations that part the classes best, ``ld1``, ``ld2``, ...

    The covariance within classes is drawn towards a sphere, since cases are few and features many.
    There is one combination less than there are classes; it is scaled so that its variance within
    the classes is 1 among the training cases.

    Attributes:
        shrink: Share of the sphere in the covariance, from 0 to 1; negative takes that of Ledoit
            and Wolf.
        features_: Seen in training.
        mean_: (features,).
        axes_: (combinations, features).

    References:
        Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x; Ledoit & Wolf (2004),
        doi:10.1016/S0047-259X(03)00096-4, lemma 3.3.
    """

    shrink: float = -1.0
    features_: tuple[str, ...] = learned()
    mean_: Floats = learned()
    axes_: Floats = learned()

    word: ClassVar[str] = "lda"
    needs_target: ClassVar[bool] = True

    def fit(self, table: Table, target: Target | None = None) -> "Lda":
        """Find the combinations.

        Args:
            table: The training cases, without gaps.
            target: Classes; of a number its thirds, for survival whether the event was seen.

        Returns:
            Itself.

        Raises:
            ConfigError: No outcome is given, or ``shrink`` is above 1.
            IntensityError: A value is missing.
            RegionError: Fewer than three cases, or one class only.
        """
        target = need_target(target, "Lda")
        if self.shrink > 1:
            raise ConfigError(f"shrink must be a share of at most 1, got {self.shrink}")
        check_cases(table, "Lda", 3)
        check_full(table, "Lda")
        names, group = np.unique(target.strata, return_inverse=True)
        hot = np.eye(len(names))[group]
        counts = hot.sum(axis=0)
        self.features_ = table.features
        self.mean_ = table.values.mean(axis=0)
        centres = (hot.T @ table.values) / counts[:, None]
        within = table.values - centres[group]
        self.axes_ = self._axes(within, centres - self.mean_, counts)
        return self

    def _axes(self, within: Floats, centres: Floats, counts: Floats) -> Floats:
        """Solve through the inner products of cases, which are fewer than features."""
        cases = len(within)
        share = self.shrink if self.shrink >= 0 else ledoit_wolf(within)
        sphere = share * float(np.square(within).sum()) / (cases * max(within.shape[1], 1))
        ridge = max(sphere, 1e-9 * float(np.square(within).sum()) / max(within.size, 1), 1e-300)
        # (ridge I + (1 - share) W'W / n)^-1 c by the Woodbury identity
        root = np.sqrt((1 - share) / cases) * within
        inner = np.eye(cases) + root @ root.T / ridge
        weighted = np.sqrt(counts / cases)[:, None] * centres
        solved = (weighted - (root.T @ np.linalg.solve(inner, root @ weighted.T / ridge)).T) / ridge
        # directions in the span of the centres: an eigenproblem as small as there are classes
        power, mix = np.linalg.eigh(weighted @ solved.T)
        kept = np.argsort(-power)[: len(counts) - 1]
        axes = mix[:, kept].T @ solved
        length = np.sqrt(np.square(within @ axes.T).mean(axis=0))[:, None]
        return _signed(axes / np.where(length > 0, length, 1.0))

    def transform(self, table: Table) -> Table:
        """Give the combinations of cases.

        Args:
            table: Any cases with the features of the training, without gaps.

        Returns:
            With the combinations as features.
        """
        self.state()
        table = table.select(self.features_)
        return _projected(table, table.values - self.mean_, self.axes_, "ld")


def ledoit_wolf(centred: Floats) -> float:
    """Give the share of a sphere that brings a covariance closest to the true one.

    Args:
        centred: (cases, features), mean 0.

    Returns:
        From 0 to 1.
    """
    cases, features = centred.shape
    if not features:
        return 0.0
    # the products of cases and those of features have one sum of squares: take the fewer
    inner = centred @ centred.T if cases < features else centred.T @ centred
    lengths = np.einsum("ij,ij->i", centred, centred)
    squares = np.square(inner).sum() / cases**2
    level = lengths.sum() / cases / features
    spread = squares - features * level**2
    noise = (np.square(lengths).sum() / cases - squares) / cases
    return float(np.clip(noise / spread, 0.0, 1.0)) if spread > 0 else 1.0


def _components(centred: Floats) -> tuple[Floats, Floats]:
    _, length, axes = np.linalg.svd(centred, full_matrices=False)
    return _signed(axes), np.square(length)


def _signed(axes: Floats) -> Floats:
    if not axes.size:
        return axes
    # rounded, so that of two weights of one size the first decides
    largest = np.abs(np.round(axes, 9)).argmax(axis=1)
    return axes * np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]


def _projected(table: Table, centred: Floats, axes: Floats, name: str) -> Table:
    check_full(table, "a projection")
    return replace(
        table,
        features=tuple(f"{name}{k + 1}" for k in range(len(axes))),
        values=centred @ axes.T,
        reasons={},
        units={},
    )
