"""Spatial augmentation: one turned, scaled, mirrored, bent lattice for image, truth and weight."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError

Sampling = Literal["linear", "nearest", "classes"]
Outside = Literal["edge", "zero"]

THICK = 3.0
"""Slices this many times thicker than the finest spacing are not turned out of their plane."""
TOGETHER = 4
"""Classes whose indicators are interpolated at once."""


@final
@dataclass(frozen=True, slots=True)
class Motion:
    """How far the members of a batch may be moved.

    Attributes:
        rotation_deg: Largest angle about each axis.
        scale: Smallest and largest magnification of an object.
        shift: Largest shift along each axis, samples.
        bend: Standard deviation of the displacement of the control points, samples.
        bend_step: Distance of the control points, samples.
        flips: Whether each axis (z, y, x) may be mirrored; 2-D uses the last two. Leave it off
            where left and right have labels of their own.
        share_rotated: Probability that a member is rotated.
        share_scaled: Probability that a member is scaled.
        share_bent: Probability that a member is bent.

    Raises:
        ConfigError: A number is out of range.
    """

    rotation_deg: float = 30.0
    scale: tuple[float, float] = (0.7, 1.4)
    shift: float = 0.0
    bend: float = 0.0
    bend_step: float = 8.0
    flips: tuple[bool, bool, bool] = (False, False, False)
    share_rotated: float = 0.2
    share_scaled: float = 0.2
    share_bent: float = 0.2

    def __post_init__(self) -> None:
        if min(self.rotation_deg, self.shift, self.bend) < 0 or self.bend_step < 2:
            raise ConfigError(
                "rotation_deg, shift and bend must not be negative and bend_step at least 2, got "
                f"{self.rotation_deg}, {self.shift}, {self.bend} and {self.bend_step}"
            )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"scale must be two rising positive numbers, got {self.scale}")
        shares = (self.share_rotated, self.share_scaled, self.share_bent)
        if not all(0 <= s <= 1 for s in shares):
            raise ConfigError(f"shares must be from 0 to 1, got {shares}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Where the samples of each member come from, relative to the centre.

    Attributes:
        matrix: (batch, d, d), new to old position along the spatial axes in array order, samples.
        shift: (batch, d), added after the matrix, samples.
        bend: (batch, d, *control), displacement of control points spread evenly from edge to edge
            of the new lattice, samples of the old one; all 0 where a member is not bent.
    """

    matrix: Float[Tensor, "batch d d"]
    shift: Float[Tensor, "batch d"]
    bend: Float[Tensor, "batch d *control"]


