"""Polyaffine: regions that move by a rigid or affine map each, joined without a fold."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Labels, Linear, Transform
from vesalius.errors import ConfigError, GeometryError, ShapeError
from vesalius.ops._distance_field import distance_to
from vesalius.ops._slope import linear_with_slope

TURN = 0.05  # largest motion of one step, as a part of the distance to a fixed point
LEAST_STEPS = 8


@final
@dataclass(frozen=True, slots=True, eq=False)
class Polyaffine(Transform):
    """The flow for a unit of time along ``v(x) = sum_k w_k(x) (A_k x + b_k)``.

    Where one weight is 1 on the whole way, a point moves by that region's own map. The inverse is
    the flow along -v.

    Attributes:
        logarithms: (k, 4, 4) float64, the matrix logarithms of the regions' maps.
        weights: (k, z, y, x) float64, at least 0, summing to 1 at each voxel; edges repeat.
        grid: Of the weights, in the fixed world.
    """

    logarithms: Tensor
    weights: Tensor
    grid: Grid

    def __call__(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Map points (L, P, S), mm."""
        state = points_mm.reshape(-1, 3).double()
        step = 1 / self._steps()
        for _ in range(self._steps()):
            first = self._velocity(state)
            second = self._velocity(state + step / 2 * first)
            third = self._velocity(state + step / 2 * second)
            fourth = self._velocity(state + step * third)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
        return state.to(points_mm.dtype).reshape(points_mm.shape)

    def inverse(self) -> "Polyaffine":
        """Give the flow the other way."""
        return Polyaffine(-self.logarithms, self.weights, self.grid)

    def jacobian(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
        """Give the derivative of the mapped point by the point, integrated along the way."""
        state = points_mm.reshape(-1, 3).double()
        slope = torch.eye(3).to(state).expand(len(state), 3, 3)
        step = 1 / self._steps()
        for _ in range(self._steps()):
            here, at = state, slope
            total, total_slope = torch.zeros_like(state), torch.zeros_like(slope)
            for share, reach in ((1 / 6, 0.5), (1 / 3, 0.5), (1 / 3, 1.0), (1 / 6, 0.0)):
                v, dv = self._velocity(here), self._slope(here) @ at
                total, total_slope = total + share * v, total_slope + share * dv
                here, at = state + reach * step * v, slope + reach * step * dv
            state, slope = state + step * total, slope + step * total_slope
        return slope.to(points_mm.dtype).reshape(*points_mm.shape, 3)

    def _steps(self) -> int:
        size = float(torch.linalg.matrix_norm(self.logarithms[:, :3, :3], ord=2).max())
        return max(LEAST_STEPS, math.ceil(size / TURN))

    def _parts(self, at: Tensor) -> Tensor:
        logs = self.logarithms.to(at)
        return torch.einsum("kij,mj->kmi", logs[:, :3, :3], at) + logs[:, None, :3, 3]

    def _velocity(self, at: Tensor) -> Tensor:
        weight = linear_with_slope(self.weights.to(at), self.grid.to_index(at)).values
        return torch.einsum("km,kmi->mi", weight, self._parts(at))

    def _slope(self, at: Tensor) -> Tensor:
        found = linear_with_slope(self.weights.to(at), self.grid.to_index(at))
        to_index = torch.linalg.inv(self.grid.affine)[:3, :3].to(at)
        by_world = torch.einsum("kam,aj->kmj", found.slope, to_index)
        own = torch.einsum("km,kij->mij", found.values, self.logarithms[:, :3, :3].to(at))
        return own + torch.einsum("kmi,kmj->mij", self._parts(at), by_world)

    def __repr__(self) -> str:
        return f"Polyaffine(fixed -> moving, mm, LPS, {len(self.logarithms)} regions)"


def polyaffine(
    regions: Labels, parts: Mapping[int, Linear], *, sigma_mm: float = 5.0
) -> Polyaffine:
    """Join the maps of several regions (bones, lobes) into one that can be inverted.

    Args:
        regions: One layer, in the fixed world.
        parts: The map of each region that has one, by label value, fixed to moving; rigid ones
            make a polyrigid map. 0, the background, may have one too.
        sigma_mm: How fast a region loses its say with the distance from it, mm: the weight is
            ``exp(-d^2 / 2 sigma^2)``, divided by the sum over the regions.

    Returns:
        The map, fixed to moving.

    Raises:
        ShapeError: ``regions`` has several layers.
        RegionError: A region of ``parts`` does not occur.
        GeometryError: A map has no real logarithm: it mirrors, or turns by 180 degrees; or the
            grid of the regions is sheared.
        ConfigError: There are no parts, or ``sigma_mm`` is not positive.

    References:
        Arsigny et al. (2009), doi:10.1007/s10851-008-0135-9 (log-Euclidean polyaffine); the flow is
        integrated by the Runge-Kutta rule of order 4 at the points themselves, not by scaling and
        squaring on a grid.
    """
    if not parts or not 0 < sigma_mm < math.inf:
        raise ConfigError(
            f"polyaffine needs the map of at least one region and a positive sigma_mm, got "
            f"{len(parts)} maps and {sigma_mm}"
        )
    if regions.data.shape[0] != 1:
        raise ShapeError(f"regions must have one layer, got {regions.data.shape[0]}")
    if not regions.grid.is_orthogonal:
        raise GeometryError(
            "regions must have a grid with orthogonal axes, this one is sheared: resample them "
            "first, or distances to them are wrong"
        )
    spacing = regions.grid.spacing_mm
    energy = torch.stack(
        [distance_to(regions.mask(v).cpu(), spacing) ** 2 / (2 * sigma_mm**2) for v in parts]
    )
    logs = torch.stack([_logarithm(part, value) for value, part in parts.items()])
    return Polyaffine(logs, torch.softmax(-energy, dim=0), regions.grid)


def _logarithm(part: Linear, value: int) -> Tensor:
    from scipy.linalg import logm

    matrix = part.matrix.detach().cpu().numpy()
    angles = np.abs(np.angle(np.linalg.eigvals(matrix[:3, :3])))
    if angles.max() > math.pi - 1e-3:
        raise GeometryError(
            f"the map of region {value} must have a real logarithm: it mirrors or turns by 180 "
            "degrees; join smaller motions, one after the other"
        )
    return torch.from_numpy(np.real(logm(matrix)).copy())
