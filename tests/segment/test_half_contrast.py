"""The half-contrast threshold: right volumes on objects whose volume is exactly known."""

import math

import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import GeometryError, RegionError
from vesalius.physics import Ellipsoid, Phantom, add_noise, insert_nodule, rasterise
from vesalius.segment import half_contrast

SEED = (21.3, 22.4, 31.1)


def _lung(value=-850.0, noise=20.0, spacing=(2.5, 0.8, 0.8)):
    shape = (26, 56, 56)
    image = Image(torch.full((1, *shape), value), Grid.from_spacing(shape, spacing), "HU")
    return add_noise(image, noise, generator=torch.Generator().manual_seed(4))


def _volume(labels):
    return int(labels.data.sum()) * labels.grid.voxel_volume_mm3


@pytest.mark.parametrize("diameter", [10.0, 12.0, 16.0])
@pytest.mark.parametrize("psf_mm", [0.4, 0.8])
def test_volume_of_a_ball_is_right_whatever_the_blur(diameter, psf_mm):
    made = insert_nodule(_lung(), Ellipsoid.sphere(SEED, diameter, value=40.0), psf_mm=psf_mm)
    found = half_contrast(made.image, SEED, radius_mm=14.0)
    assert _volume(found) == pytest.approx(made.volume_mm3, rel=0.05)


@pytest.mark.parametrize(
    "spacing", [(2.5, 0.7, 0.7), (1.0, 0.7, 0.7), (2.5, 1.5, 1.5), (3.0, 2.0, 2.0), (3.0, 3.0, 3.0)]
)
def test_volume_of_a_large_ball_is_right_whatever_the_voxels(spacing):
    shape = tuple(int(60 / s) for s in spacing)
    air = Image(torch.full((1, *shape), -850.0), Grid.from_spacing(shape, spacing), "HU")
    air = add_noise(air, 20.0, generator=torch.Generator().manual_seed(2))
    made = insert_nodule(air, Ellipsoid.sphere((31.3, 28.4, 30.1), 18.0, value=40.0), psf_mm=0.7)
    found = half_contrast(made.image, (32.3, 27.7, 31.1), radius_mm=15.0)
    assert _volume(found) == pytest.approx(made.volume_mm3, rel=0.02)


def test_a_ball_of_less_than_three_slices_comes_out_up_to_a_fifth_too_small():
    made = insert_nodule(_lung(), Ellipsoid.sphere(SEED, 7.0, value=40.0), psf_mm=0.6)
    share = _volume(half_contrast(made.image, SEED, radius_mm=14.0)) / made.volume_mm3
    assert 0.8 < share < 1.0


@pytest.mark.parametrize("value", [-500.0, 0.0, 300.0])
def test_the_contrast_does_not_matter(value):
    made = insert_nodule(_lung(), Ellipsoid.sphere(SEED, 11.0, value=value), psf_mm=0.6)
    found = half_contrast(made.image, SEED, radius_mm=14.0)
    assert _volume(found) == pytest.approx(made.volume_mm3, rel=0.04)


def test_a_dark_object_on_a_bright_ground_is_found_as_well():
    made = insert_nodule(_lung(40.0), Ellipsoid.sphere(SEED, 11.0, value=-850.0), psf_mm=0.6)
    found = half_contrast(made.image, SEED, radius_mm=14.0)
    assert _volume(found) == pytest.approx(made.volume_mm3, rel=0.04)


def test_a_compact_ellipsoid_keeps_its_volume():
    egg = Ellipsoid(SEED, (6.5, 5.5, 5.0), 40.0, (30.0, 10.0, 0.0), "egg")
    made = insert_nodule(_lung(), egg, psf_mm=0.6)
    found = half_contrast(made.image, SEED, radius_mm=14.0)
    assert _volume(found) == pytest.approx(made.volume_mm3, rel=0.05)


def test_a_vessel_that_hangs_on_is_cut_off():
    vessel = Ellipsoid(SEED, (1.5, 60.0, 1.5), 40.0, name="vessel")
    grid = _lung().grid
    clean = rasterise(Phantom((vessel,), -850.0, "HU"), grid)
    made = insert_nodule(clean, Ellipsoid.sphere(SEED, 12.0, value=40.0), psf_mm=0.6)
    found = half_contrast(made.image, SEED, radius_mm=14.0)
    assert _volume(found) == pytest.approx(made.volume_mm3, rel=0.04)


def test_the_seed_need_not_be_in_the_middle():
    made = insert_nodule(_lung(), Ellipsoid.sphere(SEED, 12.0, value=40.0), psf_mm=0.6)
    middle = half_contrast(made.image, SEED, radius_mm=16.0)
    aside = half_contrast(made.image, (SEED[0] + 3, SEED[1], SEED[2]), radius_mm=16.0)
    assert torch.equal(middle.data, aside.data)


def test_the_result_lies_on_the_image_and_has_a_name():
    made = insert_nodule(_lung(), Ellipsoid.sphere(SEED, 12.0, value=40.0), psf_mm=0.6)
    found = half_contrast(made.image, SEED, radius_mm=14.0)
    assert found.grid is made.image.grid
    assert found.names == {(0, 1): "object"}
    centre = found.grid.to_world(found.mask(1).nonzero().double().mean(dim=0))
    assert float((centre - torch.tensor(SEED).double()).norm()) < 0.3


def test_an_affine_change_of_intensity_changes_nothing():
    made = insert_nodule(_lung(), Ellipsoid.sphere(SEED, 12.0, value=40.0), psf_mm=0.6).image
    scaled = made.map(lambda x: 3 * x.double() - 500)
    one = half_contrast(made.map(torch.Tensor.double), SEED, radius_mm=14.0)
    assert torch.equal(one.data, half_contrast(scaled, SEED, radius_mm=14.0).data)


def test_one_slice_is_segmented_in_its_plane():
    grid = Grid.from_spacing((1, 64, 64), (5.0, 0.8, 0.8))
    disc = Phantom((Ellipsoid((25.0, 25.0, 0.0), (8.0, 8.0, 1e4), 40.0),), -850.0, "HU")
    found = half_contrast(rasterise(disc, grid), (25.0, 25.0, 0.0), radius_mm=14.0)
    assert int(found.data.sum()) * 0.64 == pytest.approx(math.pi * 64, rel=0.02)


def test_refuses_a_seed_outside_the_image():
    with pytest.raises(GeometryError, match="seed_mm must lie inside the image"):
        half_contrast(_lung(), (-50.0, 20.0, 20.0), radius_mm=10.0)


def test_refuses_a_constant_image():
    with pytest.raises(RegionError, match="must stand out"):
        half_contrast(_lung(noise=0.0), SEED, radius_mm=10.0)


def test_refuses_an_object_that_fills_the_search_radius():
    with pytest.raises(RegionError, match=r"enlarge radius_mm|far side"):
        half_contrast(_lung().crop((10, 24, 24), (3, 4, 4)), (21.0, 21.0, 27.0), radius_mm=40.0)


def test_refuses_a_seed_in_a_speck_of_the_wrong_side():
    made = insert_nodule(_lung(noise=0.0), Ellipsoid.sphere(SEED, 12.0, value=40.0), psf_mm=0.6)
    x = made.image.data.clone()
    z, y, w = made.image.grid.to_index(torch.tensor(SEED).double()).round().long().tolist()
    x[0, z, y, w] = -845.0  # a hole at the seed itself
    with pytest.raises(RegionError, match=r"far side of half contrast|must stand out"):
        half_contrast(Image(x, made.image.grid, "HU"), SEED, radius_mm=14.0)
