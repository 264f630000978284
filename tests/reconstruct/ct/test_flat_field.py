"""Flat field and logarithm: counts become transmission become line integrals, or a typed error."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.io.raw import open_projections
from vesalius.physics.ct import Projections, parallel
from vesalius.reconstruct.ct import (
    flat_field,
    mend_dead,
    subtract_scatter,
    to_line_integrals,
)

GEOMETRY = parallel(torch.arange(3.0) * 60, shape=(2, 5))


def scan(data: torch.Tensor, quantity: str) -> Projections:
    return Projections(data, GEOMETRY, quantity)


def full(value: float, quantity: str = "transmission") -> Projections:
    return scan(torch.full((3, 2, 5), value, dtype=torch.float64), quantity)


@given(st.integers(0, 2**31))
def test_line_integrals_come_back_from_counts_of_an_uneven_detector(seed):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(3, 2, 5, generator=generator, dtype=torch.float64) * 5
    gain = torch.rand(1, 2, 5, generator=generator, dtype=torch.float64) + 0.5
    dark = 40 + 10 * torch.rand(4, 2, 5, generator=generator, dtype=torch.float64)
    mean = dark.mean(dim=0)
    counts = 1e5 * gain * torch.exp(-truth) + mean
    flats = (1e5 * gain + mean).expand(6, 2, 5)
    passed = flat_field(scan(counts, "counts"), flats=flats, darks=dark)
    assert passed.quantity == "transmission"
    lines = to_line_integrals(passed)
    assert lines.quantity == "line integral"
    torch.testing.assert_close(lines.data, truth, rtol=1e-10, atol=1e-10)


def test_without_darks_the_detector_counts_nothing_in_the_dark():
    passed = flat_field(full(50.0, "counts"), flats=torch.full((1, 2, 5), 200.0))
    torch.testing.assert_close(passed.data, torch.full((3, 2, 5), 0.25, dtype=torch.float64))


def test_integer_frames_do_not_overflow():
    flats = torch.full((1000, 2, 5), 60000, dtype=torch.int32)
    darks = torch.full((1000, 2, 5), 30000, dtype=torch.int16)
    passed = flat_field(scan(torch.full((3, 2, 5), 45000.0), "counts"), flats=flats, darks=darks)
    assert passed.data.dtype == torch.float32
    torch.testing.assert_close(passed.data, torch.full((3, 2, 5), 0.5))


def test_the_tooth_passes_between_nothing_and_all_of_the_beam(data_dir):
    raw = open_projections(data_dir / "reconstruction" / "tooth" / "tooth.h5")
    geometry = parallel(raw.angles_deg, shape=(2, 640))
    counts = Projections(raw.counts, geometry, raw.quantity)
    passed = flat_field(counts, flats=raw.flats, darks=raw.darks)
    assert 0.1 < float(passed.data.min()) < 0.2
    # air beside the tooth: all passes, to the drift of the beam
    assert float(passed.data[:, :, 600:].mean()) == pytest.approx(1.0, abs=0.02)
    assert bool(torch.isfinite(to_line_integrals(passed).data).all())


def test_missing_flats_are_refused():
    with pytest.raises(IntensityError, match="flats must be given to turn counts into"):
        flat_field(full(1.0, "counts"), flats=None)
    with pytest.raises(IntensityError, match="flats must be given to turn counts into"):
        flat_field(full(1.0, "counts"), flats=torch.ones(0, 2, 5))


def test_a_dead_element_is_named():
    flats = torch.full((2, 2, 5), 100.0)
    flats[:, 1, 3] = 5
    with pytest.raises(IntensityError, match="1 are not, the first at row 1, column 3"):
        flat_field(full(1.0, "counts"), flats=flats, darks=torch.full((1, 2, 5), 5.0))
    flats[0, 1, 3] = math.nan
    with pytest.raises(IntensityError, match="flats must be brighter than darks"):
        flat_field(full(1.0, "counts"), flats=flats)


def test_frames_of_another_detector_are_refused():
    with pytest.raises(ShapeError, match="flats must have the detector of the projections"):
        flat_field(full(1.0, "counts"), flats=torch.ones(2, 2, 6))
    with pytest.raises(ShapeError, match="darks must have the detector of the projections"):
        flat_field(full(1.0, "counts"), flats=torch.ones(2, 2, 5), darks=torch.ones(1, 1, 5))


def test_the_order_of_the_steps_is_held():
    with pytest.raises(UnitError, match="flat_field must be given counts, got transmission"):
        flat_field(full(1.0), flats=torch.ones(1, 2, 5))
    with pytest.raises(UnitError, match="to_line_integrals must be given transmission, got counts"):
        to_line_integrals(full(1.0, "counts"))
    with pytest.raises(UnitError, match="subtract_scatter must be given transmission, got line"):
        subtract_scatter(full(1.0, "line integral"), scatter=0.1)


def test_negative_transmission_is_refused_or_lifted_to_a_stated_floor():
    data = torch.full((3, 2, 5), 0.5, dtype=torch.float64)
    data[0, 0, 0], data[1, 1, 1] = -0.25, 0.0
    with pytest.raises(IntensityError, match="2 of 30 values are not, the lowest is -0"):
        to_line_integrals(scan(data, "transmission"))
    lines = to_line_integrals(scan(data, "transmission"), floor=1e-3).data
    assert float(lines[0, 0, 0]) == float(lines[1, 1, 1]) == pytest.approx(-math.log(1e-3))
    assert float(lines[2, 0, 0]) == pytest.approx(math.log(2))


@pytest.mark.parametrize("floor", [-0.1, 1.0, math.nan])
def test_a_floor_that_is_no_transmission_is_refused(floor):
    with pytest.raises(IntensityError, match="floor must be a transmission from 0 to below 1"):
        to_line_integrals(full(1.0), floor=floor)


def test_scatter_that_was_added_is_taken_off():
    truth = torch.rand(3, 2, 5, dtype=torch.float64)
    clean = subtract_scatter(scan(truth + 0.07, "transmission"), scatter=0.07)
    torch.testing.assert_close(clean.data, truth)
    for wrong in (-0.1, 1.0, math.nan):
        with pytest.raises(IntensityError, match="scatter must be a part of the open beam"):
            subtract_scatter(full(1.0), scatter=wrong)


def test_scatter_that_is_left_in_makes_a_dense_object_too_thin():
    truth = torch.full((3, 2, 5), 6.0, dtype=torch.float64)
    measured = scan(torch.exp(-truth) + 0.01, "transmission")
    assert float(to_line_integrals(measured).data.max()) < 4.4
    mended = to_line_integrals(subtract_scatter(measured, scatter=0.01))
    torch.testing.assert_close(mended.data, truth)


@given(st.integers(0, 2**31))
def test_dead_elements_are_bridged_as_by_numpy(seed):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(2, 3, 9, generator=generator, dtype=torch.float64)
    dead = torch.rand(3, 9, generator=generator) < 0.5
    dead[:, int(seed % 9)] = False
    mended = mend_dead(frames, dead=dead)
    place = np.arange(9)
    for frame, row in np.ndindex(2, 3):
        alive = ~dead[row].numpy()
        line = frames[frame, row].numpy()
        expected = np.interp(place, place[alive], line[alive])
        np.testing.assert_allclose(mended[frame, row].numpy(), expected, rtol=1e-12)


def test_dead_elements_that_do_not_fit_or_fill_a_row_are_refused():
    with pytest.raises(ShapeError, match="dead must have the detector's shape"):
        mend_dead(torch.ones(1, 2, 3), dead=torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(IntensityError, match="must keep at least one of its 3 samples"):
        mend_dead(torch.ones(1, 2, 3), dead=torch.ones(2, 3, dtype=torch.bool))
