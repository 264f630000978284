"""Rotation centre: found where it was put, on simulated and on real scans."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import GeometryError, IntensityError
from vesalius.io.raw import open_projections
from vesalius.physics.ct import Projections, fan, parallel
from vesalius.reconstruct.ct import (
    RotationCentre,
    centred,
    flat_field,
    rotation_centre,
    to_line_integrals,
)

DISCS = [(3.0, -12.0, 20.0, 1.0), (-15.0, 9.0, 6.0, 0.8), (10.0, 14.0, 4.0, -0.5)]


def discs(
    angles: torch.Tensor, columns: int, centre: float, noise: float = 0.0, objects=DISCS
) -> Projections:
    """Exact line integrals of discs (x, y, radius, mu), seen about any column."""
    s = torch.arange(columns, dtype=torch.float64) - centre
    theta = torch.deg2rad(angles.double())[:, None]
    total = torch.zeros(len(angles), columns, dtype=torch.float64)
    for x, y, radius, mu in objects:
        away = s - (y * theta.cos() - x * theta.sin())
        total += mu * 2 * (radius**2 - away**2).clamp_min(0).sqrt()
    generator = torch.Generator().manual_seed(1)
    total += noise * torch.randn(total.shape, generator=generator, dtype=torch.float64)
    geometry = parallel(angles, shape=(1, columns), pitch_mm=(1.0, 0.5))
    return Projections(total[:, None], geometry)


def half_turn(views: int) -> torch.Tensor:
    return torch.arange(views, dtype=torch.float64) * 180 / views


@settings(max_examples=15)
@given(st.floats(50, 78))
def test_opposite_views_find_the_centre_to_a_tenth_of_a_column(centre):
    scan = discs(torch.arange(0, 181.0, 2.0), 128, centre, noise=0.3)
    assert rotation_centre(scan).column == pytest.approx(centre, abs=0.1)


@pytest.mark.parametrize("centre", [50.25, 63.5, 70.8])
def test_the_spectrum_finds_the_centre_to_a_quarter_of_a_column(centre):
    scan = discs(half_turn(90), 128, centre, noise=0.3)
    found = rotation_centre(scan, method="fourier")
    assert found.column == pytest.approx(centre, abs=0.25)


def test_without_an_exact_pair_the_spectrum_is_right_and_opposite_views_as_told():
    """Half a turn less a step, all mass 25 columns off the axis."""
    scan = discs(half_turn(90), 128, 60.0, objects=[(20.0, 15.0, 8.0, 1.0)])
    assert rotation_centre(scan, method="fourier").column == pytest.approx(60.0, abs=0.1)
    off = abs(rotation_centre(scan).column - 60.0)
    assert 0.1 < off <= 25 * torch.pi / 180  # r step / 2 of 2 degrees


def test_a_full_turn_gives_many_pairs_and_a_small_spread():
    scan = discs(torch.arange(0, 360, 4.0), 128, 57.3, noise=0.5)
    found = rotation_centre(scan)
    assert found.column == pytest.approx(57.3, abs=0.1)
    assert 0 < found.spread < 0.1
    wedge = rotation_centre(scan, method="fourier")
    assert wedge.column == pytest.approx(57.3, abs=0.25)


def test_views_in_any_order_give_the_same_centre():
    scan = discs(half_turn(60), 128, 60.0)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    mixed = Projections(scan.data[order], scan.geometry.take(order))
    one = rotation_centre(scan, method="fourier")
    two = rotation_centre(mixed, method="fourier")
    assert one.column == pytest.approx(two.column, abs=1e-9)


def test_the_offset_is_that_of_the_geometry():
    angles = torch.arange(0, 181.0, 2.0)
    scan = discs(angles, 128, 60.0)
    found = rotation_centre(scan)
    # 3.5 columns of 0.5 mm to the right of the axis
    assert found.offset_mm == pytest.approx((63.5 - found.column) * 0.5)
    there = parallel(angles, shape=(1, 128), pitch_mm=(1.0, 0.5), offset_mm=(0, found.offset_mm))
    moved = centred(scan, found)
    assert moved.geometry.middle == pytest.approx(there.middle)
    assert moved.data is scan.data


@pytest.mark.parametrize("method", ["opposite", "fourier"])
def test_the_centre_of_the_tooth_is_295_5(data_dir, method):
    raw = open_projections(data_dir / "reconstruction" / "tooth" / "tooth.h5")
    geometry = parallel(raw.angles_deg, shape=(2, 640))
    counts = Projections(raw.counts, geometry, raw.quantity)
    lines = to_line_integrals(flat_field(counts, flats=raw.flats, darks=raw.darks))
    found = rotation_centre(lines, method=method)
    assert found.column == pytest.approx(295.5, abs=0.5)
    assert found.spread < 0.1


def test_other_beams_are_refused():
    geometry = fan(half_turn(9), shape=(1, 8), pitch_mm=(1, 1), source_mm=9, detector_mm=9)
    with pytest.raises(GeometryError, match="rays must be parallel to find the centre"):
        rotation_centre(Projections(torch.rand(9, 1, 8), geometry))


def test_too_few_degrees_are_refused():
    scan = discs(torch.arange(0, 90.0, 1.0), 128, 60.0)
    with pytest.raises(GeometryError, match="two views must be half a turn apart"):
        rotation_centre(scan)
    with pytest.raises(GeometryError, match="views must span about 180 degrees"):
        rotation_centre(scan, method="fourier")


def test_counts_and_constant_scans_are_refused():
    scan = discs(half_turn(9), 32, 16.0)
    with pytest.raises(IntensityError, match="projections must be line integrals to find"):
        rotation_centre(Projections(scan.data, scan.geometry, "counts"))
    with pytest.raises(IntensityError, match="projections must show an object"):
        rotation_centre(Projections(torch.ones(9, 1, 32), scan.geometry))


@pytest.mark.parametrize("within", [0.0, 0.5, -1.0])
def test_a_search_that_leaves_the_detector_is_refused(within):
    with pytest.raises(IntensityError, match="within must be a part of the width"):
        rotation_centre(discs(half_turn(9), 32, 16.0), within=within)


def test_the_result_can_be_made_by_hand():
    scan = discs(half_turn(9), 32, 16.0)
    moved = centred(scan, RotationCentre(column=12.5, offset_mm=1.5, spread=0.0))
    assert moved.geometry.middle == (0.0, 12.5)
