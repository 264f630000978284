"""LaplacianBasis: fields of the slowest modes of a graph of image pieces."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Displacement, Grid, Labels, resample_labels
from vesalius.errors import ConfigError, RegionError, ShapeError
from vesalius.ops._filters import gaussian
from vesalius.register._basis import Basis

MOST = 4000  # pieces: their joints stand in a full matrix


@final
@dataclass(frozen=True, slots=True, eq=False)
class LaplacianBasis(Basis):
    """Displacement along the eigenvectors of a graph Laplacian; the parameters are in mm.

    The nodes are the pieces of a partition (supervoxels of ``graph.slic``, an atlas); two are
    joined as strongly as they share faces. The eigenvectors of the smallest eigenvalues change as
    little as they can across the joints, so that fields bend around what is not joined. They are
    constant in a piece, and smoothed after. Parameters are (3, count), along the lattice's
    (z, y, x); the first mode is a shift of everything.

    Attributes:
        pieces: One layer in the fixed world; 0 is no piece and does not move.
        count: Modes.
        sigma_mm: Standard deviation of the smoothing across borders of pieces.

    Raises:
        ShapeError: The pieces have several layers.
        RegionError: A number is below 0, or there are fewer pieces than modes and one more, or
            more than 4000.
        ConfigError: ``count`` or ``sigma_mm`` is not positive.

    References:
        Chung (1997), Spectral Graph Theory, chapter 1 (the Laplacian; here not normalised).
    """

    pieces: Labels
    count: int = 16
    sigma_mm: float = 4.0
    _modes: Float[np.ndarray[Any, Any], "n count"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.count < 1 or not self.sigma_mm > 0:
            raise ConfigError(
                f"count and sigma_mm of modes must be positive, got {self.count} and "
                f"{self.sigma_mm}: 16 modes and 4 mm are usual"
            )
        if self.pieces.data.shape[0] != 1:
            raise ShapeError(
                f"pieces must have one layer, got {self.pieces.data.shape[0]}: a sample lies in "
                "one piece"
            )
        if int(self.pieces.data.min()) < 0:
            raise RegionError(
                f"pieces must be numbered from 1, 0 being none, got {int(self.pieces.data.min())}"
            )
        nodes = np.count_nonzero(np.unique(self.pieces.data.cpu().numpy()))
        if not self.count + 1 <= nodes <= MOST:
            raise RegionError(
                f"a basis of {self.count} modes needs {self.count + 1} to {MOST} pieces, got "
                f"{nodes}: cut the image into pieces of another size, or ask for fewer modes"
            )
        object.__setattr__(self, "_modes", _modes(self.pieces, self.count))

    def start(self, grid: Grid) -> Float[Tensor, "3 count"]:
        """Give zeros, float32."""
        del grid
        return torch.zeros((3, self.count))

    def flow(self, parameters: Float[Tensor, "3 count"], grid: Grid) -> Float[Tensor, "3 z y x"]:
        """Give the displacement at each sample, samples."""
        spacing = grid.spacing_mm
        here = resample_labels(self.pieces, grid).data[0].long().to(parameters.device)
        table = torch.as_tensor(self._modes, device=parameters.device, dtype=parameters.dtype)
        pace = parameters.new_tensor([1 / h for h in spacing])[:, None]
        values = (parameters * pace) @ table.T
        if grid.shape[0] == 1:
            values = values * values.new_tensor([0.0, 1.0, 1.0])[:, None]
        z, y, x = (self.sigma_mm / h for h in spacing)
        return gaussian(values[:, here], (z, y, x), truncate=3.0)

    def transform(self, parameters: Float[Tensor, "3 count"], grid: Grid) -> Displacement:
        """Give the field at the samples of ``grid`` as a transform."""
        return Displacement.from_flow(self.flow(parameters, grid), grid)


def _modes(pieces: Labels, count: int) -> Float[np.ndarray[Any, Any], "n count"]:
    """Give the eigenvectors by piece number (row 0 is none), each of mean square 1."""
    from scipy.linalg import eigh

    labels = pieces.data[0].cpu().numpy()
    numbers = np.unique(labels[labels != 0])
    place = np.searchsorted(numbers, labels)
    joint = np.zeros((len(numbers), len(numbers)))
    for axis in range(3):
        one = np.moveaxis(place, axis, 0)
        inside = np.moveaxis(labels, axis, 0) != 0
        met = inside[1:] & inside[:-1] & (one[1:] != one[:-1])
        np.add.at(joint, (one[1:][met], one[:-1][met]), _face(pieces.grid, axis))
    joint = joint + joint.T
    laplacian = np.diag(joint.sum(axis=1)) - joint
    _, vectors = eigh(laplacian, subset_by_index=(0, count - 1))
    table = np.zeros((int(numbers.max()) + 1, count))
    table[numbers] = vectors * np.sqrt(len(numbers))
    return table


def _face(grid: Grid, axis: int) -> float:
    """Give the area between two samples along an axis, mm^2."""
    spacing = grid.spacing_mm
    return spacing[axis - 2] * spacing[axis - 1]
