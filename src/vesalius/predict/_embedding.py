"""Embedding: a small network after which cases of one class lie nearer than others."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._checks import check_word
from vesalius.predict._gaps import check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._soft_neighbours import (
    Ints,
    Watch,
    hold_out,
    learning_points,
    soft_loss,
)
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

if TYPE_CHECKING:
    import torch

_RATE = 0.01
_EACH = 2
"""Training steps between looks at the held-out cases."""
_Layers = tuple[Floats, Floats, Floats]


@final
@dataclass(slots=True, eq=False)
class Embedding(Step):
    """Replace features by their place in a learned space, ``embedding1``, ``embedding2``, ...

    A network of one hidden layer bends the principal components: x + tanh(x A + a) B, with B = 0 at
    the start, so that it begins with their Euclidean distance, and weight decay draws it back. A
    quarter of the training cases says when to stop; where no bend tells cases better that it has
    not seen, there is none. Then all training cases learn for as many steps. Put ``Scale`` before
    it. Fitted by torch in float64, one thread's arithmetic; the state is arrays, and new cases are
    placed by numpy.

    Attributes:
        loss: ``triplet`` wants a case of another class farther than one of the own by a margin;
            ``contrastive`` draws pairs of a class together and pushes others beyond a margin.
        components: Dimensions.
        hidden: Width of the hidden layer.
        margin: In units of a typical distance between neighbours.
        weight: Decay of the weights.
        steps: Most training steps.
        seed: Of the first weights, the pairs and the part that says when to stop.
        features_: Seen in training.
        mean_: (features,) taken away.
        axes_: (components, features).
        inner_: (components, hidden) A.
        shift_: (hidden,) a.
        outer_: (hidden, components) B.
        steps_: After which learning was stopped; 0 where nothing could be learned.

    References:
        Schroff et al. (2015), doi:10.1109/CVPR.2015.7298682, eq. 1; Hadsell et al. (2006),
        doi:10.1109/CVPR.2006.100, eq. 4; Kingma & Ba (2015), arXiv:1412.6980, algorithm 1. Pairs
        are drawn, not mined.
    """

    loss: Literal["triplet", "contrastive"] = "triplet"
    components: int = 20
    hidden: int = 32
    margin: float = 1.0
    weight: float = 0.01
    steps: int = 200
    seed: int = 0
    features_: tuple[str, ...] = learned()
    mean_: Floats = learned()
    axes_: Floats = learned()
    inner_: Floats = learned()
    shift_: Floats = learned()
    outer_: Floats = learned()
    steps_: int = learned()

    word: ClassVar[str] = "embedding"
    needs_target: ClassVar[bool] = True

    def fit(self, table: Table, target: Target | None = None) -> "Embedding":
        """Learn the network.

        Args:
            table: The training cases, without gaps.
            target: Classes; of a number its thirds, for survival whether the event was seen.

        Returns:
            Itself.

        Raises:
            ConfigError: No outcome is given, or a setting is out of range.
            IntensityError: A value is missing.
            RegionError: There is one class only, or a class has fewer than four cases.
        """
        self._check()
        points = learning_points(
            table, target, "Embedding", components=self.components, neighbours=3
        )
        self.steps_ = self._enough(points.values, points.classes)
        self.inner_, self.shift_, self.outer_ = self._learn(
            points.values, points.classes, self.steps_
        )
        self.features_, self.mean_, self.axes_ = table.features, points.mean, points.axes
        return self

    def _check(self) -> None:
        check_word("loss", self.loss, ("triplet", "contrastive"))
        if self.hidden < 1 or self.steps < 0:
            raise ConfigError(
                "Embedding must have at least one hidden unit and no negative steps, got "
                f"hidden={self.hidden} and steps={self.steps}"
            )
        if self.margin <= 0 or self.weight < 0:
            raise ConfigError(
                "Embedding must have a margin above 0 and a weight of at least 0, got "
                f"margin={self.margin} and weight={self.weight}"
            )

    def _enough(self, values: Floats, classes: Ints) -> int:
        teach, judge = hold_out(classes, seed=self.seed)

        def judged(layers: _Layers) -> float:
            known, asked = bend(values[teach], layers), bend(values[judge], layers)
            return soft_loss(known, classes[teach], asked, classes[judge], 10)

        run = _Run(self, values[teach], classes[teach])
        watch = Watch(judged(run.layers()))
        for _ in range(self.steps // _EACH):
            run.go(_EACH)
            if watch.worse(judged(run.layers())):
                break
        return watch.steps * _EACH

    def _learn(self, values: Floats, classes: Ints, steps: int) -> _Layers:
        run = _Run(self, values, classes)
        run.go(steps)
        return run.layers()

    def transform(self, table: Table) -> Table:
        """Place cases.

        Args:
            table: Any cases with the features of the training, without gaps.

        Returns:
            With the dimensions of the embedding as features.
        """
        self.state()
        table = table.select(self.features_)
        check_full(table, "Embedding")
        projected = (table.values - self.mean_) @ self.axes_.T
        values = bend(projected, (self.inner_, self.shift_, self.outer_))
        names = tuple(f"embedding{k + 1}" for k in range(values.shape[1]))
        return replace(table, features=names, values=values, reasons={}, units={})


def bend(points: Floats, layers: _Layers) -> Floats:
    """Give x + tanh(x A + a) B.

    Args:
        points: (cases, components).
        layers: A, a and B.

    Returns:
        (cases, components).
    """
    inner, shift, outer = layers
    return np.asarray(points + np.tanh(points @ inner + shift) @ outer)


@final
class _Run:
    """A training that can be gone on with."""

    def __init__(self, asked: Embedding, values: Floats, classes: Ints) -> None:
        import torch

        self.asked = asked
        self.generator = torch.Generator().manual_seed(asked.seed)
        size = values.shape[1]
        first = torch.randn(size, asked.hidden, generator=self.generator, dtype=torch.float64)
        self.weights = [
            (first / size**0.5).requires_grad_(),
            torch.zeros(asked.hidden, dtype=torch.float64, requires_grad=True),
            torch.zeros(asked.hidden, size, dtype=torch.float64, requires_grad=True),
        ]
        self.mean = [torch.zeros_like(one) for one in self.weights]
        self.power = [torch.zeros_like(one) for one in self.weights]
        self.made = 0
        self.points = torch.from_numpy(np.ascontiguousarray(values))
        same = torch.from_numpy(classes[:, None] == classes)
        own = same.double()
        own.fill_diagonal_(0.0)
        self.own, self.other = own, (~same).double()

    def go(self, steps: int) -> None:
        """Make some steps, each over every case with one of its own class and one of another."""
        import torch

        with torch.enable_grad():
            for _ in range(steps):
                slopes = torch.autograd.grad(self._loss(), self.weights)
                with torch.no_grad():
                    self._move(slopes)

    def _move(self, slopes: "tuple[torch.Tensor, ...]") -> None:
        """Make a step of Adam with decay; torch.optim would load a compiler first."""
        self.made += 1
        rows = zip(self.weights, slopes, self.mean, self.power, strict=True)
        for one, slope, mean, power in rows:
            slope = slope + self.asked.weight * one
            mean.lerp_(slope, 0.1)
            power.lerp_(slope.square(), 0.001)
            size = (power / (1 - 0.999**self.made)).sqrt() + 1e-8
            one -= _RATE * mean / (1 - 0.9**self.made) / size

    def _loss(self) -> "torch.Tensor":
        import torch

        inner, shift, outer = self.weights
        placed = self.points + torch.tanh(self.points @ inner + shift) @ outer
        near = placed[torch.multinomial(self.own, 1, generator=self.generator)[:, 0]]
        far = placed[torch.multinomial(self.other, 1, generator=self.generator)[:, 0]]
        to_near = (placed - near).square().sum(dim=1)
        to_far = (placed - far).square().sum(dim=1)
        if self.asked.loss == "triplet":
            loss = (to_near - to_far + self.asked.margin**2).clamp_min(0.0)
        else:
            apart = (to_far + 1e-12).sqrt()
            loss = (to_near + (self.asked.margin - apart).clamp_min(0.0).square()) / 2
        return torch.mean(loss)

    def layers(self) -> _Layers:
        """Give A, a and B as they are now."""
        a, b, c = (one.detach().numpy().copy() for one in self.weights)
        return a, b, c
