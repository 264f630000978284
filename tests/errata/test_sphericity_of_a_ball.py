"""Erratum 10: a ball's sphericity is .9 on the mesh of a mask, 1 on a signed distance."""

import math

import pytest
import torch

from vesalius.core import Grid
from vesalius.measure._distance_shape import distance_shape
from vesalius.measure._morphology import morphology
from vesalius.measure._region import Region
from vesalius.ops._mesh import MeshSize, surface_size

RADII = (5, 10, 20)


def distance_to_sphere(radius: int) -> torch.Tensor:
    line = torch.arange(-radius - 3, radius + 4, dtype=torch.float64)
    z, y, x = torch.meshgrid(line - 0.2, line + 0.3, line - 0.1, indexing="ij")
    return radius - (z**2 + y**2 + x**2).sqrt()


def ball(radius: int) -> Region:
    mask = distance_to_sphere(radius) >= 0
    return Region(Grid.from_spacing(tuple(mask.shape)), mask.double(), mask, mask, "1")


def sphericity(size: MeshSize) -> float:
    return (36 * math.pi * size.volume**2) ** (1 / 3) / size.area


@pytest.mark.parametrize("radius", RADII)
def test_the_mesh_of_a_mask_gives_about_nine_tenths(radius):
    values = morphology(ball(radius), spatial_autocorrelation=False)
    found = next(v.value for v in values if v.tag == "morph_sphericity")
    assert 0.89 < found < 0.93


@pytest.mark.parametrize(("radius", "least"), [(5, 0.996), (10, 0.999), (20, 0.9997)])
def test_the_exact_signed_distance_gives_nearly_one(radius, least):
    assert least < sphericity(surface_size(distance_to_sphere(radius), (1.0, 1.0, 1.0))) < 1


@pytest.mark.parametrize("radius", RADII)
def test_the_signed_distance_of_the_mask_gives_nearly_one(radius):
    found = next(v.value for v in distance_shape(ball(radius)) if v.tag == "sdf_sphericity")
    assert 0.997 <= found < 1


def test_both_are_offered_by_name():
    tags = {v.tag for v in distance_shape(ball(5))}
    assert "sdf_sphericity" in tags
    assert not any(tag.startswith("morph_") for tag in tags)
