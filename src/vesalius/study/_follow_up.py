"""Follow-up: the scan again after a breath, with a grown nodule, registered and compared."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace

import torch

from vesalius.core import (
    Grid,
    Image,
    Labels,
    Transform,
    Velocity,
    centred_grid,
    resample,
    resample_labels,
)
from vesalius.study._report import FollowUp, Recovered
from vesalius.study._views import View, Window, outline, overview

Point = tuple[float, float, float]

SPACING_MM = 3.0
DEPTH_MM = 12.0
"""How far the diaphragm goes down."""

FINE_MM, FINE_SAMPLES = 1.25, 60
"""Grid about the nodule on which its volume is measured: a cube of 75 mm."""

GROWN_RADIUS_MM = 10.5
NOISE_HU = 15.0
CLEAR_MM = 8.0
"""Around the nodule nothing is compared: a deformation must not explain growth away."""

TEXTURE_HU = 60.0
TEXTURE_SIGMA = (1.0, 1.0, 1.0)
"""Of the texture that flat organs get, samples of the grid."""

AIR_HU = -950.0
"""Below this is no tissue."""

WINDOW = Window(-1100.0, 400.0, "HU")


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """A scan with a nodule in it.

    Attributes:
        image: CT, HU.
        centre_mm: Where the nodule is, (L, P, S).
        radius_mm: Its radius.
        lungs: Value 1 is lung; on any grid of the same world.
        flat: Whether the organs are of one value each, as those of a phantom: they are then given
            a texture, without which nothing shows how their inside moves.
    """

    image: Image
    centre_mm: Point
    radius_mm: float
    lungs: Labels
    flat: bool = False


def follow_up(visit: Visit) -> FollowUp:
    """Scan the patient again after a known breath, with a grown nodule, and compare the visits.

    Args:
        visit: The first scan.

    Returns:
        How well the breath was recovered, and how much the nodule grew against what is known.

    Raises:
        RegionError: The nodule is not found again on one of the visits.
    """
    from vesalius.register import Guides, register

    first = resample(
        visit.image.map(lambda x: x.float()),
        centred_grid(visit.image.grid, (SPACING_MM, SPACING_MM, SPACING_MM)),
    )
    clear = _outside(first.grid, visit.centre_mm, GROWN_RADIUS_MM + CLEAR_MM)
    if visit.flat:
        first = textured(first, clear)
    breath = breathing(resample_labels(visit.lungs, first.grid))
    second = rescan(first, visit, breath)
    found = register(first, second, plan="smooth", guides=Guides(fixed_mask=clear))
    body = _body(first)
    near = resample(visit.image.map(lambda x: x.float()), _around(visit.centre_mm))
    rows = (
        *_displacement(found.transform, breath, body, first.grid),
        _growth(visit, near, rescan(near, visit, breath), found.transform),
    )
    views = _views(first, second, found.pull(second), visit)
    return FollowUp(rows, views, _note(found.seconds, flat=visit.flat))


def _around(centre_mm: Point) -> Grid:
    """Make a fine grid about the nodule: its volume is measured on both visits there."""
    half = FINE_MM * (FINE_SAMPLES - 1) / 2
    left, posterior, superior = (c - half for c in centre_mm)
    shape = (FINE_SAMPLES, FINE_SAMPLES, FINE_SAMPLES)
    spacing = (FINE_MM, FINE_MM, FINE_MM)
    return Grid.from_spacing(shape, spacing, origin_mm=(left, posterior, superior))


def breathing(lungs: Labels) -> Velocity:
    """Make the motion of one deeper breath: the lungs' floor goes down, less and less above it.

    Args:
        lungs: Value 1 is lung.

    Returns:
        First visit to second; up to ``DEPTH_MM`` along S and a third of it along P.
    """
    index = torch.nonzero(lungs.data[0] == 1).double()
    places = lungs.grid.to_world(index)
    floor, top = torch.quantile(places[:: max(1, len(places) // 100_000), 2], _ends(), dim=0)
    grid = centred_grid(lungs.grid, (2 * SPACING_MM, 2 * SPACING_MM, 2 * SPACING_MM))
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    at = grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    middle = places.mean(dim=0)
    away = ((at - middle)[..., :2] / 110.0).square().sum(dim=-1)
    above = ((at[..., 2] - floor) / (0.6 * (top - floor))).square()
    strength = DEPTH_MM * torch.exp(-0.5 * (away + above))
    field = torch.stack([0.0 * strength, -strength / 3, -strength])
    return Velocity(field.float(), grid)


def _ends() -> torch.Tensor:
    return torch.tensor([0.02, 0.98], dtype=torch.float64)


def textured(image: Image, where: Labels) -> Image:
    """Give flat organs a texture, a blurred noise that belongs to the tissue and moves with it.

    Args:
        image: CT, HU; what is above -950 HU gets it.
        where: Value 1 may get it; on the grid of the image.

    Returns:
        The image with a texture of standard deviation ``TEXTURE_HU``.
    """
    from vesalius.ops import gaussian

    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(image.data.shape, generator=generator)
    texture = gaussian(noise, TEXTURE_SIGMA)
    inside = gaussian((image.data > AIR_HU).float(), (1.0, 1.0, 1.0)) * where.data
    return image.map(lambda x: x + TEXTURE_HU / texture.std() * texture * inside)


def rescan(first: Image, visit: Visit, breath: Velocity) -> Image:
    """Scan again: the nodule grown, the breath taken, new noise.

    Args:
        first: The first scan, on the grid of the second.
        visit: Where the nodule is.
        breath: First visit to second.

    Returns:
        The second scan.
    """
    from vesalius.physics import Ellipsoid, insert_nodule

    ball = Ellipsoid.sphere(visit.centre_mm, 2 * GROWN_RADIUS_MM, value=40.0, name="nodule")
    grown = insert_nodule(first, ball, psf_mm=0.8).image
    moved = resample(grown, first.grid, transform=breath.inverse())
    generator = torch.Generator().manual_seed(11)
    noise = torch.randn(moved.data.shape, generator=generator) * NOISE_HU
    return moved.map(lambda x: x + noise)


def _outside(grid: Grid, centre_mm: Point, reach_mm: float) -> Labels:
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    at = grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    away = (at - torch.tensor(centre_mm, dtype=torch.float64)).norm(dim=-1)
    return Labels((away > reach_mm).to(torch.uint8)[None], grid)


def _body(image: Image) -> torch.Tensor:
    """Take a sample of the points inside the patient, a margin away from the image's faces."""
    inner = image.data[0, 4:-4:3, 4:-4:3, 4:-4:3] > AIR_HU
    index = torch.nonzero(inner).double() * 3 + 4
    return image.grid.to_world(index)


