"""Heat flow: unit vectors in each object up the heat that spreads from its medial point."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Integer
from numba import prange
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._jit import kernel, parallel_kernel
from vesalius.ops._object_boxes import ObjectBoxes, object_boxes
from vesalius.ops._packed_flow import UNIT, PackedFlow, packed

Spacing = tuple[float, float, float]

_TOL = 1e-3
"""Heat has settled where no sample changes by more than this part of itself in a sweep."""


def heat_flow(
    labels: Integer[Tensor, "z y x"], spacing: Spacing = (1.0, 1.0, 1.0)
) -> Float[Tensor, "3 z y x"]:
    """Point from each sample of an object towards where heat let in at its middle comes from.

    Heat enters at the object's medial point, the sample nearest to its centroid, spreads within
    the object and is lost at its border. The vectors are the gradient of the heat, each of length
    1: followed upwards they end in one place for each object, however bent it is. They are not the
    displacement to the centre, which may lead out of the object.

    Args:
        labels: (z, y, x), an object per value; 0 and negative values are no objects. 2-D is
            ``z == 1``, and the vectors then lie in the plane.
        spacing: Size of a sample along (z, y, x), any common unit.

    Returns:
        (3, z, y, x) float32, (z, y, x) components in the unit of the spacing; 0 outside objects
        and where the heat is level (the medial point of a symmetric object).

    Raises:
        ConfigError: A spacing is not positive.

    References:
        Stringer et al. (2021), doi:10.1038/s41592-020-01018-x, Methods, "Creation of the vector
        flows". Differs from it in: the steady state of the diffusion in place of a number of its
        steps, found by successive over-relaxation (Young 1954, doi:10.1090/S0002-9947-1954-
        0059635-7); six neighbours (four in 2-D) weighted by the spacing; the centroid in place of
        the median; the gradient of the heat, not of its logarithm, which has the same direction.
    """
    _check_spacing(spacing)
    objects = object_boxes(labels)
    flow = np.zeros((3, *labels.shape), np.float32)
    _flow_of_objects(objects.numbers, objects.boxes, objects.sizes, _steps(spacing), flow)
    return torch.from_numpy(flow)


def flow_errors(
    flow: Float[Tensor, "c z2 y2 x2"],
    labels: Integer[Tensor, "z y x"],
    spacing: Spacing = (1.0, 1.0, 1.0),
) -> Float[Tensor, " n"]:
    """Measure how little a predicted flow agrees with the flow of the objects made from it.

    Args:
        flow: What a network gave, (z, y, x) components of about unit length; longer vectors are
            cut to 1.
        labels: Objects on the same lattice.
        spacing: Size of a sample along (z, y, x).

    Returns:
        Mean squared length of the difference in each object, float64, in the order of the label
        values: 0 for agreement, 1 for a flow that is 0, 4 for the opposite.

    Raises:
        ShapeError: Flow and labels have different shapes.
        ConfigError: A spacing is not positive.
    """
    _check_spacing(spacing)
    return errors_of(packed(flow, labels > 0), object_boxes(labels), spacing)


def errors_of(flow: PackedFlow, objects: ObjectBoxes, spacing: Spacing) -> Float[Tensor, " n"]:
    """Measure the same for a packed flow and objects whose boxes are known; nothing is checked."""
    errors = np.zeros(len(objects.sizes))
    _errors_of_objects(objects.numbers, objects.boxes, objects.sizes, _steps(spacing), flow, errors)
    return torch.from_numpy(errors)


def _check_spacing(spacing: Spacing) -> None:
    if not all(0 < s < float("inf") for s in spacing):
        raise ConfigError(f"spacing must be positive and finite along (z, y, x), got {spacing}")


def _steps(spacing: Spacing) -> np.ndarray:
    """Spacing in units of the finest, so that the unit cannot overflow anything."""
    return np.array(spacing) / min(spacing)


@parallel_kernel
@no_type_check
def _flow_of_objects(numbers, boxes, sizes, spacing, flow):
    """Fill the flow of every object; each writes only its own samples."""
    for k in prange(len(sizes)):
        place, points, width = _points_of(numbers, boxes[k], sizes[k], k + 1)
        heat = _heat(place, points, width, spacing)
        _gradient(place, points, width, (boxes[k], spacing), heat, flow)


@parallel_kernel
@no_type_check
def _errors_of_objects(numbers, boxes, sizes, spacing, field, errors):
    """Compare the flow of every object with a field."""
    for k in prange(len(sizes)):
        place, points, width = _points_of(numbers, boxes[k], sizes[k], k + 1)
        heat = _heat(place, points, width, spacing)
        total = 0.0
        for i in range(len(points)):
            g = _direction(place, points[i], width, spacing, heat)
            z, y, x = _position(points[i], width, boxes[k])
            for c in range(3):
                total += (g[c] - field[z, y, x, c] / UNIT) ** 2
        errors[k] = total / len(points)


@kernel
@no_type_check
def _points_of(numbers, box, size, number):
    """List the samples of an object in its box with a frame of one.

    Gives the index in the list for each sample of the framed box (``size`` for none), the flat
    position of each listed sample, and the steps of the framed box along z and y.
    """
    ny, nx = box[3] - box[2] + 2, box[5] - box[4] + 2
    width = (ny * nx, nx)
    place = np.full((box[1] - box[0] + 2) * ny * nx, size, np.int32)
    points = np.empty(size, np.int32)
    n = 0
    for z in range(box[0], box[1]):
        for y in range(box[2], box[3]):
            row = (z - box[0] + 1) * width[0] + (y - box[2] + 1) * width[1] + 1 - box[4]
            for x in range(box[4], box[5]):
                if numbers[z, y, x] == number:
                    place[row + x] = n
                    points[n] = row + x
                    n += 1
    return place, points, width


@kernel
@no_type_check
def _position(point, width, box):
    """Give the sample (z, y, x) of the volume at a flat position of the framed box."""
    z, rest = point // width[0], point % width[0]
    return z + box[0] - 1, rest // width[1] + box[2] - 1, rest % width[1] + box[4] - 1


@kernel
@no_type_check
def _medial(points, width, spacing):
    """Find the listed sample nearest to the centroid, the first of equals."""
    n = len(points)
    mz = my = mx = 0.0
    for point in points:
        rest = point % width[0]
        mz += point // width[0]
        my += rest // width[1]
        mx += rest % width[1]
    best, at = np.inf, 0
    for i in range(n):
        rest = points[i] % width[0]
        dz = (points[i] // width[0] - mz / n) * spacing[0]
        dy = (rest // width[1] - my / n) * spacing[1]
        dx = (rest % width[1] - mx / n) * spacing[2]
        far = dz * dz + dy * dy + dx * dx
        if far < best - 1e-9:
            best, at = far, i
    return at


@kernel
@no_type_check
def _heat(place, points, width, spacing):
    """Solve for the steady heat of the listed samples by successive over-relaxation."""
    n = len(points)
    source = _medial(points, width, spacing)
    wz, wy, wx = 1 / spacing[0] ** 2, 1 / spacing[1] ** 2, 1 / spacing[2] ** 2
    sizes = (len(place) // width[0] - 2, width[0] // width[1] - 2, width[1] - 2)
    if sizes[0] == 1:
        wz = 0.0  # nothing above or below: a loss along z would only damp the heat
    total = 2 * (wz + wy + wx)
    # radius of the Jacobi iteration on the box, from which the best relaxation follows (Young)
    radius = 2 * wz * np.cos(np.pi / (sizes[0] + 1)) + 2 * wy * np.cos(np.pi / (sizes[1] + 1))
    radius = (radius + 2 * wx * np.cos(np.pi / (sizes[2] + 1))) / total
    relax = 2 / (1 + np.sqrt(max(1 - radius * radius, 0.0)))
    near = _neighbours(place, points, width)
    heat = np.zeros(n + 1)
    for _ in range(8 * (sizes[0] + sizes[1] + sizes[2])):
        worst = 0.0
        for i in range(n):
            gain = wz * (heat[near[i, 0]] + heat[near[i, 1]])
            gain += wy * (heat[near[i, 2]] + heat[near[i, 3]])
            gain += wx * (heat[near[i, 4]] + heat[near[i, 5]])
            if i == source:
                gain += total
            change = relax * (gain / total - heat[i])
            heat[i] += change
            worst = max(worst, abs(change) - _TOL * heat[i])
        if worst <= 0:
            break
    return heat


@kernel
@no_type_check
def _neighbours(place, points, width):
    """Look up the six neighbours of each listed sample."""
    near = np.empty((len(points), 6), np.int32)
    for i in range(len(points)):
        p = points[i]
        near[i, 0], near[i, 1] = place[p - width[0]], place[p + width[0]]
        near[i, 2], near[i, 3] = place[p - width[1]], place[p + width[1]]
        near[i, 4], near[i, 5] = place[p - 1], place[p + 1]
    return near


@kernel
@no_type_check
def _direction(place, p, width, spacing, heat):
    """Give the unit gradient at one listed sample by central differences."""
    gz = (heat[place[p + width[0]]] - heat[place[p - width[0]]]) / spacing[0]
    gy = (heat[place[p + width[1]]] - heat[place[p - width[1]]]) / spacing[1]
    gx = (heat[place[p + 1]] - heat[place[p - 1]]) / spacing[2]
    length = np.sqrt(gz * gz + gy * gy + gx * gx)
    if length <= 1e-9 * heat[place[p]]:  # rounding only: level
        return 0.0, 0.0, 0.0
    return gz / length, gy / length, gx / length


@kernel
@no_type_check
def _gradient(place, points, width, where, heat, flow):
    """Write the unit gradients of an object into the flow; ``where`` is its box and spacing."""
    box, spacing = where
    for i in range(len(points)):
        g = _direction(place, points[i], width, spacing, heat)
        z, y, x = _position(points[i], width, box)
        flow[0, z, y, x], flow[1, z, y, x], flow[2, z, y, x] = g[0], g[1], g[2]
