"""U-Net in one, two or three dimensions: the one network with skips that every room uses."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError

Norm = Literal["instance", "group", "none"]

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


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
        norm: ``"instance"`` (nnU-Net), ``"group"`` (8 or fewer per group), or ``"none"``, which
            keeps absolute intensities: the choice for denoisers.
        residual: The output is the input (its first ``outputs`` channels) plus what is learned.
        anisotropy: Per level below the first, the step along each axis, 1 or 2; empty is 2 along
            all axes. Thick slices start with 1 along z.
        bias: Add constants in the convolutions. Without them and without a norm the network is
            homogeneous: f(a x) = a f(x) for a > 0 (Mohan 2020, arXiv:1906.05478).

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
        widths, strides = plan.widths, plan.strides
        self.enter = _pair(plan, plan.inputs, widths[0])
        self.down = nn.ModuleList(
            _pair(plan, a, b, stride=s) for (a, b), s in zip(pairwise(widths), strides, strict=True)
        )
        self.narrow = nn.ModuleList(
            CONVOLUTION[plan.dims](b, a, 3, padding=1, bias=plan.bias) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(_pair(plan, 2 * a, a) for a in widths[:-1])
        self.leave = CONVOLUTION[plan.dims](widths[0], plan.outputs, 1, bias=plan.bias)
        _draw(self, generator)
        if plan.residual:  # starts as the identity
            nn.init.zeros_(self.leave.weight)

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
        if x.ndim != plan.dims + 2 or x.shape[1] != plan.inputs:
            raise ShapeError(
                f"input must have shape (batch, {plan.inputs}, and {plan.dims} spatial axes), "
                f"got {tuple(x.shape)}"
            )
        size = x.shape[2:]
        y = self.enter(_padded(x, plan.divisor))
        skips = []
        for step in self.down:
            skips.append(y)
            y = step(y)
        for narrow, merge, skip in zip(
            reversed(self.narrow), reversed(self.up), reversed(skips), strict=True
        ):
            y = narrow(nn.functional.interpolate(y, size=skip.shape[2:], mode="nearest"))
            y = merge(torch.cat([y, skip], dim=1))
        y = self.leave(y)[(..., *(slice(0, n) for n in size))]
        out: Tensor = x[:, : plan.outputs] + y if plan.residual else y
        return out


def _pair(plan: UNetPlan, a: int, b: int, stride: tuple[int, ...] = ()) -> nn.Sequential:
    """Two convolutions, each normalised and rectified; the first may step."""
    convolution: Any = CONVOLUTION[plan.dims]
    layers: list[nn.Module] = []
    one = (1,) * plan.dims
    bias = plan.bias and plan.norm == "none"
    for first, step in ((a, stride or one), (b, one)):
        layers.append(convolution(first, b, 3, stride=step, padding=1, bias=bias))
        if plan.norm != "none":
            groups = (
                b if plan.norm == "instance" else next(g for g in range(8, 0, -1) if b % g == 0)
            )
            layers.append(nn.GroupNorm(groups, b))
        layers.append(nn.LeakyReLU(0.01))
    return nn.Sequential(*layers)


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
