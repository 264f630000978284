"""Solids with closed forms: ellipsoid, elliptic cylinder and box, of one value each."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Linear
from vesalius.errors import GeometryError

Triple = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A solid ellipsoid of one value.

    Attributes:
        centre_mm: World point (L, P, S) of the centre, mm.
        semi_axes_mm: Half lengths along its own axes, which are L, P, S before it is turned, mm.
        value: Intensity inside, in the unit of the phantom.
        rotation_deg: Rotation vector (L, P, S) about the centre, degrees, right-handed.
        name: What it is; parts of one organ share a name.

    Raises:
        GeometryError: A semi-axis is not positive.
    """

    centre_mm: Triple
    semi_axes_mm: Triple
    value: float
    rotation_deg: Triple = (0.0, 0.0, 0.0)
    name: str = ""

    def __post_init__(self) -> None:
        _check(self.semi_axes_mm)

    @classmethod
    def sphere(
        cls, centre_mm: Triple, diameter_mm: float, *, value: float, name: str = "nodule"
    ) -> "Ellipsoid":
        """Make a ball.

        Args:
            centre_mm: World point (L, P, S) of the centre, mm.
            diameter_mm: Diameter, mm.
            value: Intensity inside.
            name: What it is.

        Returns:
            The ball.
        """
        radius = diameter_mm / 2
        return cls(centre_mm, (radius, radius, radius), value, name=name)

    @property
    def volume_mm3(self) -> float:
        """Exact volume 4/3 pi a b c, mm^3, whatever may lie on top of it."""
        a, b, c = self.semi_axes_mm
        return 4 / 3 * math.pi * a * b * c

    @property
    def radius_mm(self) -> float:
        """Radius of the smallest ball about the centre that holds it, mm."""
        return max(self.semi_axes_mm)

    @property
    def to_unit(self) -> Float[Tensor, "4 4"]:
        """Map from the world (L, P, S, 1), mm, to the space where this is the unit ball."""
        return _to_unit(self.centre_mm, self.semi_axes_mm, self.rotation_deg)


@final
@dataclass(frozen=True, slots=True)
class Cylinder:
    """A solid elliptic cylinder of one value, along S before it is turned.

    Attributes:
        centre_mm: World point (L, P, S) of the centre, mm.
        semi_axes_mm: Half lengths along its own axes; the third is half its length, mm.
        value: Intensity inside, in the unit of the phantom.
        rotation_deg: Rotation vector (L, P, S) about the centre, degrees, right-handed.
        name: What it is.

    Raises:
        GeometryError: A semi-axis is not positive.
    """

    centre_mm: Triple
    semi_axes_mm: Triple
    value: float
    rotation_deg: Triple = (0.0, 0.0, 0.0)
    name: str = ""

    def __post_init__(self) -> None:
        _check(self.semi_axes_mm)

    @property
    def volume_mm3(self) -> float:
        """Exact volume 2 pi a b c, mm^3, whatever may lie on top of it."""
        a, b, c = self.semi_axes_mm
        return 2 * math.pi * a * b * c

    @property
    def radius_mm(self) -> float:
        """Radius of the smallest ball about the centre that holds it, mm."""
        a, b, c = self.semi_axes_mm
        return math.hypot(max(a, b), c)

    @property
    def to_unit(self) -> Float[Tensor, "4 4"]:
        """Map from the world (L, P, S, 1), mm, to where it is u^2 + v^2 <= 1, |w| <= 1."""
        return _to_unit(self.centre_mm, self.semi_axes_mm, self.rotation_deg)


