"""Receive coils and bias fields of MR in closed form: smooth, complex, known at every point."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import GeometryError, IntensityError


def coil_maps(
    grid: Grid, *, coils: int, radius_mm: float = 200.0, rings: int = 1
) -> Complex[Tensor, "coil z y x"]:
    """Make the sensitivities of small coils around the axis S, as in a birdcage array.

    Coil k sits at (R cos a_k, R sin a_k, s) and sees a point at distance d with the weight R / d
    and the phase of the direction from the coil to the point, turned back by a_k.

    Args:
        grid: Where the maps are sampled, at voxel centres.
        coils: Number of coils, counter-clockwise seen from +S from +L on.
        radius_mm: Distance of the coils from the axis, mm; must be outside the grid.
        rings: Coils are dealt in turn to this many rings, ``radius_mm`` apart along S.

    Returns:
        complex128; divided by the root of the sum of squares, so that
        ``(maps.abs() ** 2).sum(0) == 1``.

    Raises:
        GeometryError: There is no coil or ring, or a coil lies within half a voxel of a sample.
    """
    if coils < 1 or rings < 1:
        raise GeometryError(f"coils and rings must be at least 1, got {coils} and {rings}")
    index = torch.stack(
        torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid.shape), indexing="ij"),
        dim=-1,
    )
    world = grid.to_world(index)
    maps = []
    for k in range(coils):
        a = 2 * math.pi * k / coils
        height = (k % rings - (rings - 1) / 2) * radius_mm
        place = (radius_mm * math.cos(a), radius_mm * math.sin(a), height)
        away = world - torch.tensor(place, dtype=torch.float64)
        distance = away.norm(dim=-1)
        if float(distance.min()) < min(grid.spacing_mm) / 2:
            raise GeometryError(
                f"coils must lie outside the samples, coil {k} at {radius_mm:g} mm touches one: "
                "use a larger radius_mm"
            )
        phase = torch.atan2(away[..., 1], away[..., 0]) - a
        maps.append(torch.polar(radius_mm / distance, phase))
    stacked = torch.stack(maps)
    return stacked / stacked.abs().square().sum(dim=0).sqrt()


def bias_field(
    grid: Grid, *, strength: float, generator: torch.Generator, degree: int = 2
) -> Float[Tensor, "z y x"]:
    """Draw a smooth positive gain: the exponential of a random polynomial over the grid.

    Args:
        grid: Where it is sampled.
        strength: The gain runs from ``exp(-strength)`` to ``exp(strength)``.
        generator: Source of the polynomial.
        degree: Highest total degree, at least 1.

    Returns:
        float64 gain; multiply an image by it.

    Raises:
        IntensityError: ``strength`` is negative or not finite, or ``degree`` is below 1.
    """
    if not 0 <= strength < math.inf or degree < 1:
        raise IntensityError(
            f"strength must be at least 0 and degree at least 1, got {strength:g} and {degree}"
        )
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else None for n in grid.shape]
    z, y, x = torch.meshgrid(
        *(a if a is not None else torch.zeros(1, dtype=torch.float64) for a in axes), indexing="ij"
    )
    log = torch.zeros(grid.shape, dtype=torch.float64)
    for i in range(degree + 1):
        for j in range(degree + 1 - i):
            for k in range(degree + 1 - i - j):
                factor = torch.randn((), generator=generator, dtype=torch.float64)
                log += factor * z**i * y**j * x**k
    low, high = log.min(), log.max()
    if float(high - low) == 0.0:
        return torch.ones_like(log)
    return (strength * (2 * (log - low) / (high - low) - 1)).exp()
