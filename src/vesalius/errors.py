"""Every exception of vesalius, on one screen.

Each says what must hold, what came and what to do. Each is also a ``ValueError``, ``RuntimeError``
or ``ImportError``, so that code that never heard of vesalius can still catch it.
"""
# SPDX-License-Identifier: Apache-2.0

__all__ = [
    "ConfigError",
    "ConvergenceError",
    "ExtraError",
    "FormatError",
    "GeometryError",
    "IntensityError",
    "NetworkError",
    "OutputError",
    "RegionError",
    "ShapeError",
    "UnitError",
    "VesaliusError",
]


class VesaliusError(Exception):
    """The base of every error raised on purpose by vesalius."""


class ShapeError(VesaliusError, ValueError):
    """An array has the wrong number of axes or the wrong size."""


class GeometryError(VesaliusError, ValueError):
    """Two objects do not share a space, or a grid cannot be used for what was asked."""


class UnitError(VesaliusError, ValueError):
    """A quantity has the wrong unit or number type."""


class IntensityError(VesaliusError, ValueError):
    """The samples are not usable: NaN, infinite, constant where a spread is needed, overflowing."""


class RegionError(VesaliusError, ValueError):
    """A region of interest is empty, absent or too small for what was asked."""


class FormatError(VesaliusError, ValueError):
    """A file is not what it says it is, or not what can be read or written here."""


class ConfigError(VesaliusError, ValueError):
    """A configuration has an unknown key or a value out of range."""


class ConvergenceError(VesaliusError, RuntimeError):
    """An iteration stopped before it reached its tolerance."""


class NetworkError(VesaliusError, RuntimeError):
    """A node of the network cannot be reached, refuses, or fails."""


class OutputError(VesaliusError, RuntimeError):
    """A result could not be written: not writable, disk full, or held by another process."""


class ExtraError(VesaliusError, ImportError):
    """An optional dependency is absent; the message names the extra that brings it."""
