"""Units: words of OME, NGFF and ImageJ for lengths and times."""

import pytest

from vesalius.io.micro._units import length_mm, time_s


@pytest.mark.parametrize(
    ("word", "mm"),
    [
        ("µm", 1e-3),  # micro sign
        ("μm", 1e-3),  # Greek mu
        ("micron", 1e-3),
        ("\\u00B5m", 1e-3),
        ("micrometer", 1e-3),
        ("nanometer", 1e-6),
        ("Å", 1e-7),
        ("angstrom", 1e-7),
        (" mm ", 1.0),
        ("inch", 25.4),
        ("cm", 10.0),
        ("meter", 1e3),
    ],
)
def test_knows_the_lengths_of_the_field(word: str, mm: float) -> None:
    assert length_mm(word) == pytest.approx(mm, rel=1e-15)


@pytest.mark.parametrize("word", ["pixel", "reference frame", "", "parsec-ish", "s"])
def test_gives_zero_where_a_word_is_no_length(word: str) -> None:
    assert length_mm(word) == 0.0


@pytest.mark.parametrize(
    ("word", "seconds"),
    [("ms", 1e-3), ("s", 1.0), ("sec", 1.0), ("second", 1.0), ("min", 60.0), ("hour", 3600.0)],
)
def test_knows_the_times_of_the_field(word: str, seconds: float) -> None:
    assert time_s(word) == seconds


def test_gives_zero_where_a_word_is_no_time() -> None:
    assert time_s("mm") == time_s("") == 0.0
