"""NGFF metadata: what places an image, and what is refused because it does not."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from micro_files import AXES, multiscale

from vesalius.errors import FormatError
from vesalius.io.micro._ngff import ome_of, parse

GOOD = {"version": "0.5", **multiscale([1, 1, 1, 1])}


def made(**changes: Any) -> dict[str, Any]:
    """Good metadata with entries of its multiscale replaced."""
    ome = copy.deepcopy(GOOD)
    ome["multiscales"][0] |= changes
    return ome


def test_good_metadata_is_read() -> None:
    image = parse("a", GOOD, 3)
    assert [axis.name for axis in image.axes] == ["c", "z", "y", "x"]
    assert image.levels[0].scale == (1.0, 1.0, 1.0, 1.0)
    assert not image.is_labels


@pytest.mark.parametrize("names", ["y", "zz", "cc", "xyq", "zyxw"])
def test_refuses_axes_that_make_no_volume(names: str) -> None:
    listed = [{"name": n, "type": "space"} for n in names]
    with pytest.raises(FormatError, match="must have axes of time, channel and 2 or 3 of space"):
        parse("a", made(axes=listed), 3)


def test_refuses_axes_out_of_order() -> None:
    with pytest.raises(FormatError, match=r"in this order, it has z, y, x, c"):
        parse("a", made(axes=[*AXES[1:], AXES[0]]), 3)


def test_a_type_that_is_absent_follows_from_the_name() -> None:
    bare = [{"name": axis["name"]} for axis in AXES]
    assert [axis.kind for axis in parse("a", made(axes=bare), 3).axes] == [
        "channel",
        *["space"] * 3,
    ]


@pytest.mark.parametrize(
    "steps",
    [
        [{"type": "scale", "scale": [1, 1, 1]}],
        [{"type": "scale", "scale": [1, 1, 1, float("nan")]}],
        [{"type": "affine", "affine": [1, 1, 1, 1]}],
        [{"type": "scale", "path": "elsewhere"}],
        [{"type": "translation", "translation": []}],
    ],
)
def test_refuses_transformations_that_do_not_place(steps: list[dict[str, Any]]) -> None:
    ome = made(datasets=[{"path": "0", "coordinateTransformations": steps}])
    with pytest.raises(FormatError, match="must place its levels by a scale and a translation"):
        parse("a", ome, 3)


@pytest.mark.parametrize("scale", [[1, 1, 1, 0], [1, -2, 1, 1]])
def test_refuses_a_scale_that_is_not_positive(scale: list[float]) -> None:
    steps = [{"type": "scale", "scale": scale}]
    ome = made(datasets=[{"path": "0", "coordinateTransformations": steps}])
    with pytest.raises(FormatError, match="must have scales above 0"):
        parse("a", ome, 3)


def test_an_identity_places_as_it_stands() -> None:
    ome = made(coordinateTransformations=[{"type": "identity"}])
    assert parse("a", ome, 3).levels == parse("a", GOOD, 3).levels


@pytest.mark.parametrize(
    "ome",
    [
        {"version": "0.5"},
        {"version": "0.5", "multiscales": []},
        {"version": "0.5", "multiscales": [7]},
        {"version": "0.5", "multiscales": "many"},
        made(axes=None),
        made(axes=[7]),
        made(datasets=[]),
        made(datasets=[{"path": "0"}]),
        made(datasets=[{"coordinateTransformations": []}]),
        made(
            datasets=[{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": 3}]}]
        ),
    ],
)
def test_refuses_metadata_with_parts_missing(ome: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="must give axes, datasets and their scales"):
        parse("a", ome, 3)


@pytest.mark.parametrize(("zarr", "version"), [(2, "0.5"), (2, "0.1"), (3, "0.4"), (3, "")])
def test_refuses_a_version_in_the_wrong_zarr(zarr: int, version: str) -> None:
    ome = made(version=version) | {"version": version}
    with pytest.raises(FormatError, match=r"must be OME-Zarr 0\.4 or 0\.5"):
        parse("a", ome, zarr)


def test_zarr_2_without_a_version_counts_as_0_4() -> None:
    assert parse("a", multiscale([1, 1, 1, 1]), 2).version == "0.4"


@pytest.mark.parametrize("told", [None, 7, [], "x"])
def test_attributes_of_zarr_3_without_ome_are_empty(told: object) -> None:
    assert ome_of(3, {"ome": told}) == {}
    assert ome_of(3, {}) == {}


@pytest.mark.parametrize(
    "extra",
    [
        {"omero": 7},
        {"omero": {"channels": [7]}},
        {"image-label": 7},
        {"image-label": {"properties": [7]}},
        {"image-label": {"properties": None}},
    ],
)
def test_extras_that_are_damaged_are_left(extra: dict[str, Any]) -> None:
    image = parse("a", GOOD | extra, 3)
    assert image.channels == ()
    assert image.names == {}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ("axes", "datasets", "coordinateTransformations", "version")


@settings(max_examples=50)
@given(key=st.sampled_from(KEYS), value=ANYTHING)
def test_no_json_makes_it_fail_otherwise(key: str, value: object) -> None:
    ome = made(**{key: value})
    try:
        assert parse("a", ome, 3).levels
    except FormatError as error:
        assert str(error).startswith("'a' must")  # noqa: PT017
