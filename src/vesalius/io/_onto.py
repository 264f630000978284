"""Onto: labels brought onto the grid of an image, voxel for voxel, where both share a lattice."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import numpy.typing as npt
import torch

from vesalius.core import Grid, Labels, differences
from vesalius.errors import GeometryError
from vesalius.io._budget import Budget
from vesalius.io._handle import Finding
from vesalius.io._rasterise import Drawn

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
OFF_LATTICE = 0.01
"""Most that a corner may be off the lattice, in voxels."""


def onto(labels: Labels, like: Grid, name: str, budget: Budget) -> Drawn:
    """Bring labels onto a grid whose lattice they lie on; nothing is resampled.

    Two grids share a lattice where the voxels of one are voxels of the other: the axes may be
    swapped or turned round, the origins be whole voxels apart, the sizes differ (a segmentation
    that leaves empty planes out is shorter than its image). An axis of one voxel has no step and
    takes that of the grid.

    Args:
        labels: The labels.
        like: The grid.
        name: Name of the file, for findings and errors.
        budget: What the labels on the grid may cost.

    Returns:
        The labels on ``like``, 0 where they had no voxel. Where the lattices differ, the labels as
        they are, and a finding ``other-lattice``, an error, that names the difference.

    Raises:
        GeometryError: No labelled voxel lies on the grid.
        FormatError: The labels on the grid would exceed the budget.
    """
    step, first, off = _steps(labels.grid, like)
    if off > OFF_LATTICE:
        return Drawn(labels, (_refusal(labels.grid, like, name, off),))
    if not differences(like, labels.grid) and step.trace() == 3:
        return Drawn(Labels(labels.data, like, labels.names), ())
    layers = labels.data.shape[0]
    budget.check_size(name, (layers, *like.shape), labels.data.element_size())
    out = torch.zeros((layers, *like.shape), dtype=labels.data.dtype, device=labels.data.device)
    part, corner = _turned(labels.data, step, first)
    starts = [max(0, -c) for c in corner]
    ends = [min(n, s - c) for n, s, c in zip(part.shape[1:], like.shape, corner, strict=True)]
    ends = [max(a, b) for a, b in zip(starts, ends, strict=True)]
    cut = part[(slice(None), *(slice(a, b) for a, b in zip(starts, ends, strict=True)))]
    spans = zip(corner, starts, ends, strict=True)
    out[(slice(None), *(slice(c + a, c + b) for c, a, b in spans))] = cut
    there, kept = int((labels.data != 0).sum()), int((cut != 0).sum())
    if there and not kept:
        raise GeometryError(
            f"labels of {name!r} must lie on the image, none of their {there} voxels does: "
            "they belong to another image"
        )
    return Drawn(Labels(out, like, labels.names), _remarks(name, there - kept, labels.grid, like))


def _steps(grid: Grid, like: Grid) -> tuple[Whole, Whole, float]:
    """Give how an index of a grid steps along the other, where its first voxel is, how far off."""
    index = np.linalg.inv(like.affine.numpy()) @ grid.affine.numpy()
    steps = index[:3, :3].copy()
    thin = [axis for axis in range(3) if grid.shape[axis] == 1]
    for axis in thin:
        steps[:, axis] = 0
    whole = np.rint(steps)
    free = [axis for axis in range(3) if not whole[axis].any()]
    for axis, row in zip(thin, free, strict=False):
        whole[row, axis] = steps[row, axis] = -1.0 if index[row, axis] < 0 else 1.0
    if not (np.abs(whole).sum(axis=0) == 1).all() or abs(float(np.linalg.det(whole))) < 0.5:
        return whole.astype(np.int64), np.zeros(3, np.int64), np.inf
    first = np.rint(index[:3, 3])
    last = np.array(grid.shape) - 1
    # the farthest that any corner is off: what each axis adds, and the first voxel itself
    off = np.abs(steps - whole) @ last + np.abs(index[:3, 3] - first)
    return whole.astype(np.int64), first.astype(np.int64), float(off.max())


def _turned(data: torch.Tensor, step: Whole, first: Whole) -> tuple[torch.Tensor, list[int]]:
    """Turn samples (layer, z, y, x) to the axes of the grid; give where their first voxel is."""
    signs = step.sum(axis=0)
    back = [axis + 1 for axis in range(3) if signs[axis] < 0]
    lows = first + np.minimum(step, 0) @ (np.array(data.shape[1:]) - 1)
    order = [int(np.abs(step[row]).argmax()) + 1 for row in range(3)]
    return data.flip(back).permute(0, *order), [int(v) for v in lows]


def _refusal(grid: Grid, like: Grid, name: str, off: float) -> Finding:
    # other sizes and origins are none of the trouble
    told = [text for text in differences(like, grid) if text.split()[0] not in ("size", "origin")]
    told = told or [f"its voxels lie up to {off:.3g} voxels off"]
    text = (
        f"labels of {name!r} must lie on the lattice of the image to be laid on it voxel for "
        f"voxel: {'; '.join(told)}: resample them on purpose "
        "(core.resample_labels, --on-mismatch resample), or open them without like"
    )
    return Finding("error", "other-lattice", text)


def _remarks(name: str, lost: int, grid: Grid, like: Grid) -> tuple[Finding, ...]:
    sizes = " x ".join(map(str, grid.shape)), " x ".join(map(str, like.shape))
    text = f"labels of {name!r}, {sizes[0]} voxels, were laid on the image's {sizes[1]} (z, y, x)"
    found = [Finding("info", "laid", text)]
    if lost:
        text = f"{lost} labelled voxels of {name!r} lie beyond the image and are left out"
        found.insert(0, Finding("warning", "off-grid", text))
    return tuple(found)
