"""Interpolation where it is needed: as everywhere else, and nothing beyond."""

import math

import pytest
import torch

from vesalius.ops._needed import (
    cubic_on_rows,
    linear_on_rows,
    rows_near,
    spline_with_border,
    whole_rows,
)
from vesalius.ops._sampling import resample_affine


def _turned(angle=0.2):
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[1, 1] = matrix[2, 2] = math.cos(angle)
    matrix[1, 2], matrix[2, 1] = -math.sin(angle), math.sin(angle)
    matrix[:3, 3] = torch.tensor([-0.7, 1.3, -2.2])
    return matrix


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_agrees_with_resampling_inside_and_outside(kind, generator):
    volume = torch.rand(7, 12, 13, generator=generator, dtype=torch.float64)
    expected = resample_affine(volume[None], _turned(), shape=(8, 11, 12), interpolation=kind)[0]
    rows = whole_rows((8, 11, 12))
    if kind == "linear":
        found = linear_on_rows(volume, _turned(), rows, 12)
        assert torch.allclose(found, expected, atol=1e-12)
        return
    found = cubic_on_rows(spline_with_border(volume), _turned(), rows, 12)
    inside = resample_affine(
        torch.ones_like(volume)[None], _turned(), shape=(8, 11, 12), border="constant"
    )[0]
    assert torch.allclose(found[inside > 0], expected[inside > 0], atol=1e-9)
    assert bool(torch.isfinite(found).all())


def test_gives_nothing_outside_the_spans(generator):
    volume = 1 + torch.rand(4, 5, 6, generator=generator, dtype=torch.float64)
    rows = torch.zeros(4, 5, 2, dtype=torch.int64)
    rows[1, 2] = torch.tensor([2, 4])
    found = linear_on_rows(volume, torch.eye(4, dtype=torch.float64), rows, 6)
    assert found.nonzero().tolist() == [[1, 2, 2], [1, 2, 3]]
    assert torch.equal(found[1, 2, 2:4], volume[1, 2, 2:4])


def test_takes_what_is_beyond_the_limit_as_it_is():
    volume = torch.tensor([[[0.0, 1.0, 10.0, 20.0]]], dtype=torch.float64)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[2, 3] = 0.5
    found = linear_on_rows(volume, matrix, whole_rows((1, 1, 3)), 3, limit=5.0)
    assert found[0, 0].tolist() == [0.5, 5.5, 10.0]


def test_spans_hold_all_samples_within_the_ellipsoid(generator):
    mask = torch.rand(6, 9, 10, generator=generator) < 0.02
    radius = (1.5, 2.2, 3.1)
    rows = rows_near(mask, radius)
    where = mask.nonzero().double()
    for z, y, x in torch.cartesian_prod(*map(torch.arange, mask.shape)).tolist():
        away = (where - torch.tensor([z, y, x])) / torch.tensor(radius)
        if bool((away.norm(dim=1) <= 1).any()):
            assert rows[z, y, 0] <= x < rows[z, y, 1]


def test_an_empty_mask_needs_nothing():
    assert int(rows_near(torch.zeros(2, 3, 4, dtype=torch.bool), (2.0, 2.0, 2.0)).sum()) == 0
