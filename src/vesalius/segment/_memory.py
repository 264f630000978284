"""Memory: what a training needs, what the machine has, and the next smaller plan."""
# SPDX-License-Identifier: Apache-2.0

import math
import os
from dataclasses import replace
from pathlib import Path

import torch

from vesalius.errors import ConfigError
from vesalius.segment._plan import Plan, Size

MAPS = 14
"""Feature maps of a level that are alive at once while a step is made, in multiples of its width;
measured with plain blocks (two convolutions down, two up, their norms and rectifiers)."""
SPARE = 1.3
"""Free memory over need that is asked for before a training begins."""


def needed_bytes(plan: Plan) -> int:
    """Estimate the memory that one step of training takes.

    Args:
        plan: Of the network.

    Returns:
        Bytes: feature maps, weights, their gradients and moments.
    """
    size = plan.patch if plan.dims == 3 else plan.patch[1:]
    voxels = float(math.prod(size))
    maps = weights = 0.0
    before = plan.network.inputs
    for level, width in enumerate(plan.network.widths):
        maps += voxels * width * MAPS
        kernel = math.prod(plan.network.sizes[level])
        weights += kernel * (before * width + 5 * width * width)
        before = width
        if level < len(plan.network.strides):
            voxels /= math.prod(plan.network.strides[level])
    batch = plan.batch * (2 if plan.consistency else 1)  # as many without labels
    return int(4 * (batch * maps + 5 * weights))


def free_bytes() -> int:
    """Give the memory that this machine can still give, bytes."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        told = next(line for line in lines if line.startswith("MemAvailable"))
        return int(told.split()[1]) << 10
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def device_bytes() -> int:
    """Give the memory that a training may use: of the GPU where there is one."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return free_bytes()


def fitted_to_memory(plan: Plan, available: int) -> tuple[Plan, tuple[str, ...]]:
    """Take smaller batches, then smaller patches, until a step fits in memory.

    Args:
        plan: What was asked for.
        available: Bytes.

    Returns:
        The plan, and what was changed, in words; empty where nothing was.

    Raises:
        ConfigError: Not even the smallest patch fits.
    """
    remarks: tuple[str, ...] = ()
    while needed_bytes(plan) * SPARE > available:
        found = smaller(plan, available)
        remarks = (shrunk(plan, found, available),)
        plan = found
    return plan, remarks


def smaller(plan: Plan, available: int) -> Plan:
    """Give the next smaller plan: half the batch, else half of the longest side of the patch.

    Args:
        plan: That did not fit.
        available: Bytes, for the error.

    Raises:
        ConfigError: The patch cannot be halved any more.
    """
    if plan.batch > 1:
        return replace(plan, batch=plan.batch // 2)
    divisor = (1,) * (3 - plan.dims) + plan.network.divisor
    axis = max(range(3), key=lambda a: plan.patch[a])
    half = plan.patch[axis] // 2 // divisor[axis] * divisor[axis]
    if half < 2 * divisor[axis]:
        raise ConfigError(
            f"a step of training must fit in memory: it needs about "
            f"{needed_bytes(plan) / 2**30:.2g} GiB with one patch of {plan.patch}, "
            f"{available / 2**30:.2g} GiB are free: close other programs, or plan for fewer "
            "levels or a smaller width"
        )
    sides = [half if a == axis else n for a, n in enumerate(plan.patch)]
    z, y, x = sides
    patch: Size = (z, y, x)
    return replace(plan, patch=patch)


def shrunk(old: Plan, new: Plan, available: int) -> str:
    """Say that a plan was made smaller, and why.

    Args:
        old: What did not fit.
        new: What is taken.
        available: Bytes.
    """
    return (
        f"memory is short: {old.batch} patches of {old.patch} need about "
        f"{needed_bytes(old) / 2**30:.2g} GiB, {available / 2**30:.2g} GiB are free; "
        f"{new.batch} of {new.patch} are taken"
    )


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on the CPU or on a GPU.

    Args:
        error: That was raised inside a step.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text
    )
