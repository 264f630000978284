"""Units of length and time as microscopy files spell them."""
# SPDX-License-Identifier: Apache-2.0

_LENGTH: dict[float, tuple[str, ...]] = {
    1e-9: ("pm", "picometer", "picometre"),
    1e-7: ("Å", "Å", "angstrom"),
    1e-6: ("nm", "nanometer", "nanometre"),
    1e-3: ("µm", "μm", "um", "micrometer", "micrometre", "micron", "microns", "\\u00b5m"),
    1.0: ("mm", "millimeter", "millimetre"),
    10.0: ("cm", "centimeter", "centimetre"),
    100.0: ("dm", "decimeter", "decimetre"),
    1e3: ("m", "meter", "metre"),
    25.4: ("in", "inch", "inches"),
    304.8: ("ft", "foot"),
    0.0254: ("thou", "mil"),
}
_TIME: dict[float, tuple[str, ...]] = {
    1e-12: ("ps", "picosecond"),
    1e-9: ("ns", "nanosecond"),
    1e-6: ("µs", "μs", "us", "microsecond"),
    1e-3: ("ms", "msec", "millisecond"),
    1.0: ("s", "sec", "second", "seconds"),
    60.0: ("min", "minute"),
    3600.0: ("h", "hour"),
    86400.0: ("d", "day"),
}
LENGTH_MM = {word.lower(): size for size, words in _LENGTH.items() for word in words}
TIME_S = {word.lower(): size for size, words in _TIME.items() for word in words}


def length_mm(unit: str) -> float:
    """Give the size of a unit of length in mm, or 0 where the word names none ("pixel")."""
    return LENGTH_MM.get(unit.strip().lower(), 0.0)


def time_s(unit: str) -> float:
    """Give the size of a unit of time in seconds, or 0 where the word names none."""
    return TIME_S.get(unit.strip().lower(), 0.0)
