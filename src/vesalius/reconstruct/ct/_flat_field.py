"""Flat field, dark field and logarithm: from counts to line integrals."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.physics.ct import Projections
from vesalius.physics.ct._projections import Quantity

Frames = Shaped[Tensor, "_ _ _"]


def flat_field(
    projections: Projections, *, flats: Frames | None, darks: Frames | None = None
) -> Projections:
    """Divide counts by the open beam: T = (counts - dark) / (flat - dark).

    Args:
        projections: Counts.
        flats: (frame, row, column) with the beam and no object; their mean is used.
        darks: (frame, row, column) without the beam; their mean is used. ``None``: the detector
            counts nothing in the dark.

    Returns:
        Transmission; noise and scatter may put it below 0 or above 1, it is not clipped.

    Raises:
        UnitError: The projections are not counts.
        IntensityError: There are no flats, or the open beam is not brighter than the dark in some
            element (a dead one).
        ShapeError: The frames have not the detector of the projections.
    """
    _needs(projections, "counts", "flat_field")
    if flats is None or flats.shape[0] == 0:
        raise IntensityError(
            "flats must be given to turn counts into transmission, got none: measure the open "
            "beam, or give its known counts, such as torch.full((1, rows, columns), 1e5)"
        )
    counts = projections.data
    light = _mean(flats, "flats", counts)
    dark = torch.zeros_like(light) if darks is None else _mean(darks, "darks", counts)
    beam = light - dark
    dead = ~(beam > 0)  # so that NaN counts as dead
    if bool(dead.any()):
        row, column = dead.nonzero()[0].tolist()
        raise IntensityError(
            f"flats must be brighter than darks in every element, {int(dead.sum())} are not, the "
            f"first at row {row}, column {column}: mend them with reconstruct.ct.mend_dead first"
        )
    return replace(projections, data=(counts - dark) / beam, quantity="transmission")


def mend_dead(frames: Frames, *, dead: Shaped[Tensor, "_ _"]) -> Frames:
    """Fill dead detector elements from the nearest living ones of their row, by straight lines.

    Args:
        frames: (frame, row, column) views, flats or darks, floating point.
        dead: (row, column), True where an element is not to be trusted.

    Returns:
        The frames; living elements are unchanged.

    Raises:
        ShapeError: ``dead`` does not fit the frames.
        IntensityError: A row has no living element.
    """
    if tuple(dead.shape) != tuple(frames.shape[1:]):
        raise ShapeError(
            f"dead must have the detector's shape {tuple(frames.shape[1:])} (rows, columns), got "
            f"{tuple(dead.shape)}"
        )
    out = frames.clone()
    for row in dead.any(dim=1).nonzero().flatten().tolist():
        out[:, row] = interpolate_gaps(frames[:, row], dead[row].expand(frames[:, row].shape))
    return out


def interpolate_gaps(lines: Tensor, gaps: Tensor) -> Tensor:
    """Bridge gaps in lines of samples by straight lines; at an end the nearest sample goes on.

    Args:
        lines: (line, sample), floating point; values inside the gaps are not looked at.
        gaps: (line, sample), True where a sample is missing.

    Returns:
        The lines without gaps.

    Raises:
        IntensityError: A line is all gap.
    """
    n = lines.shape[-1]
    if bool(gaps.all(dim=-1).any()):
        raise IntensityError(
            f"each line must keep at least one of its {n} samples to be bridged from, one has "
            "none: mark fewer elements"
        )
    place = torch.arange(n, device=lines.device).expand(lines.shape)
    before = torch.where(gaps, -1, place).cummax(dim=-1).values
    after = torch.where(gaps, n, place).flip(-1).cummin(dim=-1).values.flip(-1)
    left = torch.where(before < 0, after, before)
    right = torch.where(after >= n, before, after)
    span = (right - left).clamp_min(1)
    part = (place - left).to(lines.dtype) / span
    low, high = lines.gather(-1, left), lines.gather(-1, right)
    return torch.where(gaps, low + part * (high - low), lines)


def to_line_integrals(projections: Projections, *, floor: float = 0.0) -> Projections:
    """Take the logarithm: p = -ln T.

    Args:
        projections: Transmission.
        floor: Least transmission; lower values, among them negative ones, are lifted to it. 0
            lifts nothing: then every value must be positive.

    Returns:
        Line integrals, no unit.

    Raises:
        UnitError: The projections are not transmission.
        IntensityError: ``floor`` is not in 0 to 1, or is 0 and some values are not positive.
    """
    _needs(projections, "transmission", "to_line_integrals")
    if not 0 <= floor < 1:
        raise IntensityError(
            f"floor must be a transmission from 0 to below 1, got {floor:g}: 1e-4 is usual"
        )
    data = projections.data
    if floor > 0:
        data = data.clamp_min(floor)
    elif not bool((data > 0).all()):
        count = int((data <= 0).sum())
        raise IntensityError(
            f"transmission must be positive to take its logarithm, {count} of {data.numel()} "
            f"values are not, the lowest is {float(data.min()):.3g}: check the darks, or give a "
            "floor such as 1e-4"
        )
    return replace(projections, data=-data.log(), quantity="line integral")


def subtract_scatter(projections: Projections, *, scatter: float) -> Projections:
    """Take a constant scatter off the transmission: T_primary = T - s.

    Args:
        projections: Transmission.
        scatter: s, scattered photons in an element over the open beam's; measured behind a beam
            stop, or the transmission behind what lets nothing through.

    Returns:
        Transmission of the primary photons; not clipped.

    Raises:
        UnitError: The projections are not transmission.
        IntensityError: ``scatter`` is not in 0 to below 1.

    Notes:
        Real scatter is smooth, not constant; this mends most of the cupping of a compact object.
    """
    _needs(projections, "transmission", "subtract_scatter")
    if not (math.isfinite(scatter) and 0 <= scatter < 1):
        raise IntensityError(
            f"scatter must be a part of the open beam from 0 to below 1, got {scatter:g}"
        )
    return replace(projections, data=projections.data - scatter)


def _needs(projections: Projections, quantity: Quantity, name: str) -> None:
    if projections.quantity != quantity:
        raise UnitError(
            f"{name} must be given {quantity}, got {projections.quantity}: the order is "
            "flat_field, then to_line_integrals"
        )


def _mean(frames: Frames, name: str, counts: Float[Tensor, "_ _ _"]) -> Tensor:
    if tuple(frames.shape[1:]) != tuple(counts.shape[1:]):
        raise ShapeError(
            f"{name} must have the detector of the projections, {tuple(counts.shape[1:])} (rows, "
            f"columns), got {tuple(frames.shape[1:])}"
        )
    # in double: the sum of many integer counts must not overflow or lose digits
    return frames.to(counts.device).double().mean(dim=0).to(counts.dtype)
