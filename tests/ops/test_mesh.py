"""Marching cubes with a symmetric table."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import RegionError
from vesalius.ops._mesh import marching_cubes, mesh_size, surface_size

SPACING = (2.5, 1.0, 0.7)
seeds = st.integers(0, 10_000)


def random_mask(seed, shape=(5, 6, 4), share=0.5):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < share)


def poses():
    return [
        (order, flips)
        for order in itertools.permutations(range(3))
        for flips in itertools.product((False, True), repeat=3)
    ]


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_volume_and_area_are_the_same_in_all_48_poses(seed):
    mask = random_mask(seed)
    ours = mesh_size(mask, SPACING)
    for order, flips in poses():
        turned = mask.permute(order).flip([a for a in range(3) if flips[a]])
        other = mesh_size(turned, tuple(SPACING[a] for a in order))
        assert other.volume == pytest.approx(ours.volume, rel=1e-12)
        assert other.area == pytest.approx(ours.area, rel=1e-12)


def test_one_voxel_is_an_octahedron():
    size = mesh_size(torch.ones(1, 1, 1, dtype=torch.bool), (1.0, 1.0, 1.0))
    assert size.volume == pytest.approx(1 / 6, rel=1e-12)
    assert size.area == pytest.approx(math.sqrt(3), rel=1e-12)


def test_an_empty_mask_has_no_size():
    size = mesh_size(torch.zeros(3, 3, 3, dtype=torch.bool), SPACING)
    assert (size.volume, size.area) == (0.0, 0.0)


def test_padding_changes_nothing():
    mask = random_mask(3)
    padded = torch.nn.functional.pad(mask, (1, 4, 2, 0, 3, 1))
    assert mesh_size(padded, SPACING) == mesh_size(mask, SPACING)


def test_agrees_with_scikit_image_where_no_face_is_ambiguous():
    measure = pytest.importorskip("skimage.measure")
    z, y, x = np.ogrid[-7:8, -9:10, -8:9]
    ball = z**2 / 20 + y**2 / 50 + x**2 / 40 <= 1
    vertices, faces, _, _ = measure.marching_cubes(
        np.pad(ball, 1).astype(float), 0.5, spacing=SPACING, method="lorensen"
    )
    a, b, c = np.moveaxis(vertices.astype(float)[faces], 1, 0)
    size = mesh_size(torch.from_numpy(ball), SPACING)
    assert size.area == pytest.approx(measure.mesh_surface_area(vertices, faces), rel=2e-3)
    assert size.volume == pytest.approx(abs((a * np.cross(b, c)).sum()) / 6, rel=1e-3)


def test_corners_that_touch_across_a_face_are_joined():
    mask = torch.zeros(1, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = mask[0, 1, 1] = True
    # two cells hold both voxels; each gains the wedge between them over two separate octahedra
    assert mesh_size(mask, (1.0, 1.0, 1.0)).volume > 2 / 6 + 0.1


def test_the_surface_is_closed_and_points_outwards():
    field = torch.nn.functional.pad(random_mask(8).double(), (1, 1, 1, 1, 1, 1))
    vertices, faces = marching_cubes(field, level=0.5)
    a, b, c = vertices[faces].unbind(dim=1)
    normal = (b - a).cross(c - a, dim=1)
    assert normal.sum(dim=0).abs().max() < 1e-9
    assert (a * normal).sum() > 0


def test_a_fine_signed_distance_gives_the_ball():
    line = torch.arange(-13, 14, dtype=torch.float64)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    radius = 10.0
    field = radius - ((z - 0.2) ** 2 + (y + 0.3) ** 2 + x**2).sqrt()
    size = surface_size(field, (1.0, 1.0, 1.0))
    assert size.volume == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)
    assert size.area == pytest.approx(4 * math.pi * radius**2, rel=0.01)


def test_the_level_moves_the_surface():
    line = torch.arange(-8, 9, dtype=torch.float64)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    field = -(z**2 + y**2 + x**2).sqrt()
    small, large = (surface_size(field, (1.0, 1.0, 1.0), level=-r).volume for r in (4.0, 6.0))
    assert large / small == pytest.approx((6 / 4) ** 3, rel=0.03)


def test_refuses_a_field_that_does_not_cross_the_level():
    with pytest.raises(RegionError, match="field must cross the level 0"):
        marching_cubes(torch.ones(3, 3, 3))
