"""Tree Shapley: exact Shapley values of sums of trees, against cases of a background."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np

from vesalius.ops._jit import kernel
from vesalius.predict._table import Floats
from vesalius.predict._trees import Nodes

Trees = tuple[int, int]


def tree_shapley(
    cases: Floats, background: Floats, nodes: Nodes, *, column: int = 0, trees: Trees = (0, 1)
) -> Floats:
    """Share out what sums of trees say of cases, less what they say of a background, to features.

    A leaf is met by a mixture of case and background where every feature asked on its way comes
    from one that goes there; where ``a`` features must come from the case and ``b`` from the
    background, each of the former gets ``(a-1)! b! / (a+b)!`` of the leaf, each of the latter loses
    ``a! (b-1)! / (a+b)!``.

    Args:
        cases: (cases, features).
        background: (background, features).
        nodes: As :func:`vesalius.predict._trees.packed`.
        column: Of the leaves.
        trees: First tree and step; a model of several outputs may have their trees in turn.

    Returns:
        (cases, features), the mean over the background.

    References:
        Lundberg et al. (2020), doi:10.1038/s42256-019-0138-9, algorithm 3 (interventional).
    """
    # one type of numbers, so that one kernel is compiled
    names = ("start", "feature", "below", "above")
    links = tuple(nodes[name].astype(np.int64) for name in names)
    leaves = np.ascontiguousarray(nodes["leaves"][:, column])
    depth = _deepest(links[1], links[2], links[3], starts=links[0])
    factorial = np.array([math.lgamma(k + 1.0) for k in range(depth + 2)])
    found: Floats = _shared(
        (np.ascontiguousarray(cases), np.ascontiguousarray(background)),
        links,
        nodes["threshold"],
        leaves,
        (np.int64(trees[0]), np.int64(trees[1])),
        factorial,
    )
    return found / max(len(background), 1)


def _deepest(
    feature: np.ndarray, below: np.ndarray, above: np.ndarray, *, starts: np.ndarray
) -> int:
    """Count the questions on the longest way."""
    deepest, front = 0, starts.astype(np.int64)
    root = front.copy()
    while True:
        asks = feature[front] >= 0
        front, root = front[asks], root[asks]
        if not len(front):
            return deepest
        deepest += 1
        front = np.concatenate([root + below[front], root + above[front]])
        root = np.concatenate([root, root])


@kernel
@no_type_check
def _shared(rows, links, threshold, leaves, trees, factorial):
    cases, background = rows
    start, feature, below, above = links
    out = np.zeros(cases.shape)
    room = len(factorial)
    stack = np.empty((room + 2, 3), dtype=np.int64)
    path = np.empty((room, 2), dtype=np.int64)
    for i in range(len(cases)):
        for j in range(len(background)):
            for t in range(trees[0], len(start), trees[1]):
                _one_tree(
                    (cases[i], background[j]),
                    (feature, below, above),
                    threshold,
                    leaves,
                    start[t],
                    (stack, path, factorial, out[i]),
                )
    return out


@kernel
@no_type_check
def _one_tree(pair, links, threshold, leaves, root, room):
    """Walk both ways where case and background part, remembering whose feature was taken."""
    x, b = pair
    feature, below, above = links
    stack, path, factorial, out = room
    top = 1
    # node, decisions on the way to it, and the feature that is taken from the background there
    _put(stack[0], root, 0, -1)
    while top > 0:
        top -= 1
        at, length = stack[top, 0], stack[top, 1]
        if stack[top, 2] >= 0:  # the background's way at the question that was left open
            path[length, 0], path[length, 1] = stack[top, 2], 0
            length += 1
        while feature[at] >= 0:
            f = feature[at]
            low_x, low_b = x[f] <= threshold[at], b[f] <= threshold[at]
            taken = -1
            if low_x != low_b:
                for k in range(length):
                    if path[k, 0] == f:
                        taken = path[k, 1]
            if low_x != low_b and taken < 0:
                _put(stack[top], root + (below[at] if low_b else above[at]), length, f)
                top += 1
                path[length, 0], path[length, 1] = f, 1
                length += 1
                taken = 1
            low = low_b if taken == 0 else low_x
            at = root + (below[at] if low else above[at])
        _give(leaves[below[at]], path, length, factorial, out)


@kernel
@no_type_check
def _put(row, node, length, feature):
    row[0], row[1], row[2] = node, length, feature


@kernel
@no_type_check
def _give(leaf, path, length, factorial, out):
    mine = 0
    for k in range(length):
        mine += path[k, 1]
    theirs = length - mine
    for k in range(length):
        if path[k, 1] == 1:
            share = factorial[mine - 1] + factorial[theirs] - factorial[length]
            out[path[k, 0]] += leaf * math.exp(share)
        else:
            share = factorial[mine] + factorial[theirs - 1] - factorial[length]
            out[path[k, 0]] -= leaf * math.exp(share)
