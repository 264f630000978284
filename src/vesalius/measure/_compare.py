"""Compare: how well labels agree with the truth, label by label, in millimetres."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor

from vesalius.core import Grid, Labels, differences
from vesalius.errors import GeometryError, RegionError, ShapeError, UnitError
from vesalius.ops._boundary_overlap import boundary_iou
from vesalius.ops._centreline import centreline_dice
from vesalius.ops._label_boxes import joined_box, label_boxes
from vesalius.ops._overlap import overlap
from vesalius.ops._surface_distance import directed_distances, summary
from vesalius.ops._surface_tolerance import near_share, surface_dice

Group = Literal["overlap", "surface", "area", "centreline", "boundary"]

USUAL: tuple[Group, ...] = ("overlap", "surface")


@final
@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label of a prediction against the truth; NaN where a figure was not asked for.

    Where the label is in neither, all scores are NaN: there was nothing to find. Where it is in
    one only, overlaps and surface Dice are 0 and distances infinite.

    Attributes:
        layer: Its layer.
        value: Its value.
        name: Its name.
        dice: 2 |P and T| / (|P| + |T|).
        iou: |P and T| / |P or T| (Jaccard).
        sensitivity: Share of the truth that was found; NaN where there is no truth.
        specificity: Share of the voxels outside the truth that were left out; NaN where there are
            none. Depends on how much background the image has.
        precision: Share of the prediction that is true; NaN where nothing was predicted.
        pred_mm3: Volume predicted.
        truth_mm3: True volume.
        volume_error_mm3: Predicted less true.
        volume_error: The same as a share of the true volume; NaN where there is no truth.
        hausdorff_mm: Largest distance of the two surfaces, either way.
        hd95_mm: 95th percentile of the distances of both ways, pooled.
        hd95_directed_mm: The larger of the 95th percentiles of the two ways (MONAI's).
        assd_mm: Mean of the distances of both ways, pooled.
        nsd: Surface Dice at the tolerance, surfaces counted in voxels (MONAI's default).
        nsd_area: The same, surfaces weighed by area (DeepMind's).
        cldice: Centreline Dice.
        boundary_iou: Overlap of the inner rims.
    """

    layer: int
    value: int
    name: str
    dice: float = math.nan
    iou: float = math.nan
    sensitivity: float = math.nan
    specificity: float = math.nan
    precision: float = math.nan
    pred_mm3: float = math.nan
    truth_mm3: float = math.nan
    volume_error_mm3: float = math.nan
    volume_error: float = math.nan
    hausdorff_mm: float = math.nan
    hd95_mm: float = math.nan
    hd95_directed_mm: float = math.nan
    assd_mm: float = math.nan
    nsd: float = math.nan
    nsd_area: float = math.nan
    cldice: float = math.nan
    boundary_iou: float = math.nan


SCORES: tuple[str, ...] = tuple(f.name for f in fields(LabelScore))[3:]
"""Names of the figures of a label, in the order of the tables."""

GROUPS: dict[str, Group] = {
    **dict.fromkeys(SCORES[:9], "overlap"),
    **dict.fromkeys(SCORES[9:14], "surface"),
    "nsd_area": "area",
    "cldice": "centreline",
    "boundary_iou": "boundary",
}
"""Which group brings which figure."""

