"""Sampling masks drawn at random: variable density and Poisson disk."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._jit import kernel

Shape = tuple[int, ...]


def variable_density(
    shape: Shape,
    *,
    acceleration: float,
    centre: int,
    generator: torch.Generator,
    power: float = 3.0,
) -> Bool[Tensor, "*shape"]:
    """Draw samples that thin out from the centre of k-space.

    Args:
        shape: Of k-space; one axis draws whole lines: repeat the mask along the others.
        acceleration: All samples over drawn samples, at least 1.
        centre: Samples about the zero frequency that are always there, along each axis.
        generator: Source of randomness, on the CPU.
        power: The chance of a sample falls as (1 - r) to this power, r the distance from the
            centre, 1 in the corners.

    Returns:
        Mask with exactly ``round(n / acceleration)`` samples, or those of the centre where they
        are more.

    Raises:
        ShapeError: ``acceleration`` is below 1 or leaves no sample, ``power`` is negative, or
            ``centre`` does not fit.

    References:
        Lustig, Donoho, Pauly (2007), doi:10.1002/mrm.21391, "Monte-Carlo incoherent sampling
        design". Differs: exact number of samples by the Gumbel top-k draw.
    """
    inside = _centre(shape, centre, acceleration, power)
    wanted = max(round(inside.numel() / acceleration) - int(inside.sum()), 0)
    chance = (1 - _radius(shape) + 1e-3) ** power
    noise = torch.rand(shape, generator=generator, dtype=torch.float64).clamp_min(1e-300)
    key = (chance.log() - (-noise.log()).log()).masked_fill(inside, -math.inf)
    mask = inside.clone().reshape(-1)
    mask[key.reshape(-1).topk(wanted).indices] = True
    return mask.reshape(shape)


def poisson_disk(
    shape: Shape,
    *,
    acceleration: float,
    centre: int,
    generator: torch.Generator,
    slope: float = 1.0,
) -> Bool[Tensor, "y x"]:
    """Draw samples that keep a distance from each other, which grows from the centre outwards.

    Every sample of the lattice is tried once in random order and kept where no earlier one lies
    within its distance; the distance is scaled until hardly too many samples are left, and these
    are dropped.

    Args:
        shape: (y, x) of k-space.
        acceleration: All samples over kept samples, at least 1; met to the sample.
        centre: Samples about the zero frequency that are always there, along each axis.
        generator: Source of randomness, on the CPU.
        slope: The distance grows as 1 + slope r; r is 1 at the middle of an edge. 0 is uniform.

    Returns:
        The mask.

    Raises:
        ShapeError: ``shape`` has not two axes, ``acceleration`` is below 1 or leaves no sample,
            ``slope`` is negative, or ``centre`` does not fit.

    References:
        Bridson (2007), doi:10.1145/1278780.1278807, for the distance rule; Vasanawala et al.
        (2011), doi:10.1109/ISBI.2011.5872579, for k-space. Differs: maximal sampling of the
        lattice, found by trying all of it.
    """
    if len(shape) != 2:
        raise ShapeError(f"shape must be (y, x), got {shape}: repeat the mask along the readout")
    inside = _centre(shape, centre, acceleration, slope)
    order = torch.randperm(inside.numel(), generator=generator)
    growth = 1 + slope * _radius(shape) * math.sqrt(2)
    wanted = max(round(inside.numel() / acceleration), int(inside.sum()))
    low, high = 0.0, float(max(shape))
    best = torch.ones(shape, dtype=torch.bool)
    while high - low > 1e-3 and int(best.sum()) > wanted:
        middle = (low + high) / 2
        mask = torch.zeros(shape, dtype=torch.bool)
        _throw(order.numpy(), (middle * growth).numpy(), mask.numpy())
        if int((mask | inside).sum()) >= wanted:
            low, best = middle, mask | inside
        else:
            high = middle
    return _thin(best, inside, order, wanted)


def _thin(mask: Tensor, inside: Tensor, order: Tensor, wanted: int) -> Tensor:
    """Drop samples outside the centre until as many are left as wanted."""
    flat, spare = mask.reshape(-1).clone(), (mask & ~inside).reshape(-1)[order]
    flat[order[spare][: int(mask.sum()) - wanted]] = False
    return flat.reshape(mask.shape)


def _centre(shape: Shape, centre: int, acceleration: float, rate: float) -> Tensor:
    samples = math.prod(shape)
    if not 1 <= acceleration <= max(samples, 1):
        raise ShapeError(
            f"acceleration must be at least 1 and leave a sample of {samples}, got {acceleration}"
        )
    if not 0 <= rate < math.inf:
        raise ShapeError(f"power and slope must be finite and at least 0, got {rate}")
    if not shape or not 0 <= centre <= min(shape):
        raise ShapeError(f"centre must lie from 0 to the shortest axis of {shape}, got {centre}")
    inside = torch.zeros(shape, dtype=torch.bool)
    inside[tuple(slice(n // 2 - centre // 2, n // 2 - centre // 2 + centre) for n in shape)] = True
    return inside


def _radius(shape: Shape) -> Float[Tensor, "*shape"]:
    """Distance from the zero frequency, 1 in the corners."""
    square = torch.zeros((), dtype=torch.float64)
    for n in shape:
        square = (
            square[..., None] + ((torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2)) ** 2
        )
    return (square / len(shape)).sqrt().clamp_max(1)


@kernel
@no_type_check
def _throw(order, distance, mask):
    rows, columns = mask.shape
    for n in range(order.size):
        y, x = order[n] // columns, order[n] % columns
        far = distance[y, x]
        reach = int(far)
        free = True
        for j in range(max(y - reach, 0), min(y + reach + 1, rows)):
            for i in range(max(x - reach, 0), min(x + reach + 1, columns)):
                if mask[j, i] and (j - y) ** 2 + (i - x) ** 2 < far * far:
                    free = False
                    break
            if not free:
                break
        if free:
            mask[y, x] = True
