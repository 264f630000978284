"""The errors: each is ours, and each is also one that the world already catches."""

import pytest

from vesalius import errors

BUILT_IN = {
    "ShapeError": ValueError,
    "GeometryError": ValueError,
    "UnitError": ValueError,
    "IntensityError": ValueError,
    "RegionError": ValueError,
    "FormatError": ValueError,
    "ConfigError": ValueError,
    "ConvergenceError": RuntimeError,
    "NetworkError": RuntimeError,
    "OutputError": RuntimeError,
    "ExtraError": ImportError,
}


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"VesaliusError"}))
def test_is_ours_and_a_built_in_one(name):
    kind = getattr(errors, name)
    assert issubclass(kind, errors.VesaliusError)
    assert issubclass(kind, BUILT_IN[name])
    with pytest.raises(errors.VesaliusError, match="what to do"):
        raise kind("what must hold, what came: what to do")


def test_every_error_is_listed():
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == set(errors.__all__)
