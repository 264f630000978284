"""Fit scales: the scales of a preset, brought to the spacing of the image at hand."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from typing import get_args

from vesalius.core import Grid
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._plan import LinearModel, Plan, Scale, Stage

REFERENCE_MM = 2.0  # spacing of the images that the presets are written for

COARSEST_SAMPLES = 64  # along the longest axis at the first scale of a linear stage
FLAT = 2  # windows of one slice are this much wider: 25 samples say little, 81 about what 125 do
MOST_VOXELS = 8_000_000  # at the finest scale: some 700 MB; a finer image gains little from more


def fit_scales(plan: Plan, grid: Grid) -> Plan:
    """Bring a preset, written for voxels of 2 mm, to another spacing.

    Args:
        plan: With scales in mm for ``REFERENCE_MM``.
        grid: Of the fixed image.

    Returns:
        The plan whose scales are as many samples apart on ``grid``; coarser where the finest scale
        would have more than ``MOST_VOXELS``. Linear stages begin coarse enough to see the
        whole image at once. For one slice, the windows of local correlation in deformable stages
        are twice as wide.
    """
    factor = finest_mm(grid) / REFERENCE_MM
    stages = []
    for stage in plan.stages:
        scales = [Scale(scale.spacing_mm * factor, scale.steps) for scale in stage.scales]
        if stage.model in get_args(LinearModel):
            scales = _deepened(scales, grid)
        elif grid.shape[0] == 1:
            stage = _wider(stage)
        stages.append(replace(stage, scales=tuple(scales)))
    return Plan(tuple(stages))


def _wider(stage: Stage) -> Stage:
    if not isinstance(stage.similarity, LocalNcc):
        return stage
    similarity = replace(stage.similarity, radius=FLAT * stage.similarity.radius)
    return replace(stage, similarity=similarity)


def spelt_out(stage: Stage, grid: Grid) -> Stage:
    """Say 0 mm, the spacing of the image itself, as the number that it is.

    Args:
        stage: Any.
        grid: Of the fixed image.

    Returns:
        The same stage: its history tells true spacings, and it can come to rest by them.
    """
    axes = [s for n, s in zip(grid.shape, grid.spacing_mm, strict=True) if n > 1]
    own = min(axes, default=min(grid.spacing_mm))
    scales = (replace(scale, spacing_mm=scale.spacing_mm or own) for scale in stage.scales)
    return replace(stage, scales=tuple(scales))


def _deepened(scales: list[Scale], grid: Grid) -> list[Scale]:
    """Put coarser scales first until the longest axis has at most ``COARSEST_SAMPLES``.

    A wide image would else never be seen as a whole: 1164 pixels of a section that lies 28 pixels
    away are found from 73 samples, not from 145.
    """
    while (
        max(
            n * s / max(s, scales[0].spacing_mm)
            for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
            if n > 1 or max(grid.shape) == 1
        )
        > COARSEST_SAMPLES
    ):
        scales = [Scale(2 * scales[0].spacing_mm, scales[0].steps), *scales]
    return scales


def finest_mm(grid: Grid) -> float:
    """Give the finest spacing at which a search of this grid stays small enough, mm.

    Args:
        grid: Any.

    Returns:
        The smallest spacing of its axes (in the plane, for one slice), or a coarser one that
        keeps the lattice below ``MOST_VOXELS``.
    """
    axes = [(n, s) for n, s in zip(grid.shape, grid.spacing_mm, strict=True) if n > 1] or [
        (1, min(grid.spacing_mm))
    ]
    spacing = min(s for _, s in axes)
    while _voxels(axes, spacing) > MOST_VOXELS:
        spacing *= 1.05
    return spacing


def _voxels(axes: list[tuple[int, float]], spacing: float) -> float:
    total = 1.0
    for n, s in axes:
        total *= n * s / max(s, spacing)
    return total
