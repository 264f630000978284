"""Microscopic phantoms: cells with nuclei, filaments and beads of known place and volume."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch

from vesalius.core import Grid
from vesalius.errors import GeometryError
from vesalius.physics._phantom import Phantom
from vesalius.physics._solids import Cylinder, Ellipsoid, Solid, Triple


def cells(
    grid: Grid, *, count: int, radius_mm: float = 5e-3, generator: torch.Generator
) -> Phantom:
    """Scatter cells that do not touch, each with a nucleus that lies wholly inside.

    Args:
        grid: Where; cells lie wholly inside its box.
        count: Number of cells.
        radius_mm: Mean radius, mm (5e-3 mm is 5 um); semi-axes differ from it by up to 20 %.
        generator: Source of places, sizes and turns.

    Returns:
        Painted: cytoplasm 1, nucleus 3, background 0, named ``cell_1``, ``nucleus_1``, ...

    Raises:
        GeometryError: The cells do not fit.
    """
    centres = _places(grid, count, 1.2 * radius_mm, generator)
    parts: list[Solid] = []
    for number, centre in enumerate(centres, start=1):
        a, b, c, *turn = torch.rand(6, generator=generator, dtype=torch.float64).tolist()
        semi = (radius_mm * (0.8 + 0.4 * a), radius_mm * (0.8 + 0.4 * b), radius_mm * 0.8)
        semi = (semi[0], semi[1], radius_mm * (0.8 + 0.4 * c))
        spin = (180 * turn[0], 180 * turn[1], 180 * turn[2])
        inner = (0.4 * semi[0], 0.4 * semi[1], 0.4 * semi[2])
        shift = 0.2 * min(semi)
        core = (centre[0] + shift, centre[1], centre[2])
        parts.append(Ellipsoid(centre, semi, 1.0, spin, f"cell_{number}"))
        parts.append(Ellipsoid(core, inner, 3.0, spin, f"nucleus_{number}"))
    return Phantom(tuple(parts))


def beads(
    grid: Grid, *, count: int, diameter_mm: float = 2e-4, generator: torch.Generator
) -> Phantom:
    """Scatter equal beads that do not touch, as point-like sources for a PSF.

    Args:
        grid: Where; beads lie wholly inside its box.
        count: Number of beads.
        diameter_mm: Diameter, mm (2e-4 mm is 200 nm).
        generator: Source of the places.

    Returns:
        Beads of 1 on 0, named ``bead_1``, ...; their centres are exact, at no voxel in particular.

    Raises:
        GeometryError: The beads do not fit.
    """
    centres = _places(grid, count, diameter_mm / 2, generator)
    parts = [
        Ellipsoid.sphere(centre, diameter_mm, value=1.0, name=f"bead_{number}")
        for number, centre in enumerate(centres, start=1)
    ]
    return Phantom(tuple(parts))


def filaments(
    grid: Grid,
    *,
    count: int,
    diameter_mm: float = 1e-4,
    length_mm: float = 5e-3,
    generator: torch.Generator,
) -> Phantom:
    """Lay straight rods at random in all directions; they may cross.

    Args:
        grid: Where; the middle of each rod lies in its box, ends may leave it.
        count: Number of rods.
        diameter_mm: Diameter, mm.
        length_mm: Length, mm.
        generator: Source of places and directions.

    Returns:
        Rods of 1 on 0, painted, all named ``filament``.

    Raises:
        GeometryError: A length is not positive.
    """
    parts = []
    for centre in _places(grid, count, 0.0, generator, apart=False):
        s, turn = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        tilt = math.degrees(math.acos(2 * s - 1))  # uniform on the sphere
        a = 2 * math.pi * turn
        spin = (tilt * math.cos(a), tilt * math.sin(a), 0.0)
        semi = (diameter_mm / 2, diameter_mm / 2, length_mm / 2)
        parts.append(Cylinder(centre, semi, 1.0, spin, "filament"))
    return Phantom(tuple(parts))


def _places(
    grid: Grid, count: int, radius_mm: float, generator: torch.Generator, *, apart: bool = True
) -> list[Triple]:
    """Draw centres one by one, and again where a ball of the radius would touch or stick out."""
    spacing = torch.tensor(grid.spacing_mm, dtype=torch.float64)
    margin = radius_mm / spacing
    size = torch.tensor(grid.shape, dtype=torch.float64)
    room = size - 2 * margin
    if count < 0 or bool((room < 0).any()):
        raise GeometryError(
            f"parts of {radius_mm:g} mm radius must fit into the box of {grid.shape} voxels of "
            f"{grid.spacing_mm} mm, and count be at least 0, got {count}"
        )
    found: list[torch.Tensor] = []
    for _ in range(200 * count):
        if len(found) == count:
            break
        drawn = torch.rand(3, generator=generator, dtype=torch.float64) * room + margin - 0.5
        centre = grid.to_world(drawn[None])[0]
        if apart and any(float((centre - c).norm()) < 2 * radius_mm for c in found):
            continue
        found.append(centre)
    if len(found) < count:
        raise GeometryError(
            f"{count} parts of {radius_mm:g} mm radius must fit without touching, only "
            f"{len(found)} did: use a larger grid or fewer"
        )
    return [(float(c[0]), float(c[1]), float(c[2])) for c in found]
