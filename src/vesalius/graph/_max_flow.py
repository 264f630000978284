"""Minimum cuts of lattices: the exact optimum of a two-label energy, by the maximum flow."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError
from vesalius.ops._jit import kernel

FREE, SOURCE, SINK = 0, 1, 2
TERMINAL, ORPHAN, NONE = 6, 7, 8  # what a parent can be beside one of the six ways
AWAY = 1 << 30

Field = Float[Tensor, "z y x"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The labelling of least energy.

    Attributes:
        inside: True on the side of the source.
        flow: The maximum flow; equal to ``energy`` up to rounding, which proves the optimum.
        energy: Of the labelling: capacities that it cuts.
    """

    inside: Bool[Tensor, "z y x"]
    flow: float
    energy: float


def minimum_cut(
    source: Field, sink: Float[Tensor, "kz ky kx"], links: Float[Tensor, "axes lz ly lx"]
) -> Cut:
    """Label each sample inside or outside at the least total cost, exactly.

    The energy is the sum of ``source`` over samples outside, of ``sink`` over samples inside, and
    of ``links`` over face neighbours with different labels. Among several optima, the one with
    the fewest samples inside is given.

    Args:
        source: Cost of calling a sample outside, 0 or more.
        sink: Cost of calling it inside, 0 or more. A cost larger than all others together is a
            hard constraint.
        links: Cost of separating a sample from its next one along z, y and x; the last sample of
            an axis has none, its value is not used.

    Returns:
        The labelling, with flow and energy.

    Raises:
        ShapeError: The shapes differ.
        IntensityError: A cost is negative or not finite.

    References:
        Boykov & Kolmogorov (2004), doi:10.1109/TPAMI.2004.60, with the distance and time marks
        of Kolmogorov (2004); both trees are reused after each augmentation.
    """
    shape = tuple(source.shape)
    if tuple(sink.shape) != shape or tuple(links.shape) != (3, *shape):
        raise ShapeError(
            f"sink must have shape {shape} and links (3, *{shape}) like source, "
            f"got {tuple(sink.shape)} and {tuple(links.shape)}"
        )
    for name, cost in (("source", source), ("sink", sink), ("links", links)):
        if not bool((torch.isfinite(cost) & (cost >= 0)).all()):
            raise IntensityError(f"costs must be finite and at least 0, {name} has others")
    up, down, sides = (x.detach().cpu().double().numpy() for x in (source, sink, links))
    terminal = (up - down).ravel()
    base = float(np.minimum(up, down).sum())
    offsets, capacity = _capacities(sides)
    inside, flow = _flow(capacity, terminal, offsets)
    label = inside.reshape(shape)
    energy = float(up[~label].sum() + down[label].sum())
    for axis in range(3):
        cut = np.diff(label, axis=axis)
        n = shape[axis] - 1
        energy += float(np.take(sides[axis], range(n), axis=axis)[cut].sum())
    return Cut(torch.from_numpy(label).to(source.device), base + flow, energy)


