"""Losses of segmentation: from the outputs of a network and the truth to a scalar."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError

Logits = Float[Tensor, "batch k *space"]
# names of their own for the axes: a shape that does not fit is refused by name, in ``checked``
Classes = Integer[Tensor, "batch_t one_t *space_t"]
Weight = Float[Tensor, "batch_w one_w *space_w"]
Scalar = Float[Tensor, ""]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

SMOOTH = 1e-5
"""Added above and below a Dice ratio: a class that neither has counts as agreement."""


def cross_entropy(logits: Logits, target: Classes, weight: Weight) -> Scalar:
    """Average the cross-entropy over the samples that count.

    Args:
        logits: (batch, classes, *space), before the soft maximum.
        target: Class of each sample; negative ones are not known and count for nothing.
        weight: Of each sample, not negative; 0 where the truth is not known. Scribbles are this
            loss with weight 0 off the marks (partial cross-entropy, Tang 2018,
            arXiv:1804.01346).

    Returns:
        Weighted mean, float32 or wider; 0 where nothing counts.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A class is not among the outputs.
    """
    logits, target, weight = checked(logits, target, weight)
    each = nn.functional.cross_entropy(logits, target[:, 0], reduction="none")
    return weighted_mean(each, weight[:, 0])


def soft_dice(
    logits: Logits,
    target: Classes,
    weight: Weight,
    *,
    background: bool = False,
    pooled: bool = True,
) -> Scalar:
    """Measure 1 - Dice with probabilities in place of labels, averaged over the classes.

    Args:
        logits: As for :func:`cross_entropy`.
        target: As for :func:`cross_entropy`.
        weight: As for :func:`cross_entropy`.
        background: Whether class 0 counts.
        pooled: Whether the samples of the whole batch make one ratio for each class (steadier
            where a patch may lack a class); else one for each member.

    Returns:
        Between 0 and 1; for hard outputs 1 - the mean Dice of the labels, where an empty class
        that was found empty has Dice 1.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A class is not among the outputs, or there is background alone.

    References:
        Milletari (2016), doi:10.1109/3DV.2016.79, without the squares; Drozdzal (2016),
        arXiv:1608.04117, eq. 1.
    """
    counts = _counts(logits, target, weight, background=background, pooled=pooled)
    both, found, true = counts
    return 1 - ((2 * both + SMOOTH) / (found + true + SMOOTH)).mean()


def dice_cross_entropy(
    logits: Logits,
    target: Classes,
    weight: Weight,
    *,
    dice: float = 1.0,
    background: bool = False,
    pooled: bool = True,
) -> Scalar:
    """Add the cross-entropy and the soft Dice (Isensee 2021, doi:10.1038/s41592-020-01008-z).

    Args:
        logits: As for :func:`cross_entropy`.
        target: As for :func:`cross_entropy`.
        weight: As for :func:`cross_entropy`.
        dice: Strength of the Dice term.
        background: As for :func:`soft_dice`.
        pooled: As for :func:`soft_dice`.

    Returns:
        The sum.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A class is not among the outputs, or there is background alone.
    """
    overlap = soft_dice(logits, target, weight, background=background, pooled=pooled)
    return cross_entropy(logits, target, weight) + dice * overlap


def focal(logits: Logits, target: Classes, weight: Weight, *, gamma: float = 2.0) -> Scalar:
    """Average the cross-entropy with less weight for what is already right.

    Args:
        logits: As for :func:`cross_entropy`.
        target: As for :func:`cross_entropy`.
        weight: As for :func:`cross_entropy`.
        gamma: Power of 1 - p; 0 is :func:`cross_entropy`.

    Returns:
        Weighted mean.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: A class is not among the outputs, or ``gamma`` is negative.

    References:
        Lin (2017), doi:10.1109/ICCV.2017.324, eq. 4; the class weight is left to ``weight``.
    """
    if gamma < 0:
        raise ConfigError(f"gamma must not be negative, got {gamma}")
    logits, target, weight = checked(logits, target, weight)
    log_p = torch.log_softmax(logits, dim=1).gather(1, target)[:, 0]
    # 1 - p by expm1, so that its power has a finite slope at p = 1 for gamma below 1, too
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return weighted_mean(-(rest**gamma) * log_p, weight[:, 0])


def tversky(
    logits: Logits,
    target: Classes,
    weight: Weight,
    *,
    missed: float = 0.7,
    background: bool = False,
    pooled: bool = True,
) -> Scalar:
    """Measure 1 - Tversky's index: a Dice that punishes what is missed by its own strength.

    Args:
        logits: As for :func:`cross_entropy`.
        target: As for :func:`cross_entropy`.
        weight: As for :func:`cross_entropy`.
        missed: Share of the missed samples in the denominator, from 0 to 1; those found in excess
            have the rest. One half is :func:`soft_dice`.
        background: As for :func:`soft_dice`.
        pooled: As for :func:`soft_dice`.

    Returns:
        Between 0 and 1.

    Raises:
        ShapeError: The shapes do not fit each other.
        ConfigError: ``missed`` is out of range, or as for :func:`soft_dice`.

    References:
        Salehi (2017), arXiv:1706.05721, eq. 3 (its beta is ``missed``, alpha the rest).
    """
    if not 0 <= missed <= 1:
        raise ConfigError(f"missed must be from 0 to 1, got {missed}")
    counts = _counts(logits, target, weight, background=background, pooled=pooled)
    both, found, true = counts
    wrong = missed * (true - both) + (1 - missed) * (found - both)
    return 1 - ((both + SMOOTH / 2) / (both + wrong + SMOOTH / 2)).mean()


def deep_supervision(
    outputs: Sequence[Tensor], target: Tensor, weight: Weight, *, loss: Loss
) -> Scalar:
    """Average a loss over the outputs of several levels, each half as strong as the finer one.

    Args:
        outputs: (batch, k, *space), finest first, such as ``UNet.deep`` gives; each is compared
            with every n-th sample of the truth, where n is its step.
        target: As for :func:`cross_entropy`, on the finest lattice; any channels of float do too.
        weight: As for :func:`cross_entropy`, on the finest lattice.
        loss: Of one level, from output, target and weight.

    Returns:
        Weighted mean, the strengths 1, 1/2, 1/4 ... brought to the sum 1.

    Raises:
        ConfigError: There is no output.
        ShapeError: An output is finer than the one before, or does not fit the truth.

    References:
        Lee (2015), arXiv:1409.5185.
    """
    if not outputs:
        raise ConfigError("deep supervision needs at least one output, got none")
    sizes = [tuple(y.shape[2:]) for y in outputs]
    if any(b > a for one, two in pairwise(sizes) for a, b in zip(one, two, strict=True)):
        raise ShapeError(f"outputs must come finest first, got the sizes {sizes}")
    strengths = [0.5**level for level in range(len(outputs))]
    terms = []
    for strength, y in zip(strengths, outputs, strict=True):
        steps = tuple(map(_step, target.shape[2:], y.shape[2:]))
        terms.append(strength * loss(y, thinned(target, steps), thinned(weight, steps)))
    return torch.stack(terms).sum() / sum(strengths)


def _step(fine: int, coarse: int) -> int:
    """Power of two that leaves so many of the fine samples; there is at most one that matters."""
    step = 1
    while -(-fine // step) > coarse:
        step *= 2
    if -(-fine // step) != coarse:
        raise ShapeError(
            f"an output must have every 2nd, 4th, 8th ... sample of the truth, got {coarse} of "
            f"{fine} along an axis"
        )
    return step


def thinned(x: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Take every n-th sample along each spatial axis: where the strided levels of a U-Net stand.

    Args:
        x: (batch, c, *space).
        steps: One for each spatial axis.

    Returns:
        A view of ``x``.
    """
    return x[(slice(None), slice(None), *(slice(None, None, n) for n in steps))]


