"""Snakes: an elastic line in a plane that is drawn to edges, from a first contour."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Grid, Image, Points, Step
from vesalius.errors import ConfigError, GeometryError, RegionError
from vesalius.ops._gradient_vectors import gradient_vector_flow
from vesalius.ops._level_set import slope_size
from vesalius.ops._polygon import fill_polygons
from vesalius.ops._snake import Elastic, Rested, snake
from vesalius.segment._contour_start import energy_curve, painted, smoothed
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    finest_mm,
    held_inside,
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Segmentation

Line = Float[Tensor, "n 2"]


@final
@dataclass(frozen=True, slots=True)
class Snake(Method):
    """Draw an elastic closed line from ``hints.contour`` to the edges, in one plane.

    For one plane: take a slice of a volume first. The line finds edges near it:
    it is very sensitive to where it starts. Gradient vector flow widens its reach and lets it
    enter concavities.

    Attributes:
        field: What pulls: the gradient of the edge map alone, gradient vector flow, or its
            generalised form for long thin concavities.
        pull: Strength of the pull, for a field of at most unit size.
        elasticity: Against stretching.
        rigidity: Against bending.
        balloon: Pressure outwards; negative inwards.
        sigma_voxels: Smoothing before edges are sought, samples of the finest axis.
        steps: Largest number of steps.
        tol: Stops where no point moves more, samples.

    References:
        Kass, Witkin and Terzopoulos (1988), doi:10.1007/BF00133570; Xu and Prince (1998),
        doi:10.1109/83.661186; see ``ops._snake`` for deviations.
    """

    field: Literal["gradient", "vector flow", "generalised"] = "vector flow"
    pull: float = 1.0
    elasticity: float = 0.05
    rigidity: float = 0.02
    balloon: float = 0.0
    sigma_voxels: float = 1.0
    steps: int = 500
    tol: float = 0.005

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        if not 0 <= self.sigma_voxels < float("inf") or not 0 < self.pull < float("inf"):
            raise ConfigError(
                "sigma_voxels must be 0 or positive and pull positive, got "
                f"{self.sigma_voxels} and {self.pull}"
            )
        if hints.contour is None:
            raise RegionError(
                "Snake needs a first contour: give hints with contour=Points around or inside the "
                "object, in order"
            )
        elastic = Elastic(
            self.elasticity, self.rigidity, self.balloon, steps=self.steps, tol=self.tol
        )
        spacing = orthogonal_spacing(image.grid, "Snake")
        line = _in_plane(image.grid, hints.contour, "contour")
        pins = None if hints.fixed is None else _in_plane(image.grid, hints.fixed, "fixed")
        plane = one_channel(image, "Snake").detach().cpu().double()
        plane = held_inside(plane, where_to_work(hints), spacing)
        # the line moves where both axes have the finest spacing
        fine = finest_mm(image.grid)
        pace = torch.tensor([spacing[1] / fine, spacing[2] / fine], dtype=torch.float64)
        rest = self._settled(plane, spacing, (line, pins, pace), elastic, on_step)
        return self._told(image, rest._replace(points=rest.points / pace))

    def _settled(
        self,
        plane: Tensor,
        spacing: tuple[float, float, float],
        lines: tuple[Tensor, Tensor | None, Tensor],
        elastic: Elastic,
        on_step: OnStep | None,
    ) -> Rested:
        line, pins, pace = lines
        force = self._force(plane, spacing)
        if bool((pace != 1).any()):
            size = [
                round((n - 1) * float(p)) + 1 for n, p in zip(plane.shape[1:], pace, strict=True)
            ]
            force = torch.nn.functional.interpolate(
                force[None], size=size, mode="bilinear", align_corners=True
            )[0]

        def tell(number: int, _: float) -> None:
            if on_step is not None:
                on_step(Step("snake", number, self.steps))

        fixed = None if pins is None else pins * pace
        return snake(self.pull * force, line * pace, elastic, fixed=fixed, on_step=tell)

    def _force(
        self, plane: Float[Tensor, "1 y x"], spacing: tuple[float, float, float]
    ) -> Float[Tensor, "2 y x"]:
        """Make the field of forces, at most of unit size."""
        smooth = smoothed(plane, spacing, self.sigma_voxels)
        slope = slope_size(smooth, spacing)
        # the squared slope has its crest on the edge and feels noise less
        edges = slope**2
        if self.field == "gradient":
            fine = [min(spacing[1:]) / s for s in spacing[1:]]
            parts = [torch.gradient(edges, dim=a + 1)[0] * r for a, r in enumerate(fine)]
            field = torch.stack(parts)[:, 0]
        else:
            kind: Literal["constant", "adaptive"] = (
                "constant" if self.field == "vector flow" else "adaptive"
            )
            weight = 0.1 if kind == "constant" else 0.05
            field = gradient_vector_flow(edges, spacing, weight=weight, kind=kind)[1:, 0]
            # only its direction counts far from edges, where it is weak
            size = field.pow(2).sum(dim=0).sqrt()
            return field / size.clamp(min=float(size.max()) * 1e-6 + 1e-30)
        return field / field.pow(2).sum(dim=0).sqrt().max().clamp(min=1e-30)

    def _told(self, image: Image, rest: Rested) -> Segmentation:
        inside = _filled(rest.points, (image.grid.shape[1], image.grid.shape[2]))[None]
        gone = "the line closed on nothing: start nearer to the edge, or pull less"
        late = f"the line still moved after {self.steps} steps: allow more, or pull less"
        return Segmentation(
            painted(inside, image, {1: "object"}),
            curves=(energy_curve("Largest move of the line", rest.moves, "samples"),),
            values={"steps": float(len(rest.moves)), "points": float(len(rest.points))},
            remarks=(
                *(() if bool(inside.any()) else (gone,)),
                *(() if rest.settled else (late,)),
            ),
            settings=settings_of(self),
        )


def _filled(points: Line, shape: tuple[int, int]) -> Bool[Tensor, "y x"]:
    return fill_polygons(points, torch.zeros(1, dtype=torch.int64), shape)


def _in_plane(grid: Grid, points: Points, what: str) -> Line:
    """Give the positions (y, x) of world points in an image of one slice."""
    if grid.shape[0] != 1:
        raise GeometryError(
            f"Snake works in one plane, the image has {grid.shape[0]} slices: take one with "
            "image.crop((z, 0, 0), (1, y, x))"
        )
    index = grid.to_index(points.data.detach().cpu().double())
    # no comparison is true for NaN
    if not bool((index[:, 0].abs() <= 0.5 + 1e-6).all()):
        raise GeometryError(
            f"{what} must lie in the plane of the image, its points are up to "
            f"{float(index[:, 0].abs().max()):g} slices away"
        )
    return index[:, 1:]
