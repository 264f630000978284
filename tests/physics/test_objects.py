"""Test objects: what they are said to hold can be found in them."""

import math

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import GeometryError, IntensityError
from vesalius.physics import (
    Cylinder,
    beads,
    bias_field,
    cells,
    coil_maps,
    filaments,
    phantom_labels,
    rasterise,
    resolution_bars,
    shepp_logan,
    shepp_logan_3d,
    truth,
    water_cylinder,
)

MICRO = Grid.from_spacing((40, 50, 60), (1e-3, 1e-3, 1e-3), origin_mm=(0.0, 0.0, 0.0))
PLANE = Grid.from_spacing((1, 60, 64), (5.0, 4.0, 4.0), origin_mm=(-126.0, -118.0, 0.0))


def at(phantom, x, y, z=0.0):
    """Value at one point, mm."""
    grid = Grid.from_spacing((1, 1, 1), (1e-6, 1e-6, 1e-6), origin_mm=(x, y, z))
    return float(rasterise(phantom, grid, supersample=1).data)


# Shepp and Logan (1974), table 1: sums of the printed densities, by hand
@pytest.mark.parametrize(
    ("place", "original", "modified"),
    [
        ((0.0, 0.9), 2.0, 1.0),
        ((0.0, 0.7), 1.02, 0.2),
        ((0.25, 0.0), 1.00, 0.0),
        ((0.0, 0.35), 1.03, 0.3),
        ((-0.3, -0.2), 1.00, 0.0),
        ((-0.08, -0.605), 1.03, 0.3),
        ((0.69, 0.69), 0.0, 0.0),
    ],
)
def test_shepp_logan_has_the_printed_values(place, original, modified):
    x, y = place
    for contrast, expected in (("original", original), ("modified", modified)):
        phantom = shepp_logan(half_size_mm=1.0, per_mm=1.0, contrast=contrast)
        assert at(phantom, x, -y) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("place", "original", "modified"),
    [
        ((0.0, 0.9, 0.0), 2.0, 1.0),
        ((0.0, 0.6, 0.5), 1.02, 0.2),
        ((-0.22, 0.0, -0.25), 1.00, 0.0),
        ((0.22, 0.0, -0.25), 1.00, 0.0),
        ((0.0, 0.1, 0.625), 1.00, 0.0),
        ((0.06, -0.105, 0.625), 1.04, 0.4),
    ],
)
def test_shepp_logan_3d_has_the_printed_values(place, original, modified):
    x, y, z = place
    for contrast, expected in (("original", original), ("modified", modified)):
        phantom = shepp_logan_3d(half_size_mm=1.0, per_mm=1.0, contrast=contrast)
        assert at(phantom, x, -y, z) == pytest.approx(expected, abs=1e-6)


def test_the_eyes_of_shepp_logan_lean_apart_at_the_top():
    phantom = shepp_logan(half_size_mm=100.0, per_mm=1.0)
    # the left one is turned by 18 degrees: its upper end is further from the middle
    s, c = 35 * math.sin(math.radians(18)), 35 * math.cos(math.radians(18))
    upper, lower = at(phantom, -22.0 - s, -c), at(phantom, -22.0 + s, c)
    assert upper == pytest.approx(0.0, abs=1e-6)
    assert lower == pytest.approx(0.0, abs=1e-6)
    mirrored = at(
        phantom, -22.0 + 35 * math.sin(math.radians(18)), -35 * math.cos(math.radians(18))
    )
    assert mirrored > 0.15


def test_shepp_logan_refuses_sizes_that_cannot_be():
    with pytest.raises(GeometryError, match="half_size_mm and length_mm must be positive"):
        shepp_logan(half_size_mm=0.0)
    with pytest.raises(IntensityError, match="per_mm must be positive"):
        shepp_logan_3d(per_mm=-1.0)


def test_a_water_cylinder_is_water_in_air():
    phantom = water_cylinder(diameter_mm=100.0)
    assert at(phantom, 0.0, 49.0) == 0.0
    assert at(phantom, 0.0, 51.0) == -1000.0
    (water,) = truth(phantom)
    assert water.volume_mm3 == pytest.approx(math.pi * 2500 * 1000)


def test_bars_have_their_frequency_along_the_tangent():
    phantom = resolution_bars((0.5, 1.0, 2.0), value=500.0)
    for group, frequency in enumerate((0.5, 1.0, 2.0)):
        a = 2 * math.pi * group / 3

        def along(t, a=a):
            return at(
                phantom,
                30 * math.cos(a) - t * math.sin(a),
                30 * math.sin(a) + t * math.cos(a),
            )

        period = 1 / frequency
        assert [along(k * period) for k in (-2, -1, 0, 1, 2)] == [500.0] * 5
        assert [along((k + 0.5) * period) for k in (-2, -1, 0, 1)] == [0.0] * 4
        assert along(0.24 * period) == 500.0
        assert along(0.26 * period) == 0.0


def test_bars_are_exact_in_volume_and_named():
    found = {t.name: t.volume_mm3 for t in truth(resolution_bars((0.5, 1.0)))}
    assert found["0.5 lp/mm"] == pytest.approx(5 * 1.0 * 20 * 20)
    assert found["1 lp/mm"] == pytest.approx(5 * 0.5 * 20 * 20)