MEAN = "mean of labels"
"""Name of the row over all labels of a case."""


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """Labels against the truth.

    Attributes:
        labels: One entry for each (layer, value) of either, or those asked for; sorted.
        groups: What was asked for.
        tau_mm: Tolerance of the surface Dice.
        rim_mm: Width of the rim of ``boundary_iou``.
    """

    labels: tuple[LabelScore, ...]
    groups: tuple[Group, ...]
    tau_mm: float
    rim_mm: float

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the figures that were asked for."""
        return tuple(name for name in SCORES if GROUPS[name] in self.groups)

    def figures(self) -> dict[tuple[str, str], float]:
        """Give each figure by label and score, first those of ``MEAN``, the mean of the labels."""
        means = {(MEAN, name): self.mean(name) for name in self.scores}
        own = {
            (label.name, name): float(getattr(label, name))
            for label in self.labels
            for name in self.scores
        }
        return means | own

    def mean(self, score: str) -> float:
        """Mean of a figure over the labels that have it; infinite where one is, NaN for none."""
        return _mean([float(getattr(label, score)) for label in self.labels])

    def to_dict(self) -> dict[str, object]:
        """Give everything as JSON types; NaN becomes None, infinity the text ``"inf"``."""
        kept = ("layer", "value", "name", *self.scores)
        rows = [{k: plain(v) for k, v in asdict(r).items() if k in kept} for r in self.labels]
        return {
            "labels": rows,
            "mean": {name: plain(self.mean(name)) for name in self.scores},
            "tau_mm": self.tau_mm,
            "rim_mm": self.rim_mm,
        }


def compare(
    pred: Labels,
    truth: Labels,
    *,
    measures: tuple[Group, ...] = USUAL,
    tau_mm: float = 1.0,
    rim_mm: float = 2.0,
    values: tuple[tuple[int, int], ...] = (),
) -> Comparison:
    """Score every label of a prediction against the truth.

    Args:
        pred: What is judged.
        truth: What is right; on the same grid, with as many layers.
        measures: ``"overlap"`` (Dice, IoU, sensitivity, specificity, precision, volumes),
            ``"surface"`` (Hausdorff, HD95 twice, ASSD, surface Dice), ``"area"`` (surface Dice by
            area), ``"centreline"`` (clDice), ``"boundary"`` (boundary IoU).
        tau_mm: Tolerance of the surface Dice: what two experts differ by.
        rim_mm: Width of the rim of the boundary IoU.
        values: (layer, value) to score; empty takes all that occur in either.

    Returns:
        The scores.

    Raises:
        GeometryError: The grids differ; says in what and how to resample. Or the axes are not at
            right angles and distances are asked for.
        ShapeError: The numbers of layers differ.
        RegionError: There is no label in either, and none is asked for; or in a layer that is
            not there.
        UnitError: ``measures`` has an unknown word, or a length is not one.

    References:
        Taha and Hanbury (2015), doi:10.1186/s12880-015-0068-x; Maier-Hein et al. (2024),
        doi:10.1038/s41592-023-02151-z, for which figure suits which question.
    """
    check_alike(pred, truth)
    unknown = [word for word in measures if word not in GROUPS.values()]
    if unknown or not measures:
        raise UnitError(
            f"measures must be some of {', '.join(sorted(set(GROUPS.values())))}, got {measures}"
        )
    if set(measures) - {"overlap", "centreline"} and not truth.grid.is_orthogonal:
        raise GeometryError(
            "distances need a grid with orthogonal axes, got a sheared one: use "
            "core.resample_labels onto an orthogonal grid, or measures=('overlap',)"
        )
    wanted = sorted(values or set(pred.values) | set(truth.values))
    if not wanted:
        raise RegionError(
            "there must be a label in the prediction or the truth to be compared, both hold only "
            "background: check the files, or say which values should be there"
        )
    if beyond := sorted({k for k, _ in wanted} - set(range(truth.data.shape[0]))):
        raise RegionError(
            f"values must lie in layers 0 to {truth.data.shape[0] - 1} of the labels, got layers "
            f"{beyond}: give (layer, value)"
        )
    names = _names(wanted, dict(pred.names) | dict(truth.names))
    how = _How(truth.grid, measures, tau_mm, rim_mm)
    found: list[LabelScore] = []
    for layer in range(truth.data.shape[0]):
        known = {v: names[k, v] for k, v in wanted if k == layer}
        found += _layer(pred.data[layer], truth.data[layer], layer, known, how)
    return Comparison(tuple(found), measures, tau_mm, rim_mm)


def check_alike(pred: Labels, truth: Labels) -> None:
    """Refuse labels that do not lie on one grid, or differ in layers.

    Raises:
        GeometryError: The grids differ.
        ShapeError: The numbers of layers differ.
    """
    if apart := differences(truth.grid, pred.grid):
        raise GeometryError(
            f"prediction and truth must lie on one grid, they differ: {'; '.join(apart)}: bring "
            "the prediction there with 'vesalius convert PRED OUT --labels --like TRUTH' or "
            "core.resample_labels(pred, truth.grid)"
        )
    if pred.data.shape[0] != truth.data.shape[0]:
        raise ShapeError(
            "prediction and truth must have the same number of layers to be compared, got "
            f"{pred.data.shape[0]} and {truth.data.shape[0]}"
        )


def plain(value: object) -> object:
    """Give a number as JSON can hold it: None for NaN, ``"inf"`` for infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _names(
    wanted: list[tuple[int, int]], known: dict[tuple[int, int], str]
) -> dict[tuple[int, int], str]:
    """Name each label; where several share a name, figures by name need layer and value too."""
    found = {key: known.get(key, f"label {key[1]}") for key in wanted}
    often = Counter([*found.values(), MEAN])
    return {
        (k, v): name if often[name] == 1 else f"{name} (layer {k}, label {v})"
        for (k, v), name in found.items()
    }


