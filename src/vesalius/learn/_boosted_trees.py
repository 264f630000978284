"""Boosted symmetric trees: a classifier of feature rows that predicts without branches."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.ops._jit import kernel

BINS = 64
DEEPEST = 10
RIDGE = 10.0
"""Added to the curvature of each leaf: one of few rows corrects little."""


@final
@dataclass(frozen=True, slots=True)
class Boosting:
    """How trees are grown.

    Attributes:
        trees: How many.
        depth: Questions of each tree; all leaves of one depth ask the same.
        rate: Share of each correction that is made.
        most: Rows that each tree draws at most, with replacement.
        features: Tried at each question; 0 is a third of them.
    """

    trees: int = 20
    depth: int = 5
    rate: float = 0.25
    most: int = 10_000
    features: int = 0

    def __post_init__(self) -> None:
        if min(self.trees, self.depth, self.most) < 1 or self.features < 0 or not self.rate > 0:
            raise ConfigError(
                "trees, depth and most must be at least 1, features at least 0 and rate positive, "
                f"got {self}"
            )
        if self.depth > DEEPEST:
            raise ConfigError(f"depth must be at most {DEEPEST}, got {self.depth}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """Trees whose leaves hold what is added to the score of each class.

    Attributes:
        feature: Asked by each tree at each depth.
        threshold: A row whose feature is above sets one bit of its leaf's number.
        value: Added to the scores by each leaf.
        prior: Scores to begin with.
        features: How many a row has.

    Raises:
        ShapeError: The tables do not fit each other, or name a feature that is not there.
    """

    feature: Int64[Tensor, "t d"]
    threshold: Float[Tensor, "t2 d2"]
    value: Float[Tensor, "t3 c leaves"]
    prior: Float[Tensor, " c2"]
    features: int

    def __post_init__(self) -> None:
        trees, depth = self.feature.shape
        fits = self.threshold.shape == self.feature.shape and 0 < depth <= DEEPEST and trees > 0
        fits = fits and tuple(self.value.shape) == (trees, len(self.prior), 1 << depth)
        if not fits or not 0 <= int(self.feature.min()) <= int(self.feature.max()) < self.features:
            raise ShapeError(
                f"{trees} trees of depth {depth} must ask for their own {self.features} features "
                "and have 2^depth leaves: the file is damaged, train again"
            )

    def predict(self, planes: Float[Tensor, "f n"]) -> Float[Tensor, "n c"]:
        """Give the probability of each class.

        Args:
            planes: Features in rows, samples in columns.

        Returns:
            float32, rows add up to 1.

        Raises:
            ShapeError: There are not as many features as in training.
        """
        if planes.shape[0] != self.features:
            raise ShapeError(
                f"planes must have the {self.features} features of training, got {planes.shape[0]}"
            )
        rows = np.ascontiguousarray(planes.detach().cpu().float().numpy()).ravel()
        scores = _scores(
            rows,
            self.features,
            (
                self.feature.numpy(),
                self.threshold.float().numpy(),
                self.value.float().contiguous().numpy(),
            ),
            self.prior.float().numpy(),
        )
        return torch.softmax(torch.from_numpy(scores), dim=0).T.contiguous()


def grow_trees(
    x: Float[Tensor, "n f"],
    classes: Int64[Tensor, " n"],
    *,
    generator: torch.Generator,
    boosting: Boosting | None = None,
) -> BoostedTrees:
    """Grow symmetric trees, each on what those before it got wrong, by second-order boosting.

    Args:
        x: (n, f).
        classes: 0 to c - 1, each of which must occur.
        generator: Of the rows and features that each tree draws.
        boosting: How.

    Returns:
        The trees, on the CPU.

    Raises:
        RegionError: There are fewer than two classes, or one has no row.
        IntensityError: A feature is not finite.

    References:
        Friedman (2001), doi:10.1214/aos/1013203451; Chen & Guestrin (2016),
        doi:10.1145/2939672.2939785, eq. (6), for the gain; Prokhorenkova et al. (2018),
        arXiv:1706.09516, for symmetric trees. Features are cut at 64 quantiles.
    """
    rule = Boosting() if boosting is None else boosting
    count = int(classes.max()) + 1 if len(classes) else 0
    sizes = torch.bincount(classes, minlength=max(count, 1)).tolist()
    if count < 2 or min(sizes) == 0:
        raise RegionError(
            f"at least two classes must be marked, each by a sample, got {sizes} samples of each: "
            "mark voxels of every class"
        )
    if not bool(torch.isfinite(x).all()):
        raise IntensityError("features must be finite: replace NaN and infinity")
    rows = np.ascontiguousarray(x.detach().cpu().float().numpy())
    edges = _edges(rows)
    tried = min(rows.shape[1], rule.features or -(-rows.shape[1] // 3))
    seed = int(torch.randint(0, 2**31 - 1, (1,), generator=generator))
    prior = np.log(np.array(sizes) / len(rows)).astype(np.float32)
    feature, cut, value = _boost(
        _binned(rows, edges),
        classes.cpu().numpy(),
        prior,
        np.array([rule.trees, rule.depth, min(rule.most, len(rows)), tried, seed]),
        rule.rate,
    )
    return BoostedTrees(
        torch.from_numpy(feature),
        torch.from_numpy(edges[feature, cut]),
        torch.from_numpy(value),
        torch.from_numpy(prior),
        rows.shape[1],
    )


def _edges(rows: np.ndarray) -> np.ndarray:
    """Give the upper edge of each bin but the last: (f, 63), increasing."""
    part = rows[:: max(1, len(rows) // 10_000)]
    share = np.arange(1, BINS) / BINS
    found: np.ndarray = np.quantile(part, share, axis=0, method="lower")
    return np.ascontiguousarray(found.T.astype(np.float32))


@kernel
@no_type_check
def _binned(rows, edges):
    """Number the bin of each value: how many edges are below it."""
    n, f = rows.shape
    out = np.empty((f, n), dtype=np.uint8)
    for j in range(f):
        for i in range(n):
            low, high = 0, edges.shape[1]
            while low < high:
                middle = (low + high) // 2
                if rows[i, j] > edges[j, middle]:
                    low = middle + 1
                else:
                    high = middle
            out[j, i] = low
    return out


@kernel
@no_type_check
def _draw(state, bound):
    """Draw 0 to ``bound`` - 1 (xorshift64*, Vigna 2016, doi:10.1145/2845077)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.int64((x * np.uint64(2685821657736338717)) >> np.uint64(33)) % bound