def test_bars_refuse_what_does_not_fit():
    with pytest.raises(GeometryError, match="bars need at least one positive frequency"):
        resolution_bars(())
    with pytest.raises(GeometryError, match="groups of bars must not overlap"):
        resolution_bars((0.05, 1.0, 2.0))


def test_cells_are_apart_and_hold_their_nuclei(generator):
    phantom = cells(MICRO, count=6, generator=generator)
    found = truth(phantom)  # refuses surfaces that cut each other
    assert len(found) == 12
    labels = phantom_labels(phantom, MICRO)
    voxel = MICRO.voxel_volume_mm3
    for value, part in enumerate(found, start=1):
        assert int(labels.mask(value).sum()) * voxel == pytest.approx(part.volume_mm3, rel=0.25)


def test_beads_lie_where_they_say(generator):
    phantom = beads(MICRO, count=5, diameter_mm=3e-3, generator=generator)
    image = rasterise(phantom, MICRO)
    for bead in phantom.solids:
        index = MICRO.to_index(torch.tensor([bead.centre_mm], dtype=torch.float64))[0].round()
        z, y, x = index.int().tolist()
        assert float(image.data[0, z, y, x]) == 1.0
    mass = float(image.data.sum()) * MICRO.voxel_volume_mm3
    assert mass == pytest.approx(sum(b.volume_mm3 for b in phantom.solids), rel=0.02)


def test_filaments_point_everywhere_and_one_seed_gives_one_set():
    sets = [
        filaments(MICRO, count=300, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    ]
    assert sets[0] == sets[1] != sets[2]
    assert all(isinstance(rod, Cylinder) for rod in sets[0].solids)
    axis = torch.stack([torch.linalg.inv(rod.to_unit)[:3, 2] for rod in sets[0].solids])
    axis = axis / axis.norm(dim=1, keepdim=True)
    spread = (axis[:, :, None] * axis[:, None, :]).mean(dim=0)
    torch.testing.assert_close(spread, torch.eye(3).double() / 3, atol=0.08, rtol=0)


def test_parts_that_do_not_fit_are_refused(generator):
    with pytest.raises(GeometryError, match=r"parts of .* must fit into the box"):
        beads(MICRO, count=1, diameter_mm=1.0, generator=generator)
    with pytest.raises(GeometryError, match="must fit without touching, only"):
        cells(MICRO, count=500, radius_mm=8e-3, generator=generator)


def test_coil_maps_have_unit_energy_and_see_their_side():
    maps = coil_maps(PLANE, coils=8, radius_mm=180.0)
    assert maps.shape == (8, 1, 60, 64)
    assert maps.dtype == torch.complex128
    torch.testing.assert_close(
        maps.abs().square().sum(dim=0), torch.ones(1, 60, 64, dtype=torch.float64)
    )
    # coil 0 is on +L (large x), coil 2 on +P (large y)
    assert maps[0, 0, 30, 63].abs() > 1.5 * maps[4, 0, 30, 63].abs()
    assert maps[2, 0, 59, 32].abs() > 1.5 * maps[6, 0, 59, 32].abs()


def test_coil_maps_are_the_closed_form_at_a_point():
    grid = Grid.from_spacing((1, 1, 1), (1.0, 1.0, 1.0), origin_mm=(30.0, 40.0, 0.0))
    maps = coil_maps(grid, coils=2, radius_mm=100.0)[:, 0, 0, 0]
    d = [math.hypot(30 - 100, 40), math.hypot(30 + 100, 40)]
    energy = math.hypot(1 / d[0], 1 / d[1])
    assert maps.abs().tolist() == pytest.approx([1 / d[0] / energy, 1 / d[1] / energy])
    assert float(maps[0].angle()) == pytest.approx(math.atan2(40, -70))
    turned = math.atan2(40, 130) - math.pi
    assert math.cos(float(maps[1].angle()) - turned) == pytest.approx(1.0)


def test_rings_of_coils_are_apart_along_s():
    tall = Grid.from_spacing((20, 3, 3), (10.0, 10.0, 10.0), origin_mm=(-10.0, -10.0, -95.0))
    maps = coil_maps(tall, coils=4, rings=2, radius_mm=150.0).abs()
    assert maps[0, 0, 1, 1] > maps[0, 19, 1, 1]
    assert maps[1, 19, 1, 1] > maps[1, 0, 1, 1]


def test_coils_refuse_to_touch_samples():
    with pytest.raises(GeometryError, match="coils must lie outside the samples"):
        coil_maps(PLANE, coils=4, radius_mm=50.0)
    with pytest.raises(GeometryError, match="coils and rings must be at least 1"):
        coil_maps(PLANE, coils=0)


def test_a_bias_field_is_smooth_and_within_its_strength(generator):
    gain = bias_field(PLANE, strength=0.3, generator=generator)
    assert gain.shape == PLANE.shape
    assert float(gain.max()) == pytest.approx(math.exp(0.3))
    assert float(gain.min()) == pytest.approx(math.exp(-0.3))
    assert float(gain.log().diff(dim=2).abs().max()) < 0.6 * 4 / 63
    one = Grid.from_spacing((1, 1, 1), (1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    assert bias_field(one, strength=0.3, generator=generator).tolist() == [[[1.0]]]


def test_a_bias_field_refuses_a_negative_strength(generator):
    with pytest.raises(IntensityError, match="strength must be at least 0 and degree at least 1"):
        bias_field(PLANE, strength=-0.1, generator=generator)
