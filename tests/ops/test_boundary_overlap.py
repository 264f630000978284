"""Boundary IoU, beside rims by SciPy's distance."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._boundary_overlap import boundary_iou

SPACING = (2.0, 0.8, 1.1)


def blobs(seed, shape=(7, 20, 18)):
    g = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(g.random((2, *shape)), (0, 1.5 if shape[0] > 1 else 0, 2, 2))
    return torch.from_numpy(field[0] > 0.5), torch.from_numpy(field[1] > 0.5)


def slow_rim(mask, width, spacing):
    x = mask.numpy()
    depth = int(x.shape[0] > 1)
    framed = np.pad(x, ((depth, depth), (1, 1), (1, 1)))
    near = ndimage.distance_transform_edt(framed, sampling=spacing) <= width + 1e-9
    return (framed & near)[depth : depth + x.shape[0], 1:-1, 1:-1]


@pytest.mark.parametrize("shape", [(7, 20, 18), (1, 30, 25)])
@pytest.mark.parametrize("width", [1.1, 2.0, 3.7])
def test_equals_rims_by_scipy(shape, width):
    one, two = blobs(1, shape)
    a, b = (slow_rim(m, width, SPACING) for m in (one, two))
    expected = (a & b).sum() / (a | b).sum()
    assert boundary_iou(one, two, width=width, spacing=SPACING) == pytest.approx(expected)


def test_a_rim_as_wide_as_the_object_is_the_object():
    one, two = blobs(2)
    plain = float((one & two).sum() / (one | two).sum())
    assert boundary_iou(one, two, width=1000.0, spacing=SPACING) == pytest.approx(plain)


def test_sees_more_of_a_shift_than_the_plain_overlap():
    disk = torch.zeros(1, 60, 60, dtype=torch.bool)
    disk[0, 10:50, 10:50] = True
    moved = disk.roll(2, 2)
    plain = float((disk & moved).sum() / (disk | moved).sum())
    assert boundary_iou(disk, moved, width=2.0, spacing=(1.0, 1.0, 1.0)) < 0.7 * plain


def test_empty_and_full_masks():
    full, empty = torch.ones(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    assert math.isnan(boundary_iou(empty, empty, width=1.0, spacing=(1.0, 1.0, 1.0)))
    assert boundary_iou(full, empty, width=1.0, spacing=(1.0, 1.0, 1.0)) == 0.0
    assert boundary_iou(full, full, width=1.0, spacing=(1.0, 1.0, 1.0)) == 1.0
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    assert boundary_iou(one, one, width=1.0, spacing=(1.0, 1.0, 1.0)) == 1.0


def test_refuses_two_shapes_and_a_rim_without_voxels():
    one, two = blobs(3)
    with pytest.raises(ShapeError, match="to be compared by their rims"):
        boundary_iou(one, two[:3], width=2.0, spacing=SPACING)
    with pytest.raises(
        UnitError, match=r"width must be at least the smallest spacing 0\.8, got 0\.5"
    ):
        boundary_iou(one, two, width=0.5, spacing=SPACING)