class _How(NamedTuple):
    grid: Grid
    groups: tuple[Group, ...]
    tau_mm: float
    rim_mm: float


def _layer(
    pred: Tensor, truth: Tensor, layer: int, names: dict[int, str], how: _How
) -> list[LabelScore]:
    one, two = (x.detach().cpu().to(torch.int64) for x in (pred, truth))
    values = tuple(names)
    counts = overlap(one, two, values)
    boxes = label_boxes(one, values), label_boxes(two, values)
    found = []
    for k, value in enumerate(values):
        figures: dict[str, float] = {}
        n = int(counts.first[k]), int(counts.second[k]), int(counts.both[k])
        if "overlap" in how.groups:
            ratios = {"dice": float(counts.dice[k]), "iou": float(counts.jaccard[k])}
            figures |= ratios | _rates(n, one.numel(), how.grid.voxel_volume_mm3)
        if n[0] and n[1]:
            box = joined_box(boxes[0][k], boxes[1][k], depth=one.shape[0])
            assert box is not None
            figures |= _of_masks(one[box] == value, two[box] == value, how)
        elif n[0] or n[1]:
            figures |= _of_one_alone(how.groups)
        found.append(LabelScore(layer, value, names[value], **figures))
    return found


def _rates(n: tuple[int, int, int], total: int, voxel_mm3: float) -> dict[str, float]:
    pred, truth, both = n
    outside, error = total - truth, (pred - truth) * voxel_mm3
    return {
        "sensitivity": both / truth if truth else math.nan,
        "specificity": (outside - (pred - both)) / outside if outside else math.nan,
        "precision": both / pred if pred else math.nan,
        "pred_mm3": pred * voxel_mm3,
        "truth_mm3": truth * voxel_mm3,
        "volume_error_mm3": error,
        "volume_error": (pred - truth) / truth if truth else math.nan,
    }


def _of_masks(one: Tensor, two: Tensor, how: _How) -> dict[str, float]:
    """Give the figures that need to see where both masks are; the box cuts nothing off."""
    found: dict[str, float] = {}
    spacing = how.grid.spacing_mm
    if "surface" in how.groups:
        there, back = directed_distances(one, two, spacing)
        surface = summary(there, back)
        found |= {
            "hausdorff_mm": surface.hausdorff,
            "hd95_mm": surface.hd95,
            "hd95_directed_mm": surface.hd95_directed,
            "assd_mm": surface.assd,
            "nsd": near_share(there, back, tolerance=how.tau_mm),
        }
    if "area" in how.groups:
        found["nsd_area"] = surface_dice(one, two, spacing, tolerance=how.tau_mm, element="area")
    if "centreline" in how.groups:
        found["cldice"] = centreline_dice(one, two).cldice
    if "boundary" in how.groups:
        found["boundary_iou"] = boundary_iou(one, two, width=how.rim_mm, spacing=spacing)
    return found


def _of_one_alone(groups: tuple[Group, ...]) -> dict[str, float]:
    alone = {name: math.inf if name.endswith("_mm") else 0.0 for name in SCORES[9:]}
    return {name: value for name, value in alone.items() if GROUPS[name] in groups}


def _mean(values: list[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan
