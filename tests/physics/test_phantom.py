"""Phantoms: every volume has a closed form, every voxel a value that can be derived."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Image
from vesalius.errors import GeometryError, IntensityError
from vesalius.physics import (
    Ellipsoid,
    Phantom,
    add_noise,
    insert_nodule,
    phantom_labels,
    rasterise,
    truth,
)

CUBE = Grid.from_spacing((32, 32, 32), (1.0, 1.0, 1.0), origin_mm=(-15.3, -15.6, -15.2))
BALL = Ellipsoid.sphere((0.0, 0.0, 0.0), 20.0, value=1.0)

axes = st.floats(4.0, 12.0)
turns = st.floats(-90.0, 90.0)


@settings(max_examples=10, deadline=None)
@given(st.tuples(axes, axes, axes), st.tuples(turns, turns, turns))
def test_sampled_volume_is_four_thirds_pi_abc(semi_axes, rotation):
    body = Ellipsoid((0.0, 0.0, 0.0), semi_axes, 1.0, rotation)
    a, b, c = semi_axes
    assert body.volume_mm3 == pytest.approx(4 / 3 * math.pi * a * b * c, rel=1e-12)
    assert float(rasterise(Phantom((body,)), CUBE).data.sum()) == pytest.approx(
        body.volume_mm3, rel=3e-3
    )


def test_finer_samples_of_crossed_voxels_give_a_better_volume():
    errors = [
        abs(
            float(rasterise(Phantom((BALL,)), CUBE, supersample=n).data.sum()) / BALL.volume_mm3 - 1
        )
        for n in (1, 10)
    ]
    assert errors[1] < 2e-4
    assert errors[1] < errors[0]


def test_voxels_that_no_surface_crosses_are_exact():
    data = rasterise(Phantom((BALL,), background=-1000.0), CUBE).data[0]
    index = torch.cartesian_prod(*[torch.arange(32.0, dtype=torch.float64)] * 3)
    radius = CUBE.to_world(index).norm(dim=1).reshape(32, 32, 32)
    half_diagonal = math.sqrt(3) / 2
    assert (data[radius < 10 - half_diagonal] == 1.0).all()
    assert (data[radius > 10 + half_diagonal] == -1000.0).all()


def test_a_crossed_voxel_agrees_with_a_slow_count_of_points():
    body = Ellipsoid((0.4, -0.2, 0.3), (6.0, 9.0, 4.0), 2.0, (20.0, -30.0, 50.0))
    lid = Ellipsoid((6.0, 1.0, 0.0), (5.0, 5.0, 5.0), 7.0)
    data = rasterise(Phantom((body, lid), 1.0), CUBE, supersample=4).data[0]
    offset = (torch.arange(4, dtype=torch.float64) + 0.5) / 4 - 0.5
    for voxel in ((15, 16, 20), (14, 12, 13), (17, 20, 18), (15, 15, 10)):
        points = torch.cartesian_prod(*[offset] * 3) + torch.tensor(voxel, dtype=torch.float64)
        world = CUBE.to_world(points)
        value = torch.full((64,), 1.0, dtype=torch.float64)
        for part in (body, lid):
            unit = world @ part.to_unit[:3, :3].T + part.to_unit[:3, 3]
            value[unit.norm(dim=1) <= 1] = part.value
        assert float(data[voxel]) == pytest.approx(float(value.mean()), abs=1e-6)


def test_rotation_turns_the_long_axis():
    rod = Ellipsoid((0.0, 0.0, 0.0), (12.0, 3.0, 3.0), 1.0, (0.0, 0.0, 90.0))
    data = rasterise(Phantom((rod,)), CUBE).data[0]
    index = (data > 0.5).nonzero()
    extent = index.max(dim=0).values - index.min(dim=0).values
    assert int(extent[1]) > 20  # L turned to P, which is y here
    assert int(extent[2]) < 8


def test_a_later_ellipsoid_replaces_what_it_covers():
    inner = Ellipsoid.sphere((0.0, 0.0, 0.0), 8.0, value=5.0, name="inner")
    both = rasterise(Phantom((BALL, inner)), CUBE).data[0]
    hidden = rasterise(Phantom((inner, BALL)), CUBE).data[0]
    assert float(both.max()) == 5.0
    assert float(hidden.max()) == 1.0


def test_truth_takes_off_what_is_covered():
    inner = Ellipsoid.sphere((0.0, 0.0, 0.0), 10.0, value=5.0, name="inner")
    kernel = Ellipsoid.sphere((0.0, 0.0, 0.0), 4.0, value=9.0, name="kernel")
    outer, middle, core = truth(Phantom((BALL, inner, kernel)))
    assert core.volume_mm3 == pytest.approx(4 / 3 * math.pi * 8)
    assert middle.volume_mm3 == pytest.approx(4 / 3 * math.pi * (125 - 8))
    assert outer.volume_mm3 == pytest.approx(4 / 3 * math.pi * (1000 - 125))


def test_truth_agrees_with_the_sampled_mass():
    inner = Ellipsoid((2.0, 0.0, -1.0), (5.0, 4.0, 3.0), 5.0, (10.0, 0.0, 40.0), "inner")
    phantom = Phantom((BALL, inner))
    mass = sum(t.value * t.volume_mm3 for t in truth(phantom))
    assert float(rasterise(phantom, CUBE).data.sum()) == pytest.approx(mass, rel=2e-3)


def test_parts_of_one_name_are_summed():
    twins = tuple(Ellipsoid.sphere((s, 0.0, 0.0), 4.0, value=1.0, name="rib") for s in (-5.0, 5.0))
    (found,) = truth(Phantom(twins))
    assert found.volume_mm3 == pytest.approx(2 * 4 / 3 * math.pi * 8)


@pytest.mark.parametrize("shift", [10.0, 5.5])
def test_truth_refuses_surfaces_that_cut_each_other(shift):
    other = Ellipsoid.sphere((shift, 0.0, 0.0), 12.0, value=2.0, name="other")
    with pytest.raises(GeometryError, match="must lie inside each other or apart"):
        truth(Phantom((BALL, other)))


def test_truth_refuses_an_ellipsoid_that_is_swallowed():
    small = Ellipsoid.sphere((0.0, 0.0, 0.0), 4.0, value=2.0, name="small")
    with pytest.raises(GeometryError, match="swallows 'small'"):
        truth(Phantom((small, BALL)))


def test_labels_follow_the_voxel_centres_and_carry_names():
    inner = Ellipsoid.sphere((0.0, 0.0, 0.0), 8.0, value=5.0, name="inner")
    labels = phantom_labels(Phantom((BALL, inner)), CUBE)
    assert labels.names == {(0, 1): "nodule", (0, 2): "inner"}
    index = torch.cartesian_prod(*[torch.arange(32.0, dtype=torch.float64)] * 3)
    radius = CUBE.to_world(index).norm(dim=1).reshape(32, 32, 32)
    assert torch.equal(labels.mask(2), radius <= 4)
    assert torch.equal(labels.mask(1), (radius <= 10) & (radius > 4))


def test_a_two_dimensional_grid_averages_over_the_slice():
    flat = Grid.from_spacing((1, 32, 32), (1.0, 1.0, 1.0), origin_mm=(-15.3, -15.6, 0.0))
    disc = float(rasterise(Phantom((BALL,)), flat).data.sum())
    assert disc == pytest.approx(math.pi * (100 - 1 / 12), rel=2e-3)


def test_an_empty_phantom_is_background():
    assert (rasterise(Phantom((), background=3.0), CUBE).data == 3.0).all()


def test_refuses_a_flat_ellipsoid():
    with pytest.raises(GeometryError, match="semi_axes_mm must be positive"):
        Ellipsoid((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), 1.0)


def test_refuses_no_samples():
    with pytest.raises(GeometryError, match="supersample must be at least 1"):
        rasterise(Phantom((BALL,)), CUBE, supersample=0)


def _lung(dtype: torch.dtype = torch.float32) -> Image:
    grid = Grid.from_spacing((24, 48, 48), (2.5, 1.0, 1.0))
    return Image(torch.full((1, *grid.shape), -850.0).to(dtype), grid, "HU")


@pytest.mark.parametrize("psf_mm", [0.0, 0.8, 1.5])
def test_an_inserted_nodule_adds_exactly_its_volume_times_its_contrast(psf_mm):
    image = _lung()
    nodule = Ellipsoid((23.2, 24.1, 29.7), (6.0, 5.0, 7.0), 50.0, (0.0, 30.0, 0.0), "nodule")
    found = insert_nodule(image, nodule, psf_mm=psf_mm)
    added = float((found.image.data - image.data).double().sum()) * image.grid.voxel_volume_mm3
    assert found.volume_mm3 == nodule.volume_mm3
    assert added == pytest.approx(900 * found.volume_mm3, rel=1e-3)
    assert found.image.unit == "HU"


def test_inserting_leaves_the_input_and_the_far_image_alone():
    image = _lung()
    found = insert_nodule(image, Ellipsoid.sphere((23.0, 24.0, 30.0), 8.0, value=40.0), psf_mm=0.5)
    assert (image.data == -850).all()
    assert (found.image.data[0, :2] == -850).all()
    assert float(found.image.data.max()) == pytest.approx(40.0)


def test_integer_scans_stay_integer():
    found = insert_nodule(
        _lung(torch.int16), Ellipsoid.sphere((23.0, 24.0, 30.0), 8.0, value=40.0), psf_mm=0.5
    )
    assert found.image.dtype == torch.int16


def test_a_nodule_is_as_noisy_as_asked(generator):
    nodule = Ellipsoid.sphere((23.0, 24.0, 30.0), 30.0, value=40.0)
    found = insert_nodule(_lung(), nodule, psf_mm=0.0, noise=15.0, generator=generator)
    inside = found.image.data[0, 11:14, 16:32, 16:30]  # well inside the ball
    assert float(inside.std()) == pytest.approx(15.0, rel=0.1)


def test_refuses_a_nodule_that_leaves_the_image():
    with pytest.raises(GeometryError, match="must lie inside the image"):
        insert_nodule(_lung(), Ellipsoid.sphere((1.0, 24.0, 30.0), 8.0, value=40.0), psf_mm=0.5)


def test_refuses_noise_without_a_generator():
    nodule = Ellipsoid.sphere((23.0, 24.0, 30.0), 8.0, value=40.0)
    with pytest.raises(IntensityError, match="generator is needed"):
        insert_nodule(_lung(), nodule, psf_mm=0.5, noise=5.0)


def test_refuses_a_sheared_grid():
    affine = _lung().grid.affine.clone()
    affine[0, 1] = 0.4
    image = Image(_lung().data, Grid((24, 48, 48), affine), "HU")
    with pytest.raises(GeometryError, match="sheared"):
        insert_nodule(image, Ellipsoid.sphere((23.0, 24.0, 30.0), 8.0, value=40.0), psf_mm=0.5)


@pytest.mark.parametrize("psf_mm", [0.0, 1.5])
def test_noise_has_the_standard_deviation_asked_for(generator, psf_mm):
    noisy = add_noise(_lung(), 12.0, generator=generator, psf_mm=psf_mm)
    difference = (noisy.data - _lung().data)[0]
    assert float(difference.std()) == pytest.approx(12.0, rel=0.02)
    near = np.corrcoef(difference[:, :, :-1].ravel(), difference[:, :, 1:].ravel())[0, 1]
    assert (near > 0.5) == (psf_mm > 0)


def test_refuses_negative_noise(generator):
    with pytest.raises(IntensityError, match="must not be negative"):
        add_noise(_lung(), -1.0, generator=generator)


def test_refuses_noise_on_integers(generator):
    with pytest.raises(IntensityError, match="must be floating point"):
        add_noise(_lung(torch.int16), 1.0, generator=generator)
