"""Pairing: what every similarity asks of its two images and their weight before it compares."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import Tensor

from vesalius.errors import IntensityError, RegionError, ShapeError


def pair(fixed: Tensor, warped: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten two images and their weight, once they fit together.

    Args:
        fixed: (c, z, y, x), float32 or float64.
        warped: Same shape and dtype.
        weight: (1, z, y, x) or None for ones.

    Returns:
        Fixed and warped, (c, n), and the weight, (n,), of their dtype. Samples without weight
        are 0 in both, so that not even NaN leaks from them.

    Raises:
        ShapeError: The shapes or number types do not fit.
        RegionError: No sample has any weight.
    """
    check_pair(fixed, warped, weight)
    f, w, flat = fixed.flatten(1), warped.flatten(1), flat_weight(fixed, weight)
    if weight is None:
        return f, w, flat
    counts = flat > 0
    return f.where(counts, 0), w.where(counts, 0), flat


def flat_weight(image: Tensor, weight: Tensor | None) -> Tensor:
    """Give the weight of each sample of an image, (n,), of its dtype and without gradient."""
    if weight is None:
        return torch.ones(image[0].numel(), dtype=image.dtype, device=image.device)
    return weight.detach().flatten().to(image.dtype)


def check_pair(fixed: Tensor, warped: Tensor, weight: Tensor | None) -> None:
    """Refuse images that cannot be compared sample by sample.

    Args:
        fixed: (c, z, y, x).
        warped: Same shape and dtype.
        weight: (1, z, y, x) or None.

    Raises:
        ShapeError: The shapes or number types do not fit, or there are no samples.
        RegionError: No sample has any weight, or one is negative or not a number.
    """
    fits = weight is None or tuple(weight.shape) == (1, *fixed.shape[1:])
    if fixed.shape != warped.shape or fixed.dtype != warped.dtype or not fits:
        came = None if weight is None else tuple(weight.shape)
        raise ShapeError(
            "fixed and warped must have one shape (c, z, y, x) and number type, and the weight "
            f"(1, z, y, x), got {tuple(fixed.shape)} {fixed.dtype}, {tuple(warped.shape)} "
            f"{warped.dtype} and {came}: pull the moving image onto the fixed lattice first"
        )
    if fixed.numel() == 0:
        raise ShapeError(f"images to compare must have samples, got shape {tuple(fixed.shape)}")
    if weight is not None and not (float(weight.min()) >= 0 and float(weight.max()) > 0):
        raise RegionError(
            "weights must be 0 or more with one above 0, got "
            f"{float(weight.min()):g} to {float(weight.max()):g}: the images do not overlap "
            'inside their masks; begin nearer, as by init="moments"'
        )


def finite(loss: float, what: str) -> float:
    """Give a loss back once it is a number.

    Args:
        loss: The loss.
        what: Name of the similarity, for the message.

    Returns:
        The loss.

    Raises:
        IntensityError: It is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise IntensityError(
            f"{what} must compare finite samples, got a loss of {loss}: "
            "give NaN and infinite samples the weight 0 by a mask, or replace them"
        )
    return loss


def finite_tensor(loss: Tensor, what: str) -> Tensor:
    """Give a loss back once it is a number; see ``finite``."""
    finite(float(loss.detach()), what)
    return loss