def _capacities(sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the ways to neighbours as flat offsets, there and back, and their capacities."""
    shape = sides.shape[1:]
    strides = (shape[1] * shape[2], shape[2], 1)
    axes = [axis for axis in range(3) if shape[axis] > 1]
    capacity = np.zeros((int(np.prod(shape)), 2 * len(axes)))
    offsets = []
    for k, axis in enumerate(axes):
        offsets += [strides[axis], -strides[axis]]
        there = np.moveaxis(capacity.reshape(*shape, -1)[..., 2 * k], axis, 0)
        back = np.moveaxis(capacity.reshape(*shape, -1)[..., 2 * k + 1], axis, 0)
        there[:-1] = back[1:] = np.moveaxis(sides[axis], axis, 0)[:-1]
    return np.array(offsets, dtype=np.int64), capacity


@kernel
@no_type_check
def _flow(cap, terminal, offsets):
    """Push the maximum flow; returns which samples the source still reaches, and the flow."""
    n = len(terminal)
    tree = np.zeros(n, dtype=np.int8)
    parent = np.full(n, NONE, dtype=np.int8)
    stamp = np.zeros(n, dtype=np.int32)
    far = np.zeros(n, dtype=np.int32)
    waiting = np.zeros(n, dtype=np.bool_)
    active = np.empty(n + 1, dtype=np.int64)
    orphans = np.empty(n + 1, dtype=np.int64)
    ends = np.zeros(4, dtype=np.int64)  # head and tail of active, of orphans
    state = (tree, parent, stamp, far, waiting, active, orphans, ends)
    for i in range(n):
        if terminal[i] != 0:
            tree[i] = SOURCE if terminal[i] > 0 else SINK
            parent[i] = TERMINAL
            far[i] = 1
            _activate(i, state)
    total, time = 0.0, 0
    while ends[0] != ends[1]:
        i = active[ends[0]]
        if parent[i] == NONE:
            ends[0] = (ends[0] + 1) % (n + 1)
            waiting[i] = False
            continue
        way = _grow(i, cap, offsets, state)
        if way < 0:
            ends[0] = (ends[0] + 1) % (n + 1)
            waiting[i] = False
            continue
        if tree[i] == SOURCE:
            total += _augment(i, i + offsets[way], way, (cap, terminal, offsets), state)
        else:
            total += _augment(i + offsets[way], i, way ^ 1, (cap, terminal, offsets), state)
        time += 1
        while ends[2] != ends[3]:
            j = orphans[ends[2]]
            ends[2] = (ends[2] + 1) % (n + 1)
            _adopt(j, time, (cap, offsets), state)
    return tree == SOURCE, total


@kernel
@no_type_check
def _activate(i, state):
    _, _, _, _, waiting, active, _, ends = state
    if not waiting[i]:
        waiting[i] = True
        active[ends[1]] = i
        ends[1] = (ends[1] + 1) % len(active)


@kernel
@no_type_check
def _grow(i, cap, offsets, state):
    """Take free neighbours into the tree; returns the way to the other tree, or -1."""
    tree, parent, stamp, far, _, _, _, _ = state
    for way in range(len(offsets)):
        j = i + offsets[way]
        if j < 0 or j >= len(tree):
            continue
        room = cap[i, way] if tree[i] == SOURCE else cap[j, way ^ 1]
        if not room > 0:
            continue
        if tree[j] == FREE:
            tree[j] = tree[i]
            parent[j] = way ^ 1
            stamp[j] = stamp[i]
            far[j] = far[i] + 1
            _activate(j, state)
        elif tree[j] != tree[i]:
            return way
        elif stamp[j] <= stamp[i] and far[j] > far[i]:
            parent[j] = way ^ 1  # a shorter way to the root
            stamp[j] = stamp[i]
            far[j] = far[i] + 1
    return -1


@kernel
@no_type_check
def _augment(s, t, way, network, state):
    """Push what fits along the path source .. s -> t .. sink; saturated edges leave orphans."""
    cap, terminal, offsets = network
    parent = state[1]
    most = cap[s, way]
    i = s
    while parent[i] != TERMINAL:
        j = i + offsets[parent[i]]
        most = min(most, cap[j, parent[i] ^ 1])
        i = j
    most = min(most, terminal[i])
    i = t
    while parent[i] != TERMINAL:
        most = min(most, cap[i, parent[i]])
        i = i + offsets[parent[i]]
    most = min(most, -terminal[i])
    cap[s, way] -= most
    cap[t, way ^ 1] += most
    i = s
    while parent[i] != TERMINAL:
        up = parent[i]
        j = i + offsets[up]
        cap[i, up] += most
        cap[j, up ^ 1] -= most
        if not cap[j, up ^ 1] > 0:
            _orphan(i, state)
        i = j
    terminal[i] -= most
    if not terminal[i] > 0:
        _orphan(i, state)
    i = t
    while parent[i] != TERMINAL:
        up = parent[i]
        j = i + offsets[up]
        cap[j, up ^ 1] += most
        cap[i, up] -= most
        if not cap[i, up] > 0:
            _orphan(i, state)
        i = j
    terminal[i] += most
    if not terminal[i] < 0:
        _orphan(i, state)
    return most


@kernel
@no_type_check
def _orphan(i, state):
    _, parent, _, _, _, _, orphans, ends = state
    parent[i] = ORPHAN
    orphans[ends[3]] = i
    ends[3] = (ends[3] + 1) % len(orphans)


@kernel
@no_type_check
def _adopt(i, time, network, state):
    """Find an orphan a new parent whose root is a terminal, the nearest; else set it free."""
    cap, offsets = network
    tree, parent, stamp, far, _, _, _, _ = state
    best, least = NONE, AWAY
    for way in range(len(offsets)):
        j = i + offsets[way]
        if j < 0 or j >= len(tree) or tree[j] != tree[i] or parent[j] >= ORPHAN:
            continue
        room = cap[j, way ^ 1] if tree[i] == SOURCE else cap[i, way]
        if not room > 0:
            continue
        steps = _steps_to_root(j, time, offsets, state)
        if steps < least:
            best, least = way, steps
        if steps < AWAY:  # mark the path, so that the next search along it is short
            k = j
            while stamp[k] != time:
                stamp[k] = time
                far[k] = steps
                steps -= 1
                k = k + offsets[parent[k]] if parent[k] != TERMINAL else k
    if best != NONE:
        parent[i] = best
        stamp[i] = time
        far[i] = least + 1
        return
    for way in range(len(offsets)):
        j = i + offsets[way]
        if j < 0 or j >= len(tree) or tree[j] != tree[i] or parent[j] == NONE:
            continue
        room = cap[j, way ^ 1] if tree[i] == SOURCE else cap[i, way]
        if room > 0:
            _activate(j, state)
        if parent[j] < TERMINAL and j + offsets[parent[j]] == i:
            _orphan(j, state)
    tree[i] = FREE
    parent[i] = NONE


@kernel
@no_type_check
def _steps_to_root(i, time, offsets, state):
    """Count the steps to a terminal; AWAY where the path ends at an orphan."""
    _, parent, stamp, far, _, _, _, _ = state
    steps = 0
    while True:
        if stamp[i] == time:
            return steps + far[i]
        up = parent[i]
        steps += 1
        if up == TERMINAL:
            stamp[i] = time
            far[i] = 1
            return steps
        if up >= ORPHAN:
            return AWAY
        i = i + offsets[up]
