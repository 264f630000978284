"""Exact projections: closed forms against quadrature along each ray, for every geometry."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Linear
from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.physics import Box, Cylinder, Ellipsoid, Phantom, shepp_logan, shepp_logan_3d
from vesalius.physics._solids import gauge
from vesalius.physics.ct import (
    cone,
    exact_projections,
    fan,
    helical,
    material_paths,
    parallel,
    tomosynthesis,
)

ANGLES = torch.tensor([0.0, 33.0, 107.0, 251.0])
FAR = {"source_mm": 400.0, "detector_mm": 700.0}
GEOMETRIES = {
    "parallel": parallel(ANGLES, shape=(3, 9), pitch_mm=(9.0, 5.0), offset_mm=(1.0, 2.0)),
    "fan": fan(ANGLES, shape=(2, 9), pitch_mm=(8.0, 8.0), **FAR),
    "fan on an arc": fan(ANGLES, shape=(1, 9), pitch_mm=(8.0, 8.0), arc=True, **FAR),
    "cone": cone(ANGLES, shape=(4, 9), pitch_mm=(9.0, 8.0), offset_mm=(2.0, 3.0), **FAR),
    "cone on an arc": cone(ANGLES, shape=(4, 9), pitch_mm=(9.0, 8.0), arc=True, **FAR),
    "helix": helical(
        cone(ANGLES, shape=(4, 9), pitch_mm=(9.0, 8.0), **FAR), pitch_mm_per_turn=30.0
    ),
    "tomosynthesis": tomosynthesis(
        torch.tensor([-20.0, 0.0, 20.0]), shape=(4, 9), pitch_mm=(9.0, 8.0), **FAR
    ),
}
SOLIDS = (
    Ellipsoid((2.0, -3.0, 1.0), (20.0, 14.0, 25.0), 0.02, (10.0, 20.0, 30.0), "body"),
    Cylinder((8.0, 2.0, 0.0), (8.0, 5.0, 18.0), 0.05, (40.0, 0.0, 10.0), "can"),
    Box((-6.0, 4.0, 3.0), (9.0, 4.0, 7.0), 0.01, (0.0, 30.0, 15.0), "box"),
    Ellipsoid((5.0, 5.0, 5.0), (9.0, 9.0, 4.0), -0.01, (0.0, 0.0, 70.0), "lens"),
)


def quadrature(phantom, geometry, steps=4000):
    """Walk along each ray in small steps and look the value up by the rule."""
    start, unit = (t.reshape(-1, 1, 3) for t in geometry.rays())
    foot = start - (start * unit).sum(dim=-1, keepdim=True) * unit
    step = 100.0 / steps
    t = (torch.arange(steps, dtype=torch.float64) + 0.5) * step - 50.0
    points = (foot + t[:, None] * unit).reshape(-1, 3)
    value = torch.zeros(len(points), dtype=torch.float64)
    for solid in phantom.solids:
        inside = gauge(solid, points) <= 1
        value[inside] = solid.value + (value[inside] if phantom.rule == "add" else 0.0)
    return value.reshape(-1, steps).sum(dim=1).reshape(geometry.codomain) * step


@pytest.mark.parametrize("rule", ["paint", "add"])
@pytest.mark.parametrize("name", list(GEOMETRIES))
def test_agrees_with_small_steps_along_every_ray(name, rule):
    phantom = Phantom(SOLIDS, unit="1/mm", rule=rule)
    got = exact_projections(phantom, GEOMETRIES[name])
    expected = quadrature(phantom, GEOMETRIES[name])
    assert float(expected.max()) > 0.8
    # at most eight surfaces, each wrong by half a step of 25 um times .06
    torch.testing.assert_close(got.data.double(), expected, rtol=0, atol=6e-3)
    assert got.quantity == "line integral"


def test_a_ball_gives_its_chord():
    ball = Phantom((Ellipsoid.sphere((0.0, 0.0, 0.0), 20.0, value=0.03),), unit="1/mm")
    got = exact_projections(ball, parallel(ANGLES, shape=(5, 11), pitch_mm=(3.0, 2.5)))
    for r in range(5):
        for c in range(11):
            s2 = (3.0 * (r - 2)) ** 2 + (2.5 * (c - 5)) ** 2
            chord = 2 * math.sqrt(max(100.0 - s2, 0.0))
            assert float(got.data[1, r, c]) == pytest.approx(0.03 * chord, abs=1e-6)


@settings(max_examples=15)
@given(
    st.tuples(*[st.floats(-8, 8)] * 3),
    st.tuples(*[st.floats(3, 9)] * 3),
    st.tuples(*[st.floats(-90, 90)] * 3),
    st.sampled_from([Ellipsoid, Cylinder, Box]),
)
def test_a_parallel_view_holds_the_volume(centre, semi_axes, turn, kind):
    solid = kind(centre, semi_axes, 1.0, turn)
    geometry = parallel(torch.tensor([25.0]), shape=(160, 160), pitch_mm=(0.25, 0.25))
    mass = float(exact_projections(Phantom((solid,), unit="1/mm"), geometry).data.sum()) * 0.0625
    assert mass == pytest.approx(solid.volume_mm3, rel=0.05)


def test_far_sources_lose_no_digits():
    bead = Phantom((Ellipsoid.sphere((0.0, 0.0, 0.0), 0.02, value=1.0),), unit="1/mm")
    geometry = cone(
        torch.tensor([17.0]), shape=(1, 1), pitch_mm=(1.0, 1.0), source_mm=1e6, detector_mm=2e6
    )
    assert float(exact_projections(bead, geometry).data) == pytest.approx(0.02, rel=1e-6)


def test_what_a_later_solid_covers_does_not_count_in_paint():
    outer = Ellipsoid.sphere((0.0, 0.0, 0.0), 20.0, value=0.02)
    inner = Ellipsoid.sphere((0.0, 0.0, 0.0), 10.0, value=0.0)
    ray = parallel(torch.zeros(1), shape=(1, 1))
    painted = exact_projections(Phantom((outer, inner), unit="1/mm"), ray)
    hidden = exact_projections(Phantom((inner, outer), unit="1/mm"), ray)
    assert float(painted.data) == pytest.approx(0.2, rel=1e-6)
    assert float(hidden.data) == pytest.approx(0.4, rel=1e-6)


def test_what_lies_behind_the_source_does_not_count():
    behind = Phantom((Ellipsoid.sphere((600.0, 0.0, 0.0), 50.0, value=1.0),), unit="1/mm")
    around = Phantom((Ellipsoid.sphere((400.0, 0.0, 0.0), 50.0, value=1.0),), unit="1/mm")
    geometry = cone(torch.zeros(1), shape=(1, 1), pitch_mm=(1.0, 1.0), **FAR)
    assert float(exact_projections(behind, geometry).data) == 0.0
    assert float(exact_projections(around, geometry).data) == pytest.approx(25.0)


def test_rays_that_run_along_faces_and_axes():
    can = Phantom((Cylinder((0.0, 0.0, 0.0), (5.0, 5.0, 9.0), 1.0),), unit="1/mm")
    box = Phantom((Box((0.0, 0.0, 0.0), (5.0, 6.0, 9.0), 1.0),), unit="1/mm")
    along = parallel(torch.zeros(1), shape=(3, 3), pitch_mm=(8.9, 5.9))
    assert exact_projections(box, along).data[0].tolist() == [[10.0] * 3] * 3
    up = along.moved(Linear.rotation((0.0, 90.0, 0.0), centre_mm=(0.0, 0.0, 0.0)))
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, 18.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(exact_projections(can, up).data[0], expected)


def test_the_tilt_of_an_ellipse_is_seen_at_the_right_angle():
    rod = Phantom((Ellipsoid((0.0, 0.0, 0.0), (20.0, 2.0, 2.0), 1.0, (0.0, 0.0, 30.0)),), 0, "1/mm")
    views = torch.arange(0.0, 180.0, 10.0)
    got = exact_projections(rod, parallel(views, shape=(1, 1))).data.flatten()
    assert float(views[got.argmax()]) == 30.0  # rays along the rod
    assert float(got.max()) == pytest.approx(40.0)


def test_subrays_average_over_the_element():
    edge = Phantom((Box((5.0, 5.0, 0.0), (5.0, 5.0, 50.0), 1.0),), unit="1/mm")
    ray = parallel(torch.zeros(1), shape=(1, 1), pitch_mm=(1.0, 4.0), offset_mm=(0.0, 1.0))
    assert float(exact_projections(edge, ray).data) == pytest.approx(10.0)
    # the element spans P from -1 to 3: a quarter of it misses the box
    got = exact_projections(edge, ray, subrays=(1, 80))
    assert float(got.data) == pytest.approx(7.5, rel=1e-6)


def test_subrays_along_the_rows_average_too():
    edge = Phantom((Box((0.0, 0.0, 5.0), (5.0, 50.0, 5.0), 1.0),), unit="1/mm")
    ray = parallel(torch.zeros(1), shape=(1, 1), pitch_mm=(4.0, 1.0), offset_mm=(1.0, 0.0))
    assert float(exact_projections(edge, ray, subrays=(80, 1)).data) == pytest.approx(7.5)


def test_a_wide_focus_blurs_an_edge_by_the_magnification():
    # half-plane far from the detector: a focus of w casts a penumbra of w (M - 1)
    edge = Phantom((Box((0.0, 50.0, 0.0), (1.0, 50.0, 50.0), 1.0),), unit="1/mm")
    geometry = cone(
        torch.zeros(1), shape=(1, 81), pitch_mm=(1.0, 0.2), source_mm=400.0, detector_mm=800.0
    )
    sharp = exact_projections(edge, geometry, subrays=(1, 40)).data.flatten()
    soft = exact_projections(edge, geometry, subrays=(1, 40), focal_mm=4.0).data.flatten()

    def penumbra(profile):
        return int(((profile > 0.02) & (profile < 1.98)).sum()) * 0.2

    assert penumbra(sharp) <= 0.4
    assert penumbra(soft) == pytest.approx(4.0, abs=0.6)


def test_blocks_of_views_change_nothing(monkeypatch):
    from vesalius.physics.ct import _exact

    phantom = Phantom(SOLIDS, unit="1/mm")
    whole = exact_projections(phantom, GEOMETRIES["cone"]).data
    monkeypatch.setattr(_exact, "_RAYS", 40)
    assert torch.equal(exact_projections(phantom, GEOMETRIES["cone"]).data, whole)


def test_paths_through_materials_add_up_to_the_projection():
    phantom = Phantom(SOLIDS, unit="1/mm")
    paths = material_paths(phantom, GEOMETRIES["cone"])
    assert paths.shape == (*GEOMETRIES["cone"].codomain, 4)
    values = torch.tensor([e.value for e in SOLIDS], dtype=torch.float64)
    expected = exact_projections(phantom, GEOMETRIES["cone"]).data
    torch.testing.assert_close((paths @ values).float(), expected)


def test_parts_of_one_name_share_a_path():
    twins = tuple(Ellipsoid.sphere((s, 0.0, 0.0), 4.0, value=7.0, name="rib") for s in (-9.0, 9.0))
    paths = material_paths(Phantom(twins, -1000.0, "HU"), parallel(torch.zeros(1), shape=(1, 1)))
    assert paths.flatten().tolist() == pytest.approx([8.0])


def test_an_empty_phantom_gives_zeros():
    got = exact_projections(Phantom((), unit="1/mm"), GEOMETRIES["fan"])
    assert not got.data.any()


def test_shepp_logan_integrates_to_its_area():
    phantom = shepp_logan(half_size_mm=100.0, per_mm=0.02)
    geometry = parallel(torch.tensor([0.0, 90.0]), shape=(1, 2001), pitch_mm=(1.0, 0.1))
    got = exact_projections(phantom, geometry).data.double().sum(dim=(1, 2)) * 0.1
    areas = sum(math.pi * e.semi_axes_mm[0] * e.semi_axes_mm[1] * e.value for e in phantom.solids)
    assert got.tolist() == pytest.approx([areas, areas], rel=5e-4)


def test_shepp_logan_3d_seen_from_the_side_is_as_high_as_its_skull():
    phantom = shepp_logan_3d(half_size_mm=50.0)
    geometry = parallel(torch.tensor([0.0]), shape=(200, 1), pitch_mm=(0.5, 1.0))
    seen = exact_projections(phantom, geometry).data.flatten() > 0
    assert int(seen.sum()) * 0.5 == pytest.approx(90.0, abs=0.5)


def test_refuses_what_cannot_be_projected():
    ray = parallel(torch.zeros(1), shape=(1, 1))
    with pytest.raises(UnitError, match=r"phantom must be in 1/mm to be projected, got 'HU'"):
        exact_projections(Phantom(SOLIDS, -1000.0, "HU"), ray)
    with pytest.raises(IntensityError, match="background must be 0 to be projected"):
        exact_projections(Phantom(SOLIDS, 0.1, "1/mm"), ray)
    with pytest.raises(GeometryError, match="subrays must be at least"):
        exact_projections(Phantom(SOLIDS, unit="1/mm"), ray, subrays=(0, 1))
    with pytest.raises(GeometryError, match="focal_mm must be 0 for parallel rays"):
        exact_projections(Phantom(SOLIDS, unit="1/mm"), ray, focal_mm=1.0)
    with pytest.raises(GeometryError, match="focal_mm must be 0 for parallel rays"):
        exact_projections(Phantom(SOLIDS, unit="1/mm"), GEOMETRIES["cone"], focal_mm=-1.0)
    with pytest.raises(UnitError, match="materials must be painted"):
        material_paths(Phantom(SOLIDS, unit="1/mm", rule="add"), ray)
