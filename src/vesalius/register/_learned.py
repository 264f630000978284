"""Registrar: a network that guesses a deformation at once, trained with data or without any."""
# SPDX-License-Identifier: Apache-2.0

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from vesalius.core import Image, Step, Transform, Velocity
from vesalius.core._displacement import to_mm
from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.io._weights import ModelCard, Weights, check_shapes, load_weights, save_weights
from vesalius.learn import Schedule, UNet, train
from vesalius.register import _register
from vesalius.register._diffusion import Diffusion
from vesalius.register._gaussian import Gaussian
from vesalius.register._guides import Guides
from vesalius.register._learned_network import level_velocity
from vesalius.register._learned_plan import Example, RegistrarPlan, Shapes
from vesalius.register._learned_training import (
    examples_loss,
    floats,
    objective,
    objectives_of,
    seeds,
    shapes_loss,
)
from vesalius.register._level import make_level
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._plan import Greedy, Plan, Scale, Stage
from vesalius.register._registration import Registration
from vesalius.register._regulariser import Regulariser
from vesalius.register._similarity import Similarity
from vesalius.register._start import Init, start_transform

PACKAGED = Path(__file__).parent / "weights" / "registrar.safetensors"
State = dict[str, Tensor]
OnStep = Callable[[Step], None]

PLAN, SHAPES = RegistrarPlan(), Shapes()
SIMILARITY, REGULARISER = LocalNcc(radius=2), Diffusion(0.05)
SCHEDULE = Schedule(1600, learning_rate=3e-3, warm_up=20, weight_decay=0.0, average=0.99)
REFINE = Stage(
    "displacement",
    LocalNcc(radius=2),
    Greedy(update=Gaussian(sigma=1.7), total=Gaussian(sigma=0.6), step=0.75),
    (Scale(4, 40), Scale(2, 20)),
)
"""Instance optimisation by default; for voxels of about 2 mm."""
NO_GUIDES = Guides()
FIRST = 0.3  # first weights of the last layer, as a part of He's: begin near no motion
_MOST_BYTES = 64 << 20


