"""nnU-Net's plan: its rules for spacing, patch, strides, kernels and batch, worked out again."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

Sizes = tuple[int, ...]
Numbers = tuple[float, ...]

ANISOTROPY = 3.0
"""An axis is thick where its spacing (and not its size) is this many times that of the others."""
LEAST_EDGE = 4
"""Samples along an axis of the coarsest level, at least."""
FEATURES = 32
MOST_FEATURES = {2: 512, 3: 320}
REFERENCE = {2: 85_000_000.0, 3: 560_000_000.0}
"""Values in the feature maps that fill the graphics memory which nnU-Net plans for (8 GB)."""
REFERENCE_BATCH = {2: 12, 3: 2}
LEAST_BATCH = 2
MOST_SHARE = 0.05
"""Of all samples of the data set, the most that one batch holds."""
FIRST_EDGE = {2: 2048.0, 3: 256.0}
"""Edge of the isotropic patch that the search begins with."""
CONVOLUTIONS = 2


@final
@dataclass(frozen=True, slots=True)
class Topology:
    """Where a network pools and how large its convolutions are.

    Attributes:
        patch: Samples along each axis; a multiple of ``divisor``.
        strides: From every level to the next coarser one.
        kernels: Of every level, finest first.
        divisor: Product of the strides.
    """

    patch: Sizes
    strides: tuple[Sizes, ...]
    kernels: tuple[Sizes, ...]
    divisor: Sizes

    @property
    def levels(self) -> int:
        """Number of resolutions."""
        return len(self.kernels)


@final
@dataclass(frozen=True, slots=True)
class NnUNetPlan:
    """What nnU-Net v2 plans for a data set.

    Attributes:
        topology: Patch, strides and kernels.
        batch: Patches per step.
        widths: Channels of every level.
    """

    topology: Topology
    batch: int
    widths: Sizes


def target_spacing(spacings: Sequence[Numbers], shapes: Sequence[Sizes]) -> Numbers:
    """Choose the spacing of the lattice: the median, finer along a thick axis.

    Args:
        spacings: Of each case.
        shapes: Of each case, samples, after the crop.

    Returns:
        One for each axis. Where one axis is three times coarser than the others and has three
        times fewer samples, its spacing is the tenth percentile instead, but not finer than the
        others: else the thick slices of most cases would blur the few fine ones.

    References:
        Isensee et al. (2021), doi:10.1038/s41592-020-01008-z, Supplementary Note 2.
    """
    import numpy as np

    target = np.percentile(np.asarray(spacings, dtype=float), 50, axis=0)
    size = np.percentile(np.asarray(shapes, dtype=float), 50, axis=0)
    worst = int(np.argmax(target))
    others = [a for a in range(len(target)) if a != worst]
    coarse = target[worst] > ANISOTROPY * max(target[others])
    few = size[worst] * ANISOTROPY < min(size[others])
    if coarse and few:
        low = float(np.percentile([s[worst] for s in spacings], 10))
        target[worst] = max(low, float(max(target[others])) + 1e-5)
    return tuple(float(v) for v in target)


def median_shape(spacings: Sequence[Numbers], shapes: Sequence[Sizes], target: Numbers) -> Numbers:
    """Give the median size of the cases on the lattice.

    Args:
        spacings: Of each case.
        shapes: Of each case.
        target: Spacing of the lattice.
    """
    import numpy as np

    new = [
        [round(n * s / t) for n, s, t in zip(shape, spacing, target, strict=True)]
        for shape, spacing in zip(shapes, spacings, strict=True)
    ]
    return tuple(float(v) for v in np.median(np.asarray(new, dtype=float), axis=0))


def topology(spacing: Numbers, patch: Sizes, *, most_levels: int = 99) -> Topology:
    """Pool along each axis while it is long enough, the coarse axes later.

    Args:
        spacing: Of the samples.
        patch: Samples along each axis, before it is padded.
        most_levels: Number of resolutions, at most.

    Returns:
        Strides and kernels; an axis that is twice as coarse as the finest waits, and has kernels
        of 1 until then.
    """
    now, size = list(spacing), list(patch)
    dims = len(size)
    strides: list[Sizes] = []
    kernels: list[Sizes] = []
    kernel = [1] * dims
    while len(kernels) + 1 < most_levels:
        axes = [a for a in range(dims) if size[a] >= 2 * LEAST_EDGE]
        finest = min((now[a] for a in axes), default=0.0)
        axes = [a for a in axes if now[a] < 2 * finest]
        if not axes or (len(axes) == 1 and size[axes[0]] < 3 * LEAST_EDGE):
            break
        kernel = [3 if k == 3 or s < 2 * min(now) else 1 for k, s in zip(kernel, now, strict=True)]
        strides.append(tuple(2 if a in axes else 1 for a in range(dims)))
        kernels.append(tuple(kernel))
        now = [s * (2 if a in axes else 1) for a, s in enumerate(now)]
        size = [math.ceil(n / 2) if a in axes else n for a, n in enumerate(size)]
    divisor = tuple(math.prod(s[a] for s in strides) for a in range(dims))
    padded = tuple(-(-n // d) * d for n, d in zip(patch, divisor, strict=True))
    return Topology(padded, tuple(strides), (*kernels, (3,) * dims), divisor)


def feature_values(found: Topology, *, outputs: int) -> float:
    """Count the values in all feature maps of nnU-Net's plain U-Net: what it measures memory by.

    Args:
        found: Patch, strides and kernels.
        outputs: Classes, the background too.
    """
    size = list(found.patch)
    sizes, maps = [], widths(len(size), found.levels)
    total = 0.0
    for level, width in enumerate(maps):
        step = (1,) * len(size) if level == 0 else found.strides[level - 1]
        size = [n // s for n, s in zip(size, step, strict=True)]
        sizes.append(math.prod(size))
        total += CONVOLUTIONS * width * sizes[-1]
    for level in range(found.levels - 1):  # on the way up: the transposed one, then the others
        total += (1 + CONVOLUTIONS) * maps[level] * sizes[level]
    return total + outputs * sizes[0]


def widths(dims: int, levels: int) -> Sizes:
    """Give the channels of every level of nnU-Net's network.

    Args:
        dims: Spatial axes.
        levels: Number of resolutions.
    """
    return tuple(min(FEATURES << level, MOST_FEATURES[dims]) for level in range(levels))


def nnunet_plan(spacing: Numbers, shape: Numbers, *, cases: int, outputs: int) -> NnUNetPlan:
    """Choose patch, strides, kernels and batch as nnU-Net v2 does for full resolution.

    Args:
        spacing: Of the lattice, two or three axes; the coarsest axis first.
        shape: Median size of the cases on it.
        cases: Of the training.
        outputs: Classes, the background too.

    Returns:
        The plan.

    References:
        Isensee et al. (2021), doi:10.1038/s41592-020-01008-z; the numbers are those of the default
        planner of its version 2.
    """
    dims = len(spacing)
    inverse = [1 / s for s in spacing]
    scale = (FIRST_EDGE[dims] ** dims / math.prod(inverse)) ** (1 / dims)
    patch = [min(round(i * scale), math.ceil(n)) for i, n in zip(inverse, shape, strict=True)]
    found = topology(spacing, tuple(patch))
    most_values = REFERENCE[dims] * REFERENCE_BATCH[dims] / LEAST_BATCH
    while (values := feature_values(found, outputs=outputs)) > most_values:
        patch = list(found.patch)
        axis = max(range(dims), key=lambda a: (patch[a] / shape[a], a))
        tried = [n - (found.divisor[a] if a == axis else 0) for a, n in enumerate(patch)]
        divisor = topology(spacing, tuple(tried)).divisor
        patch[axis] -= divisor[axis]
        found = topology(spacing, tuple(patch))
    batch = round(REFERENCE[dims] / values * REFERENCE_BATCH[dims])
    samples = math.prod(shape) * cases
    most = round(samples * MOST_SHARE / math.prod(found.patch))
    batch = max(min(batch, most), LEAST_BATCH)
    return NnUNetPlan(found, batch, widths(dims, found.levels))
