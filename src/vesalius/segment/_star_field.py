"""Star field: likely samples of a network of stars, taken in row by row, and their objects."""
# SPDX-License-Identifier: Apache-2.0

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.ops._star_objects import peaks, star_objects, star_polygons
from vesalius.segment._found_objects import FoundObjects
from vesalius.segment._star_head import GAIN, StarHead


@final
class StarField:
    """Centre, distances and probability of each candidate: some for each object of the image.

    Rows of the lattice come in order; the peaks of a row are known with the row after it.
    Polygons are drawn on the image's own lattice, slice by slice.

    Args:
        grid: Of the image, upright.
        lattice: Of the network, with the same axes.
        head: Says what the outputs mean.
    """

    def __init__(self, grid: Grid, lattice: Grid, head: StarHead) -> None:
        self.grid, self.lattice, self.head = grid, lattice, head
        self.zoom = lattice.spacing_mm[2] / grid.spacing_mm[2]
        self._to_image = torch.linalg.inv(grid.affine) @ lattice.affine
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self._last: Tensor | None = None
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, start: int, rows: Float[Tensor, "k z y x"]) -> None:
        """Take in the next rows of the lattice.

        Args:
            start: Number of the first row; rows come in order, without gaps.
            rows: Outputs of the network for whole rows.
        """
        if self._last is not None:
            rows, start = torch.cat([self._last, rows], dim=2), start - self._last.shape[2]
        known, n = rows.shape[2], self.head.rays
        likely = torch.sigmoid(rows[n].float())
        at = torch.stack([peaks(plane, self.head.probability) for plane in likely])
        if start > 0:
            at[:, 0] = False  # decided with the rows before
        if start + known < self.lattice.shape[1]:
            at[:, known - 1] = False  # depends on the row to come
        places = at.nonzero()
        places[:, 1] += start
        distances = GAIN * rows[:n, at].float().T
        self._found.append((places.cpu(), distances.cpu(), likely[at].cpu()))
        self._last = rows[:, :, max(0, known - 2) :].clone()

    def candidates(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give the candidates so far.

        Returns:
            (n, 3) places on the lattice (z, y, x), (n, rays) distances in its samples, and (n,)
            probabilities.
        """
        n = self.head.rays
        none = (torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, n), torch.zeros(0))
        places, distances, likely = zip(*(self._found or [none]), strict=True)
        return torch.cat(places), torch.cat(distances), torch.cat(likely)

    def objects(self) -> FoundObjects:
        """Draw the polygons of all candidates on the image's lattice, the likeliest first."""
        places, distances, likely = self.candidates()
        scale, shift = self._to_image.diagonal()[:3], self._to_image[:3, 3]
        nz, ny, nx = self.grid.shape
        labels = torch.zeros((nz, ny, nx), dtype=torch.int32)
        sure = []
        count, size = 0, max(1, round(self.head.least_size * self.zoom**2))
        for z in range(nz):
            near = round(float((z - shift[0]) / scale[0]))
            here = places[:, 0] == min(max(near, 0), self.lattice.shape[0] - 1)
            polygons = star_polygons(places[here, 1:].double(), distances[here].double())
            found = star_objects(
                polygons * scale[1:] + shift[1:],
                likely[here],
                (ny, nx),
                overlap=self.head.overlap,
                least_size=size,
            )
            labels[z] = torch.where(found.labels > 0, found.labels + count, 0)
            count += len(found.probabilities)
            sure.append(found.probabilities)
        if not count:
            return FoundObjects(labels)
        return FoundObjects(labels, {"mean probability": float(torch.cat(sure).mean())})