@final
class Registrar:
    """A U-Net that sees two images and gives the stationary velocity between them.

    It learns from real pairs, with or without labels and landmarks, or from made-up shapes. The
    same weights look at each of ``plan.scales_mm`` in turn, coarse to fine, each time at the
    moving image as the guess so far shows it. Images of any size and spacing will do. Fitted
    attributes: ``network_``, ``losses_`` (per step), ``state_`` (to go on), ``card_`` (loaded ones
    only).

    Args:
        plan: The network, and the lattices that it looks at.
        similarity: What is learned to be small between real images.
        regulariser: Of the velocity; learned to be small on real and made-up images.
        schedule: How long to train.

    Example:
        >>> from vesalius.core import Grid
        >>> grid = Grid.from_spacing((12, 12, 12), (4.0, 4.0, 4.0))
        >>> noise = torch.rand(1, 12, 12, 12, generator=torch.Generator().manual_seed(0))
        >>> guess = Registrar.pretrained().predict(Image(noise, grid), Image(noise, grid))
        >>> len(guess.parts)  # the start, then one velocity for each scale
        3

    References:
        Balakrishnan et al. (2019), doi:10.1109/TMI.2019.2897538 (unsupervised, eq. (2); labels,
        eq. (8)); Dalca et al. (2019), doi:10.1016/j.media.2019.07.006 (stationary velocity);
        Hoffmann et al. (2022), doi:10.1109/TMI.2021.3116879 (made-up shapes). Differs from them
        in: one network serves all scales; landmarks; the known velocity of the shapes counts too.
    """

    network_: UNet
    losses_: tuple[float, ...]
    state_: State
    card_: ModelCard

    def __init__(
        self,
        plan: RegistrarPlan = PLAN,
        *,
        similarity: Similarity = SIMILARITY,
        regulariser: Regulariser = REGULARISER,
        schedule: Schedule = SCHEDULE,
    ) -> None:
        self.plan = plan
        self.similarity = similarity
        self.regulariser = regulariser
        self.schedule = schedule

    def fit(
        self,
        examples: tuple[Example, ...] | Shapes = SHAPES,
        *,
        generator: torch.Generator,
        resume: State | None = None,
        save: Callable[[State], None] | None = None,
        on_step: OnStep | None = None,
    ) -> "Registrar":
        """Learn, one pair a step.

        A training that is stopped and resumed from its state, with a generator of the same seed,
        ends with the same weights as one that was not.

        Args:
            examples: Real pairs, all kept in memory at all scales; those whose guides have labels
                or landmarks pull by them too. Or made-up ``Shapes``, new ones at every step.
            generator: Source of first weights and of every choice.
            resume: ``state_`` of an earlier run, or what ``save`` was given.
            save: Called with the state now and then; see ``Schedule``.
            on_step: Told of each step.

        Returns:
            This object, fitted.

        Raises:
            ConfigError: There is no example, or ``resume`` is of another network.
            ShapeError: An example has other channels or axes than the plan.
            IntensityError: An image is constant, or holds NaN or infinity.
            ConvergenceError: The loss is not finite: lower the learning rate.
        """
        network = UNet(self.plan.network, generator=generator)
        with torch.no_grad():
            network.leave.weight.mul_(FIRST)  # type: ignore[operator]
        base = int(torch.randint(1 << 40, (), generator=generator))
        if isinstance(examples, Shapes):
            loss = shapes_loss(examples, self.plan, self.regulariser)
        else:
            for example in examples:
                self._check(example.fixed, example.moving)
            pairs = objectives_of(examples, self.plan, self.similarity, self.regulariser)
            network = network.to(examples[0].fixed.data.device)
            loss = examples_loss(pairs, self.plan)
        done = train(
            network,
            seeds(base, 0 if resume is None else int(resume.get("step", 0))),
            loss,
            schedule=self.schedule,
            resume=resume,
            save=None if save is None else lambda state: save(dict(state)),
            on_step=on_step,
        )
        self.network_ = network
        self.losses_ = done.loss
        self.state_ = dict(done.state)
        return self

    def predict(
        self, fixed: Image, moving: Image, *, init: Init | Transform = "header"
    ) -> Transform:
        """Guess the transform from the fixed world to the moving world, at once.

        Args:
            fixed: Any number type, any size and spacing; orthogonal grid.
            moving: Same channels.
            init: Where the network begins: see ``start_transform``; best an affine result.

        Returns:
            ``init`` behind one ``Velocity`` for each scale; it may serve as ``init`` of
            ``register``.

        Raises:
            ConfigError: Not fitted yet.
            ShapeError: Other channels or axes than the plan's, or only one image is 2-D.
            IntensityError: An image is constant, or holds NaN or infinity.
            GeometryError: The fixed grid is not orthogonal.
        """
        network = self._fitted().to(fixed.data.device)
        self._check(fixed, moving)
        images = floats(fixed), floats(moving)
        found = init if isinstance(init, Transform) else start_transform(*images, init=init)
        for spacing in self.plan.scales_mm:
            level = make_level(*images, spacing, start=found)
            with torch.no_grad():
                flow = level_velocity(network, level, dims=self.plan.dims)
            found = found @ Velocity(to_mm(flow, level.grid), level.grid)
        return found

    def register(
        self,
        fixed: Image,
        moving: Image,
        *,
        init: Init | Transform = "header",
        refine: Stage = REFINE,
        on_step: OnStep | None = None,
    ) -> Registration:
        """Guess, then improve the guess for these two images (instance optimisation).

        The loss of ``refine`` never ends above that of the guess, nor the guess's above that of
        ``init``: what would be worse is left out, and said in ``remarks``.

        Args:
            fixed: As in ``predict``.
            moving: As in ``predict``.
            init: As in ``predict``.
            refine: A deformable stage; its scales are in mm.
            on_step: Told of each step of the stage.

        Returns:
            The result; ``start`` is what the stage began from.

        Raises:
            ConfigError: Not fitted yet, or the stage's parts do not go together.
            ShapeError: Other channels or axes than the plan's.
            IntensityError: An image is constant, or holds NaN or infinity.
        """
        begun = time.perf_counter()
        self._check(fixed, moving)
        images = floats(fixed), floats(moving)
        begin = init if isinstance(init, Transform) else start_transform(*images, init=init)
        guess, remarks = self.predict(fixed, moving, init=begin), []
        least, loss = _loss(images, begin, refine), _worst(images, guess, refine)
        if loss > least:
            guess, loss = begin, least
            remarks.append("the network's guess was worse than the start and was left out")
        found = _register.register(fixed, moving, plan=Plan((refine,)), init=guess, on_step=on_step)
        if _worst(images, found.transform, refine) > loss:
            found = replace(found, transform=guess)
            remarks.append("the refinement was worse than the guess and was left out")
        return replace(found, remarks=tuple(remarks), seconds=time.perf_counter() - begun)

    def save(self, path: str | Path, card: ModelCard) -> None:
        """Write weights and model card; the card's plan is replaced by this one's.

        Weights are written in half precision: half the size, each within 5e-4 of itself.

        Args:
            path: Ending in ``.safetensors``.
            card: What a user must know.

        Raises:
            ConfigError: Not fitted yet, or the path ends otherwise.
            OutputError: The folder is not writable.
        """
        words = {**{k: getattr(card, k) for k in card.__slots__}, "plan": asdict(self.plan)}
        halves = {k: v.half() for k, v in self._fitted().state_dict().items()}
        save_weights(path, halves, ModelCard(**words))

    @classmethod
    def load(cls, path: str | Path) -> "Registrar":
        """Read a registrar that was saved.

        Args:
            path: Ending in ``.safetensors``; the card lies beside it.

        Returns:
            A fitted registrar with its card as ``card_``.

        Raises:
            FormatError: A file is absent, damaged, or does not fit its plan.
            ConfigError: The plan has unknown or impossible values.
        """
        found = load_weights(path, most_bytes=_MOST_BYTES)
        registrar = cls(_plan(found))
        network = UNet(registrar.plan.network, generator=torch.Generator().manual_seed(0))
        check_shapes(found.tensors, {k: v.half() for k, v in network.state_dict().items()})
        network.load_state_dict({k: v.float() for k, v in found.tensors.items()})
        registrar.network_ = network.eval()
        registrar.card_ = found.card
        return registrar

    @classmethod
    def pretrained(cls) -> "Registrar":
        """Load the packaged weights: volumes of one contrast, learned from made-up shapes alone.

        ``card_`` says what they are good for and how far they lead on real brains.
        """
        return cls.load(PACKAGED)

    def _fitted(self) -> UNet:
        network: UNet | None = getattr(self, "network_", None)
        if network is None:
            raise ConfigError(
                "a registrar must be fitted before use: call fit, or take Registrar.pretrained()"
            )
        return network

    def _check(self, fixed: Image, moving: Image) -> None:
        _register._check(fixed, moving, NO_GUIDES)
        dims = 2 if fixed.grid.shape[0] == 1 else 3
        if (dims, fixed.data.shape[0]) != (self.plan.dims, self.plan.channels):
            raise ShapeError(
                f"this registrar is for images of {self.plan.dims} dimensions and "
                f"{self.plan.channels} channels, got {dims} and {fixed.data.shape[0]}: train one "
                "with another plan"
            )


def _loss(images: tuple[Image, Image], transform: Transform, stage: Stage) -> float:
    """Give the loss of a stage's similarity for a transform, at the stage's finest scale."""
    level = make_level(*images, stage.scales[-1].spacing_mm, start=transform)
    compared = objective(level, stage.similarity)
    with torch.no_grad():
        return float(compared(level.fixed.new_zeros((3, *level.grid.shape)))[0])


def _worst(images: tuple[Image, Image], transform: Transform, stage: Stage) -> float:
    """Give the loss, or infinity where the moving image has left the fixed one."""
    try:
        return _loss(images, transform, stage)
    except (IntensityError, RegionError):
        return math.inf


def _plan(found: Weights) -> RegistrarPlan:
    values = dict(found.card.plan)
    own = asdict(RegistrarPlan()) | {"scales_mm": []}
    if {k: type(v) for k, v in values.items()} != {k: type(v) for k, v in own.items()}:
        raise ConfigError(f"the card's plan must hold the fields of RegistrarPlan, got {values}")
    return RegistrarPlan(**{**values, "scales_mm": tuple(values["scales_mm"])})