@final
@dataclass(frozen=True, slots=True)
class Box:
    """A solid box of one value.

    Attributes:
        centre_mm: World point (L, P, S) of the centre, mm.
        semi_axes_mm: Half lengths along its own axes, which are L, P, S before it is turned, mm.
        value: Intensity inside, in the unit of the phantom.
        rotation_deg: Rotation vector (L, P, S) about the centre, degrees, right-handed.
        name: What it is.

    Raises:
        GeometryError: A semi-axis is not positive.
    """

    centre_mm: Triple
    semi_axes_mm: Triple
    value: float
    rotation_deg: Triple = (0.0, 0.0, 0.0)
    name: str = ""

    def __post_init__(self) -> None:
        _check(self.semi_axes_mm)

    @property
    def volume_mm3(self) -> float:
        """Exact volume 8 a b c, mm^3, whatever may lie on top of it."""
        a, b, c = self.semi_axes_mm
        return 8 * a * b * c

    @property
    def radius_mm(self) -> float:
        """Radius of the smallest ball about the centre that holds it, mm."""
        return math.hypot(*self.semi_axes_mm)

    @property
    def to_unit(self) -> Float[Tensor, "4 4"]:
        """Map from the world (L, P, S, 1), mm, to where it is the cube [-1, 1]^3."""
        return _to_unit(self.centre_mm, self.semi_axes_mm, self.rotation_deg)


Solid = Ellipsoid | Cylinder | Box

KINDS: dict[type, int] = {Ellipsoid: 0, Cylinder: 1, Box: 2}
"""Number of each kind of solid in compiled loops."""


def gauge(solid: Solid, points_mm: Float[Tensor, "point 3"]) -> Float[Tensor, " point"]:
    """Tell by what factor a solid must grow about its centre to reach each point.

    Args:
        solid: The solid.
        points_mm: World points (L, P, S), mm.

    Returns:
        Below 1 inside, 1 on the surface.
    """
    matrix = solid.to_unit
    unit = points_mm.double() @ matrix[:3, :3].T + matrix[:3, 3]
    if isinstance(solid, Ellipsoid):
        radius: Tensor = unit.norm(dim=1)
        return radius
    if isinstance(solid, Cylinder):
        return torch.maximum(unit[:, :2].norm(dim=1), unit[:, 2].abs())
    return unit.abs().amax(dim=1)


def surface(solid: Solid) -> Float[Tensor, "point 3"]:
    """Spread points over the surface of a solid: world points (L, P, S), mm."""
    if isinstance(solid, Ellipsoid):
        unit = _ball()
    elif isinstance(solid, Cylinder):
        unit = _can()
    else:
        unit = _cube()
    back = torch.linalg.inv(solid.to_unit)
    points: Tensor = unit @ back[:3, :3].T + back[:3, 3]
    return points


def _ball() -> Tensor:
    n = 4096
    k = torch.arange(n, dtype=torch.float64)
    s = 1 - (2 * k + 1) / n
    angle = k * math.pi * (3 - math.sqrt(5))
    r = (1 - s * s).sqrt()
    return torch.stack([r * angle.cos(), r * angle.sin(), s], dim=1)


def _can() -> Tensor:
    angle = torch.arange(128, dtype=torch.float64) * (2 * math.pi / 128)
    height = torch.linspace(-1, 1, 25, dtype=torch.float64)
    side = torch.cartesian_prod(angle, torch.ones(1, dtype=torch.float64), height)
    lids = torch.cartesian_prod(angle, height[height >= 0], torch.tensor([-1.0, 1.0]).double())
    polar = torch.cat([side, lids])
    return torch.stack(
        [polar[:, 1] * polar[:, 0].cos(), polar[:, 1] * polar[:, 0].sin(), polar[:, 2]], dim=1
    )


def _cube() -> Tensor:
    edge = torch.linspace(-1, 1, 25, dtype=torch.float64)
    face = torch.cartesian_prod(edge, edge, torch.tensor([-1.0, 1.0]).double())
    return torch.cat([face, face.roll(1, dims=1), face.roll(2, dims=1)])


def _check(semi_axes_mm: Triple) -> None:
    if not all(math.isfinite(a) and a > 0 for a in semi_axes_mm):
        raise GeometryError(
            f"semi_axes_mm must be positive, got {semi_axes_mm}: give half lengths in mm"
        )


def _to_unit(centre_mm: Triple, semi_axes_mm: Triple, rotation_deg: Triple) -> Tensor:
    rotation = Linear.rotation(rotation_deg, centre_mm=centre_mm).matrix
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = rotation[:3, :3].T / torch.tensor(semi_axes_mm).double()[:, None]
    matrix[:3, 3] = -matrix[:3, :3] @ torch.tensor(centre_mm, dtype=torch.float64)
    return matrix