@kernel
@no_type_check
def _boost(bins, names, prior, limits, rate):
    """Grow all trees; returns features, cuts and leaf values."""
    trees, depth, draws, tried, seed = limits
    f, n = bins.shape
    classes = len(prior)
    state = np.array([np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15)])
    score = np.empty((n, classes), dtype=np.float32)
    score[:] = prior
    feature = np.zeros((trees, depth), dtype=np.int64)
    cut = np.zeros((trees, depth), dtype=np.int64)
    value = np.zeros((trees, classes, 1 << depth), dtype=np.float32)
    leaf = np.empty(n, dtype=np.int64)
    rows = np.empty(draws, dtype=np.int64)
    slopes = np.empty((draws, 2 * classes), dtype=np.float32)
    choice = np.arange(f)
    for t in range(trees):
        for r in range(draws):
            rows[r] = r if draws == n else _draw(state, n)
            _slopes(score[rows[r]], names[rows[r]], slopes[r])
        leaf[:] = 0
        for d in range(depth):
            for k in range(tried):
                j = k + _draw(state, f - k)
                choice[k], choice[j] = choice[j], choice[k]
            best, at = _best_question(bins, (rows, leaf, slopes), choice[:tried], 1 << d)
            feature[t, d], cut[t, d] = best, at
            for i in range(n):
                leaf[i] |= np.int64(bins[best, i] > at) << d
        sums = np.zeros((1 << depth, 2 * classes))
        for r in range(draws):
            sums[leaf[rows[r]]] += slopes[r]
        for node in range(1 << depth):
            for c in range(classes):
                value[t, c, node] = rate * sums[node, c] / (sums[node, classes + c] + RIDGE)
        for i in range(n):
            for c in range(classes):
                score[i, c] += value[t, c, leaf[i]]
    return feature, cut, value


@kernel
@no_type_check
def _slopes(score, name, out):
    """Negative first and positive second derivative of the cross-entropy by each score."""
    classes = len(score)
    top = score.max()
    total = np.float32(0)
    for c in range(classes):
        out[c] = math.exp(score[c] - top)
        total += out[c]
    for c in range(classes):
        p = out[c] / total
        out[c] = (1.0 if c == name else 0.0) - p
        out[classes + c] = p * (1 - p)


@kernel
@no_type_check
def _best_question(bins, samples, choice, leaves):
    """Find the feature and bin that split all leaves with the largest gain together."""
    rows, leaf, slopes = samples
    width = slopes.shape[1]
    classes = width // 2
    best, feature, cut = -1.0, choice[0], 0
    sums = np.empty((leaves, 64, width), dtype=np.float32)
    for j in choice:
        sums[:] = 0
        for r in range(len(rows)):
            to = sums[leaf[rows[r]], bins[j, rows[r]]]
            for c in range(width):
                to[c] += slopes[r, c]
        gain = np.zeros(63)
        for node in range(leaves):
            for c in range(classes):
                g_all, h_all = 0.0, 0.0
                for b in range(64):
                    g_all += sums[node, b, c]
                    h_all += sums[node, b, classes + c]
                g, h = 0.0, 0.0
                for b in range(63):
                    g += sums[node, b, c]
                    h += sums[node, b, classes + c]
                    gain[b] += g * g / (h + RIDGE) + (g_all - g) ** 2 / (h_all - h + RIDGE)
        at = np.argmax(gain)
        if gain[at] > best:
            best, feature, cut = gain[at], j, at
    return feature, cut


@kernel
@no_type_check
def _scores(planes, features, trees, prior):
    """Score blocks of samples; every loop over a block runs on several samples at once."""
    feature, threshold, value = trees
    n = len(planes) // features
    classes, size = len(prior), 2048
    out = np.empty((classes, n), dtype=np.float32)
    for c in range(classes):
        out[c] = prior[c]
    leaf = np.empty(size, dtype=np.uint32)
    for start in range(0, n, size):
        width = min(size, n - start)
        for t in range(len(feature)):
            leaf[:] = 0
            for d in range(feature.shape[1]):
                first = feature[t, d] * n + start
                _ask(planes[first : first + width], threshold[t, d], leaf, np.uint32(1 << d))
            for c in range(classes):
                _add(value[t, c], leaf, out[c, start : start + width])
    return out


@kernel
@no_type_check
def _ask(plane, threshold, leaf, bit):
    for i in range(len(plane)):
        leaf[i] |= bit if plane[i] > threshold else np.uint32(0)


@kernel
@no_type_check
def _add(value, leaf, out):
    for i in range(len(out)):
        out[i] += value[leaf[i]]