def checked(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check shapes and classes; unknown classes become 0 with weight 0, halves become float32."""
    place = (logits.shape[0], 1, *logits.shape[2:])
    if tuple(target.shape) != place or tuple(weight.shape) != place:
        raise ShapeError(
            f"target and weight must have shape {place} to fit the outputs, got "
            f"{tuple(target.shape)} and {tuple(weight.shape)}"
        )
    top = int(target.max()) if target.numel() else 0
    if top >= logits.shape[1]:
        raise ConfigError(
            f"a target must be a class from 0 to {logits.shape[1] - 1} or negative where it is "
            f"not known, got {top}: give the network more outputs or map the labels"
        )
    known = target >= 0
    wide = logits.float() if logits.dtype in {torch.float16, torch.bfloat16} else logits
    return wide, target.clamp_min(0).long(), weight.to(wide.dtype) * known


def weighted_mean(each: Tensor, weight: Tensor) -> Tensor:
    """Average with weights; 0 where they are all 0."""
    total = weight.sum()
    return (each * weight).sum() / total.clamp_min(torch.finfo(total.dtype).tiny)


def _counts(
    logits: Tensor, target: Tensor, weight: Tensor, *, background: bool, pooled: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum what both have, what was found and what is true, for each class (and member)."""
    logits, target, weight = checked(logits, target, weight)
    first = 0 if background else 1
    if logits.shape[1] <= first:
        raise ConfigError(
            f"an overlap needs a class beside the background, got {logits.shape[1]} outputs"
        )
    p = torch.softmax(logits, dim=1)[:, first:] * weight
    classes = torch.arange(first, logits.shape[1], device=logits.device)
    truth = target == classes.view(1, -1, *[1] * (logits.ndim - 2))
    over = (*([0] if pooled else []), *range(2, logits.ndim))
    return (p * truth).sum(over), p.sum(over), (truth * weight).sum(over)
