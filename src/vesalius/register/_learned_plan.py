"""Learned plan: what decides a registration network, its training pairs and made-up shapes."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal

from vesalius.core import Image, Linear, Transform
from vesalius.errors import ConfigError
from vesalius.learn import UNetPlan
from vesalius.register._guides import Guides
from vesalius.register._learned_network import inputs

NO_GUIDES = Guides()
IDENTITY = Linear.identity()


@dataclass(frozen=True, slots=True)
class RegistrarPlan:
    """What decides a registrar.

    Attributes:
        dims: 3 for volumes, 2 for slices.
        channels: Of each image.
        width: Channels of the network's finest level.
        levels: Number of its resolutions; the finest has every second sample of the lattice.
        widest: Most channels of a level.
        scales_mm: Spacing of the lattices on which the network looks, one after the other, coarse
            to fine, mm; 0 keeps that of the fixed image.

    Raises:
        ConfigError: A number is out of range.
    """

    dims: int = 3
    channels: int = 1
    width: int = 12
    levels: int = 4
    widest: int = 32
    scales_mm: tuple[float, ...] = (4.0, 2.0)

    def __post_init__(self) -> None:
        if self.dims not in (2, 3) or self.channels < 1:
            raise ConfigError(
                f"dims must be 2 or 3 and channels at least 1, got {self.dims} and {self.channels}"
            )
        scales = self.scales_mm
        falling = list(scales) == sorted(scales, reverse=True)
        if not scales or not falling or not 0 <= scales[-1] <= scales[0] < math.inf:
            raise ConfigError(
                f"scales_mm must be one or more spacings of 0 or more, coarse to fine, got {scales}"
            )

    @property
    def network(self) -> UNetPlan:
        """Layers: what is shown of both images at half resolution in; no normalisation."""
        return UNetPlan(
            self.dims,
            inputs=inputs(self.dims, self.channels),
            outputs=self.dims,
            width=self.width,
            levels=self.levels,
            widest=max(self.width, self.widest),
            norm="none",
        )


@dataclass(frozen=True, slots=True)
class Shapes:
    """Images that are made up at every step of a training, so that it needs no data.

    Attributes:
        side: Samples along each axis.
        structures: Number of structures; each is several smooth blobs.
        contrast: ``"same"`` gives a structure one brightness in both images, ``"any"`` another
            one in each: what comes of it is blind to modality, and harder to learn.
        reach: Largest root mean square of the velocity along an axis, samples.
        noise: Largest standard deviation of the noise; brightness lies in 0 to 1.
        truth: How much the error of the known velocity counts, as a part of its mean square,
            beside the overlap.

    Raises:
        ConfigError: A number is out of range.
    """

    side: int = 32
    structures: int = 16
    contrast: Literal["same", "any"] = "same"
    reach: float = 2.0
    noise: float = 0.05
    truth: float = 1.0

    def __post_init__(self) -> None:
        if self.side < 8 or self.structures < 2:
            raise ConfigError(
                f"side must be at least 8 and structures at least 2, got {self.side} and "
                f"{self.structures}"
            )
        numbers = (self.reach, self.noise, self.truth)
        if not all(0 <= n < math.inf for n in numbers):
            raise ConfigError(f"reach, noise and truth must not be negative, got {numbers}")


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One pair to learn from.

    Attributes:
        fixed: Any number type; orthogonal grid.
        moving: Same channels.
        start: Fixed world to moving world; where the network begins, such as an affine result.
        guides: Labels and landmarks make the training weakly supervised; masks say where the
            images count.
    """

    fixed: Image
    moving: Image
    start: Transform = IDENTITY
    guides: Guides = NO_GUIDES
