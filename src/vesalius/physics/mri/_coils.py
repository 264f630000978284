"""Receive coils: the operator of their maps, SENSE encoding, and maps for simulation."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Complex, Shaped
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import IntensityError, ShapeError
from vesalius.physics.mri._fourier import Fourier, Sampling, check_complex

Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Coils(LinearOperator):
    """One image to one image for each coil: multiply by the maps.

    The adjoint multiplies by the conjugate maps and sums over the coils.

    Attributes:
        maps: (coil, *image), complex; cast to the number type of what comes in.

    Raises:
        ShapeError: ``maps`` has no coil axis and image axes.
        UnitError: ``maps`` is real.
        IntensityError: ``maps`` has NaN or infinity.
    """

    maps: Shaped[Tensor, "..."]

    def __post_init__(self) -> None:
        check_complex(self.maps, "coil maps")
        if self.maps.ndim < 2 or not self.maps.numel():
            raise ShapeError(
                f"coil maps must have shape (coil, *image), got {tuple(self.maps.shape)}"
            )
        if not bool(torch.isfinite(torch.view_as_real(self.maps)).all()):
            raise IntensityError(
                "coil maps must be finite, got NaN or infinity: set them to 0 outside the body"
            )

    @property
    def domain(self) -> Shape:
        """Shape of the image."""
        return tuple(self.maps.shape[1:])

    @property
    def codomain(self) -> Shape:
        """(coil, *image)."""
        return tuple(self.maps.shape)

    def apply(self, x: Tensor) -> Tensor:
        """See the image through each coil."""
        check_complex(x, "the image")
        return x.unsqueeze(-self.maps.ndim) * self.maps.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum what the coils saw, each times its conjugate map."""
        check_complex(y, "coil images")
        return (y * self.maps.to(y).conj()).sum(-self.maps.ndim)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Each(LinearOperator):
    """Apply one operator to each coil: ``Each(8, NonUniformFourier(...)) @ Coils(maps)``.

    Attributes:
        count: Coils.
        of: The operator.

    Raises:
        ShapeError: ``count`` is below 1.
    """

    count: int
    of: LinearOperator

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ShapeError(f"count must be at least 1, got {self.count}")

    @property
    def domain(self) -> Shape:
        """(coil, *domain) of the operator."""
        return (self.count, *self.of.domain)

    @property
    def codomain(self) -> Shape:
        """(coil, *codomain) of the operator."""
        return (self.count, *self.of.codomain)

    def apply(self, x: Tensor) -> Tensor:
        """Apply: coils are one more batch axis."""
        return self.of.apply(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint to each coil."""
        return self.of.adjoint(y)


def encode(maps: Shaped[Tensor, "..."], *, mask: Bool[Tensor, "..."]) -> LinearOperator:
    """Give the SENSE encoding operator: coil maps, Fourier transform, sampling.

    Args:
        maps: (coil, *image); every image axis is transformed.
        mask: (*image), True where k-space was measured.

    Returns:
        Operator from (*image) to (coil, *image), 0 where nothing was measured. Its norm is at
        most the largest root-sum-of-squares of the maps.

    Raises:
        ShapeError: ``mask`` does not have the shape of the image, or keeps nothing.
        UnitError: ``maps`` is real.

    References:
        Pruessmann et al. (1999), doi:10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S,
        eq. (2).
    """
    coils = Coils(maps)
    if tuple(mask.shape) != coils.domain:
        raise ShapeError(
            f"mask must have the shape of the image, {coils.domain}, got {tuple(mask.shape)}"
        )
    axes = tuple(range(-len(coils.domain), 0))
    return Sampling(mask, coils.codomain) @ Fourier(coils.codomain, axes) @ coils


def simulated_maps(
    shape: Shape, *, coils: int = 8, radius: float = 1.2
) -> Complex[Tensor, "coil *image"]:
    """Make smooth maps of coils on a circle about the image, for simulation.

    The magnitude of a map falls as 1 / (distance^2 + 0.3), its phase is a slow plane wave towards
    its coil. They are scaled so that the root-sum-of-squares is 1 in every voxel.

    Args:
        shape: (y, x) or (z, y, x); coils stand about the z axis.
        coils: How many.
        radius: Of the circle, in half widths of the image.

    Returns:
        (coil, *shape), complex128.

    Raises:
        ShapeError: ``coils`` is below 1, ``shape`` has not two or three axes or an empty one, or
            ``radius`` is not positive.
    """
    if coils < 1 or len(shape) not in (2, 3) or min(shape) < 1 or not 0 < radius < math.inf:
        raise ShapeError(
            f"coils must be at least 1, shape (y, x) or (z, y, x) of at least 1 and radius "
            f"positive, got {coils}, {shape} and {radius}"
        )
    axes = [(torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2) for n in shape[-2:]]
    y, x = torch.meshgrid(*axes, indexing="ij")
    angles = 2 * math.pi * torch.arange(coils, dtype=torch.float64) / coils
    up, across = torch.sin(angles)[:, None, None], torch.cos(angles)[:, None, None]
    far = (y - radius * up) ** 2 + (x - radius * across) ** 2
    maps = torch.polar(1 / (far + 0.3), y * up + x * across + angles[:, None, None])
    flat: Tensor = maps / torch.linalg.vector_norm(maps, dim=0)
    return flat if len(shape) == 2 else flat[:, None].expand(-1, shape[0], -1, -1).clone()
