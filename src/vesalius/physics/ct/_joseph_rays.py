"""Joseph's projector ray by ray: any geometry, any orthogonal grid; the plain, slower way."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.ops._jit import kernel
from vesalius.ops._threads import share
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._traversal import Traversal, Views, Volumes

TIE = 1e-9
"""Rays this near to a diagonal take z before y before x, however their last bits are rounded."""

Rays = tuple[Float[Tensor, "ray 3"], Float[Tensor, "ray 3"]]


@final
@dataclass(frozen=True, slots=True, eq=False)
class RayTraversal(Traversal):
    """March each ray through the planes of the axis that it follows most, interpolating in each.

    Rays of a parallel beam are whole lines; rays of a fan or cone begin at their source. No ray
    ends at its detector.

    References:
        Joseph (1982), doi:10.1109/TMI.1982.4307572, eq. (5); in 3-D bilinear in each plane.
        Differs from it in: beyond the outermost samples the image falls to 0 over one voxel.
    """

    geometry: Geometry
    grid: Grid

    def forward(self, x: Volumes) -> Views:
        """Integrate along every ray."""
        y = torch.zeros((x.shape[0], *self.geometry.codomain), dtype=x.dtype)
        volumes, values = x.numpy(), y.view(x.shape[0], -1).numpy()
        begins = self.geometry.beam != "parallel"
        for views, first in self._blocks():
            start, step = (t.numpy() for t in index_rays(self.geometry, self.grid, views))

            def work(a: int, b: int, s: object = start, d: object = step, at: int = first) -> None:
                _forward(volumes, s, d, begins, values, at, a, b)

            share(work, start.shape[0], least=4096)
        return y

    def back(self, y: Views) -> Volumes:
        """Scatter every ray's value with the weights of :meth:`forward`."""
        x = torch.zeros((y.shape[0], *self.grid.shape), dtype=y.dtype)
        values, volumes = y.view(y.shape[0], -1).numpy(), x.numpy()
        begins = self.geometry.beam != "parallel"
        for views, first in self._blocks():
            start, step = index_rays(self.geometry, self.grid, views)
            _back(values, start.numpy(), step.numpy(), begins, volumes, first)
        return x

    def _blocks(self) -> list[tuple[slice, int]]:
        """Views and first ray of each block; the rays of all views at once need much memory."""
        elements = self.geometry.shape[0] * self.geometry.shape[1]
        size = max(1, 65536 // elements)
        starts = range(0, self.geometry.views, size)
        return [(slice(a, a + size), a * elements) for a in starts]


def index_rays(geometry: Geometry, grid: Grid, views: slice) -> Rays:
    """Give the rays of some views in array indices.

    Args:
        geometry: The rays.
        grid: The lattice.
        views: Which views.

    Returns:
        Starts (z, y, x) and steps (index per mm), each (views * rows * columns, 3) float64.
    """
    start, unit = geometry.rays(views)
    inverse = torch.linalg.inv(grid.affine[:3, :3])
    step = unit.reshape(-1, 3) @ inverse.T
    return grid.to_index(start.reshape(-1, 3)).contiguous(), step.contiguous()


@kernel
@no_type_check
def main_axis(step):
    """Give the axis along which a ray runs fastest, in voxels."""
    size = np.abs(step)
    if size[0] >= (1.0 - TIE) * max(size[1], size[2]):
        return 0
    return 1 if size[1] >= (1.0 - TIE) * size[2] else 2


@kernel
@no_type_check
def _planes(start, step, begins, shape, axis):
    """First plane and last plane + 1 of the main axis that a ray meets inside the volume."""
    low, high = -start[axis] / step[axis], (shape[axis] - 1 - start[axis]) / step[axis]
    if low > high:
        low, high = high, low
    if begins:
        low = max(low, 0.0)
    for other in range(3):
        if other != axis:
            # one voxel around the outermost samples, where the image falls to 0
            one, two = -1.0 - start[other], shape[other] - start[other]
            if step[other] == 0.0:
                if one >= 0.0 or two <= 0.0:
                    return 0, 0
            else:
                one, two = one / step[other], two / step[other]
                low, high = max(low, min(one, two)), min(high, max(one, two))
    if low > high:
        return 0, 0
    one, two = start[axis] + low * step[axis], start[axis] + high * step[axis]
    # a plane too many adds 0, for the sampling checks its bounds; begins must not gain one
    slack = 1e-9 * shape[axis]
    first = np.int64(np.ceil(min(one, two) - slack))
    last = np.int64(np.floor(max(one, two) + slack))
    return max(first, 0), min(last, shape[axis] - 1) + 1


@kernel
@no_type_check
def _forward(volumes, start, step, begins, out, offset, first_ray, last_ray):
    shape = volumes.shape[1:]
    strides = (shape[1] * shape[2], shape[2], 1)
    flat = volumes.reshape(volumes.shape[0], -1)
    real = volumes.dtype.type
    for ray in range(first_ray, last_ray):
        a = main_axis(step[ray])
        b, c = (a + 1) % 3, (a + 2) % 3
        nb, nc, sb, sc = shape[b], shape[c], strides[b], strides[c]
        first, last = _planes(start[ray], step[ray], begins, shape, a)
        slope_b, slope_c = step[ray, b] / step[ray, a], step[ray, c] / step[ray, a]
        place_b = start[ray, b] - start[ray, a] * slope_b
        place_c = start[ray, c] - start[ray, a] * slope_c
        for n in range(volumes.shape[0]):
            total = real(0.0)
            for k in range(first, last):
                at_b, at_c = place_b + k * slope_b, place_c + k * slope_c
                ib, ic = np.int64(np.floor(at_b)), np.int64(np.floor(at_c))
                wb, wc = real(at_b - ib), real(at_c - ic)
                base = k * strides[a] + ib * sb + ic * sc
                for db in range(2):
                    if 0 <= ib + db < nb:
                        weight = wb if db else real(1.0) - wb
                        for dc in range(2):
                            if 0 <= ic + dc < nc:
                                w = weight * (wc if dc else real(1.0) - wc)
                                total += w * flat[n, base + db * sb + dc * sc]
            out[n, offset + ray] = total * real(1.0 / abs(step[ray, a]))


@kernel
@no_type_check
def _back(values, start, step, begins, volumes, offset):
    shape = volumes.shape[1:]
    strides = (shape[1] * shape[2], shape[2], 1)
    flat = volumes.reshape(volumes.shape[0], -1)
    real = volumes.dtype.type
    for ray in range(start.shape[0]):
        a = main_axis(step[ray])
        b, c = (a + 1) % 3, (a + 2) % 3
        nb, nc, sb, sc = shape[b], shape[c], strides[b], strides[c]
        first, last = _planes(start[ray], step[ray], begins, shape, a)
        slope_b, slope_c = step[ray, b] / step[ray, a], step[ray, c] / step[ray, a]
        place_b = start[ray, b] - start[ray, a] * slope_b
        place_c = start[ray, c] - start[ray, a] * slope_c
        for n in range(volumes.shape[0]):
            value = values[n, offset + ray] * real(1.0 / abs(step[ray, a]))
            for k in range(first, last):
                at_b, at_c = place_b + k * slope_b, place_c + k * slope_c
                ib, ic = np.int64(np.floor(at_b)), np.int64(np.floor(at_c))
                wb, wc = real(at_b - ib), real(at_c - ic)
                base = k * strides[a] + ib * sb + ic * sc
                for db in range(2):
                    if 0 <= ib + db < nb:
                        weight = wb if db else real(1.0) - wb
                        for dc in range(2):
                            if 0 <= ic + dc < nc:
                                w = weight * (wc if dc else real(1.0) - wc)
                                flat[n, base + db * sb + dc * sc] += w * value
