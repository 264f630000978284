"""U-Net in one, two or three dimensions: the one network with skips that every room uses."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError

Norm = Literal["instance", "group", "batch", "none"]
Block = Literal["plain", "residual", "attention"]
Ascent = Literal["convolved", "pointwise"]

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


@dataclass(frozen=True, slots=True)
class UNetPlan:
    """Everything that decides a U-Net's layers; JSON types only, so that it can be saved.

    Attributes:
        dims: Number of spatial axes, 1 to 3.
        inputs: Channels that go in.
        outputs: Channels that come out.
        width: Channels of the finest level; they double with each level, up to ``widest``.
        levels: Number of resolutions, at least 1; the finest counts.
        widest: Most channels of a level.
        norm: ``"instance"`` (nnU-Net), ``"group"`` (8 or fewer per group), ``"batch"`` (running
            statistics once trained: what a tile holds does not change how it is seen, so that
            tiled equals untiled), or ``"none"``, which keeps absolute intensities: the choice
            for denoisers.
        residual: The output is the input (its first ``outputs`` channels) plus what is learned.
        anisotropy: Per level below the first, the step along each axis, 1 or 2; empty is 2 along
            all axes. Thick slices start with 1 along z.
        bias: Add constants in the convolutions. Without them and without a norm the network is
            homogeneous: f(a x) = a f(x) for a > 0 (Mohan 2020, arXiv:1906.05478).
        block: ``"plain"`` (two convolutions), ``"residual"`` (their input is added before the
            last rectifier, He 2016, doi:10.1109/CVPR.2016.90), ``"attention"`` (plain, and each
            skip is weighted by an additive gate, Oktay 2018, arXiv:1804.03999, eq. 1 and 2).
        kernels: Per level, the size of its convolutions along each axis, 1 or 3; empty is 3
            throughout. Thick slices start with 1 along z.
        deep: Number of coarser levels that have outputs of their own, for deep supervision
            (:meth:`UNet.deep`); at most ``levels - 2``.
        ascent: ``"convolved"`` (upsample, then convolve) or ``"pointwise"`` (mix the channels
            sample by sample, then upsample: a third less work).

    Raises:
        ConfigError: A number is out of range, or the plan contradicts itself.
    """

    dims: int
    inputs: int = 1
    outputs: int = 1
    width: int = 16
    levels: int = 3
    widest: int = 320
    norm: Norm = "instance"
    residual: bool = False
    anisotropy: tuple[tuple[int, ...], ...] = ()
    bias: bool = True
    block: Block = "plain"
    kernels: tuple[tuple[int, ...], ...] = ()
    deep: int = 0
    ascent: Ascent = "convolved"

    def __post_init__(self) -> None:
        if self.dims not in CONVOLUTION:
            raise ConfigError(f"dims must be 1, 2 or 3, got {self.dims}")
        least = min(self.inputs, self.outputs, self.width, self.levels)
        if least < 1 or self.widest < self.width:
            raise ConfigError(
                f"inputs, outputs, width and levels must be at least 1 and widest at least width, "
                f"got {self.inputs}, {self.outputs}, {self.width}, {self.levels}, {self.widest}"
            )
        if self.residual and self.outputs > self.inputs:
            raise ConfigError(
                f"a residual network adds to its input: outputs must be at most inputs, "
                f"got {self.outputs} and {self.inputs}"
            )
        wrong = [s for s in self.anisotropy if len(s) != self.dims or not set(s) <= {1, 2}]
        if wrong or len(self.anisotropy) not in {0, self.levels - 1}:
            raise ConfigError(
                f"anisotropy must have {self.levels - 1} steps of {self.dims} numbers 1 or 2, "
                f"got {self.anisotropy}"
            )
        unlike = [k for k in self.kernels if len(k) != self.dims or not set(k) <= {1, 3}]
        if unlike or len(self.kernels) not in {0, self.levels}:
            raise ConfigError(
                f"kernels must have {self.levels} sizes of {self.dims} numbers 1 or 3, "
                f"got {self.kernels}"
            )
        if not 0 <= self.deep <= max(0, self.levels - 2):
            raise ConfigError(
                f"deep must be from 0 to levels - 2 = {max(0, self.levels - 2)}, got {self.deep}"
            )

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Size of the convolutions of every level, finest first."""
        return self.kernels or ((3,) * self.dims,) * self.levels

    @property
    def strides(self) -> tuple[tuple[int, ...], ...]:
        """Step along each axis from every level to the next coarser one."""
        return self.anisotropy or ((2,) * self.dims,) * (self.levels - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of every level, finest first."""
        return tuple(min(self.width << i, self.widest) for i in range(self.levels))

    @property
    def divisor(self) -> tuple[int, ...]:
        """What the size along each axis is padded to a multiple of, inside the network."""
        total = [1] * self.dims
        for step in self.strides:
            total = [a * b for a, b in zip(total, step, strict=True)]
        return tuple(total)


@final
class UNet(nn.Module):
    """Encoder and decoder with skips (Ronneberger 2015, doi:10.1007/978-3-319-24574-4_28).

    Differs from the paper: padded convolutions (same size out), strided instead of max-pooled
    descent, nearest-neighbour ascent followed by a convolution (no checkerboard), leaky ReLU,
    and any input size: borders are replicated up to the next multiple and cut off again.

    Args:
        plan: The layers.
        generator: Source of the first weights (He normal), so that a model can be made again.
    """

    def __init__(self, plan: UNetPlan, *, generator: torch.Generator) -> None:
        super().__init__()
        self.plan = plan
        widths, steps = plan.widths, list(pairwise(plan.widths))
        one = (1,) * plan.dims
        self.enter = _pair(plan, plan.inputs, widths[0], kernel=plan.sizes[0])
        self.down = nn.ModuleList(
            _pair(plan, a, b, kernel=k, stride=s)
            for (a, b), k, s in zip(steps, plan.sizes[1:], plan.strides, strict=True)
        )
        self.narrow = nn.ModuleList(
            _convolution(plan, b, a, k if plan.ascent == "convolved" else one)
            for (a, b), k in zip(steps, plan.sizes[:-1], strict=True)
        )
        self.up = nn.ModuleList(
            _pair(plan, 2 * a, a, kernel=k)
            for a, k in zip(widths[:-1], plan.sizes[:-1], strict=True)
        )
        self.leave = _convolution(plan, widths[0], plan.outputs, one)
        # what came later stands last, so that the first weights of older plans stay what they were
        gated = widths[:-1] if plan.block == "attention" else ()
        self.gates = nn.ModuleList(_Gate(plan, a) for a in gated)
        self.heads = nn.ModuleList(
            _convolution(plan, a, plan.outputs, one) for a in widths[1 : plan.deep + 1]
        )
        _draw(self, generator)
        if plan.residual:  # starts as the identity
            for parameter in (*self.leave.parameters(), *self.heads.parameters()):
                nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "batch c *space"]) -> Float[Tensor, "batch k *space"]:
        """Map (batch, inputs, *space) to (batch, outputs, *space).

        Args:
            x: Any spatial size; one axis per ``plan.dims``.

        Returns:
            Same spatial size and dtype.

        Raises:
            ShapeError: The number of axes or channels is not the plan's.
        """
        plan = self.plan
        return self._cut(x, self.leave(self._decoded(x)[0]), (1,) * plan.dims)

    def deep(self, x: Float[Tensor, "batch c *space"]) -> tuple[Tensor, ...]:
        """Give the outputs of every level that has one, finest first.

        Args:
            x: As for :meth:`forward`, whose result is the first output.

        Returns:
            1 + ``plan.deep`` tensors (batch, outputs, *space); sample ``i`` of a coarser one
            stands at sample ``i`` times the step of its level, sizes are rounded up.

        Raises:
            ShapeError: The number of axes or channels is not the plan's.
        """
        found = self._decoded(x)
        step = (1,) * self.plan.dims
        out = [self._cut(x, self.leave(found[0]), step)]
        for head, y, more in zip(self.heads, found[1:], self.plan.strides, strict=False):
            step = tuple(a * b for a, b in zip(step, more, strict=True))
            out.append(self._cut(x, head(y), step))
        return tuple(out)

    def _decoded(self, x: Tensor) -> list[Tensor]:
        """Features of every level on the way up, finest first."""
        plan = self.plan
        if x.ndim != plan.dims + 2 or x.shape[1] != plan.inputs:
            raise ShapeError(
                f"input must have shape (batch, {plan.inputs}, and {plan.dims} spatial axes), "
                f"got {tuple(x.shape)}"
            )
        y = self.enter(_padded(x, plan.divisor))
        skips = []
        for step in self.down:
            skips.append(y)
            y = step(y)
        found = [y]
        for level in reversed(range(len(skips))):
            skip = skips[level]
            y = self._raised(y, level, skip.shape[2:])
            if self.gates:
                skip = self.gates[level](skip, y)
            y = self.up[level](torch.cat([y, skip], dim=1))
            found.insert(0, y)
        return found

    def _raised(self, y: Tensor, level: int, size: torch.Size) -> Tensor:
        narrow = self.narrow[level]
        if self.plan.ascent == "pointwise":
            return nn.functional.interpolate(narrow(y), size=size, mode="nearest")
        raised: Tensor = narrow(nn.functional.interpolate(y, size=size, mode="nearest"))
        return raised

    def _cut(self, x: Tensor, y: Tensor, step: tuple[int, ...]) -> Tensor:
        """Cut the padding off; add the input where the plan says so."""
        ends = [-(-n // d) for n, d in zip(x.shape[2:], step, strict=True)]
        inside: tuple[Any, ...] = (..., *(slice(0, n) for n in ends))
        if not self.plan.residual:
            return y[inside]
        every: tuple[Any, ...] = (..., *(slice(None, None, d) for d in step))
        return x[:, : self.plan.outputs][every] + y[inside]


@final
class _Residual(nn.Module):
    """Two convolutions whose input is added before the last rectifier."""

    def __init__(self, body: nn.Sequential, project: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.project = project

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(self.body(x) + self.project(x), 0.01)


@final
class _Gate(nn.Module):
    """Additive attention of a skip to what comes up; its weights start around one half.

    Differs from Oktay 2018: the gating signal is already on the lattice of the skip.
    """

    def __init__(self, plan: UNetPlan, width: int) -> None:
        super().__init__()
        one, inner = (1,) * plan.dims, max(1, width // 2)
        self.skip = _convolution(plan, width, inner, one)
        self.signal = _convolution(plan, width, inner, one)
        self.weight = _convolution(plan, inner, 1, one)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        both = nn.functional.relu(self.skip(skip) + self.signal(signal))
        return skip * torch.sigmoid(self.weight(both))


def _convolution(
    plan: UNetPlan, a: int, b: int, kernel: tuple[int, ...], stride: int | tuple[int, ...] = 1
) -> nn.Module:
    convolution: Any = CONVOLUTION[plan.dims]
    padding = tuple(k // 2 for k in kernel)
    made: nn.Module = convolution(a, b, kernel, stride=stride, padding=padding, bias=plan.bias)
    return made


def _pair(
    plan: UNetPlan, a: int, b: int, *, kernel: tuple[int, ...], stride: tuple[int, ...] = ()
) -> nn.Module:
    """Two convolutions, each normalised and rectified; the first may step."""
    convolution: Any = CONVOLUTION[plan.dims]
    layers: list[nn.Module] = []
    one = (1,) * plan.dims
    bias = plan.bias and plan.norm == "none"
    padding = tuple(k // 2 for k in kernel)
    for first, step in ((a, stride or one), (b, one)):
        layers.append(convolution(first, b, kernel, stride=step, padding=padding, bias=bias))
        if plan.norm != "none":
            layers.append(_norm(plan, b))
        layers.append(nn.LeakyReLU(0.01))
    if plan.block != "residual":
        return nn.Sequential(*layers)
    same = a == b and not stride
    project = nn.Identity() if same else convolution(a, b, 1, stride=stride or one, bias=bias)
    return _Residual(nn.Sequential(*layers[:-1]), project)


def _norm(plan: UNetPlan, channels: int) -> nn.Module:
    if plan.norm == "batch":
        return BATCH_NORM[plan.dims](channels)
    whole = plan.norm == "instance"
    groups = channels if whole else next(g for g in range(8, 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def _draw(model: nn.Module, generator: torch.Generator) -> None:
    """He normal weights (doi:10.1109/ICCV.2015.123, eq. 15), zero biases, from one generator."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.data.copy_(draw * (2.0 / ((1 + 0.01**2) * fan_in)) ** 0.5)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def _padded(x: Tensor, divisor: tuple[int, ...]) -> Tensor:
    """Replicate the far borders up to a multiple of ``divisor``."""
    for axis, (n, d) in enumerate(zip(x.shape[2:], divisor, strict=True), start=2):
        missing = -n % d
        if missing:
            last = x.narrow(axis, n - 1, 1)
            x = torch.cat(
                [x, last.expand(*x.shape[:axis], missing, *x.shape[axis + 1 :])], dim=axis
            )
    return x
