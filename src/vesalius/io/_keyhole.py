"""Key-holes: a hole joined to what is around it, for formats whose outlines know no holes."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def keyholes(loops: Sequence[Floats]) -> list[Floats]:
    """Join the holes of a plane figure to its outer boundaries.

    The edge that joins them is level and walked there and back, so it encloses nothing (DICOM
    PS3.3 C.8.8.6.3).

    Args:
        loops: Traced boundaries, (n, 2) vertices (y, x), as ``ops.trace_edges`` gives them: outer
            ones clockwise with y downwards, holes anticlockwise, edges along the axes.

    Returns:
        As many loops as there are outer boundaries; the even-odd rule fills them alike.
    """
    bodies = [loop for loop in loops if _area(loop) > 0]
    holes = [_from_left(loop) for loop in loops if _area(loop) <= 0]
    # from left to right: whatever lies left of a hole has been joined before it
    for hole in sorted(holes, key=lambda h: (h[0, 1], h[0, 0])):
        y, x = hole[0]
        best, where, edge = -np.inf, -1, -1
        for k, body in enumerate(bodies):
            after = np.roll(body, -1, axis=0)
            low, high = np.minimum(body[:, 0], after[:, 0]), np.maximum(body[:, 0], after[:, 0])
            level = body[:, 1] == after[:, 1]
            fits = np.flatnonzero(level & (low <= y) & (y <= high) & (body[:, 1] < x))
            if len(fits) and float(body[fits, 1].max()) > best:
                edge = int(fits[body[fits, 1].argmax()])
                best, where = float(body[edge, 1]), k
        if where < 0:
            bodies.append(hole)
            continue
        gate = np.array([[y, best]])
        way = [bodies[where][: edge + 1], gate, hole, hole[:1], gate, bodies[where][edge + 1 :]]
        bodies[where] = np.concatenate(way)
    return bodies


def _area(loop: Floats) -> float:
    y, x = loop.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def _from_left(loop: Floats) -> Floats:
    """Begin a loop at its leftmost vertex, the upper one of several."""
    first = int(np.lexsort((loop[:, 0], loop[:, 1]))[0])
    return np.roll(loop, -first, axis=0)
