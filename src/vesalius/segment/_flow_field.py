"""Flow field: a network's flow and odds, taken in row by row and kept on the image's lattice."""
# SPDX-License-Identifier: Apache-2.0

from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.ops._flow_masks import packed_masks
from vesalius.ops._packed_flow import packed
from vesalius.segment._flow_head import FlowHead
from vesalius.segment._found_objects import FoundObjects


@final
class FlowField:
    """Three bytes of flow and one of foreground for each sample of the image.

    Rows are slices, or lines where there is one slice. Rows of the lattice come in order; each
    row of the image is made, by linear interpolation, as soon as the two around it are known.

    Args:
        grid: Of the image, upright.
        lattice: Of the network, with the same axes.
        head: Says what the outputs mean.
    """

    def __init__(self, grid: Grid, lattice: Grid, head: FlowHead) -> None:
        self.grid, self.lattice, self.head = grid, lattice, head
        self.axis = 1 if head.dims == 2 else 0
        self._places = [_places(grid, lattice, a) for a in range(3)]
        steps = [g / n for g, n in zip(grid.spacing_mm, lattice.spacing_mm, strict=True)]
        self.zoom = 1 / steps[2]
        z, y, x = (s * step for s, step in zip(head.spacing, steps, strict=True))
        self.spacing = (z, y, x)
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.flow = np.zeros((*self.grid.shape, 3), np.int8)
        self._mask = np.zeros(self.grid.shape, bool)
        self._done = 0
        self._last: Tensor | None = None

    def mask(self) -> Bool[Tensor, "z y x"]:
        """Give the foreground."""
        return torch.from_numpy(self._mask)

    def objects(self) -> FoundObjects:
        """Follow the flow of all rows: the objects of the whole image, with one numbering."""
        rules = self.head.rules(zoom=self.zoom)
        found = packed_masks(self.flow, self.mask(), spacing=self.spacing, rules=rules)
        sure = {"mean flow error": float(found.errors.mean())} if len(found.errors) else {}
        return FoundObjects(found.labels, sure, found.refused)

    def add(self, start: int, rows: Float[Tensor, "k z y x"]) -> None:
        """Take in the next rows of the lattice.

        Args:
            start: Number of the first row; rows come in order, without gaps.
            rows: Outputs of the network for whole rows.
        """
        if self._last is not None:
            rows, start = torch.cat([self._last, rows], dim=self.axis + 1), start - 1
        known = rows.shape[self.axis + 1]
        stop = start + known
        places = self._places[self.axis]
        end = stop >= self.lattice.shape[self.axis]
        ready = len(places) if end else int(np.searchsorted(places, stop - 1, side="right"))
        for first in range(self._done, ready, 64):
            last = min(first + 64, ready)
            self._keep(first, last, rows, places[first:last] - start)
        self._done = max(self._done, ready)
        self._last = rows.narrow(self.axis + 1, known - 1, 1).clone()

    def _keep(self, first: int, last: int, rows: Tensor, at: np.ndarray) -> None:
        """Interpolate some rows of the image and pack them."""
        x = rows
        for axis in range(3):
            places = at if axis == self.axis else self._places[axis]
            x = _between(x, axis + 1, places)
        flow, odds = self.head.parts(x)
        inside = odds > self.head.logit
        box = (slice(None),) * self.axis + (slice(first, last),)
        self._mask[box] = inside.cpu().numpy()
        self.flow[box] = packed(flow, inside)


def _places(grid: Grid, lattice: Grid, axis: int) -> np.ndarray:
    """Where the samples of the image lie on one axis of the lattice, kept within it."""
    index = torch.linalg.inv(lattice.affine) @ grid.affine
    at = float(index[axis, axis]) * np.arange(grid.shape[axis]) + float(index[axis, 3])
    kept: np.ndarray = np.clip(at, 0, lattice.shape[axis] - 1)
    return kept


def _between(x: Tensor, axis: int, places: np.ndarray) -> Tensor:
    """Interpolate along one axis."""
    n = x.shape[axis]
    whole = np.arange(n)
    if len(places) == n and bool(np.abs(places - whole).max() < 1e-6):
        return x
    low = np.clip(np.floor(places + 1e-9).astype(np.int64), 0, max(n - 2, 0))
    share = torch.from_numpy((places - low).astype(np.float32)).to(x.device)
    share = share.view([-1 if a == axis else 1 for a in range(x.ndim)])
    one = x.index_select(axis, torch.from_numpy(low).to(x.device))
    two = x.index_select(axis, torch.from_numpy(np.minimum(low + 1, n - 1)).to(x.device))
    return torch.lerp(one, two, share)