def draw_move(
    motion: Motion,
    *,
    batch: int,
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    generator: torch.Generator,
) -> Move:
    """Draw how each member moves; rotations keep angles in space, whatever the voxel size.

    Args:
        motion: The ranges.
        batch: Members.
        size: Samples of the new lattice along each spatial axis, 2 or 3 of them.
        spacing: Of the samples along the same axes, any common unit.
        generator: All the chance, on the CPU.

    Returns:
        The moves; the same generator state gives the same ones.

    Raises:
        ConfigError: There are not 2 or 3 axes.
    """
    d = len(size)
    if d not in {2, 3} or len(spacing) != d:
        raise ConfigError(
            f"size and spacing must have 2 or 3 numbers each, got {size} and {spacing}"
        )
    limit = math.radians(motion.rotation_deg)
    turned = _some(batch, motion.share_rotated, generator)
    angles = _uniform((batch, 3), -limit, limit, generator) * turned[:, None]
    flat = _thick_axis(spacing)
    if flat is not None:  # turn about the thick axis alone
        angles = angles * torch.tensor([float(axis == flat) for axis in range(3)])
    scaled = _some(batch, motion.share_scaled, generator)
    low, high = (math.log(s) for s in motion.scale)
    zoom = torch.exp(_uniform((batch, 1), low, high, generator) * scaled[:, None])
    factors = 1 / zoom.repeat(1, d)
    if flat is not None:
        factors[:, flat] = 1.0
    signs = torch.ones(batch, d)
    for axis, allowed in enumerate(motion.flips[3 - d :]):
        mirrored = _some(batch, 0.5 * allowed, generator)
        signs[:, axis] -= 2 * mirrored
    step = torch.tensor(spacing, dtype=torch.float32)
    turn = step.reciprocal()[:, None] * _rotation(angles, d) * step
    shift = _uniform((batch, d), -motion.shift, motion.shift, generator)
    bend = _draw_bend(motion, batch, size, flat=flat, generator=generator)
    return Move(turn * (factors * signs)[:, None, :], shift, bend)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where the new samples stand in the old block: made once, used for image, truth and weight.

    Attributes:
        away: (batch,) whether a member moves; the others are cut about the centre, exactly.
        grid: (moving members, *size, d) positions for ``grid_sample``: last axis (x, y, z), -1
            and 1 at the outer edges of the old block.
        old: Samples of the old block along each spatial axis.
        size: Of the new one.
    """

    away: Bool[Tensor, " batch"]
    grid: Float[Tensor, "moving *size d"]
    old: tuple[int, ...]
    size: tuple[int, ...]


def lattice(move: Move, *, old: tuple[int, ...], size: tuple[int, ...]) -> Lattice:
    """Place the samples of the new block in the old one, centre on centre.

    Args:
        move: Of each member.
        old: Samples of the old block along each spatial axis.
        size: Of the new one.

    Returns:
        The places, on the CPU.

    Raises:
        ShapeError: The moves have another number of axes.
    """
    d = move.matrix.shape[1]
    if len(old) != d or len(size) != d:
        raise ShapeError(f"old and new size must have {d} numbers, got {old} and {size}")
    away = _changed(move)
    if any((a - b) % 2 for a, b in zip(old, size, strict=True)):
        away = torch.ones_like(away)  # centres half a sample apart: nothing can be cut out
    return Lattice(away, _positions(move, away, old=old, size=size), old, size)


def moved(
    x: Float[Tensor, "batch c *space"],
    places: Lattice,
    *,
    sampling: Sampling,
    outside: Outside = "edge",
) -> Float[Tensor, "batch c *size"]:
    """Pull the samples of each member to their new places.

    Args:
        x: (batch, c, *space).
        places: From :func:`lattice`.
        sampling: ``"linear"``; ``"nearest"``; ``"classes"`` for whole numbers in one channel: the
            value whose linearly interpolated indicator is largest.
        outside: What lies beyond: the nearest edge sample, or 0.

    Returns:
        Same dtype; members that do not move are cut out exactly.

    Raises:
        ShapeError: Batch or size are not those of the places, or classes have several channels.
    """
    if x.shape[0] != len(places.away) or tuple(x.shape[2:]) != places.old:
        raise ShapeError(
            f"samples must have shape ({len(places.away)}, c, {places.old}) to fit the places, "
            f"got {tuple(x.shape)}"
        )
    if sampling == "classes" and x.shape[1] != 1:
        raise ShapeError(f"classes must be in one channel, got {x.shape[1]}: one for each head")
    away = places.away.to(x.device)
    out = x.new_empty((x.shape[0], x.shape[1], *places.size))
    if not bool(away.all()):
        out[~away] = centre_cut(x[~away], places.size, outside=outside)
    if bool(away.any()):
        grid = places.grid.to(x.device, x.dtype)
        pull = _classes if sampling == "classes" else _pulled
        mode = "nearest" if sampling == "nearest" else "bilinear"
        out[away] = pull(x[away], grid, mode, outside)
    return out


def centre_cut(
    x: Float[Tensor, "batch c *space"],
    size: tuple[int, ...],
    *,
    outside: Outside = "edge",
) -> Float[Tensor, "batch c *size"]:
    """Cut a block about the centre, or pad to it.

    Args:
        x: (batch, c, *space).
        size: Along each spatial axis.
        outside: What is added: the nearest edge sample, or 0.

    Returns:
        (batch, c, *size).
    """
    for axis, (n, m) in enumerate(zip(x.shape[2:], size, strict=True), start=2):
        if m == n:
            continue
        at = torch.arange(m, device=x.device) + (n - m) // 2
        beyond = (at < 0) | (at >= n)
        x = x.index_select(axis, at.clamp(0, n - 1))
        if outside == "zero" and m > n:
            x = x.masked_fill(beyond.view(-1, *[1] * (x.ndim - 1 - axis)), 0)
    return x


def _pulled(x: Tensor, grid: Tensor, mode: str, outside: Outside) -> Tensor:
    padding = "border" if outside == "edge" else "zeros"
    return nn.functional.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=False)


def _classes(x: Tensor, grid: Tensor, mode: str, outside: Outside) -> Tensor:
    """Give the value with the largest indicator; several at once share their weights."""
    low = int(x.min())
    counts = torch.bincount((x.reshape(-1) - low).long())
    values = (counts.nonzero()[:, 0] + low).to(x)
    best = values[0].expand(len(x), 1, *grid.shape[1:-1])
    most = torch.zeros(best.shape, dtype=x.dtype, device=x.device)
    for part in torch.split(values, TOGETHER):
        if len(values) == 1 and outside == "edge":
            break
        indicators = (x == part.view(1, -1, *[1] * (x.ndim - 2))).to(x)
        share, at = _pulled(indicators, grid, mode, outside).max(dim=1, keepdim=True)
        best = torch.where(share > most, part[at], best)
        most = torch.maximum(most, share)
    return torch.where(most > 0, best, 0) if outside == "zero" else best


def _positions(move: Move, which: Tensor, *, old: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    """Positions of the new samples of the chosen members, as ``grid_sample`` counts them."""
    matrix, shift, bend = move.matrix[which], move.shift[which], move.bend[which]
    half_old, half_new = (torch.tensor(s, dtype=torch.float32) / 2 for s in (old, size))
    linear = matrix * half_new / half_old[:, None]
    # torch counts axes backwards: (x, y, z)
    theta = torch.cat([linear.flip(1, 2), (shift / half_old).flip(1)[..., None]], dim=2)
    if not len(matrix):
        return torch.zeros(0, *size, len(size))
    grid = nn.functional.affine_grid(theta, [len(matrix), 1, *size], align_corners=False)
    if bool(bend.any()):
        mode = "bilinear" if len(size) == 2 else "trilinear"
        fine = nn.functional.interpolate(bend, size=size, mode=mode, align_corners=True)
        fine = fine / half_old.view(1, -1, *[1] * len(size))
        grid = grid + fine.flip(1).movedim(1, -1)
    return grid


def _changed(move: Move) -> Tensor:
    """Whether each member moves at all."""
    same = torch.eye(move.matrix.shape[1])
    return (
        (move.matrix != same).flatten(1).any(1)
        | (move.shift != 0).any(1)
        | (move.bend != 0).flatten(1).any(1)
    )


def _rotation(angles: Tensor, d: int) -> Tensor:
    """Rotations about z, then y, then x, of vectors in array order; 2-D turns about z."""
    zero, one = torch.zeros(len(angles)), torch.ones(len(angles))
    turns = []
    for axis in range(3):
        c, s = torch.cos(angles[:, axis]), torch.sin(angles[:, axis])
        rows = {
            0: (one, zero, zero, zero, c, -s, zero, s, c),
            1: (c, zero, -s, zero, one, zero, s, zero, c),
            2: (c, -s, zero, s, c, zero, zero, zero, one),
        }[axis]
        turns.append(torch.stack(rows, dim=1).view(-1, 3, 3))
    whole = turns[0] if d == 2 else turns[2] @ turns[1] @ turns[0]
    return whole[:, 3 - d :, 3 - d :]


def _draw_bend(
    motion: Motion,
    batch: int,
    size: tuple[int, ...],
    *,
    flat: int | None,
    generator: torch.Generator,
) -> Tensor:
    control = [max(2, round(n / motion.bend_step) + 1) for n in size]
    if motion.bend == 0:
        return torch.zeros(batch, len(size), *[2] * len(size))
    bent = _some(batch, motion.share_bent, generator)
    bend = motion.bend * torch.randn(batch, len(size), *control, generator=generator)
    if flat is not None:
        bend[:, flat] = 0.0
    return bend * bent.view(-1, *[1] * (bend.ndim - 1))


def _thick_axis(spacing: tuple[float, ...]) -> int | None:
    """Axis of a 3-D lattice whose slices are too thick to be turned out of their plane."""
    thickest = max(spacing)
    if len(spacing) == 3 and thickest > THICK * min(spacing):
        return spacing.index(thickest)
    return None


def _some(batch: int, share: float, generator: torch.Generator) -> Tensor:
    """1 for each member that is chosen, else 0."""
    return (torch.rand(batch, generator=generator) < share).float()


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)
