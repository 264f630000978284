"""Plan: which transform, similarity, regulariser and optimiser, at which scales, in which order."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal

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
    """

    spacing_mm: float
    steps: int


@dataclass(frozen=True, slots=True)
class GaussNewton:
    """Levenberg-Marquardt on the few parameters of a linear model.

    Attributes:
        damping: First damping, as a fraction of the diagonal; adapts.
        samples: About how many positions are compared at each scale; 0 takes all.
    """

    damping: float = 1e-3
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Lbfgs:
    """Quasi-Newton descent with a strong-Wolfe line search.

    Attributes:
        memory: Pairs of steps and gradients kept.
    """

    memory: int = 6


@dataclass(frozen=True, slots=True)
class Adam:
    """First-order descent with a step for each parameter.

    Attributes:
        rate: Size of a step: samples for fields, mm for coefficients in mm.
    """

    rate: float = 0.1


@dataclass(frozen=True, slots=True)
class Greedy:
    """Normalised greedy descent: smooth the force, scale it, compose it, smooth the whole.

    Attributes:
        update: Smoother of each update (fluid-like); its result is scaled.
        total: Smoother of the whole field after each update (elastic-like); None for none.
        step: Longest displacement of one update, samples.
    """

    update: Smoother
    total: Smoother | None = None
    step: float = 0.25


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
    """

    force: Literal["thirion", "warped", "symmetric"] = "symmetric"
    update: Smoother | None = None
    total: Smoother | None = None
    step: float = 0.5
    diffeomorphic: bool = True
    match: bool = False


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
        scales: Coarse to fine.
        regularisers: Energies, summed; for Lbfgs and Adam.
        tol: Stop a scale when the mean relative fall of the loss over the last ten steps is below.
    """

    model: LinearModel | DenseModel | Basis
    similarity: Similarity
    optimiser: Optimiser
    scales: tuple[Scale, ...]
    regularisers: tuple[Regulariser, ...] = ()
    tol: float = 1e-5


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in the order they run; each begins where the last one ended.

    Attributes:
        stages: The linear ones first.
    """

    stages: tuple[Stage, ...]
