"""Losses that look at shape: distance to the boundary, and the centre line of thin structures."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import Tensor, nn

from vesalius.errors import ConfigError
from vesalius.learn._losses import SMOOTH, Classes, Logits, Scalar, Weight, checked, weighted_mean
from vesalius.ops._distance_field import signed_distance

Spacing = tuple[float, float, float]


def boundary(
    logits: Logits, target: Classes, weight: Weight, *, spacing: Spacing = (1.0, 1.0, 1.0)
) -> Scalar:
    """Average the probability times the signed distance to the true boundary.

    Alone it has a trivial minimum where a class is absent: add it to an overlap loss.

    Args:
        logits: (batch, classes, *space), before the soft maximum.
        target: Class of each sample; negative ones are not known.
        weight: Of each sample, 0 where the truth is not known.
        spacing: Of the samples along (z, y, x); 2-D uses the last two.

    Returns:
        Mean over classes (background left out) and samples, in the unit of the spacing; negative
        where the classes are found. A class that a member lacks counts for nothing there.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A class is not among the outputs, or there is background alone.

    References:
        Kervadec (2019), arXiv:1812.07032, eq. 5. Differs from it in: the distance is made anew
        for each batch (Felzenszwalb), so that it stays true under augmentation.
    """
    logits, target, weight = checked(logits, target, weight)
    _needs_foreground(logits)
    p = torch.softmax(logits, dim=1)[:, 1:]
    with torch.no_grad():
        field = _distances(target, logits.shape[1], spacing).to(p)
    return weighted_mean((p * field).mean(dim=1, keepdim=True), weight)


def centre_line_dice(logits: Logits, target: Classes, weight: Weight, *, steps: int = 10) -> Scalar:
    """Measure 1 - soft clDice: overlap of each side's centre lines with the other side.

    Args:
        logits: (batch, classes, *space), before the soft maximum; 2 or 3 spatial axes.
        target: Class of each sample; negative ones are not known.
        weight: Of each sample, 0 where the truth is not known.
        steps: Rounds of thinning: at least the largest radius of the structures, samples.

    Returns:
        Between 0 and 1, mean over the classes (background left out).

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A class is not among the outputs, there is background alone, ``steps`` is
            negative, or there are not 2 or 3 spatial axes.

    References:
        Shit (2021), arXiv:2003.07311, algorithm 1 and 2.
    """
    if steps < 0:
        raise ConfigError(f"steps must not be negative, got {steps}")
    logits, target, weight = checked(logits, target, weight)
    _needs_foreground(logits)
    p = torch.softmax(logits, dim=1)[:, 1:] * (weight > 0)
    classes = torch.arange(1, logits.shape[1], device=logits.device)
    truth = (target == classes.view(1, -1, *[1] * (logits.ndim - 2))).to(p) * (weight > 0)
    over = (0, *range(2, logits.ndim))
    mine, true = soft_skeleton(p, steps=steps), soft_skeleton(truth, steps=steps)
    precision = ((mine * truth * weight).sum(over) + SMOOTH) / ((mine * weight).sum(over) + SMOOTH)
    recall = ((true * p * weight).sum(over) + SMOOTH) / ((true * weight).sum(over) + SMOOTH)
    return 1 - (2 * precision * recall / (precision + recall)).mean()


def soft_skeleton(x: Tensor, *, steps: int) -> Tensor:
    """Thin a soft mask by repeated opening: what each opening takes away is on the centre line.

    Args:
        x: (batch, c, *space) between 0 and 1, 2 or 3 spatial axes.
        steps: Rounds.

    Returns:
        Same shape, between 0 and 1.

    Raises:
        ConfigError: There are not 2 or 3 spatial axes.

    References:
        Shit (2021), arXiv:2003.07311, algorithm 1.
    """
    if x.ndim not in {4, 5}:
        raise ConfigError(f"centre lines need 2 or 3 spatial axes, got {x.ndim - 2}")
    thin = nn.functional.relu(x - _dilated(_eroded(x)))
    for _ in range(steps):
        x = _eroded(x)
        lost = nn.functional.relu(x - _dilated(_eroded(x)))
        thin = thin + nn.functional.relu(lost - thin * lost)
    return thin


def _eroded(x: Tensor) -> Tensor:
    """Minimum over the cross of face neighbours (3 x 1 boxes along each axis)."""
    out = x
    for axis in range(2, x.ndim):
        out = torch.minimum(out, -_largest(-x, axis))
    return out


def _dilated(x: Tensor) -> Tensor:
    """Maximum over the box of 3 along each axis."""
    for axis in range(2, x.ndim):
        x = _largest(x, axis)
    return x


def _largest(x: Tensor, axis: int) -> Tensor:
    """Maximum of each sample and its two neighbours along an axis."""
    if x.shape[axis] == 1:
        return x
    n = x.shape[axis]
    before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, n - 1)], dim=axis)
    after = torch.cat([x.narrow(axis, 1, n - 1), x.narrow(axis, n - 1, 1)], dim=axis)
    return torch.maximum(x, torch.maximum(before, after))


def _needs_foreground(logits: Tensor) -> None:
    if logits.shape[1] < 2:
        raise ConfigError(
            f"a shape needs a class beside the background, got {logits.shape[1]} outputs"
        )


def _distances(target: Tensor, classes: int, spacing: Spacing) -> Tensor:
    """Signed distance to each class of each member, negative inside; 0 where it is absent."""
    out = torch.zeros(target.shape[0], classes - 1, *target.shape[2:], dtype=torch.float64)
    for member, labels in enumerate(target[:, 0].cpu()):
        volume = labels.reshape(*[1] * (3 - labels.ndim), *labels.shape)
        for k in range(1, classes):
            mask = volume == k
            if mask.any() and not mask.all():
                out[member, k - 1] = -signed_distance(mask, spacing).reshape(labels.shape)
    return out
