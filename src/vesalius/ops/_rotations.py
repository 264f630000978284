"""Pool separable filters over right-angle rotations, sharing every pass that is common.

The rotations of a cube permute the kernels along the axes and flip some: an even number for an even
permutation, an odd number for an odd one (24 in space, 4 in the plane). With K = S + D, the
symmetric and antisymmetric parts of a kernel, the mean over the flips of one permutation is
S S S + D D D (even) or S S S - D D D (odd); so a mean over 24 rotations costs at most 15 passes.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations, product
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._convolve import (
    Boundary,
    Chain,
    Samples,
    Taps,
    apply_axis,
    axis_matrix,
    check_float,
    convolve_separable,
    flip_chain,
)

Stack = Float[Tensor, "*batch z y x"]
Chains = tuple[Chain, Chain, Chain]
Head = tuple[tuple[int, int], ...]
Rotation = Literal["none", "mean", "max"]


def pool_rotations(
    x: Samples, chains: Chains, boundary: Boundary, *, rotation: Rotation, in_plane: bool
) -> Stack:
    """Filter with a separable kernel and pool the responses over right-angle rotations of it.

    Args:
        x: (*batch, z, y, x), floating point.
        chains: Kernels along (z, y, x); the one along z is empty for ``in_plane``.
        boundary: What lies beyond the border.
        rotation: ``none`` filters once; ``mean`` and ``max`` pool over all rotations.
        in_plane: Rotate in (y, x) only (4 rotations) instead of in space (24).

    Returns:
        Same shape, dtype, device as ``x``.

    Raises:
        UnitError: ``x`` is not floating point.

    References:
        IBSI reference manual, chapter 2 (arXiv:2006.05470), rotation invariance by pooling.
    """
    check_float(x)
    if rotation == "none":
        return convolve_separable(x, chains, boundary)
    axes = (1, 2) if in_plane else (0, 1, 2)
    kernels = tuple(chains[axis] for axis in axes)
    if rotation == "mean":
        return _mean(x, kernels, boundary)
    return _max(x, kernels, boundary)


def rotations(count: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Give the proper right-angle rotations of ``count`` axes.

    Yields:
        Which kernel comes to lie along each axis, and 1 or -1 for kept or flipped.
    """
    for order in permutations(range(count)):
        for flips in product((1, -1), repeat=count):
            odd = sum(flip < 0 for flip in flips) % 2
            if odd == (_parity(order) < 0):
                yield order, flips


def _parity(order: tuple[int, ...]) -> int:
    inversions = sum(a > b for i, a in enumerate(order) for b in order[i + 1 :])
    return -1 if inversions % 2 else 1


def _mean(x: Tensor, kernels: tuple[Chain, ...], boundary: Boundary) -> Tensor:
    count = len(kernels)
    names = [kernels.index(kernel) for kernel in kernels]  # equal kernels share a name
    terms: dict[tuple[tuple[int, int], ...], float] = {}
    orders = list(permutations(range(count)))
    for order in orders:
        for part, sign in ((1, 1), (-1, _parity(order))):
            key = tuple((names[i], part) for i in order)
            terms[key] = terms.get(key, 0.0) + sign / len(orders)

    @cache
    def matrix(name: int, part: int, axis: int) -> Tensor:
        size = x.shape[axis - 3]
        forward = axis_matrix(kernels[name], size, boundary)
        backward = axis_matrix(flip_chain(kernels[name]), size, boundary)
        return (forward + part * backward) / 2

    kept = {}
    for key, weight in terms.items():
        parts = [matrix(*item, axis + 3 - count) for axis, item in enumerate(key)]
        if weight and all(bool((part.abs() > 1e-15).any()) for part in parts):
            kept[key] = weight
    return separable_sum(x, kept, lambda item, axis: matrix(*item, axis))


def separable_sum(
    x: Stack,
    terms: dict[tuple[tuple[int, int], ...], float],
    matrix: Callable[[tuple[int, int], int], Tensor],
) -> Stack:
    """Sum separable filters of one volume with as few passes as their common factors allow.

    Args:
        x: (*batch, z, y, x), floating point.
        terms: Weight of each term; its key names the factor along each of the last axes.
        matrix: Gives the banded matrix of a factor along an axis (0 z, 1 y, 2 x).

    Returns:
        Same shape as ``x``.
    """
    done = {head: _apply(x, matrix, head) for head in dict.fromkeys(key[:-2] for key in terms)}
    total: Tensor | None = None
    for last in dict.fromkeys(key[-1] for key in terms):
        inner: Tensor | None = None
        for middle in dict.fromkeys(key[-2] for key in terms if key[-1] == last):
            heads = {k[:-2]: w for k, w in terms.items() if k[-2:] == (middle, last)}
            mixed, weight = _mix(done, heads)
            inner = _add(inner, apply_axis(mixed, matrix(middle, 1) * weight, 1))
        assert inner is not None
        total = _add(total, apply_axis(inner, matrix(last, 2), 2))
    return torch.zeros_like(x) if total is None else total


def _mix(done: dict[Head, Tensor], heads: dict[Head, float]) -> tuple[Tensor, float]:
    """Add volumes up to a common weight, which is cheaper to put on the next matrix."""
    (first, weight), *others = heads.items()
    mixed = done[first]
    for head, other in others:
        mixed = torch.add(mixed, done[head], alpha=other / weight)
    return mixed, weight


def _add(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total.add_(part)


def _apply(
    x: Tensor,
    matrix: Callable[[tuple[int, int], int], Tensor],
    head: Head,
) -> Tensor:
    return apply_axis(x, matrix(head[0], 0), 0) if head else x


def _max(x: Tensor, kernels: tuple[Chain, ...], boundary: Boundary) -> Tensor:
    signs: dict[tuple[Chain, ...], set[int]] = {}
    for order, flips in rotations(len(kernels)):
        sign, key = 1, []
        for i, flip in zip(order, flips, strict=True):
            chain, factor = _oriented(kernels[i], flip)
            sign *= factor
            key.append(chain)
        signs.setdefault(tuple(key), set()).add(sign)
    best: Tensor | None = None
    empty: tuple[Chain, ...] = ((),) * (3 - len(kernels))
    for response, found in _responses(x, empty, signs, boundary):
        pooled = response.abs() if len(found) == 2 else response * found.pop()
        best = pooled if best is None else torch.maximum(best, pooled)
    assert best is not None
    return best


def _responses(
    x: Tensor, empty: tuple[Chain, ...], signs: dict[tuple[Chain, ...], set[int]], edge: Boundary
) -> Iterator[tuple[Tensor, set[int]]]:
    heads: dict[tuple[Chain, ...], Tensor] = {}
    for key in sorted(signs, key=lambda chains: [[t.values for t in c] for c in chains]):
        chains = empty + key
        if chains[:2] not in heads:
            heads[chains[:2]] = convolve_separable(x, (chains[0], chains[1], ()), edge)
        yield convolve_separable(heads[chains[:2]], ((), (), chains[2]), edge), signs[key]


def _oriented(chain: Chain, flip: int) -> tuple[Chain, int]:
    if flip > 0:
        return chain, 1
    turned = flip_chain(chain)
    if len(chain) == 1 and turned == _negated(chain):
        return chain, -1
    return turned, 1


def _negated(chain: Chain) -> Chain:
    return tuple(Taps(tuple(-v for v in taps.values), taps.centre) for taps in chain)
