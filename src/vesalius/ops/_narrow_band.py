"""Narrow band of a level set: which voxels lie near its contour, and how far they are from it.

Blocks are flat, with a frame of one voxel. ``state`` says of each voxel: 0 free, 1 in the band,
2 never (frame, or outside the mask): beyond those a level set has no slope.
"""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from vesalius.ops._jit import kernel

REACH = 3.0
"""Half width of the band, samples of the finest axis."""


class Band(NamedTuple):
    """A framed level set with its band.

    Attributes:
        phi: Flat, positive inside; ``REACH`` in size beyond the band.
        state: Flat; see the file.
        steps: Flat steps along (z, y, x); 0 for an axis of one sample.
        ratio: Finest spacing divided by the spacing along (z, y, x); 0 likewise.
        shape: With the frame.
    """

    phi: NDArray[np.float32]
    state: NDArray[np.uint8]
    steps: NDArray[np.int64]
    ratio: NDArray[np.float32]
    shape: tuple[int, int, int]

    def unframed(self) -> Float[Tensor, "z y x"]:
        """Give the level set without its frame."""
        return torch.from_numpy(self.phi.reshape(self.shape)[1:-1, 1:-1, 1:-1].copy())


def framed_band(
    inside: Bool[Tensor, "z y x"],
    mask: Bool[Tensor, "z y x"] | None,
    ratio: tuple[float, float, float],
) -> Band:
    """Lay out the level set of a mask: ``REACH`` inside and minus that outside, no band yet.

    Args:
        inside: (z, y, x).
        mask: Where the contour may move; everywhere if absent.
        ratio: Finest spacing divided by each.

    Returns:
        The block, ready for ``rebuild``.
    """
    signs = np.where(inside.cpu().numpy(), np.float32(REACH), np.float32(-REACH))
    phi = np.ascontiguousarray(np.pad(signs, 1, mode="edge"))
    free = np.ones(signs.shape, bool) if mask is None else mask.cpu().numpy()
    state = np.pad(np.where(free, 0, 2).astype(np.uint8), 1, constant_values=2)
    _, ny, nx = phi.shape
    steps = np.array([ny * nx, nx, 1]) * (np.array(ratio) > 0)
    shape = (phi.shape[0], ny, nx)
    return Band(phi.reshape(-1), state.reshape(-1), steps, np.array(ratio, np.float32), shape)


def framed_field(field: Float[Tensor, "z y x"]) -> NDArray[np.float32]:
    """Lay out a field as the level set is: flat, with a frame of repeated samples."""
    block = field.detach().cpu().float().numpy()
    return np.ascontiguousarray(np.pad(block, 1, mode="edge")).reshape(-1)


@kernel
@no_type_check
def crossings(phi, state, steps):
    """List all free voxels with a face neighbour on the other side of the contour."""
    found = np.empty(1024, np.int64)
    count = 0
    for i in range(len(phi)):
        if state[i] < 2 and _crosses(phi, state, steps, i):
            if count == len(found):
                found = _longer(found)
            found[count] = i
            count += 1
    return found[:count]


@kernel
@no_type_check
def _crosses(phi, state, steps, i):
    side = phi[i] > 0
    for step in steps:
        if step > 0:
            for j in (i - step, i + step):
                if state[j] < 2 and (phi[j] > 0) != side:
                    return True
    return False


@kernel
@no_type_check
def _longer(found):
    more = np.empty(2 * len(found), found.dtype)
    more[: len(found)] = found
    return more


