"""Solids and rules: cylinders and boxes are sampled right, values paint or add."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid
from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.physics import (
    Box,
    Cylinder,
    Ellipsoid,
    Phantom,
    chest_phantom,
    phantom_labels,
    rasterise,
    to_attenuation,
    truth,
)
from vesalius.physics._solids import gauge, surface

CUBE = Grid.from_spacing((32, 32, 32), (1.0, 1.0, 1.0), origin_mm=(-15.3, -15.6, -15.2))
KINDS = [Ellipsoid, Cylinder, Box]


@settings(max_examples=12)
@given(
    st.tuples(*[st.floats(3.0, 8.0)] * 3),
    st.tuples(*[st.floats(-90.0, 90.0)] * 3),
    st.sampled_from(KINDS),
)
def test_the_sampled_volume_is_the_closed_form(semi_axes, turn, kind):
    solid = kind((0.0, 0.0, 0.0), semi_axes, 1.0, turn)
    sampled = float(rasterise(Phantom((solid,)), CUBE).data.sum())
    assert sampled == pytest.approx(solid.volume_mm3, rel=1e-2)


@pytest.mark.parametrize(("kind", "factor"), [(Ellipsoid, math.pi / 6), (Cylinder, math.pi / 4)])
def test_round_solids_fill_their_part_of_the_box(kind, factor):
    semi = (2.0, 3.0, 4.0)
    box = Box((0.0, 0.0, 0.0), semi, 1.0)
    assert box.volume_mm3 == 8 * 24
    assert kind((0.0, 0.0, 0.0), semi, 1.0).volume_mm3 == pytest.approx(factor * box.volume_mm3)


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_the_surface_are_on_it_and_within_the_radius(kind):
    solid = kind((1.0, 2.0, 3.0), (2.0, 5.0, 4.0), 1.0, (20.0, 40.0, -10.0))
    points = surface(solid)
    torch.testing.assert_close(gauge(solid, points), torch.ones(len(points), dtype=torch.float64))
    away = (points - torch.tensor(solid.centre_mm, dtype=torch.float64)).norm(dim=1)
    assert float(away.max()) <= solid.radius_mm + 1e-9
    assert float(away.max()) >= 0.95 * solid.radius_mm


@pytest.mark.parametrize("kind", KINDS)
def test_a_semi_axis_must_be_positive(kind):
    with pytest.raises(GeometryError, match="semi_axes_mm must be positive"):
        kind((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), 1.0)
    with pytest.raises(GeometryError, match="semi_axes_mm must be positive"):
        kind((0.0, 0.0, 0.0), (1.0, math.inf, 1.0), 1.0)


def test_values_add_where_solids_overlap():
    parts = (
        Box((0.0, 0.0, 0.0), (9.0, 9.0, 9.0), 2.0, name="outer"),
        Ellipsoid.sphere((3.0, 0.0, 0.0), 8.0, value=-0.5, name="dip"),
    )
    data = rasterise(Phantom(parts, 1.0, rule="add"), CUBE).data[0]
    assert float(data[15, 15, 18]) == pytest.approx(2.5)
    assert float(data[15, 15, 8]) == pytest.approx(3.0)
    assert float(data[0, 0, 0]) == 1.0
    mass = float((data.double() - 1.0).sum())
    expected = sum(p.value * p.volume_mm3 for p in parts)
    assert mass == pytest.approx(expected, rel=5e-3)


def test_paint_and_add_agree_on_solids_apart():
    parts = (
        Box((-7.0, 0.0, 0.0), (3.0, 5.0, 5.0), 2.0, (0.0, 0.0, 20.0)),
        Cylinder((7.0, 0.0, 0.0), (3.0, 3.0, 5.0), 4.0, (30.0, 0.0, 0.0)),
    )
    painted = rasterise(Phantom(parts), CUBE).data
    torch.testing.assert_close(rasterise(Phantom(parts, rule="add"), CUBE).data, painted)


def test_nothing_is_covered_where_values_add():
    parts = (
        Ellipsoid.sphere((0.0, 0.0, 0.0), 8.0, value=1.0, name="one"),
        Ellipsoid.sphere((3.0, 0.0, 0.0), 8.0, value=1.0, name="two"),
    )
    found = truth(Phantom(parts, rule="add"))
    assert [t.volume_mm3 for t in found] == pytest.approx([p.volume_mm3 for p in parts])


def test_labels_show_the_last_one_where_values_add():
    parts = (
        Box((0.0, 0.0, 0.0), (9.0, 9.0, 9.0), 2.0, name="outer"),
        Ellipsoid.sphere((3.0, 0.0, 0.0), 8.0, value=-0.5, name="dip"),
    )
    labels = phantom_labels(Phantom(parts, rule="add"), CUBE)
    assert int(labels.data[0, 15, 15, 18]) == 2
    assert int(labels.data[0, 15, 15, 8]) == 1


def test_truth_takes_a_box_out_of_a_cylinder():
    can = Cylinder((0.0, 0.0, 0.0), (10.0, 10.0, 12.0), 1.0, name="can")
    box = Box((0.0, 0.0, 0.0), (3.0, 4.0, 12.0), 2.0, name="box")
    outer, inner = truth(Phantom((can, box)))
    assert inner.volume_mm3 == pytest.approx(8 * 3 * 4 * 12)
    assert outer.volume_mm3 == pytest.approx(math.pi * 100 * 24 - inner.volume_mm3)
    wide = Box((0.0, 0.0, 0.0), (8.0, 8.0, 3.0), 2.0, name="wide")
    with pytest.raises(GeometryError, match="solids must lie inside each other or apart"):
        truth(Phantom((can, wide)))


def test_attenuation_of_water_is_water_and_of_air_nothing():
    phantom = to_attenuation(chest_phantom(), water_per_mm=0.0206)
    assert phantom.background == 0.0
    assert phantom.unit == "1/mm"
    value = {e.name: e.value for e in phantom.solids}
    assert value["body"] == pytest.approx(0.0206 * 1.03)
    assert value["lung_left"] == pytest.approx(0.0206 * 0.15)


def test_values_that_add_are_scaled_without_an_offset():
    ball = Ellipsoid.sphere((0.0, 0.0, 0.0), 20.0, value=1000.0)
    dip = Ellipsoid.sphere((0.0, 0.0, 0.0), 10.0, value=-200.0)
    for_hu = Phantom((ball, dip), -1000.0, "HU", "add")
    got = rasterise(to_attenuation(for_hu, water_per_mm=0.02), CUBE).data
    expected = (rasterise(for_hu, CUBE).data / 1000 + 1) * 0.02
    torch.testing.assert_close(got, expected, atol=1e-7, rtol=0)


def test_attenuation_needs_hu_and_water():
    with pytest.raises(UnitError, match="phantom must be in HU to become attenuation"):
        to_attenuation(Phantom(()), water_per_mm=0.02)
    with pytest.raises(IntensityError, match="water_per_mm must be positive"):
        to_attenuation(Phantom((), -1000.0, "HU"), water_per_mm=0.0)
