"""Where to cut a histogram: the criteria of Otsu, Kapur, Yen, Li, Ridler and of the valley."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple, no_type_check

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, ConvergenceError
from vesalius.ops._jit import kernel
from vesalius.ops._value_histogram import ValueHistogram

Floats = NDArray[np.float64]


class Cut(NamedTuple):
    """Where a histogram is cut, and why.

    Attributes:
        thresholds: Ascending; a value above the k-th belongs to class k + 1 at least.
        criterion: (n,) one for each bin, as if the cut came after that bin; NaN where there is
            none.
    """

    thresholds: tuple[float, ...]
    criterion: Floats


def otsu(histogram: ValueHistogram) -> Cut:
    """Cut where the variance between the two sides is greatest.

    Args:
        histogram: Of the values.

    Returns:
        The cut; the criterion is the variance between the sides.

    References:
        Otsu (1979), doi:10.1109/TSMC.1979.4310076, eq. (14). The first of equal maxima.
    """
    low, high, below, above = _sides(histogram)
    total = low[-1] + high[-1]
    between = low * high * (below - above) ** 2 / total**2
    return _best(histogram, between)


def isodata(histogram: ValueHistogram) -> Cut:
    """Cut halfway between the means of the two sides.

    Args:
        histogram: Of the values.

    Returns:
        The cut; the criterion is the halfway point less the value, in the unit of the values: the
        cut is the lowest bin where it lies within one bin above.

    References:
        Ridler and Calvard (1978), doi:10.1109/TSMC.1978.4310039. Differs from it in: all fixed
        points of the iteration are looked for, and the lowest is taken, wherever it would start.
    """
    _, _, below, above = _sides(histogram)
    gap = (below + above) / 2 - histogram.values[:-1]
    fixed = np.flatnonzero((gap >= 0) & (gap < histogram.width))
    # rounding may hide the crossing that must be there
    index = int(fixed[0]) if len(fixed) else int(np.argmin(np.abs(gap)))
    return Cut((histogram.cut(index),), _full(gap))


def maximum_entropy(histogram: ValueHistogram) -> Cut:
    """Cut where the entropies of the two sides add up to most.

    Args:
        histogram: Of the values.

    Returns:
        The cut; the criterion is the sum of both entropies, nats.

    References:
        Kapur, Sahoo, Wong (1985), doi:10.1016/0734-189X(85)90125-2, eq. (18) with (13), (14).
    """
    share = histogram.counts / histogram.counts.sum()
    used = np.where(share > 0, share, 1.0)
    part = np.cumsum(share)[:-1]
    surprise = np.cumsum(-share * np.log(used))
    rest = surprise[-1] - surprise[:-1]
    left = np.maximum(1 - part, np.finfo(float).tiny)
    both = np.log(part) + surprise[:-1] / part + np.log(left) + rest / left
    return _best(histogram, both)


def yen(histogram: ValueHistogram) -> Cut:
    """Cut where the correlation criterion of Yen is greatest.

    Args:
        histogram: Of the values.

    Returns:
        The cut; the criterion is the sum of the two correlations.

    References:
        Yen, Chang, Chang (1995), doi:10.1109/83.366472, eq. (4).
    """
    share = histogram.counts / histogram.counts.sum()
    part = np.cumsum(share)[:-1]
    left = np.cumsum(share[::-1])[::-1][1:]
    low = np.cumsum(share**2)[:-1]
    high = np.cumsum((share**2)[::-1])[::-1][1:]
    return _best(histogram, 2 * np.log(part * left) - np.log(low * high))


def li(histogram: ValueHistogram, *, steps: int = 1000) -> Cut:
    """Cut where the cross entropy between the image and its two means is least.

    Args:
        histogram: Of the values; they are shifted so that the lowest is 0.
        steps: Most iterations.

    Returns:
        The cut; the criterion is the cross entropy, up to a constant.

    Raises:
        ConvergenceError: The iteration did not settle.

    References:
        Li and Tam (1998), doi:10.1016/S0167-8655(98)00057-9, eq. (8); started at the mean.
    """
    first = 0.0 if histogram.exact else histogram.width / 2
    shifted = histogram.values - histogram.values[0] + first
    low, high, below, above = _sides(histogram._replace(values=shifted))
    tiny = np.finfo(float).tiny
    criterion = -(
        low * below * np.log(np.maximum(below, tiny))
        + high * above * np.log(np.maximum(above, tiny))
    )
    at = float((shifted * histogram.counts).sum() / histogram.counts.sum())
    for _ in range(steps):
        index = int(np.searchsorted(shifted, at, side="right")) - 1
        index = min(max(index, 0), len(below) - 1)
        under, over = float(below[index]), float(above[index])
        # a side of zeros only: its logarithm takes the mean to 0, and the cut after it
        after = (over - under) / math.log(over / under) if under > 0 else 0.0
        settled = abs(after - at) <= histogram.width / 2
        at = after
        if settled:
            threshold = float(histogram.values[0]) + at - first
            return Cut((threshold,), _full(criterion))
    raise ConvergenceError(
        f"the cross entropy threshold must settle, it still moves after {steps} steps: "
        "use Otsu, or more bins"
    )


def valley(histogram: ValueHistogram, *, steps: int = 10_000) -> Cut:
    """Cut at the lowest place between the two modes of the smoothed histogram.

    Args:
        histogram: Of the values.
        steps: Most rounds of smoothing by the mean of three bins.

    Returns:
        The cut; the criterion is the smoothed histogram.

    Raises:
        ConvergenceError: The histogram does not come to two modes.

    References:
        Prewitt and Mendelsohn (1966), doi:10.1111/j.1749-6632.1965.tb11715.x. Edges are mirrored;
        a mode in the last bin (saturation) counts. Where that many rounds are too few, as with 16
        bits, two bins are pooled into one, and so on down to 256 bins at least.
    """
    counts, pooled = histogram.counts, 1
    smooth, modes, used = _smoothed(counts, steps)
    while len(modes) > 2 and len(counts) >= 512:
        counts, pooled = _pooled(counts), 2 * pooled
        smooth, modes, used = _smoothed(counts, steps)
    if len(modes) != 2:
        raise ConvergenceError(
            f"the histogram must come to two modes to have a valley, it has {len(modes)} after "
            f"{used} rounds of smoothing: use Otsu or MaximumEntropy, or a mask"
        )
    lowest = int(modes[0]) + int(np.argmin(smooth[modes[0] : modes[1] + 1]))
    bins = len(histogram.counts)
    index = min(lowest * pooled + pooled // 2, bins - 1)
    return Cut((histogram.cut(index),), np.repeat(smooth / pooled, pooled)[:bins])


def _pooled(counts: Floats) -> Floats:
    even = np.append(counts, 0.0) if len(counts) % 2 else counts
    pairs: Floats = even.reshape(-1, 2).sum(axis=1)
    return pairs


def multi_otsu(histogram: ValueHistogram, *, classes: int) -> Cut:
    """Cut into several classes so that the variance between them is greatest.

    Args:
        histogram: Of the values.
        classes: At least 2.

    Returns:
        ``classes - 1`` thresholds; the criterion of a bin is the greatest variance between classes
        with the last cut after that bin.

    Raises:
        ConfigError: Fewer classes than 2, or more than values that occur.

    References:
        Liao, Chen, Chung (2001), JISE 17(5): 713-727, eq. (8). Differs from it in: found by
        dynamic programming over the values that occur, halving the range of each cut, so that
        16-bit images need no coarser bins.
    """
    used = np.flatnonzero(histogram.counts)
    if not 2 <= classes <= len(used):
        raise ConfigError(
            f"classes must lie between 2 and the {len(used)} values that occur, got {classes}"
        )
    counts, values = histogram.counts[used], histogram.values[used]
    middle = float((counts * values).sum() / counts.sum())
    weight = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * (values - middle))])
    ends, last = _best_partition(weight, moment, classes)
    criterion = np.full(len(histogram.counts), np.nan)
    criterion[used] = last / weight[-1]
    cuts = tuple(histogram.cut(int(used[end - 1])) for end in ends)
    return Cut(cuts, criterion)


def _sides(histogram: ValueHistogram) -> tuple[Floats, Floats, Floats, Floats]:
    """Give the counts and the means of both sides of a cut after each bin but the last."""
    counts, values = histogram.counts, histogram.values
    low = np.cumsum(counts)
    moment = np.cumsum(counts * values)
    high = low[-1] - low[:-1]
    below = moment[:-1] / low[:-1]
    above = (moment[-1] - moment[:-1]) / high
    return low[:-1], high, below, above


def _full(criterion: Floats) -> Floats:
    return np.append(criterion, np.nan)


def _best(histogram: ValueHistogram, criterion: Floats) -> Cut:
    return Cut((histogram.cut(int(np.argmax(criterion))),), _full(criterion))


@kernel
@no_type_check
def _modes(line, found):
    """List where the histogram stops rising; -1 for more than three."""
    rising, count = True, 0
    for i in range(len(line) - 1):
        if rising and line[i + 1] < line[i]:
            rising = False
            if count == 3:
                return -1
            found[count] = i
            count += 1
        elif not rising and line[i + 1] > line[i]:
            rising = True
    if rising:
        if count == 3:
            return -1
        found[count] = len(line) - 1
        count += 1
    return count


@kernel
@no_type_check
def _smoothed(counts, steps):
    line, other = counts.copy(), np.empty_like(counts)
    found = np.empty(3, np.int64)
    n = len(line)
    for step in range(steps):
        other[0] = (2 * line[0] + line[1]) / 3
        for i in range(1, n - 1):
            other[i] = (line[i - 1] + line[i] + line[i + 1]) / 3
        other[n - 1] = (2 * line[n - 1] + line[n - 2]) / 3
        line, other = other, line
        count = _modes(line, found)
        if 0 <= count < 3:
            return line, found[:count].copy(), step + 1
    return line, found[: max(count, 0) if count >= 0 else 3].copy(), steps


@kernel
@no_type_check
def _gain(weight, moment, a, b):
    """Give the share of values a to b - 1, taken as one class, in the variance between classes."""
    held = moment[b] - moment[a]
    return held * held / (weight[b] - weight[a])


@kernel
@no_type_check
def _best_partition(weight, moment, classes):
    n = len(weight) - 1
    best, after = np.empty(n + 1), np.empty(n + 1)
    back = np.zeros((classes, n + 1), np.int64)
    for b in range(1, n + 1):
        best[b] = _gain(weight, moment, 0, b)
    reached = np.full(n, np.nan)
    for k in range(1, classes):
        after[:] = -np.inf
        if k == classes - 1:
            for a in range(k, n):
                reached[a - 1] = best[a] + _gain(weight, moment, a, n)
        _halve(weight, moment, best, after, back[k], k)
        best, after = after, best
    ends = np.empty(classes - 1, np.int64)
    at = n
    for k in range(classes - 1, 0, -1):
        at = back[k, at]
        ends[k - 1] = at
    return ends, reached


@kernel
@no_type_check
def _halve(weight, moment, best, after, back, k):
    """Find the best last cut before each end; it never falls as the end moves on."""
    n = len(weight) - 1
    todo = np.empty((128, 4), np.int64)
    todo[0] = (k + 1, n, k, n - 1)
    top = 1
    while top > 0:
        top -= 1
        first, last, low, high = todo[top]
        if first > last:
            continue
        end = (first + last) // 2
        chosen = low
        for a in range(low, min(high, end - 1) + 1):
            value = best[a] + _gain(weight, moment, a, end)
            if value > after[end]:
                after[end] = value
                chosen = a
        back[end] = chosen
        todo[top] = (first, end - 1, low, chosen)
        todo[top + 1] = (end + 1, last, chosen, high)
        top += 2