@kernel
@no_type_check
def rebuild(phi, state, steps, near, layers):
    """List the voxels within some steps of those in ``near`` that lie at the contour, by layer.

    Voxels of the old band must be in ``near``; those that are not in the new one get state 0.
    Gives the new band and how many of its first voxels lie at the contour.
    """
    band = np.empty(max(1024, 2 * len(near)), np.int64)
    count = 0
    for i in near:
        state[i] = 0
    for i in near:
        if state[i] == 0 and _crosses(phi, state, steps, i):
            if count == len(band):
                band = _longer(band)
            band[count] = i
            count += 1
            state[i] = 1
    first, begin = count, 0
    for _ in range(layers):
        end = count
        for k in range(begin, end):
            for step in steps:
                if step == 0:
                    continue
                for j in (band[k] - step, band[k] + step):
                    if state[j] == 0:
                        if count == len(band):
                            band = _longer(band)
                        band[count] = j
                        count += 1
                        state[j] = 1
        begin = end
    return band[:count], first


@kernel
@no_type_check
def redistance(phi, state, steps, ratio, band, first, reach):
    """Make the level set a signed distance in its band, the contour staying where it is.

    Voxels at the contour take their distance from where it crosses the lattice lines; the others
    solve the eikonal equation, upwind, from layer to layer and back.
    """
    fresh = np.empty(first, np.float32)
    for k in range(first):
        now, there = abs(phi[band[k]]), _to_contour(phi, state, steps, ratio, band[k])
        # each correction moves the contour a little inwards: leave what is nearly right
        fresh[k] = there if there < 0.9 * now or there > 1.11 * now else now
    for k in range(first):
        i = band[k]
        phi[i] = fresh[k] if phi[i] > 0 else -fresh[k]
    for k in range(first, len(band)):
        i = band[k]
        phi[i] = reach if phi[i] > 0 else -reach
    for k in range(first, len(band)):
        _solve(phi, state, steps, ratio, band[k], reach)
    for k in range(len(band) - 1, first - 1, -1):
        _solve(phi, state, steps, ratio, band[k], reach)


@kernel
@no_type_check
def _to_contour(phi, state, steps, ratio, i):
    p = phi[i]
    total = 0.0
    for a in range(3):
        if steps[a] == 0:
            continue
        share = 2.0
        for j in (i - steps[a], i + steps[a]):
            if state[j] < 2 and (phi[j] > 0) != (p > 0):
                share = min(share, p / (p - phi[j]))
        if share <= 1.0:
            each = ratio[a] / max(share, 1e-4)
            total += each * each
    return 1 / np.sqrt(total)


@kernel
@no_type_check
def _solve(phi, state, steps, ratio, i, reach):
    """Give one voxel the distance that its nearer neighbours on the same side ask for."""
    side = phi[i] > 0
    a, u = _nearer(phi, state, steps[0], ratio[0], i, side)
    b, v = _nearer(phi, state, steps[1], ratio[1], i, side)
    c, w = _nearer(phi, state, steps[2], ratio[2], i, side)
    if b < a:
        a, b, u, v = b, a, v, u
    if c < b:
        b, c, v, w = c, b, w, v
        if b < a:
            a, b, u, v = b, a, v, u
    # the slope may come from one axis, two or three: as many as lie upwind
    best = a + 1 / np.sqrt(u)
    if b < best:
        best = _upwind(u + v, u * a + v * b, u * a * a + v * b * b)
        if c < best:
            best = _upwind(u + v + w, u * a + v * b + w * c, u * a * a + v * b * b + w * c * c)
    distance = min(best, reach)
    if distance < abs(phi[i]):
        phi[i] = distance if side else -distance


@kernel
@no_type_check
def _nearer(phi, state, step, ratio, i, side):
    """Give the smaller distance of the two neighbours along an axis, and its squared ratio."""
    if step == 0:
        return np.float32(1e9), np.float32(1)
    best = np.float32(1e9)
    if state[i - step] < 2 and (phi[i - step] > 0) == side:
        best = abs(phi[i - step])
    if state[i + step] < 2 and (phi[i + step] > 0) == side:
        best = min(best, abs(phi[i + step]))
    return best, ratio * ratio


@kernel
@no_type_check
def _upwind(square, one, constant):
    inner = one * one - square * (constant - 1)
    return (one + np.sqrt(max(inner, 0.0))) / square
