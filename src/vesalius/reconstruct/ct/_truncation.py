"""Rows that are cut by the detector's edge, continued smoothly before they are filtered."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Truncation = Literal["none", "cosine", "ellipse"]


def extrapolate(
    rows: Float[Tensor, "*batch column"], truncation: Truncation, *, margin: int
) -> Float[Tensor, "*batch wider"]:
    """Continue rows beyond both ends.

    A cut row has a step at its end, which a ramp filter turns into a bright rim.

    Args:
        rows: (*batch, column).
        truncation: ``"none"``: give the rows as they are, so zeros follow. ``"cosine"``: the edge
            value falls by half a cosine over the margin. ``"ellipse"``: the row of a homogeneous
            ellipse that joins value and slope of the edge and ends with the margin or before.
        margin: Columns added on each side.

    Returns:
        (*batch, margin + column + margin); as many columns as before for ``"none"``.

    References:
        Hsieh et al. (2004), doi:10.1118/1.1776673 (a water cylinder). Differs: the attenuation
        is not given, the end of the margin is; no rescaling to the mean of all views.
    """
    if truncation == "none" or margin == 0:
        return rows
    flipped = rows.flip(-1)
    if truncation == "cosine":
        left, right = _cosine(rows, margin), _cosine(flipped, margin)
    else:
        left, right = _ellipse(rows, margin), _ellipse(flipped, margin)
    return torch.cat([left.flip(-1), rows, right], dim=-1)


def _cosine(rows: Tensor, margin: int) -> Tensor:
    """Continue to the left, nearest column first."""
    n = torch.arange(1, margin + 1, device=rows.device, dtype=rows.dtype)
    fall: Tensor = 0.5 + 0.5 * torch.cos(math.pi * n / (margin + 1))
    return rows[..., :1] * fall


def _ellipse(rows: Tensor, margin: int) -> Tensor:
    """Continue to the left, nearest column first.

    The square of an ellipse's row is a parabola: value and slope at the edge and its end fix it.
    """
    reach = min(8, rows.shape[-1] - 1)
    edge = rows[..., :1].clamp_min(0.0) ** 2
    # from a few columns, for single ones are noisy
    slope = (edge - rows[..., reach : reach + 1] ** 2) / max(reach, 1)
    n = torch.arange(1, margin + 1, device=rows.device, dtype=rows.dtype)
    end = margin + 1
    square = edge + slope * n - (edge + slope * end) * (n / end) ** 2
    return square.clamp_min(0.0).sqrt()
