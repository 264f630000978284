"""Fit scales: the scales of a preset, brought to the spacing of the image at hand."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

from vesalius.core import Grid
from vesalius.register._plan import Plan, Scale

REFERENCE_MM = 2.0  # spacing of the images that the presets are written for

MOST_VOXELS = 8_000_000  # at the finest scale: some 700 MB; a finer image gains little from more


def fit_scales(plan: Plan, grid: Grid) -> Plan:
    """Bring a preset, written for voxels of 2 mm, to another spacing.

    Args:
        plan: With scales in mm for ``REFERENCE_MM``.
        grid: Of the fixed image.

    Returns:
        The plan whose scales are as many samples apart on ``grid``; coarser where the finest scale
        would have more than ``MOST_VOXELS``.
    """
    factor = finest_mm(grid) / REFERENCE_MM
    stages = tuple(
        replace(
            stage,
            scales=tuple(Scale(scale.spacing_mm * factor, scale.steps) for scale in stage.scales),
        )
        for stage in plan.stages
    )
    return Plan(stages)


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
