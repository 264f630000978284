"""Plan: which transform, similarity, regulariser and optimiser, at which scales, in which order."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, get_args

from vesalius.errors import ConfigError
from vesalius.register._basis import Basis
from vesalius.register._regulariser import Regulariser, Smoother
from vesalius.register._similarity import Similarity

LinearModel = Literal["translation", "rigid", "similarity", "affine"]
DenseModel = Literal["displacement", "velocity", "symmetric"]


@dataclass(frozen=True, slots=True)
class Scale:
    """One scale of a stage.

    Attributes:
        spacing_mm: Distance of samples; 0 keeps that of the fixed image.
        steps: Most steps of the optimiser at this scale.

    Raises:
        ConfigError: A number is negative or not finite.
    """

    spacing_mm: float
    steps: int

    def __post_init__(self) -> None:
        if not (0 <= self.spacing_mm < math.inf and self.steps >= 0):
            raise ConfigError(
                "spacing_mm and steps of a scale must be 0 or more, got "
                f"{self.spacing_mm} and {self.steps}"
            )


@dataclass(frozen=True, slots=True)
class GaussNewton:
    """Levenberg-Marquardt on the few parameters of a linear model.

    Attributes:
        damping: First damping, as a fraction of the diagonal; adapts.
        samples: About how many positions are compared at each scale; 0 takes all.

    Raises:
        ConfigError: ``damping`` is not positive, or ``samples`` is negative.
    """

    damping: float = 1e-3
    samples: int = 0

    def __post_init__(self) -> None:
        _require_positive("damping of GaussNewton", self.damping, "0.001 is usual")
        if self.samples < 0:
            raise ConfigError(f"samples must be 0 (all) or more, got {self.samples}")


@dataclass(frozen=True, slots=True)
class Lbfgs:
    """Quasi-Newton descent with a strong-Wolfe line search.

    Attributes:
        memory: Pairs of steps and gradients kept.

    Raises:
        ConfigError: ``memory`` is not positive.
    """

    memory: int = 6

    def __post_init__(self) -> None:
        _require_positive("memory of Lbfgs", self.memory, "6 is usual")


@dataclass(frozen=True, slots=True)
class Adam:
    """First-order descent with a step for each parameter.

    Attributes:
        rate: Size of a step: samples for fields, mm for coefficients in mm.

    Raises:
        ConfigError: ``rate`` is not positive.
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        _require_positive("rate of Adam", self.rate, "0.1 is usual")


@dataclass(frozen=True, slots=True)
class Greedy:
    """Normalised greedy descent: smooth the force, scale it, compose it, smooth the whole.

    Attributes:
        update: Smoother of each update (fluid-like); its result is scaled.
        total: Smoother of the whole field after each update (elastic-like); None for none.
        step: Longest displacement of one update, samples.

    Raises:
        ConfigError: ``step`` is not positive, or ``total`` is a solver of forces.
    """

    update: Smoother
    total: Smoother | None = None
    step: float = 0.25

    def __post_init__(self) -> None:
        _require_positive("step of Greedy, samples,", self.step, "0.25 to 1 is usual")
        _require_kept(self.total)


@dataclass(frozen=True, slots=True)
class Demons:
    """Demons: optical-flow forces between images of one contrast.

    Attributes:
        force: ``"thirion"`` uses the fixed image's gradient, ``"warped"`` the warped moving
            image's, ``"symmetric"`` the mean of both.
        update: Smoother of each update, or None.
        total: Smoother of the whole field, or None.
        step: Longest displacement of one update, samples; the normaliser alpha follows from it.
        diffeomorphic: Whether updates are composed through their exponential; added otherwise.
        match: Whether the moving image's values are first mapped, monotonely, to the quantiles of
            the fixed one's: for scanners that gain differently, as in MR. CT in HU needs none.

    Raises:
        ConfigError: ``total`` is a solver of forces.
    """

    force: Literal["thirion", "warped", "symmetric"] = "symmetric"
    update: Smoother | None = None
    total: Smoother | None = None
    step: float = 0.5
    diffeomorphic: bool = True
    match: bool = False

    def __post_init__(self) -> None:
        _require_kept(self.total)


Optimiser = GaussNewton | Lbfgs | Adam | Greedy | Demons


@dataclass(frozen=True, slots=True)
class Stage:
    """One search: a model, what it should improve, how it is held back, and who searches.

    Attributes:
        model: A linear one by name; ``"displacement"``, ``"velocity"`` (stationary) or
            ``"symmetric"`` (two maps that meet in a mid space); or a ``Basis``.
        similarity: The loss.
        optimiser: Linear models: GaussNewton, Lbfgs, Adam. Dense: Greedy, Demons, Lbfgs, Adam.
            Basis: Lbfgs, Adam.
        scales: Coarse to fine, at least one.
        regularisers: Energies, summed; for deformable models under Lbfgs and Adam. The other
            optimisers hold a field back by their smoothers.
        tol: Stop a scale when the mean relative fall of the loss over the last ten steps is below.

    Raises:
        ConfigError: There is no scale, ``tol`` is negative or not finite, or there are regularisers
            that model or optimiser would not hear.
    """

    model: LinearModel | DenseModel | Basis
    similarity: Similarity
    optimiser: Optimiser
    scales: tuple[Scale, ...]
    regularisers: tuple[Regulariser, ...] = ()
    tol: float = 1e-5

    def __post_init__(self) -> None:
        if not self.scales:
            raise ConfigError("scales of a stage must be at least one, got none: try Scale(0, 50)")
        if not 0 <= self.tol < math.inf:
            raise ConfigError(f"tol must be 0 or more, got {self.tol}: 1e-5 is usual")
        if not self.regularisers:
            return
        if self.model in get_args(LinearModel):
            raise ConfigError(
                f"regularisers hold deformable models back, got a linear one ({self.model}): "
                "leave them to the stage that deforms"
            )
        if not isinstance(self.optimiser, Lbfgs | Adam):
            raise ConfigError(
                "regularisers need optimiser Lbfgs or Adam, got "
                f"{type(self.optimiser).__name__}: it would not hear them; give Greedy and Demons "
                "smoothers instead"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in the order they run; each begins where the last one ended.

    Attributes:
        stages: The linear ones first.
    """

    stages: tuple[Stage, ...]


def _require_positive(what: str, value: float, usual: str) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{what} must be positive and finite, got {value}: {usual}")


def _require_kept(total: Smoother | None) -> None:
    if total is not None and not total.keeps:
        raise ConfigError(
            f"total must keep slow fields as they are, got {total}: a solver of forces is for "
            "update"
        )
