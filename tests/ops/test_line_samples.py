"""Evenly spaced samples of a blend of two lines: the same as NumPy's interpolation."""

from typing import no_type_check

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

from vesalius.ops._jit import kernel
from vesalius.ops._line_samples import LANES, line_adder, widest

add16, add8 = line_adder(16), line_adder(8)


@kernel
@no_type_check
def with_16(total, lines, places, numbers):
    """Call the wide function."""
    add16(total, lines, places, numbers)


@kernel
@no_type_check
def with_8(total, lines, places, numbers):
    """Call the narrow function."""
    add8(total, lines, places, numbers)


def added(lanes, lines, places, numbers):
    """Run one of the functions on a line of ones."""
    if lanes > LANES:
        pytest.skip(f"this processor takes {LANES} samples at once")
    total = np.ones(50, np.float32)
    run = with_16 if lanes == 16 else with_8
    run(
        total,
        np.asarray(lines, np.float32),
        tuple(np.uint64(p) for p in places),
        tuple(np.float32(x) for x in numbers),
    )
    return total


def expected(lines, places, numbers):
    """Do the same with numpy.interp."""
    at, one, two, count = places
    left, right, base, pace = (float(np.float32(x)) for x in numbers)
    index = base + pace * np.arange(count)
    total, axis = np.ones(50), np.arange(len(lines), dtype=float)
    total[at : at + count] += left * np.interp(index + one, axis, lines)
    total[at : at + count] += right * np.interp(index + two, axis, lines)
    return total


@pytest.mark.parametrize("lanes", [8, 16])
@given(
    seed=st.integers(0, 99),
    count=st.integers(0, 16),
    ends=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
)
def test_agrees_with_numpys_interpolation_forwards_and_backwards(lanes, seed, count, ends):
    random = np.random.default_rng(seed)
    lines, count = random.normal(size=90), min(count, lanes)
    base, end = (x * (2 * lanes - 1.01) for x in ends)
    numbers = (0.3, -1.7, base, (end - base) / max(count - 1, 1))
    places = (7, 2, 51, count)
    np.testing.assert_allclose(
        added(lanes, lines, places, numbers), expected(lines, places, numbers), atol=2e-5
    )


@pytest.mark.parametrize("lanes", [8, 16])
def test_what_is_not_a_number_beyond_the_count_stays_out(lanes):
    lines = np.ones(90)
    lines[[6, 56]] = np.nan
    total = added(lanes, lines, (3, 0, 50, 4), (1.0, 1.0, 0.5, 1.0))
    assert total[3:7].tolist() == [3.0] * 4
    assert total[:3].tolist() + total[7:].tolist() == [1.0] * 46


def test_takes_the_widest_way_that_the_processor_has():
    assert widest() == LANES
    assert LANES in (0, 8, 16)


@pytest.mark.parametrize(
    ("features", "lanes"),
    [("", 0), ("+avx2", 0), ("+avx2,+fma,-avx512f", 8), ("+avx2,+avx512f,+fma", 16)],
)
def test_uses_nothing_that_numba_was_told_to_do_without(monkeypatch, features, lanes):
    monkeypatch.setattr(config, "CPU_FEATURES", features)
    assert widest() == lanes
