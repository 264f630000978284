"""Deface: cut the face out of a scan of a head, or refuse; a face that stays is a leak."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import Grid, Image, Labels, resample_labels
from vesalius.errors import ConfigError, GeometryError, IntensityError, RegionError, UnitError
from vesalius.ops._distance_field import distance_to
from vesalius.register import Init, Modality
from vesalius.study.deface._carry import carry
from vesalius.study.deface._gate import Fit, OnStep, fit, pass_gate
from vesalius.study.deface._head import head_of

AIR_HU = -1000.0
MOST_OF_HEAD = 0.6  # a mask that takes more is no face
LEAST_OF_HEAD = 0.005  # and one that takes less has missed it
MOST_KEPT = 0.1  # of the face that may be left for what must stay


@final
@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A head and its face, drawn once by the user.

    Attributes:
        image: A head; any grid whose axes are orthogonal.
        face: Every label that is not 0 is face; on any grid of the same world. It should reach
            into the air in front of the face. Beyond its grid it goes on as at its border.

    Raises:
        RegionError: The mask is empty.
    """

    image: Image
    face: Labels

    def __post_init__(self) -> None:
        if not bool((self.face.data != 0).any()):
            raise RegionError(
                "the template's face must hold at least one voxel, got an empty mask: draw it on "
                "the template first"
            )


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """How a face is found, and when it is refused to be cut.

    Attributes:
        margin_mm: How far the mask grows, mm of the template.
        init: Where the search begins; see ``register.start_transform``.
        modality: ``"different"`` for a template of another contrast or scanner.
        least_alike: Least correlation inside the template's head, 0 to 1. Two real heads of two
            scanners reach 0.3, what is no head stays below 0.1.
        most_apart_mm: How far both directions of the registration may differ at the face. Two
            real heads reach 1 to 3 mm, what is no head 20 and more.

    Raises:
        ConfigError: A figure is out of its range.
    """

    margin_mm: float = 0.0
    init: Init = "search"
    modality: Modality = "same"
    least_alike: float = 0.2
    most_apart_mm: float = 5.0

    def __post_init__(self) -> None:
        if not (0 <= self.margin_mm <= 50):
            raise ConfigError(f"margin_mm must be 0 to 50 mm, got {self.margin_mm:g}")
        if not (0 < self.least_alike <= 1 and 0 < self.most_apart_mm < math.inf):
            raise ConfigError(
                "least_alike must be above 0 and at most 1, and most_apart_mm above 0, got "
                f"{self.least_alike:g} and {self.most_apart_mm:g}"
            )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Defaced:
    """A scan without its face.

    Attributes:
        image: Equal to the scan outside ``removed``, bit for bit; same type, grid and unit.
        removed: Value 1 was set to ``fill``.
        fill: What stands there now, one value for each channel.
        fit: How the template lies on the scan.
        head_share: Share of the head (what is not air) that was removed.
        kept_mm: Distance of the removed part from what was to be kept; NaN where nothing was
            given or the grid is sheared.
        findings: What must be known before the scan is passed on.
    """

    image: Image
    removed: Labels
    fill: tuple[float, ...]
    fit: Fit
    head_share: float
    kept_mm: float
    findings: tuple[str, ...]


STRICT = Rules()


