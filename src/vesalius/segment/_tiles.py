"""Tiles: which patches a prediction uses so that it fits in memory, and which hold nothing."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.learn._sliding_window import Window
from vesalius.segment._inference import Inference
from vesalius.segment._memory import free_bytes
from vesalius.segment._plan import Plan
from vesalius.segment._prepare import FLAT, Prepared

Size = tuple[int, int, int]

ACTIVE = 14
"""Values held at once for each sample of a patch and channel of the finest level; 9 to 13 were
measured for two convolutions a level in float32 (the library lays them out anew)."""

HALF = 1.5e9
"""Bytes of sums from which on they are held in float16: probabilities need three digits."""

PIECES = 6
"""Slices of sums that are alive at once while finished ones are handed on and decided."""


def windows(inference: Inference, plan: Plan, prepared: Prepared, outputs: int) -> Iterator[Window]:
    """Give the patches to try, from the wanted one down to the smallest, all of which fit.

    Args:
        inference: Wanted patch, batch, overlap and memory.
        plan: Of the network.
        prepared: The image.
        outputs: Channels that are summed for each sample of the lattice.

    Yields:
        Each half as long as the last along its longest axis.

    Raises:
        ConfigError: The smallest patch needs more memory than there is.
    """
    there = inference.ram_gb * 1e9 if inference.ram_gb else 0.9 * free_bytes()
    patch, batch = _wanted(inference, plan), inference.batch
    any_fits = False
    while True:
        needed = needed_bytes(plan, prepared.grid.shape, patch, outputs=outputs, batch=batch)
        if needed <= there:
            any_fits = True
            flat = patch[1:] if plan.dims == 2 else patch
            half = 4 * (outputs + 1) * _layer(patch, prepared.grid.shape) > HALF
            yield Window(flat, inference.overlap, batch, half=half)
        smaller = _smaller(patch, plan) if batch == 1 else patch
        if smaller is None:
            break
        patch, batch = smaller, 1
    if not any_fits:
        raise ConfigError(
            f"a prediction on {prepared.grid.shape} samples must fit in memory: it needs "
            f"{needed / 1e9:.2f} GB even with patches of {patch}, {there / 1e9:.2f} GB are "
            "available: raise ram_gb, close other programs, or crop the image"
        )


def needed_bytes(plan: Plan, shape: Size, patch: Size, *, outputs: int, batch: int = 1) -> float:
    """Estimate the memory of a prediction beside the image and the results.

    Args:
        plan: Of the network.
        shape: Samples of the lattice.
        patch: Samples of a patch.
        outputs: Channels that are summed.
        batch: Patches at once.
    """
    held = 4.0 * (outputs + 1) * _layer(patch, shape)
    held = held if held <= HALF else held / 2
    active = 4 * ACTIVE * plan.network.width * math.prod(patch) * batch
    pieces = PIECES * 4 * (outputs + 1) * max(shape[1] * shape[2], 1 << 18)
    return held + active + pieces


def _layer(patch: Size, shape: Size) -> int:
    """Samples of the lattice that are held while patches can still change them."""
    return min(patch[0], shape[0]) * shape[1] * shape[2]


def empty_samples(prepared: Prepared, plan: Plan) -> Bool[Tensor, "z y x"]:
    """Tell which samples say nothing: a patch of nothing else is background.

    For channels that are clipped (CT), those at or below the lower end of the clipped range,
    below which fewer than one in two hundred foreground voxels lay in training. For all others,
    those that have the least value of the image, as the surroundings of a masked image do.

    Args:
        prepared: Normalised.
        plan: Says how.

    Returns:
        True where every channel says nothing.
    """
    empty = torch.ones(prepared.data.shape[1:], dtype=torch.bool, device=prepared.data.device)
    for channel, how in zip(prepared.data, plan.normalisation, strict=True):
        least, most = (float(v) for v in channel.aminmax())
        if how.scheme == "clip and standardise":
            least = max(least, (how.low - how.mean) / max(how.sd, FLAT))
        empty &= channel <= least + 1e-5 * max(most - least, 1e-12)
    return empty


def _wanted(inference: Inference, plan: Plan) -> Size:
    z, y, x = inference.patch or plan.patch
    if plan.dims == 2 and z != 1:
        raise ConfigError(
            f"patch must have one slice for a model of two axes, got {inference.patch}"
        )
    return (z, y, x)


def _smaller(patch: Size, plan: Plan) -> Size | None:
    """Halve the longest axis, in steps that the network can halve; None where that is the end."""
    divisor = plan.network.divisor
    steps = (1, *divisor) if plan.dims == 2 else divisor
    sizes = list(patch)
    axis = max(range(3), key=lambda a: sizes[a] / steps[a])
    half = max(1, round(sizes[axis] / 2 / steps[axis])) * steps[axis]
    if half >= sizes[axis] or half < 2 * steps[axis]:
        return None
    sizes[axis] = half
    return (sizes[0], sizes[1], sizes[2])
