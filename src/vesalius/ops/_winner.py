"""Winner: probabilities of a lattice, interpolated and decided voxel by voxel on another lattice.

Slices of the source come in order, as they are finished; no volume of probabilities is held.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, final, no_type_check

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import GeometryError
from vesalius.ops._jit import kernel
from vesalius.ops._separable import aligned_axes
from vesalius.ops._threads import share

SLACK = 1e-6
"""A voxel this far beyond the outer face of the source, in samples, still lies on it."""
FLOOR = 1e-12
"""Probabilities below count as this much where a logarithm is taken."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Arrays on the target lattice, axes in the order of the target, which slices are painted on.

    Attributes:
        values: Label value of each class.
        power: Of the probabilities before entropy and maps, 1 / temperature.
        labels: (z, y, x), integer, zeros at first; the value of the largest class.
        probability: (k, z, y, x) float32, or with k = 0 where it is not wanted.
        entropy: (z, y, x) float32, nats; of size 0 where it is not wanted.
        information: (z, y, x) float32, nats; mutual information; of size 0 where not wanted.
            The source then has one more channel: the mean entropy of the members.
    """

    values: Any
    power: float
    labels: Any
    probability: Any
    entropy: Any
    information: Any


@final
class Painter:
    """Takes finished slices of a source lattice and decides the voxels of a target lattice.

    The class probabilities are interpolated linearly, class by class and row by row, and the
    largest wins (ties: the first). Beyond the outer faces of the source nothing is painted.

    Args:
        matrix: (4, 4); target index (z, y, x, 1) to source index.
        shape: Samples of the source along (z, y, x).
        wanted: What is painted.

    Raises:
        GeometryError: The lattices do not share their axes (up to order and direction).
    """

    def __init__(
        self, matrix: Float[Tensor, "4 4"], shape: tuple[int, int, int], wanted: Wanted
    ) -> None:
        target = wanted.labels.shape
        axes = aligned_axes(matrix.numpy(), target)
        if axes is None:
            raise GeometryError(
                "source and target must have parallel axes, the map between them turns by "
                f"{matrix[:3, :3].tolist()}: resample onto a grid with the axes of the source"
            )
        order = axes.source
        at = [axes.slope[a] * np.arange(target[order[a]]) + axes.offset[a] for a in range(3)]
        self._places = [_places(p, n) for p, n in zip(at, shape, strict=True)]
        self._wanted = Wanted(
            np.asarray(wanted.values, dtype=wanted.labels.dtype),
            wanted.power,
            wanted.labels.transpose(order),
            wanted.probability.transpose((0, *(1 + a for a in order))),
            _turned(wanted.entropy, order),
            _turned(wanted.information, order),
        )
        self._last: Any = None

    def add(self, start: int, values: Float[Tensor, "k dz y x"]) -> None:
        """Take the next slices, and decide all voxels between them and those before.

        Args:
            start: Index of the first slice in the source.
            values: Probabilities of the classes, and the mean entropy of the members if wanted.
        """
        here = np.ascontiguousarray(values.detach().cpu().numpy(), dtype=np.float32)
        stop = start + here.shape[1]
        if self._last is not None:
            here, start = np.concatenate([self._last, here], axis=1), start - 1
        _, high, _, inside = self._places[0]
        fresh = inside & (high < stop) & (high > start - (self._last is None))
        self._last = here[:, -1:].copy()
        rows = np.flatnonzero(fresh)
        wanted, (_, y, x) = self._wanted, self._places
        z = [p[rows] for p in self._places[0][:3]]
        count = len(rows) * len(y[0])
        share(
            lambda a, b: _decide(
                here,
                (rows, z[0] - start, z[1] - start, z[2]),
                y,
                x,
                (wanted.values, np.float32(wanted.power)),
                (wanted.labels, wanted.probability, wanted.entropy, wanted.information),
                (a, b),
            ),
            count,
            least=64,
        )


def _places(at: Any, n: int) -> tuple[Any, Any, Any, Any]:
    """Lower and upper neighbour, share of the upper one, and whether a voxel is inside."""
    inside = (at >= -0.5 - SLACK) & (at <= n - 0.5 + SLACK)
    at = np.clip(at, 0, n - 1)
    near = np.rint(at)
    at = np.where(np.abs(at - near) < SLACK, near, at)
    low = np.floor(at).astype(np.int64)
    share_high = (at - low).astype(np.float32)
    high = np.where(share_high > 0, low + 1, low)
    return low, high, share_high, inside


def _turned(volume: Any, order: tuple[int, ...]) -> Any:
    return volume.transpose(order) if volume.size else np.zeros((0, 0, 0), np.float32)


@kernel
@no_type_check
def _row(source, c, z, y, line):
    """Interpolate one row of one channel across z and y."""
    z0, z1, tz = z
    y0, y1, ty = y
    if tz == 0 and ty == 0:
        for i in range(len(line)):
            line[i] = source[c, z0, y0, i]
        return
    one = np.float32(1)
    a, b = (one - tz) * (one - ty), (one - tz) * ty
    d, e = tz * (one - ty), tz * ty
    for i in range(len(line)):
        line[i] = (
            a * source[c, z0, y0, i]
            + b * source[c, z0, y1, i]
            + d * source[c, z1, y0, i]
            + e * source[c, z1, y1, i]
        )


@kernel
@no_type_check
def _decide(source, zs, ys, xs, how, out, part):
    """Decide rows ``part`` of the target: the largest class, and the maps that are wanted."""
    rows, z_low, z_high, z_share = zs
    y_low, y_high, y_share, y_inside = ys
    x_low, x_high, x_share, x_inside = xs
    values, power = how
    labels, probability, entropy, information = out
    classes, n = len(values), len(x_low)
    doubt = entropy.size > 0 or information.size > 0 or probability.size > 0
    line = np.empty(source.shape[3], np.float32)
    best, which = np.empty(n, np.float32), np.empty(n, np.int64)
    total, plain, soft = np.empty(n), np.empty(n), np.empty(n)
    for at in range(part[0], part[1]):
        i, j = at // len(y_low), at % len(y_low)
        if not y_inside[j]:
            continue
        zo = rows[i]
        z = (z_low[i], z_high[i], z_share[i])
        y = (y_low[j], y_high[j], y_share[j])
        best[:] = -1
        total[:], plain[:], soft[:] = 0, 0, 0
        for c in range(classes):
            _row(source, c, z, y, line)
            for x in range(n):
                a = line[x_low[x]]
                p = a + x_share[x] * (line[x_high[x]] - a)
                if p > best[x]:
                    best[x], which[x] = p, c
            if not doubt:
                continue
            for x in range(n):
                a = line[x_low[x]]
                p = max(a + x_share[x] * (line[x_high[x]] - a), FLOOR)
                log = np.log(p)
                q = p if power == 1 else np.exp(power * log)
                total[x] += q
                soft[x] += q * power * log
                plain[x] -= p * log
                if probability.size and x_inside[x]:
                    probability[c, zo, j, x] = q
        for x in range(n):
            if x_inside[x]:
                labels[zo, j, x] = values[which[x]]
        if not doubt:
            continue
        for x in range(n):
            if entropy.size and x_inside[x]:
                entropy[zo, j, x] = max(np.log(total[x]) - soft[x] / total[x], 0.0)
            if probability.size:
                for c in range(classes):
                    probability[c, zo, j, x] /= total[x]
        if information.size:
            _row(source, classes, z, y, line)
            for x in range(n):
                a = line[x_low[x]]
                mean = a + x_share[x] * (line[x_high[x]] - a)
                if x_inside[x]:
                    information[zo, j, x] = max(plain[x] - mean, 0.0)
