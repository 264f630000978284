"""Erratum 14: the local coordinate of a free-form deformation is the fractional part of the index.

Printed as ``(x - xmin) / dx`` it grows without bound, and the four weights no longer sum to one
part of each control point: away from the first cell the field is a polynomial that explodes.
"""

import pytest
import torch

from vesalius.core import BSpline, Grid


def weights(t):
    s = 1 - t
    return [s**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * s**2 + 3 * s**3) / 6, t**3 / 6]


def along_x(coefficients, index, t):
    """The sum over four control points along x, first one the floor less one."""
    first = int(index) - 1
    return sum(w * coefficients[first + i] for i, w in enumerate(weights(t)))


def test_the_fractional_part_moves_points_and_the_whole_index_throws_them_away():
    coefficients = torch.zeros(3, 4, 4, 12, dtype=torch.float64)
    coefficients[0] = torch.sin(torch.arange(12.0).double())
    move = BSpline(coefficients, Grid.from_spacing((4, 4, 12), (10.0, 10.0, 10.0)))
    index = 7.3
    point = torch.tensor([10 * index, 15.0, 15.0], dtype=torch.float64)
    row = coefficients[0, 0, 0].tolist()
    right, printed = along_x(row, index, index - 7), along_x(row, index, index)
    assert float(move(point)[0] - point[0]) == pytest.approx(right, abs=1e-12)
    assert abs(right) < 1
    assert abs(printed) > 10
