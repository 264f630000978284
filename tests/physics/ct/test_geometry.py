"""Geometry: the written convention, held by numbers that can be worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Linear
from vesalius.errors import GeometryError, IntensityError, ShapeError, UnitError
from vesalius.physics.ct import (
    Geometry,
    Projections,
    cone,
    fan,
    helical,
    parallel,
    tomosynthesis,
)

FAR = {"source_mm": 400.0, "detector_mm": 600.0}
ZERO = torch.zeros(1)
turns = st.floats(-400.0, 400.0)


def one_cone(angle=0.0, **more):
    options = {"shape": (3, 5), "pitch_mm": (2.0, 4.0), **FAR, **more}
    return cone(torch.tensor([angle], dtype=torch.float64), **options)


def near(a, b):
    torch.testing.assert_close(
        torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    )


def test_at_angle_zero_the_source_is_on_plus_x():
    g = one_cone()
    near(g.source[0], [400.0, 0.0, 0.0])
    near(g.centre[0], [-200.0, 0.0, 0.0])
    near(g.u[0], [0.0, 4.0, 0.0])
    near(g.v[0], [0.0, 0.0, 2.0])


def test_the_source_moves_counter_clockwise_seen_from_plus_z():
    near(one_cone(90.0).source[0], [0.0, 400.0, 0.0])
    near(one_cone(90.0).u[0], [-4.0, 0.0, 0.0])
    near(parallel(torch.tensor([90.0]), shape=(1, 1)).source[0], [0.0, -1.0, 0.0])


@given(turns)
def test_u_runs_with_the_motion_and_u_cross_v_towards_the_source(angle):
    g, after = one_cone(angle), one_cone(angle + 0.01)
    assert float((after.source[0] - g.source[0]) @ g.u[0]) > 0
    across = torch.linalg.cross(g.u[0], g.v[0])
    toward = g.source[0] - g.centre[0]
    near(across / across.norm(), toward / toward.norm())


@given(turns)
def test_a_parallel_column_measures_the_line_it_is_said_to(angle):
    g = parallel(torch.tensor([angle]), shape=(2, 7), pitch_mm=(1.0, 3.0), offset_mm=(0.0, 2.0))
    start, unit = g.rays()
    a = math.radians(float(torch.tensor([angle]).double()))
    for c in range(7):
        s = (c - 3) * 3.0 + 2.0
        for t in (-5.0, 11.0):
            x, y, _ = (start[0, 0, c] + t * unit[0, 0, c]).tolist()
            assert -x * math.sin(a) + y * math.cos(a) == pytest.approx(s, abs=1e-9)


def test_an_offset_moves_the_middle_of_the_detector():
    g = one_cone(shape=(3, 5), offset_mm=(1.0, -6.0))
    start, unit = g.rays()
    place = start + unit * (600.0 / -unit[..., :1])
    near(place[0, 1, 2], [-200.0, -6.0, 1.0])
    assert g.middle == (0.5, 3.5)


def test_rays_reach_the_elements():
    g = one_cone(30.0)
    start, unit = g.rays()
    for r in range(3):
        for c in range(5):
            element = g.centre[0] + (r - 1) * g.v[0] + (c - 2) * g.u[0]
            ray = element - g.source[0]
            near(start[0, r, c], g.source[0])
            near(unit[0, r, c], ray / ray.norm())


def test_each_row_of_a_fan_has_a_source_of_its_own():
    g = fan(torch.tensor([50.0]), shape=(3, 5), pitch_mm=(2.0, 4.0), **FAR)
    start, unit = g.rays()
    near(start[0, :, 0, 2], [-2.0, 0.0, 2.0])
    near(unit[..., 2], torch.zeros(1, 3, 5))


def test_a_fan_of_one_row_is_a_cone_of_one_row():
    options = {"shape": (1, 5), "pitch_mm": (2.0, 4.0), **FAR}
    one, two = fan(torch.tensor([50.0]), **options), cone(torch.tensor([50.0]), **options)
    for a, b in zip(one.rays(), two.rays(), strict=True):
        near(a, b)


@pytest.mark.parametrize("make", [fan, cone])
def test_on_an_arc_columns_are_equal_angles_apart(make):
    g = make(torch.tensor([20.0]), shape=(1, 9), pitch_mm=(2.0, 30.0), arc=True, **FAR)
    unit = g.rays()[1][0, 0]
    cosines = (unit[1:] * unit[:-1]).sum(dim=1)
    near(cosines.acos(), torch.full((8,), 30.0 / 600.0))
    toward = g.centre[0] - g.source[0]
    near(unit[4], toward / toward.norm())
    assert float((unit[8] - unit[0]) @ g.u[0]) > 0


def test_rows_on_an_arc_stand_on_a_cylinder():
    g = one_cone(20.0, arc=True)
    start, unit = g.rays()
    slope = unit[..., 2] / unit[..., :2].norm(dim=-1)
    near(slope[0], torch.tensor([-2.0, 0.0, 2.0])[:, None].expand(3, 5) / 600.0)
    near(start[0, 0, 0], g.source[0])


def test_a_small_arc_is_as_good_as_flat():
    flat, arc = one_cone(20.0), one_cone(20.0, arc=True)
    torch.testing.assert_close(flat.rays()[1], arc.rays()[1], atol=1e-6, rtol=0)


def test_magnification_is_the_ratio_of_distances():
    assert one_cone(77.0).magnification == pytest.approx(1.5)
    assert parallel(ZERO, shape=(1, 1)).magnification == 1.0
    assert helical(one_cone(77.0), pitch_mm_per_turn=9.0).magnification == pytest.approx(1.5)


def test_a_helix_climbs_with_the_angle_and_is_centred():
    angles = torch.tensor([0.0, 180.0, 360.0, 720.0])
    circle = cone(angles, shape=(3, 5), pitch_mm=(2.0, 4.0), **FAR)
    g = helical(circle, pitch_mm_per_turn=30.0)
    near(g.source[:, 2], [-30.0, -15.0, 0.0, 30.0])
    near(g.centre[:, 2], g.source[:, 2])
    near(g.source[:, :2], circle.source[:, :2])
    near(helical(circle, pitch_mm_per_turn=-30.0).source[:, 2], -g.source[:, 2])


def test_a_tomosynthesis_detector_stands_still():
    g = tomosynthesis(torch.tensor([-30.0, 0.0, 30.0]), shape=(4, 4), pitch_mm=(1.0, 1.0), **FAR)
    near(g.centre, torch.tensor([-200.0, 0.0, 0.0]).expand(3, 3))
    near(g.source.norm(dim=1), torch.full((3,), 400.0))
    assert g.source[0, 1] < 0 < g.source[2, 1]
    # the ray through the pivot is seen where similar triangles say
    start, unit = g.rays()
    hit = start[2, 0, 0] * (1 + 200.0 / g.source[2, 0])
    assert float(hit[1]) == pytest.approx(
        400 * math.sin(math.radians(30)) * (1 + 200 / 346.4), 1e-3
    )
    assert unit.shape == (3, 4, 4, 3)


POSE = Linear.rotation((20.0, -10.0, 35.0), centre_mm=(5.0, 6.0, 7.0)) @ Linear.translation(
    (3.0, -2.0, 9.0)
)
MANY = torch.tensor([0.0, 40.0, 200.0])
ALL = {
    "parallel": parallel(MANY, shape=(3, 5), offset_mm=(1.0, 2.0)),
    "fan": fan(MANY, shape=(3, 5), pitch_mm=(2.0, 4.0), **FAR),
    "cone": cone(MANY, shape=(3, 5), pitch_mm=(2.0, 4.0), offset_mm=(1.0, 2.0), **FAR),
    "arc": cone(MANY, shape=(3, 5), pitch_mm=(2.0, 4.0), arc=True, **FAR),
    "helix": helical(cone(MANY, shape=(3, 5), pitch_mm=(2.0, 4.0), **FAR), pitch_mm_per_turn=30.0),
    "tomosynthesis": tomosynthesis(MANY / 4, shape=(3, 5), pitch_mm=(2.0, 4.0), **FAR),
}


@pytest.mark.parametrize("name", list(ALL))
def test_moving_the_scanner_moves_every_ray(name):
    g = ALL[name]
    start, unit = g.rays()
    moved_start, moved_unit = g.moved(POSE).rays()
    near(moved_start, POSE(start.reshape(-1, 3)).reshape(start.shape))
    near(moved_unit, unit @ POSE.matrix[:3, :3].T)


def test_moving_the_scanner_moves_its_axis():
    g = ALL["cone"].moved(POSE)
    near(g.isocentre_mm, POSE(torch.zeros(1, 3, dtype=torch.float64))[0])
    near(g.axis, POSE.matrix[:3, 2])
    assert g.magnification == pytest.approx(1.5)


@pytest.mark.parametrize("name", list(ALL))
def test_directions_are_unit_vectors_from_source_to_detector(name):
    g = ALL[name]
    unit = g.rays()[1]
    near(unit.norm(dim=-1), torch.ones(g.codomain))
    normal = torch.linalg.cross(g.u, g.v)[:, None, None]
    assert bool(((unit * normal).sum(dim=-1) < 0).all())


@pytest.mark.parametrize("name", list(ALL))
def test_some_views_are_the_same_rays(name):
    g = ALL[name]
    for views in (slice(1, 3), torch.tensor([2, 0]), torch.tensor([False, True, True])):
        for a, b in zip(g.take(views).rays(), g.rays(), strict=True):
            near(a, b[views])
    for a, b in zip(g.rays(slice(1, 2)), g.rays(), strict=True):
        near(a, b[1:2])
    assert g.take(slice(1, 3)).codomain == (2, 3, 5)


def test_what_came_is_kept_in_double_precision():
    g = parallel(torch.tensor([30], dtype=torch.int32), shape=(2, 3), pitch_mm=(0.5, 0.25))
    assert g.source.dtype == g.angles_deg.dtype == torch.float64
    assert g.pitch_mm == pytest.approx((0.5, 0.25))
    assert (g.views, g.codomain) == (1, (1, 2, 3))


def test_it_tells_what_it_is():
    text = repr(ALL["arc"])
    assert "cone, arc, 3 views over 200 deg, 3 x 5 elements of 2 x 4 mm" in text
    assert "magnification 1.5" in text


@settings(max_examples=10)
@given(st.floats(0.1, 10.0))
def test_the_central_element_looks_through_the_axis(pitch):
    g = one_cone(33.0, shape=(1, 1), pitch_mm=(pitch, pitch))
    start, unit = g.rays()
    near(start[0, 0, 0] + 400.0 * unit[0, 0, 0], torch.zeros(3))


def bare(**changes):
    return replace(one_cone(), **changes)


def test_refuses_arrays_that_do_not_fit():
    with pytest.raises(ShapeError, match="a geometry must have at least one view"):
        parallel(torch.zeros(0), shape=(1, 1))
    with pytest.raises(ShapeError, match="a geometry must have at least one view"):
        one_cone().take(slice(0, 0))
    with pytest.raises(ShapeError, match=r"shape must be \(rows, columns\) of at least 1"):
        parallel(ZERO, shape=(0, 4))
    with pytest.raises(ShapeError, match="source must have shape"):
        bare(source=torch.zeros(2, 3, dtype=torch.float64))


def test_refuses_numbers_that_are_not_finite():
    with pytest.raises(GeometryError, match="source must be finite, got NaN"):
        parallel(torch.tensor([math.nan]), shape=(1, 1))
    for change in (
        {"middle": (math.nan, 0.0)},
        {"arc_mm": math.inf},
        {"isocentre_mm": (0.0, math.nan, 0.0)},
        {"angles_deg": torch.tensor([math.nan]).double()},
    ):
        with pytest.raises(GeometryError, match="and angles_deg must be finite"):
            bare(**change)


def test_refuses_detectors_that_cannot_see():
    with pytest.raises(GeometryError, match="arc_mm must be 0 for parallel rays"):
        replace(parallel(ZERO, shape=(1, 1)), arc_mm=5.0)
    with pytest.raises(GeometryError, match="arc_mm must be 0 for parallel rays"):
        bare(arc_mm=-1.0)
    with pytest.raises(GeometryError, match="u and v must span the detector"):
        bare(v=one_cone().u)
    with pytest.raises(GeometryError, match="rays must cross the detector"):
        bare(source=one_cone().centre)
    with pytest.raises(GeometryError, match="rays must cross the detector"):
        bare(source=one_cone().centre + 100 * one_cone().u)


@pytest.mark.parametrize("pitch", [(0.0, 1.0), (1.0, -1.0), (math.nan, 1.0)])
def test_refuses_a_pitch_that_is_not_positive(pitch):
    with pytest.raises(GeometryError, match="pitch_mm must be positive"):
        parallel(ZERO, shape=(1, 1), pitch_mm=pitch)


@pytest.mark.parametrize("distances", [(0.0, 5.0), (-1.0, 5.0), (5.0, 4.0), (5.0, math.inf)])
def test_refuses_distances_that_cannot_be(distances):
    source, detector = distances
    with pytest.raises(GeometryError, match="source_mm must be positive and detector_mm at least"):
        fan(ZERO, shape=(1, 1), pitch_mm=(1.0, 1.0), source_mm=source, detector_mm=detector)


def test_refuses_a_helix_without_a_source():
    with pytest.raises(GeometryError, match="a helix needs a source point"):
        helical(parallel(ZERO, shape=(1, 1)), pitch_mm_per_turn=3.0)


def test_refuses_a_tomosynthesis_from_behind():
    with pytest.raises(GeometryError, match="must stay within 90 degrees of the still detector"):
        tomosynthesis(torch.tensor([95.0]), shape=(1, 1), pitch_mm=(1.0, 1.0), **FAR)


def test_refuses_to_be_moved_by_what_is_not_rigid():
    for diagonal in ((2.0, 1.0, 1.0, 1.0), (-1.0, 1.0, 1.0, 1.0)):
        with pytest.raises(GeometryError, match="pose must be rigid to move a scanner"):
            one_cone().moved(Linear(torch.tensor(diagonal).double().diag()))


def test_projections_must_fit_and_be_real_numbers():
    g: Geometry = one_cone()
    assert Projections(torch.zeros(1, 3, 5), g).quantity == "line integral"
    with pytest.raises(ShapeError, match="projections must have the shape"):
        Projections(torch.zeros(1, 5, 3), g)
    with pytest.raises(UnitError, match="projections must be floating point"):
        Projections(torch.zeros(1, 3, 5, dtype=torch.int32), g)
    with pytest.raises(IntensityError, match="projections must be finite"):
        Projections(torch.full((1, 3, 5), math.nan), g)