def deface(
    image: Image,
    template: Template,
    *,
    keep: Labels | None = None,
    rules: Rules = STRICT,
    on_step: OnStep | None = None,
) -> Defaced:
    """Carry a template's face mask to a scan by affine registration, and blank what it covers.

    Template and scan are registered both ways; where the two do not agree at the face, or do not
    correlate, nothing is removed and an error says so.

    Args:
        image: A scan of a head, any number type.
        template: A head and its face.
        keep: The brain, say: no voxel of it is touched; on any grid of the scan's world.
        rules: How the face is found, and when it is refused.
        on_step: Told of each step.

    Returns:
        The scan with its face set to -1000 (unit HU), else to its lowest value.

    Raises:
        GeometryError: The scan is one slice.
        IntensityError: An image is constant or not finite.
        ConvergenceError: The template does not lie on the head well enough.
        RegionError: The mask misses the head or takes most of it, or ``keep`` covers the face.
        UnitError: The scan's number type cannot hold -1000 HU.
    """
    if image.grid.shape[0] < 2 or template.image.grid.shape[0] < 2:
        raise GeometryError(
            "a face is removed from volumes, got one slice: a slice shows no face, or all of it"
        )
    fill = _fill(image)
    head = head_of(image)
    found = fit(
        (template.image, image),
        template.face,
        init=rules.init,
        modality=rules.modality,
        on_step=on_step,
    )
    pass_gate(found, least_alike=rules.least_alike, most_apart_mm=rules.most_apart_mm)
    mask = carry(template.face, image.grid, found.transform, margin_mm=rules.margin_mm)
    mask = mask.to(image.device)
    kept, findings = _spare(mask, head, image.grid, keep)
    mask &= ~kept
    share = _share(mask, head)
    return Defaced(
        image.map(lambda x: _blanked(x, mask, fill)),
        Labels(mask.to(torch.uint8)[None], image.grid, {(0, 1): "face"}),
        fill,
        found,
        share,
        _distance(mask, kept, image.grid),
        findings,
    )


def _blanked(data: Tensor, mask: Tensor, fill: tuple[float, ...]) -> Tensor:
    # by numpy: torch has no indexing for uint16, uint32 and uint64
    out, inside = data.cpu().numpy().copy(), mask.cpu().numpy()
    for channel, value in zip(out, fill, strict=True):
        channel[inside] = value
    return torch.from_numpy(out).to(data.device)


def _fill(image: Image) -> tuple[float, ...]:
    if image.dtype.is_floating_point and not bool(torch.isfinite(image.data).all()):
        raise IntensityError(
            "every channel of a scan must be finite to be defaced, got NaN or infinity: replace "
            "them first"
        )
    if image.unit != "HU":
        return tuple(float(channel.min()) for channel in image.data.cpu().numpy())
    if not image.dtype.is_floating_point and torch.iinfo(image.dtype).min > AIR_HU:
        raise UnitError(
            f"samples in HU must be able to hold air ({AIR_HU:g} HU), got {image.dtype}: convert "
            "with image.map(lambda x: x.to(torch.int16))"
        )
    return (AIR_HU,) * image.data.shape[0]


def _spare(
    mask: Tensor, head: Tensor, grid: Grid, keep: Labels | None
) -> tuple[Tensor, tuple[str, ...]]:
    """Give what must stay, and say where the mask met it."""
    if keep is None:
        return torch.zeros_like(mask), ()
    kept = (resample_labels(keep, grid).data != 0).any(dim=0).to(mask.device)
    if not bool(kept.any()):
        raise RegionError(
            "what is to be kept must lie in the scan, got labels that are empty or elsewhere: "
            "give labels in the scan's own world"
        )
    both, face = int((mask & kept & head).sum()), int((mask & head).sum())
    if both > MOST_KEPT * face:
        raise RegionError(
            f"what is to be kept must cover at most {100 * MOST_KEPT:g} % of the face, got "
            f"{100 * both / max(1, face):.0f} %, which would stay; nothing was removed or written: "
            "check the labels, the template's mask and the margin"
        )
    if not both:
        return kept, ()
    volume = both * grid.voxel_volume_mm3 / 1000
    note = f"{volume:.2g} mL of the face lay in what is to be kept, and were left as they were."
    return kept, (note,)


def _share(mask: Tensor, head: Tensor) -> float:
    share = float((mask & head).sum()) / max(1, int(head.sum()))
    if not LEAST_OF_HEAD <= share <= MOST_OF_HEAD:
        raise RegionError(
            f"the face must be {100 * LEAST_OF_HEAD:g} to {100 * MOST_OF_HEAD:g} % of the head, "
            f"got {100 * share:.2g} %; nothing was removed or written: check that the template's "
            "mask is the face, and that the scan shows one"
        )
    return share


def _distance(mask: Tensor, kept: Tensor, grid: Grid) -> float:
    if not bool(kept.any()) or not grid.is_orthogonal:
        return math.nan
    return float(distance_to(kept, grid.spacing_mm)[mask.cpu()].min())
