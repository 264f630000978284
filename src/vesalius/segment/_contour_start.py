"""Where a contour starts: a first region from the hints, and how it is told of."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError, GeometryError, RegionError
from vesalius.ops._chan_vese import Listener
from vesalius.ops._filters import gaussian
from vesalius.segment._hints import Hints
from vesalius.segment._method import OnStep
from vesalius.segment._one_channel import finest_mm
from vesalius.segment._segmentation import Curve

Triple = tuple[float, float, float]


def seed_indices(image: Image, points: tuple[Triple, ...]) -> list[tuple[int, int, int]]:
    """Find the voxel of each world point.

    Args:
        image: Where they must lie.
        points: World points (L, P, S), mm.

    Returns:
        Indices (z, y, x).

    Raises:
        GeometryError: A point is outside the image.
    """
    found = []
    for point in points:
        at = image.grid.to_index(torch.tensor(point, dtype=torch.float64)).round().long().tolist()
        if not all(0 <= i < n for i, n in zip(at, image.grid.shape, strict=True)):
            raise GeometryError(
                f"seeds must lie inside the image, {point} is at voxel {tuple(at)} (z, y, x) of "
                f"{image.grid.shape}: give world points (L, P, S) in mm"
            )
        found.append((at[0], at[1], at[2]))
    return found


def first_region(image: Image, hints: Hints, radius_mm: float) -> Bool[Tensor, "z y x"] | None:
    """Make a first region: ``hints.start``, or a ball around each seed; None without either.

    Args:
        image: Where.
        hints: Start, seeds.
        radius_mm: Of the balls; 0 takes an eighth of the smallest extent of the image.

    Returns:
        (z, y, x), True inside.

    Raises:
        ConfigError: The radius is negative.
        GeometryError: A seed is outside the image.
    """
    if not 0 <= radius_mm < float("inf"):
        raise ConfigError(f"radius_mm must be 0 or a positive length, got {radius_mm}")
    if hints.start is not None:
        return (hints.start.data != 0).any(dim=0)
    if not hints.seeds_mm:
        return None
    grid = image.grid
    felt = [s * n for s, n in zip(grid.spacing_mm, grid.shape, strict=True) if n > 1]
    radius = max(radius_mm or min(felt or [0.0]) / 8, finest_mm(grid))
    inside = torch.zeros(grid.shape, dtype=torch.bool)
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    for at in seed_indices(image, hints.seeds_mm):
        off = [(a - i) * s for a, i, s in zip(axes, at, grid.spacing_mm, strict=True)]
        inside |= off[0][:, None, None] ** 2 + off[1][:, None] ** 2 + off[2] ** 2 <= radius**2
    return inside


def needed_region(image: Image, hints: Hints, radius_mm: float, what: str) -> Bool[Tensor, "z y x"]:
    """Make a first region, which a method cannot do without.

    Args:
        image: Where.
        hints: Start, seeds.
        radius_mm: Of the balls around the seeds; 0 takes an eighth of the smallest extent.
        what: The method, for the message.

    Returns:
        (z, y, x), True inside.

    Raises:
        RegionError: There is neither a start nor a seed.
    """
    region = first_region(image, hints, radius_mm)
    if region is None:
        raise RegionError(
            f"{what} needs a first region: give hints with start=labels, or with seeds_mm=((L, P, "
            "S),) inside the object"
        )
    return region


def smoothed(
    x: Float[Tensor, "z y x"], spacing: Triple, sigma_voxels: float
) -> Float[Tensor, "z y x"]:
    """Smooth alike in the world, by some samples of the finest axis; 0 leaves it as it is.

    Args:
        x: (z, y, x).
        spacing: Size of a voxel.
        sigma_voxels: Standard deviation.

    Returns:
        Same shape.
    """
    felt = [s for s, n in zip(spacing, x.shape, strict=True) if n > 1] or [1.0]
    z, y, w = (
        0.0 if n == 1 else sigma_voxels * min(felt) / s
        for s, n in zip(spacing, x.shape, strict=True)
    )
    return gaussian(x[None], (z, y, w))[0]


def listener(what: str, on_step: OnStep | None, total: int) -> Listener | None:
    """Turn a listener of steps into one of numbers and energies; None stays None."""
    if on_step is None:
        return None
    tell = on_step
    return lambda number, _: tell(Step(what, number, total))


def energy_curve(title: str, energies: tuple[float, ...], name: str) -> Curve:
    """Draw what fell from step to step.

    Args:
        title: What it shows.
        energies: One for each step.
        name: Of the ordinate.

    Returns:
        The curve, the last step marked.
    """
    steps = torch.arange(1, len(energies) + 1, dtype=torch.float64)
    y = torch.tensor(energies, dtype=torch.float64)
    return Curve(title, steps, y, "step", name, (float(len(energies)),))


def painted(data: Tensor, image: Image, names: Mapping[int, str]) -> Labels:
    """Put label values on the grid and the device of the image.

    Args:
        data: (z, y, x) integers or booleans.
        image: Whose grid.
        names: Of the values.

    Returns:
        One layer.
    """
    whole = data.to(torch.uint8) if data.dtype == torch.bool else data
    return Labels(whole[None].to(image.device), image.grid, {(0, v): n for v, n in names.items()})
