"""Evaluate: judge a registration by labels, landmarks, folds, its inverse and the images."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import (
    Grid,
    Image,
    Labels,
    Points,
    Transform,
    differences,
    resample,
    resample_labels,
)
from vesalius.errors import ConvergenceError, GeometryError, RegionError, ShapeError
from vesalius.ops._folds import Folds, fold_statistics
from vesalius.ops._label_boxes import joined_box, label_boxes
from vesalius.ops._overlap import overlap
from vesalius.ops._surface_distance import surface_distance
from vesalius.register._report import (
    Alikeness,
    Consistency,
    Folding,
    LandmarkError,
    RegistrationReport,
    Structure,
)

MOST_POINTS = 50_000  # places at which the inverse is tried
BINS = 32  # of the joint histogram


@runtime_checkable
class Found(Protocol):
    """What is judged: the result of ``register``, or anything with these fields."""

    @property
    def transform(self) -> Transform:
        """Fixed to moving, mm."""

    @property
    def start(self) -> Transform:
        """What the search began from; its figures are those "before"."""

    @property
    def fixed(self) -> Image:
        """The fixed image."""

    @property
    def moving(self) -> Image:
        """The moving image."""

    @property
    def seconds(self) -> float:
        """Wall time of the search."""


def evaluate(
    found: Found,
    *,
    labels: tuple[Labels, Labels] | None = None,
    landmarks: tuple[Points, Points] | None = None,
    mask: Image | None = None,
) -> RegistrationReport:
    """Judge a registration, before and after.

    Args:
        found: The result of ``register``.
        labels: Structures of the (fixed, moving) image, by the same (layer, value); the moving
            ones are pulled onto the grid of the fixed ones by nearest voxel.
        landmarks: The same places in the (fixed, moving) world, in the same order.
        mask: Where folds and similarity are looked at: above 0.5 on the fixed grid. None looks
            everywhere.

    Returns:
        The report; what was not given is empty there.

    Raises:
        ShapeError: The landmarks do not pair, the labels have another number of layers, or the
            mask has another shape than the fixed grid.
        GeometryError: The mask lies elsewhere.
        RegionError: The mask is empty.

    References:
        Heimann et al. (2009), doi:10.1109/TMI.2009.2013851 (surface distances); Borovec et al.
        (2020), doi:10.1109/TMI.2020.2986331 (rTRE); Liu et al. (2024),
        doi:10.1007/s11263-024-02047-1 (non-diffeomorphic volume).
    """
    inside = _inside(mask, found.fixed.grid)
    maps = (found.start, found.transform)
    alike = [alikeness(found.fixed, found.moving, t, inside=inside) for t in maps]
    structures: list[tuple[Structure, ...]] = [(), ()]
    errors: list[LandmarkError | None] = [None, None]
    if labels is not None:
        structures = [compare_labels(labels[0], labels[1], t) for t in maps]
    if landmarks is not None:
        errors = [
            landmark_error(landmarks[0], landmarks[1], t, grid=found.fixed.grid) for t in maps
        ]
    return RegistrationReport(
        before=structures[0],
        after=structures[1],
        landmarks_before=errors[0],
        landmarks_after=errors[1],
        folding=folding(found.transform, found.fixed.grid, inside=inside),
        consistency=inverse_consistency(
            found.transform, found.fixed.grid, moving=found.moving.grid
        ),
        similarity_before=alike[0],
        similarity_after=alike[1],
        seconds=found.seconds,
        peak_ram_mb=_peak_ram_mb(),
    )


def compare_labels(fixed: Labels, moving: Labels, transform: Transform) -> tuple[Structure, ...]:
    """Compare every structure of two label maps through a transform.

    Args:
        fixed: The reference.
        moving: Pulled onto the grid of ``fixed`` by nearest voxel.
        transform: Fixed to moving, mm.

    Returns:
        One entry for each (layer, value) of either, sorted. Where a structure is absent from one,
        Dice is 0 and its distances are NaN.

    Raises:
        ShapeError: The numbers of layers differ.
        GeometryError: The grid of ``fixed`` is not orthogonal.
    """
    if fixed.data.shape[0] != moving.data.shape[0]:
        raise ShapeError(
            "both labels must have the same number of layers to be compared, got "
            f"{fixed.data.shape[0]} and {moving.data.shape[0]}"
        )
    if not fixed.grid.is_orthogonal:
        raise GeometryError(
            "distances of surfaces need a grid with orthogonal axes, got a sheared one: "
            "use core.resample_labels onto an orthogonal grid"
        )
    pulled = resample_labels(moving, fixed.grid, transform=transform)
    wanted = sorted(set(fixed.values) | set(moving.values))
    found: list[Structure] = []
    for layer in range(fixed.data.shape[0]):
        values = tuple(v for k, v in wanted if k == layer)
        found += _layer(fixed, pulled, layer, values)
    return tuple(found)


def _layer(fixed: Labels, pulled: Labels, layer: int, values: tuple[int, ...]) -> list[Structure]:
    one, two = fixed.data[layer].cpu().to(torch.int64), pulled.data[layer].cpu().to(torch.int64)
    counts = overlap(one, two, values)
    first, second = label_boxes(one, values), label_boxes(two, values)
    names = dict(pulled.names) | dict(fixed.names)
    volume = fixed.grid.voxel_volume_mm3
    rows = []
    for k, value in enumerate(values):
        box = joined_box(first[k], second[k], depth=one.shape[0])
        hd95, assd = math.nan, math.nan
        if box is not None and counts.first[k] and counts.second[k]:
            distance = surface_distance(one[box] == value, two[box] == value, fixed.grid.spacing_mm)
            hd95, assd = distance.hd95, distance.assd
        rows.append(
            Structure(
                layer=layer,
                value=value,
                name=names.get((layer, value), f"label {value}"),
                dice=float(counts.dice[k]),
                jaccard=float(counts.jaccard[k]),
                hd95_mm=hd95,
                assd_mm=assd,
                fixed_mm3=float(counts.first[k]) * volume,
                moving_mm3=float(counts.second[k]) * volume,
            )
        )
    return rows


def landmark_error(
    fixed: Points, moving: Points, transform: Transform, *, grid: Grid
) -> LandmarkError:
    """Measure how far landmarks land from their partners: |T(fixed) - moving|.

    Args:
        fixed: Places in the fixed world.
        moving: The same places in the moving world, in the same order.
        transform: Fixed to moving, mm.
        grid: Of the fixed image: its diagonal is the unit of the relative error.

    Returns:
        The target registration error, mm, and as a share of the diagonal.

    Raises:
        ShapeError: There are no landmarks, or they do not pair.
    """
    if len(fixed) != len(moving) or not len(fixed):
        raise ShapeError(
            "landmarks must pair, at least one, got "
            f"{len(fixed)} fixed and {len(moving)} moving ones"
        )
    mapped = transform(fixed.data.double())
    misses = (mapped - moving.data.to(mapped.device, torch.float64)).norm(dim=1).cpu().numpy()
    size = [n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True) if n > 1]
    diagonal = math.hypot(*size) if size else math.nan
    median = float(np.median(misses))
    return LandmarkError(
        count=len(misses),
        mean_mm=float(misses.mean()),
        median_mm=median,
        p95_mm=float(np.percentile(misses, 95)),
        max_mm=float(misses.max()),
        mean_relative=float(misses.mean()) / diagonal,
        median_relative=median / diagonal,
    )


def folding(transform: Transform, grid: Grid, *, inside: Tensor | None = None) -> Folding:
    """Measure folds of a transform on a grid; see ``ops`` for the tetrahedra.

    Args:
        transform: Fixed to moving, mm.
        grid: Where it is looked at.
        inside: (z, y, x), True where it counts; None counts everywhere.

    Returns:
        The figures. The determinant is that of the whole map, its linear part too.

    Raises:
        RegionError: ``inside`` is empty.
    """
    found: Folds = fold_statistics(transform.to_field(grid).flow(), inside)
    volume = found.lost_volume * grid.voxel_volume_mm3
    return Folding(
        folded_percent=100 * found.folded,
        folded_cells_percent=100 * found.folded_cells,
        non_diffeomorphic_mm3=volume,
        non_diffeomorphic_percent=100 * found.lost_volume / max(found.cells, 1),
        sd_log_jacobian=found.sd_log,
        smallest=found.smallest,
        largest=found.largest,
    )


def inverse_consistency(transform: Transform, grid: Grid, *, moving: Grid) -> Consistency:
    """Measure |T^-1(T(x)) - x| at voxels of the fixed grid.

    It is measured on points, since a difference of images is blind wherever they are flat.

    Args:
        transform: Fixed to moving, mm.
        grid: Of the fixed image; at most ``MOST_POINTS`` voxels of it, evenly spread.
        moving: Of the moving image: points that leave it have no way back and do not count.

    Returns:
        Mean and largest miss, mm; NaN with the reason where the transform has no inverse or all
        points leave the moving image.
    """
    points = _spread(grid)
    there = transform(points)
    index = moving.to_index(there)
    last = torch.tensor(moving.shape, dtype=torch.float64) - 1
    kept = ((index >= -0.5) & (index <= last + 0.5)).all(dim=-1)
    if not bool(kept.any()):
        return Consistency(
            math.nan, math.nan, 0, "no point of the fixed grid meets the moving image"
        )
    try:
        back = transform.inverse()(there[kept])
    except (ConvergenceError, GeometryError) as error:
        return Consistency(math.nan, math.nan, int(kept.sum()), f"no inverse: {error}")
    misses = (back - points[kept]).norm(dim=-1)
    return Consistency(float(misses.mean()), float(misses.max()), int(kept.sum()), "")


def alikeness(
    fixed: Image, moving: Image, transform: Transform, *, inside: Tensor | None = None
) -> Alikeness:
    """Measure how alike two images are through a transform, where both have samples.

    Args:
        fixed: The reference.
        moving: Pulled onto the grid of ``fixed``, linearly.
        transform: Fixed to moving, mm.
        inside: (z, y, x), True where it counts; None counts everywhere.

    Returns:
        Normalised cross-correlation and mutual information (nats, 32 bins), means over the
        channels that both have; NaN where the images do not meet or one is constant.
    """
    grid = fixed.grid
    ready = moving.map(lambda x: x.double())
    pulled = resample(ready, grid, transform=transform).data
    ones = Labels(torch.ones((1, *moving.grid.shape), dtype=torch.uint8), moving.grid)
    seen = resample_labels(ones, grid, transform=transform).data[0] > 0
    if inside is not None:
        seen &= inside
    pairs = [
        (a.double()[seen].cpu().numpy(), b[seen].cpu().numpy())
        for a, b in zip(fixed.data, pulled, strict=False)
    ]
    ncc = [_correlation(a, b) for a, b in pairs]
    shared = [_mutual_information(a, b) for a, b in pairs]
    return Alikeness(float(np.mean(ncc)), float(np.mean(shared)), float(seen.double().mean()))


def _correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    if not len(a):
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else math.nan


def _mutual_information(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    if not len(a) or not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return math.nan
    joint = np.histogram2d(a, b, bins=BINS)[0] / len(a)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())


def _spread(grid: Grid) -> Float[Tensor, "n 3"]:
    """Give voxel centres at even strides, about ``MOST_POINTS`` of them, (L, P, S), mm."""
    depth = sum(n > 1 for n in grid.shape) or 1
    stride = max(1, math.ceil((math.prod(grid.shape) / MOST_POINTS) ** (1 / depth)))
    axes = [
        torch.arange(min(stride // 2, n - 1), n, stride, dtype=torch.float64) for n in grid.shape
    ]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    return grid.to_world(index)


def _inside(mask: Image | None, grid: Grid) -> Tensor | None:
    if mask is None:
        return None
    if mask.data.shape[0] != 1 or mask.grid.shape != grid.shape:
        raise ShapeError(
            f"mask must have one channel on the fixed grid {grid.shape}, got "
            f"{tuple(mask.data.shape)}: use core.resample(mask, fixed.grid)"
        )
    if apart := differences(mask.grid, grid):
        raise GeometryError(
            f"mask must lie on the fixed grid, they differ: {'; '.join(apart)}: use "
            "core.resample(mask, fixed.grid)"
        )
    inside = mask.data[0] > 0.5
    if not bool(inside.any()):
        raise RegionError("mask must have a voxel above 0.5 to judge by, got none")
    return inside.cpu()


def _peak_ram_mb() -> float:
    """Give the most memory that this process has held, MB; NaN where the system does not say."""
    import sys
    from pathlib import Path

    status = Path("/proc/self/status")
    if status.is_file():  # Linux: ru_maxrss would hold the parent's peak, from before the exec
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
