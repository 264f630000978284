"""Gate: whether a template lies on a head well enough to cut by it; in doubt it does not."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vesalius.core import Grid, Image, Labels, Linear, Step, resample
from vesalius.errors import ConvergenceError
from vesalius.register import Init, Modality, register
from vesalius.register._evaluate import alikeness
from vesalius.study.deface._head import head_of

OnStep = Callable[[Step], None]

SHEARED_MM = 2.0  # voxel of the copy by which a sheared scan is registered
LEAST_SHARED = 0.25  # of the template's head that the scan must show to be told by it
STRETCH = (0.6, 1.6)  # heads differ by less
PLACES = 2000  # of the mask, at which both ways are compared


@dataclass(frozen=True, slots=True)
class Fit:
    """How a template lies on a scan.

    Attributes:
        transform: Scan's world to template's world, mm.
        alike: Correlation inside the template's head, 0 to 1; between modalities the
            informational coefficient of correlation.
        apart_mm: How far the registration of the scan to the template and that of the template to
            the scan lead the places of the mask apart: 95th percentile.
        shared: Share of the template's head that the scan shows.
        stretch: Least and largest stretch.
    """

    transform: Linear
    alike: float
    apart_mm: float
    shared: float
    stretch: tuple[float, float]


def fit(
    images: tuple[Image, Image],
    face: Labels,
    *,
    init: Init,
    modality: Modality,
    on_step: OnStep | None = None,
) -> Fit:
    """Register a template and a scan both ways, and compare.

    Args:
        images: The template and the scan, one channel each.
        face: The template's mask.
        init: Where both searches begin.
        modality: Whether template and scan are of one contrast.
        on_step: Told of each step.

    Returns:
        How they lie.

    References:
        Linfoot (1957), doi:10.1016/S0019-9958(57)90116-X: sqrt(1 - exp(-2 I)) of the mutual
        information I in nats.
    """
    one, two = (_upright(image) for image in images)
    found = [
        register(a, b, plan="affine", init=init, modality=modality, on_step=on_step)
        for a, b in ((one, two), (two, one))
    ]
    there, back = (_linear(f.transform) for f in found)
    head = head_of(one)
    scores = alikeness(one, two, there, inside=head)
    shared = scores.shared * head.numel() / max(1, int(head.sum()))
    alike = scores.ncc
    if modality == "different":
        alike = math.sqrt(max(0.0, 1 - math.exp(-2 * scores.mutual_information)))
    scales = torch.linalg.svdvals(there.matrix[:3, :3])
    places = _places(face)
    apart = (back(there(places)) - places).norm(dim=-1).quantile(0.95)
    stretch = (float(scales.min()), float(scales.max()))
    return Fit(there.inverse(), alike, float(apart), shared, stretch)


def pass_gate(found: Fit, *, least_alike: float, most_apart_mm: float) -> None:
    """Refuse a fit by which a face might stay.

    Args:
        found: How the template lies on the scan.
        least_alike: Least correlation.
        most_apart_mm: How far both ways may differ at the face.

    Raises:
        ConvergenceError: It is not good enough, or not known to be.
    """
    advice = 'try init="search", modality="different" or a template like the scan'
    # written so that NaN is refused
    if not found.alike >= least_alike:
        raise ConvergenceError(
            f"the template must lie on the head with a correlation of {least_alike:g} or more to "
            f"carry the face, got {found.alike:.2f}; nothing was removed or written: {advice}"
        )
    if not found.apart_mm <= most_apart_mm:
        raise ConvergenceError(
            "scan to template and template to scan must agree within "
            f"{most_apart_mm:g} mm at the face, got {found.apart_mm:.1f} mm; nothing was removed "
            f"or written: {advice}"
        )
    if not found.shared >= LEAST_SHARED:
        raise ConvergenceError(
            f"the scan must show {100 * LEAST_SHARED:g} % of the template's head or more, got "
            f"{100 * found.shared:.0f} %; nothing was removed or written: {advice}"
        )
    least, most = STRETCH
    if not (found.stretch[0] >= least and found.stretch[1] <= most):
        raise ConvergenceError(
            f"a template must be stretched by {least:g} to {most:g} to fit a head, got "
            f"{found.stretch[0]:.2f} to {found.stretch[1]:.2f}; nothing was removed or written: "
            f"{advice}"
        )


def _linear(transform: object) -> Linear:
    assert isinstance(transform, Linear)  # the plan is affine
    return transform


def _places(face: Labels) -> Tensor:
    index = torch.nonzero((face.data != 0).any(dim=0)).double()
    return face.grid.to_world(index[:: max(1, len(index) // PLACES)])


def _upright(image: Image) -> Image:
    """Copy a sheared scan (a tilted gantry) onto the axes of the world; leave others alone."""
    grid = image.grid
    floats = Image(image.data[:1].float(), grid, image.unit)
    if grid.is_orthogonal:
        return floats
    corners = torch.cartesian_prod(*(torch.tensor([0.0, n - 1.0]).double() for n in grid.shape))
    world = grid.to_world(corners)
    low, high = world.min(dim=0).values, world.max(dim=0).values
    x, y, z = (math.ceil(float(d) / SHEARED_MM) + 1 for d in high - low)
    origin = (float(low[0]), float(low[1]), float(low[2]))
    like = Grid.from_spacing((z, y, x), (SHEARED_MM,) * 3, origin_mm=origin)
    return resample(floats, like, fill=float(floats.data.min()))
