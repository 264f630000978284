"""Metal: replace what was measured through it by what would have been without."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import ConfigError, RegionError
from vesalius.physics.ct import Projections, Projector
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct._flat_field import interpolate_gaps

Method = Literal["linear", "normalised"]
LEAST = 1e-3
"""Rays whose prior is below this part of its maximum are not normalised: they cross air."""


@final
@dataclass(frozen=True, slots=True)
class Metal:
    """Where materials begin, mu in 1/mm.

    Attributes:
        metal: Above it a voxel is metal.
        bone: Above it the prior keeps a voxel as it is.
        air: Below it the prior has nothing; between the two it is flat soft tissue.
    """

    metal: float
    bone: float = 0.0252
    air: float = 0.0097

    def __post_init__(self) -> None:
        if not 0 <= self.air < self.bone < self.metal:
            raise ConfigError(
                f"limits must rise from air to bone to metal, got {self.air:g}, {self.bone:g} and "
                f"{self.metal:g} 1/mm: at 70 keV water is 0.0193 1/mm"
            )


def reduce_metal(
    projections: Projections,
    reconstruct: Callable[[Projections], Reconstruction],
    *,
    limits: Metal,
    method: Method = "normalised",
) -> Reconstruction:
    """Reconstruct without the streaks of metal.

    A first image shows the metal; its shadow in the projections is bridged by straight lines
    along the detector rows; the image of the bridged projections gets the metal back. Normalised,
    the rows are first divided by the projections of a prior (air, flat soft tissue, bone), so that
    edges of bone go on beneath the shadow.

    Args:
        projections: Line integrals.
        reconstruct: From line integrals to an image in 1/mm, such as
            ``functools.partial(fbp, like=grid)``.
        limits: What is metal, bone and air.
        method: ``"linear"`` or ``"normalised"``.

    Returns:
        The image with the metal in it, and a remark on how much was bridged.

    Raises:
        RegionError: There is no metal, or a detector row is all in its shadow.

    References:
        Kalender, Hebel, Ebersberger (1987), doi:10.1148/radiology.164.2.3602406; Meyer et al.
        (2010), doi:10.1118/1.3484090, section II.B. Differs from it in: the first image is that of
        all data, and the prior is not smoothed.
    """
    first = reconstruct(projections)
    metal = first.image.data[0] > limits.metal
    if not bool(metal.any()):
        raise RegionError(
            f"metal must show in the first image, its largest value is "
            f"{float(first.image.data.max()):.3g} 1/mm and the limit {limits.metal:g}: lower it, "
            "or leave the step out"
        )
    project = Projector(projections.geometry, first.image.grid)
    shadow = project(metal.to(projections.data.dtype)) > 0
    bridged = bridge(projections, shadow)
    if method == "normalised":
        prior = project(_prior(reconstruct(bridged).image, metal, limits))
        bridged = _normalised(projections, shadow, prior)
    found = reconstruct(bridged)
    data = torch.where(metal, first.image.data, found.image.data)
    part = float(shadow.double().mean())
    remark = f"{100 * part:.3g} % of the rays crossed metal and were replaced ({method})"
    image = Image(data, found.image.grid, found.image.unit, found.image.channels)
    return replace(
        found, image=image, method=f"{found.method}, metal", remarks=(*found.remarks, remark)
    )


def bridge(projections: Projections, shadow: Bool[Tensor, "_ _ _"]) -> Projections:
    """Replace the rays in a shadow by straight lines along their detector row.

    Args:
        projections: Any quantity.
        shadow: (view, row, column), True where a ray is not to be used.

    Returns:
        The same projections; rays outside the shadow are unchanged.

    Raises:
        RegionError: A row of a view is all shadow.
    """
    if bool(shadow.all(dim=-1).any()):
        view, row = shadow.all(dim=-1).nonzero()[0].tolist()
        raise RegionError(
            f"metal must leave some rays of each row, view {view}, row {row} is all shadow: raise "
            "the limit of metal"
        )
    lines = interpolate_gaps(projections.data.flatten(0, 1), shadow.flatten(0, 1))
    return replace(projections, data=lines.reshape(projections.data.shape))


def _prior(image: Image, metal: Tensor, limits: Metal) -> Tensor:
    """Air, flat soft tissue, bone; metal counts as soft tissue."""
    mu = image.data[0]
    soft = (mu >= limits.air) & (mu < limits.bone) & ~metal
    value = mu[soft].median() if bool(soft.any()) else mu.new_tensor(limits.air)
    prior = torch.where(mu < limits.air, torch.zeros_like(mu), mu)
    return torch.where(soft | metal, value, prior)


def _normalised(projections: Projections, shadow: Tensor, prior: Tensor) -> Projections:
    prior = prior.to(projections.data.dtype)
    usable = prior > LEAST * prior.max()
    ratio = torch.where(usable, projections.data / prior.clamp_min(1e-30), 1.0)
    flat = bridge(replace(projections, data=ratio), shadow).data * prior
    return replace(projections, data=torch.where(shadow, flat, projections.data))
