"""Compiled loops of the planar Joseph projector: eight images, or eight poses of one, at once."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.ops._jit import kernel
from vesalius.ops._lanes import add_scaled8, load8, store8, zeros8

# columns of zeros on both sides of the image, so that no sample needs a bounds check
PAD = 2
# rows of the image that are walked at once: what they hold stays in the processor's cache
ROWS = 32


@kernel
@no_type_check
def _span(offset, slope, width, first, last):
    """Rows of [first, last) in which a ray meets the image or the voxel around it."""
    if slope == 0.0:
        return (first, last) if -1.0 < offset < width else (first, first)
    one, two = (-1.0 - offset) / slope, (width - offset) / slope
    low, high = max(min(one, two), first), min(max(one, two), last - 1.0)
    if low > high:
        return first, first
    return np.int64(np.ceil(low)), np.int64(np.floor(high)) + 1


@kernel
@no_type_check
def gather(image, rays, out, start, stop):
    """Add the integrals along the rays of groups [start, stop).

    ``image`` is (row, column + 2 PAD, 8), ``rays`` (group, ray, 3): column at row 0, columns per
    row, mm per row; ``out`` is (group, ray, 8).
    """
    rows, width, many = image.shape[0], image.shape[1] - 2 * PAD, rays.shape[1]
    flat, flat_out, real = image.reshape(-1), out.reshape(-1), image.dtype.type
    pitch, eight = np.uint64(8 * image.shape[1]), np.uint64(8)
    for block in range(0, rows, ROWS):
        end = min(rows, block + ROWS)
        for group in range(start, stop):
            for ray in range(many):
                offset, slope = rays[group, ray, 0], rays[group, ray, 1]
                first, last = _span(offset, slope, width, block, end)
                total = zeros8(flat)
                for row in range(first, last):
                    column = offset + row * slope + PAD
                    left = np.int64(column)
                    weight = real(column - left)
                    at = np.uint64(row) * pitch + np.uint64(left) * eight
                    total = add_scaled8(total, real(1.0) - weight, load8(flat, at))
                    total = add_scaled8(total, weight, load8(flat, at + eight))
                at = np.uint64(8 * (group * many + ray))
                sums = add_scaled8(load8(flat_out, at), real(rays[group, ray, 2]), total)
                store8(flat_out, at, sums)


@kernel
@no_type_check
def scatter(values, rays, image, start, stop):
    """Add what every ray leaves in the image rows [start, stop): the transpose of ``gather``."""
    width, many = image.shape[1] - 2 * PAD, rays.shape[1]
    flat, flat_in, real = image.reshape(-1), values.reshape(-1), image.dtype.type
    pitch, eight = np.uint64(8 * image.shape[1]), np.uint64(8)
    for block in range(start, stop, ROWS):
        end = min(stop, block + ROWS)
        for group in range(rays.shape[0]):
            for ray in range(many):
                offset, slope = rays[group, ray, 0], rays[group, ray, 1]
                first, last = _span(offset, slope, width, block, end)
                at = np.uint64(8 * (group * many + ray))
                value = add_scaled8(zeros8(flat), real(rays[group, ray, 2]), load8(flat_in, at))
                for row in range(first, last):
                    column = offset + row * slope + PAD
                    left = np.int64(column)
                    weight = real(column - left)
                    at = np.uint64(row) * pitch + np.uint64(left) * eight
                    store8(flat, at, add_scaled8(load8(flat, at), real(1.0) - weight, value))
                    at = at + eight
                    store8(flat, at, add_scaled8(load8(flat, at), weight, value))


@kernel
@no_type_check
def to_lanes(views, lanes, out):
    """Read views (view, column) into (group, ray, 8); empty lanes stay as they are.

    ``lanes`` is (group, 8, 4): view (-1 where empty), first column, step, number of rays.
    """
    for group in range(lanes.shape[0]):
        for lane in range(8):
            view, column, step, count = lanes[group, lane]
            for ray in range(count if view >= 0 else 0):
                out[group, ray, lane] = views[view, column + ray * step]


@kernel
@no_type_check
def from_lanes(values, lanes, out):
    """Write (group, ray, 8) to views (view, column)."""
    for group in range(lanes.shape[0]):
        for lane in range(8):
            view, column, step, count = lanes[group, lane]
            for ray in range(count if view >= 0 else 0):
                out[view, column + ray * step] = values[group, ray, lane]