def _displacement(
    found: Transform, truth: Transform, points: torch.Tensor, grid: Grid
) -> tuple[Recovered, ...]:
    moved = (truth(points) - points).norm(dim=-1)
    missed = (found(points) - truth(points)).norm(dim=-1)
    voxel = min(grid.spacing_mm)
    far = moved > 0.5 * float(moved.max())
    before = Recovered("Displacement, mean", float(moved.mean()), 0.0, "mm")
    return (
        replace(before, found=float((found(points) - points).norm(dim=-1).mean())),
        Recovered(
            "Displacement where it is large, mean",
            float(moved[far].mean()),
            float((found(points) - points).norm(dim=-1)[far].mean()),
            "mm",
        ),
        Recovered("Error, mean", 0.0, float(missed.mean()), "mm"),
        Recovered("Error, 95th percentile", 0.0, float(missed.quantile(0.95)), "mm"),
        Recovered("Error, mean, in voxels", 0.0, float(missed.mean()) / voxel, ""),
    )


def _growth(visit: Visit, first: Image, second: Image, found: Transform) -> Recovered:
    """Compare the nodule's volumes, corrected by how much the breath stretched its tissue."""
    there = found(torch.tensor([visit.centre_mm], dtype=torch.float64))[0].tolist()
    before = _volume(first, visit.centre_mm)
    after = _volume(second, (there[0], there[1], there[2]))
    at = torch.tensor([visit.centre_mm], dtype=torch.float64)
    stretch = float(torch.linalg.det(found.jacobian(at))[0])
    truth = (GROWN_RADIUS_MM / visit.radius_mm) ** 3
    return Recovered("Nodule growth", 100 * (truth - 1), 100 * (after / stretch / before - 1), "%")


def _volume(image: Image, centre_mm: Point) -> float:
    from vesalius.segment import half_contrast

    labels = half_contrast(image, centre_mm, radius_mm=16.0)
    return int((labels.data == 1).sum()) * labels.grid.voxel_volume_mm3


def _views(first: Image, second: Image, pulled: Image, visit: Visit) -> tuple[View, ...]:
    inside = 1 - _outside(first.grid, visit.centre_mm, visit.radius_mm).data
    nodule = Labels(inside, first.grid, {(0, 1): "nodule"})
    lines = outline(nodule, ((0, 1),), names=("nodule",))
    difference = Image(pulled.data - first.data, first.grid, "HU")
    shown = (
        ("first visit", first, WINDOW),
        ("second visit, as scanned", second, WINDOW),
        ("second visit, registered", pulled, WINDOW),
        ("difference, registered", difference, Window(-400.0, 400.0, "HU")),
    )
    views = []
    for name, image, window in shown:
        every = overview(image, lines, window=window)
        view = next((v for v in every if v.plane.name == "coronal"), every[0])
        views.append(replace(view, title=name))
    return tuple(views)


def _note(seconds: float, *, flat: bool) -> str:
    texture = (
        f" The phantom's organs are flat, so both visits were given a texture of {TEXTURE_HU:g} HU "
        "that moves with the tissue: a deformation cannot be seen where there is none."
    )
    return (
        "The patient is scanned again, by calculation: a breath that lowers the diaphragm by up "
        f"to {DEPTH_MM:g} mm (a known velocity field, integrated), new noise of {NOISE_HU:g} HU, "
        f"and the nodule grown to {2 * GROWN_RADIUS_MM:g} mm. The visits are registered on a "
        f"{SPACING_MM:g} mm grid (preset smooth, {seconds:.0f} s) with the nodule masked out, so "
        "that the deformation cannot explain growth away; its volume is measured on a grid of "
        f"{FINE_MM:g} mm about it and corrected by the Jacobian." + texture * flat
    )
