"""Star objects: polygons about likely samples, of which the likeliest of each object is kept."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._jit import kernel
from vesalius.ops._star_distances import ray_directions
from vesalius.ops._tidy_objects import tidy_objects

_FAR = 1e6
"""Vertices are kept within this of the first sample, so that a wild distance costs no time."""


class StarObjects(NamedTuple):
    """Objects made from polygons.

    Attributes:
        labels: From 1 on, the likeliest first; 0 is background.
        probabilities: Of each object, float64.
    """

    labels: Int32[Tensor, "y x"]
    probabilities: Float[Tensor, " n"]


def peaks(values: Float[Tensor, "y x"], above: float) -> Bool[Tensor, "y x"]:
    """Mark the samples that none of their eight neighbours exceeds, if they are above a value.

    Args:
        values: Any.
        above: Peaks are higher than this.
    """
    highest = nn.functional.max_pool2d(values[None, None], 3, stride=1, padding=1)[0, 0]
    return (values > above) & (values >= highest)


def star_polygons(
    centres: Float[Tensor, "n 2"], distances: Float[Tensor, "n rays"]
) -> Float[Tensor, "n rays 2"]:
    """Place the vertices of star-convex polygons.

    Args:
        centres: (y, x), samples.
        distances: From the centre along each ray, samples; negative ones count as 0.

    Raises:
        ConfigError: The number of rays is odd, or below 4.
    """
    rays = ray_directions(distances.shape[1]).to(distances)
    return centres.to(distances)[:, None] + distances.clamp_min(0)[..., None] * rays


def star_objects(
    polygons: Float[Tensor, "n rays 2"],
    probabilities: Float[Tensor, " m"],
    shape: tuple[int, int],
    *,
    overlap: float = 0.4,
    least_size: int = 1,
) -> StarObjects:
    """Draw polygons in falling order of probability and leave out those that are there already.

    A polygon takes the samples whose centre it holds and that none before it has taken. It is left
    out where more than a share ``overlap`` of its samples is taken, or where it would hold more
    than that share of an object that is there.

    Args:
        polygons: Vertices (y, x) in order, samples; edges must not cross. They may leave the image.
        probabilities: Of each; of equals, the first goes first.
        shape: Of the image, (y, x).
        overlap: From 0 to 1.
        least_size: Objects of fewer samples are left out, before and after they are cut by others.

    Returns:
        Objects in one piece, without holes.

    Raises:
        ShapeError: There is not one probability for each polygon.
        ConfigError: ``overlap`` is not from 0 to 1, or ``least_size`` is below 1.

    References:
        Schmidt et al. (2018), doi:10.1007/978-3-030-00934-2_30, section 2 (greedy suppression).
        Differs from it in: overlaps are counted in samples, with all that is drawn so far, as a
        share of the polygon and of each object.
    """
    if len(probabilities) != len(polygons):
        raise ShapeError(
            f"each polygon must have a probability, got {len(polygons)} and {len(probabilities)}"
        )
    if not 0 <= overlap <= 1 or least_size < 1:
        raise ConfigError(
            f"overlap must be from 0 to 1 and least_size at least 1, got {overlap} and {least_size}"
        )
    likely = probabilities.detach().cpu().double().numpy()
    corners = polygons.detach().cpu().double().clamp(-_FAR, _FAR).numpy()
    order = np.argsort(-likely, kind="stable")
    drawn = np.zeros(shape, np.int32)
    kept = _draw(np.ascontiguousarray(corners), order, drawn, (overlap, least_size))
    labels = tidy_objects(torch.from_numpy(drawn)[None], least_size=least_size)[0]
    found = np.zeros(1 + int(labels.max()) if labels.numel() else 1)
    numbers = labels.numpy()
    inside = numbers > 0
    found[numbers[inside]] = likely[kept][drawn[inside] - 1] if len(kept) else 0.0
    return StarObjects(labels, torch.from_numpy(found[1:]))


@kernel
@no_type_check
def _draw(polygons, order, drawn, rules):
    """Draw what is kept; give its indices."""
    count = len(order)
    sizes = np.zeros(count + 1, np.int64)
    shared = np.zeros(count + 1, np.int64)
    met = np.empty(count + 1, np.int64)
    kept = np.empty(count, np.int64)
    n = 0
    for k in order:
        spans = _spans(polygons[k], drawn.shape)
        size = taken = several = 0
        for i in range(len(spans)):
            y, low, high = spans[i]
            size += high - low
            for x in range(low, high):
                there = drawn[y, x]
                if there > 0:
                    if shared[there] == 0:
                        met[several] = there
                        several += 1
                    shared[there] += 1
                    taken += 1
        good = size >= rules[1] and taken <= rules[0] * size and taken < size
        for i in range(several):
            good = good and shared[met[i]] <= rules[0] * sizes[met[i]]
            shared[met[i]] = 0
        if good:
            kept[n] = k
            n += 1
            sizes[n] = size - taken
            for i in range(len(spans)):
                y, low, high = spans[i]
                for x in range(low, high):
                    if drawn[y, x] == 0:
                        drawn[y, x] = n
    return kept[:n]


@kernel
@no_type_check
def _spans(polygon, shape):
    """List the runs of samples (y, first, after last) whose centres a polygon holds, even-odd."""
    rays = len(polygon)
    low, high = polygon[:, 0].min(), polygon[:, 0].max()
    first = int(np.ceil(min(max(low, 0.0), float(shape[0]))))
    last = int(np.floor(min(max(high, -1.0), shape[0] - 1.0)))
    rows = max(0, last - first + 1)
    crossings = np.empty((rows, rays))
    counts = np.zeros(rows, np.int64)
    for i in range(rays):
        ay, ax = polygon[i]
        by, bx = polygon[(i + 1) % rays]
        if ay > by:
            ay, ax, by, bx = by, bx, ay, ax
        # half-open: a row through a vertex crosses one of its two edges
        start = max(first, int(np.ceil(ay)))
        stop = min(last, int(np.ceil(by)) - 1)
        for y in range(start, stop + 1):
            x = ax + (y - ay) * (bx - ax) / (by - ay)
            r = y - first
            n = counts[r]
            while n > 0 and crossings[r, n - 1] > x:
                crossings[r, n] = crossings[r, n - 1]
                n -= 1
            crossings[r, n] = x
            counts[r] += 1
    spans = np.empty((counts.sum() // 2, 3), np.int64)
    n = 0
    for r in range(rows):
        for i in range(0, counts[r] - 1, 2):
            left = int(np.ceil(min(max(crossings[r, i], 0.0), float(shape[1]))))
            right = int(np.ceil(min(max(crossings[r, i + 1], 0.0), float(shape[1]))))
            if right > left:
                spans[n] = first + r, left, right
                n += 1
    return spans[:n]
