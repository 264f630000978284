"""Losses of weak truth: boxes, image tags, and none at all (agreement with a teacher)."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError
from vesalius.learn._losses import SMOOTH, Classes, Logits, Scalar, Weight, checked, weighted_mean

EDGE = 1e-6
"""Least distance of a probability from 0 and 1 in a logarithm."""


def boxes(logits: Logits, target: Classes, weight: Weight, *, tightness: float = 1.0) -> Scalar:
    """Learn from boxes: nothing outside them, and in each line through a box something inside.

    The run of a line inside a box is a bag: an object touches all sides of its box, so that the
    largest probability in each bag must be 1.

    Args:
        logits: (batch, classes, *space), before the soft maximum.
        target: Class of the box that covers each sample, 0 outside all; where boxes overlap, any
            one of their classes. Negative samples are not known.
        weight: Of each sample, 0 where nothing is known.
        tightness: Strength of the bags beside the cross-entropy outside.

    Returns:
        Cross-entropy outside + ``tightness`` times the mean over axes and classes of 1 - Dice of
        the bags.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A class is not among the outputs, or ``tightness`` is negative.

    References:
        Hsu (2019), NeurIPS 32, 6586-6597, eq. 3 (bags); Tian (2021), arXiv:2012.02310, eq. 3
        (Dice of projections). Differs from them in: bags are runs of the box map, so that a line
        through two boxes is two bags; runs that reach an edge, where a patch may have cut the
        box, are left out.
    """
    if tightness < 0:
        raise ConfigError(f"tightness must not be negative, got {tightness}")
    logits, target, weight = checked(logits, target, weight)
    p = torch.softmax(logits, dim=1)
    outside = weight * (target == 0)
    each = -torch.log_softmax(logits, dim=1)[:, :1]
    terms = [
        _bags(p[:, k : k + 1], (target == k) & (weight > 0), axis)
        for k in range(1, logits.shape[1])
        for axis in range(2, logits.ndim)
    ]
    kept = [t for t in terms if t is not None]
    bags = torch.stack(kept).mean() if kept else p.new_zeros(())
    return weighted_mean(each, outside) + tightness * bags


def _bags(p: Tensor, inside: Tensor, axis: int) -> Tensor | None:
    """1 - Dice of the largest probability in each run along an axis, against 1; None without.

    A run that reaches the edge may be cut off there, and its object lie beyond: it counts not.
    """
    p, inside = p.movedim(axis, -1).reshape(-1, p.shape[axis]), inside.movedim(axis, -1)
    inside = inside.reshape(p.shape)
    if not bool(inside.any()):
        return None
    starts = inside.clone()
    starts[:, 1:] &= ~inside[:, :-1]
    run = starts.reshape(-1).cumsum(0).reshape(p.shape) - 1
    most = p.new_zeros(int(run.max()) + 1).scatter_reduce(0, run[inside], p[inside], "amax")
    whole = torch.ones_like(most, dtype=torch.bool)
    for end in (0, -1):
        whole[run[:, end][inside[:, end]]] = False
    most = most[whole]
    if not len(most):
        return None
    return 1 - (2 * most.sum() + SMOOTH) / (most.square().sum() + len(most) + SMOOTH)


def affinity(
    logits: Logits,
    image: Float[Tensor, "batch_i c *space_i"],
    weight: Weight,
    *,
    likeness: float = 0.3,
    contrast: float = 2.0,
    reach: int = 2,
) -> Scalar:
    """Ask of neighbours that look alike to be of one class.

    Args:
        logits: (batch, classes, *space), before the soft maximum.
        image: What the network saw, of unit variance or so.
        weight: Of each sample, such as 1 inside the boxes and 0 outside.
        likeness: Least similarity exp(-``contrast`` |difference|) of a pair that counts.
        contrast: How fast the similarity falls.
        reach: Distance of the neighbours along each axis, samples.

    Returns:
        Mean over the alike pairs of -log of the probability that both have one class.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A number is out of range.

    References:
        Tian (2021), arXiv:2012.02310, eq. 4 to 6. Differs from it in: neighbours along the axes
        alone, any number of classes, similarity without the square.
    """
    if not 0 <= likeness <= 1 or contrast < 0 or reach < 1:
        raise ConfigError(
            "likeness must be from 0 to 1, contrast not negative and reach at least 1, got "
            f"{likeness}, {contrast} and {reach}"
        )
    if image.shape[0] != logits.shape[0] or image.shape[2:] != logits.shape[2:]:
        raise ShapeError(
            f"image must have batch and size of the outputs {tuple(logits.shape)}, got "
            f"{tuple(image.shape)}"
        )
    logits, _, weight = checked(logits, torch.zeros_like(weight, dtype=torch.int64), weight)
    p = torch.softmax(logits, dim=1)
    total, count = p.new_zeros(()), p.new_zeros(())
    for axis in range(2, logits.ndim):
        n = logits.shape[axis] - reach
        if n < 1:
            continue
        (p1, p2), (i1, i2), (w1, w2) = (
            (x.narrow(axis, 0, n), x.narrow(axis, reach, n)) for x in (p, image, weight)
        )
        alike = torch.exp(-contrast * (i1 - i2).norm(dim=1, keepdim=True)) >= likeness
        pair = alike * torch.minimum(w1, w2)
        same = (p1 * p2).sum(dim=1, keepdim=True).clamp(EDGE, 1)
        total, count = total - (pair * same.log()).sum(), count + pair.sum()
    return total / count.clamp_min(torch.finfo(count.dtype).tiny)


def image_tags(
    logits: Logits, present: Bool[Tensor, "batch_p tags"], *, sharpness: float = 5.0
) -> Scalar:
    """Learn from which classes an image holds somewhere.

    Args:
        logits: (batch, classes, *space), before the soft maximum.
        present: For each class but the background, whether it is in the image.
        sharpness: Of the pooling: 0 is the mean over samples, infinity would be the maximum.

    Returns:
        Binary cross-entropy between the tags and the pooled log-odds of each class against the
        others.

    Raises:
        ShapeError: There is not one tag for each class but the background.
        ConfigError: ``sharpness`` is not positive.

    References:
        Pinheiro and Collobert (2015), arXiv:1411.6228, eq. 2 (log-sum-exp pooling). Differs from
        it in: one binary decision for each class, since an image holds several.
    """
    if not sharpness > 0:
        raise ConfigError(f"sharpness must be positive, got {sharpness}")
    if tuple(present.shape) != (logits.shape[0], logits.shape[1] - 1):
        raise ShapeError(
            f"present must have shape {(logits.shape[0], logits.shape[1] - 1)}, a tag for each "
            f"class but the background, got {tuple(present.shape)}"
        )
    wide = logits.float() if logits.dtype in {torch.float16, torch.bfloat16} else logits
    flat = torch.log_softmax(wide.flatten(2), dim=1)[:, 1:].clamp(max=-EDGE)
    odds = flat - torch.log(-torch.expm1(flat))
    pooled = (torch.logsumexp(sharpness * odds, dim=2) - math.log(odds.shape[2])) / sharpness
    return nn.functional.binary_cross_entropy_with_logits(pooled, present.to(pooled))


def consistency(
    logits: Logits, teacher: Float[Tensor, "batch_t k_t *space_t"], weight: Weight
) -> Scalar:
    """Measure how far two sets of outputs are apart: mean square of their probabilities.

    Args:
        logits: Of the student.
        teacher: Of the teacher, same shape; no gradient flows into it.
        weight: Of each sample, 0 where the comparison makes no sense.

    Returns:
        Weighted mean over samples and classes.

    Raises:
        ShapeError: The shapes do not fit each other.

    References:
        Tarvainen and Valpola (2017), arXiv:1703.01780, eq. 1.
    """
    if teacher.shape != logits.shape:
        raise ShapeError(
            f"teacher must have the shape of the outputs {tuple(logits.shape)}, got "
            f"{tuple(teacher.shape)}"
        )
    logits, _, weight = checked(logits, torch.zeros_like(weight, dtype=torch.int64), weight)
    away = torch.softmax(logits, dim=1) - torch.softmax(teacher.detach().to(logits), dim=1)
    return weighted_mean(away.square().mean(dim=1, keepdim=True), weight)


def ramp_up(done: float, *, over: float = 0.4) -> float:
    """Give the strength of a term that must not disturb the start: exp(-5 (1 - t)^2), up to 1.

    Args:
        done: Share of the training that is done, 0 to 1.
        over: Share at which the full strength is reached; 0 gives 1 throughout.

    Returns:
        From exp(-5) to 1.

    Raises:
        ConfigError: A share is not from 0 to 1.

    References:
        Laine and Aila (2017), arXiv:1610.02242.
    """
    if not (0 <= done <= 1 and 0 <= over <= 1):
        raise ConfigError(f"done and over must be shares from 0 to 1, got {done} and {over}")
    t = 1.0 if done >= over else done / over
    return math.exp(-5 * (1 - t) ** 2)
