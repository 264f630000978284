"""validate: each rule of the specification broken once, beside the reference validator."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr
from micro_files import AXES, describe, multiscale, ramp, write_zarr

from vesalius.errors import FormatError
from vesalius.io import micro

NAMES = ["c", "z", "y", "x"]


def good(folder: Path) -> Path:
    arrays = [ramp(1, 2, 8, 8), ramp(1, 2, 4, 4)]
    ome = multiscale([1, 1, 1, 1], [1, 1, 2, 2])
    return write_zarr(folder, arrays, ome, dimension_names=NAMES)


def edited(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A good image whose metadata one function has changed."""
    path = good(folder)
    file = path / "zarr.json"
    node = json.loads(file.read_text())
    edit(node["attributes"]["ome"])
    file.write_text(json.dumps(node))
    return path


def found(path: Path) -> set[tuple[str, str]]:
    return {(finding.severity, finding.code) for finding in micro.validate(path)}


def one(ome: dict[str, Any]) -> dict[str, Any]:
    return ome["multiscales"][0]


def steps(ome: dict[str, Any]) -> list[dict[str, Any]]:
    return one(ome)["datasets"][0]["coordinateTransformations"]


def test_a_good_image_has_no_findings(tmp_path) -> None:
    assert micro.validate(good(tmp_path / "a.zarr")) == ()


BROKEN: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "no version": ("version", lambda o: o.pop("version")),
    "other version": ("version", lambda o: o.update(version="0.4")),
    "no multiscale": ("multiscales", lambda o: o.update(multiscales=[])),
    "multiscales no list": ("multiscales", lambda o: o.update(multiscales={"a": 1})),
    "no axes": ("axes", lambda o: one(o).pop("axes")),
    "two axes of a name": ("axes", lambda o: one(o)["axes"].__setitem__(1, AXES[2])),
    "one axis of space": ("axes", lambda o: [a.update(type="channel") for a in one(o)["axes"][:3]]),
    "space first": ("axes-order", lambda o: one(o)["axes"].reverse()),
    "no datasets": ("datasets", lambda o: one(o).update(datasets=[])),
    "no path": ("datasets", lambda o: one(o)["datasets"][0].pop("path")),
    "no array": ("array", lambda o: one(o)["datasets"][0].update(path="9")),
    "path outside": ("array", lambda o: one(o)["datasets"][0].update(path="../b")),
    "no transformations": (
        "transformations",
        lambda o: one(o)["datasets"][0].pop("coordinateTransformations"),
    ),
    "translation first": (
        "transformations",
        lambda o: steps(o).insert(0, {"type": "translation", "translation": [0] * 4}),
    ),
    "no scale": ("transformations", lambda o: steps(o).clear()),
    "short scale": ("transformations", lambda o: steps(o)[0].update(scale=[1, 1])),
    "scale of words": ("transformations", lambda o: steps(o)[0].update(scale=["a"] * 4)),
    "levels swapped": ("levels", lambda o: one(o)["datasets"].reverse()),
    "common of words": ("transformations", lambda o: one(o).update(coordinateTransformations=[7])),
    "names differ": ("dimension-names", lambda o: one(o)["axes"][0].update(name="q")),
    "omero a number": ("omero", lambda o: o.update(omero=7)),
    "no colour": ("omero", lambda o: o.update(omero={"channels": [{"window": {}}]})),
    "window of words": (
        "omero",
        lambda o: o.update(omero={"channels": [{"color": "FFFFFF", "window": {"min": 0}}]}),
    ),
    "label no object": ("image-label", lambda o: o.update({"image-label": 7})),
    "label of words": (
        "image-label",
        lambda o: o.update({"image-label": {"colors": [{"label-value": "a"}]}}),
    ),
    "labels no list": ("image-label", lambda o: o.update({"image-label": {"colors": 7}})),
    "label twice": (
        "image-label",
        lambda o: o.update({"image-label": {"properties": [{"label-value": 1}] * 2}}),
    ),
}
UNSEEN = {"other version", "no version", "levels swapped", "omero a number", "label no object"}
"""Broken so that the reference validator takes another model, or does not look."""
UNSEEN |= {
    "label of words",
    "label twice",
    "path outside",
    "labels no list",
    "no colour",
    "window of words",
}


@pytest.mark.parametrize("broken", list(BROKEN))
def test_each_rule_that_is_broken_is_found(tmp_path, broken: str) -> None:
    code, edit = BROKEN[broken]
    path = edited(tmp_path / "a.zarr", lambda ome: edit(ome))
    assert ("error", code) in found(path)


@pytest.mark.parametrize("broken", sorted(set(BROKEN) - UNSEEN))
def test_the_reference_validator_refuses_the_same(tmp_path, broken: str) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="the reference validator is absent")
    path = edited(tmp_path / "a.zarr", lambda ome: BROKEN[broken][1](ome))
    with pytest.raises(Exception):  # noqa: B017, PT011 - its errors are of many kinds
        models.v05.image.Image.from_zarr(zarr.open_group(path, mode="r"))


SHOULD: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "no name": ("name", lambda o: one(o).pop("name")),
    "no unit": ("unit", lambda o: one(o)["axes"][3].pop("unit")),
    "strange unit": ("unit", lambda o: one(o)["axes"][3].update(unit="furlong-ish")),
}


@pytest.mark.parametrize("broken", list(SHOULD))
def test_advice_that_is_not_followed_is_a_warning(tmp_path, broken: str) -> None:
    code, edit = SHOULD[broken]
    path = edited(tmp_path / "a.zarr", lambda ome: edit(ome))
    assert found(path) == {("warning", code)}


def test_axes_of_space_in_another_order_are_a_warning(tmp_path) -> None:
    axes = [AXES[0], AXES[3], AXES[2], AXES[1]]
    ome = multiscale([1] * 4, axes=axes)
    path = write_zarr(tmp_path / "a.zarr", [ramp(1, 2, 3, 4)], ome, dimension_names=list("cxyz"))
    assert found(path) == {("warning", "axes-order")}


def test_number_types_that_differ_are_an_error(tmp_path) -> None:
    arrays = [ramp(1, 2, 8, 8), ramp(1, 2, 4, 4, dtype="uint16")]
    ome = multiscale([1] * 4, [1, 1, 2, 2])
    path = write_zarr(tmp_path / "a.zarr", arrays, ome, dimension_names=NAMES)
    assert found(path) == {("error", "array")}


def test_arrays_with_other_axes_are_an_error(tmp_path) -> None:
    path = write_zarr(tmp_path / "a.zarr", [ramp(2, 8, 8)], multiscale([1] * 4))
    assert found(path) == {("error", "array")}


def test_zarr_2_should_say_its_version(tmp_path) -> None:
    path = write_zarr(tmp_path / "a.zarr", [ramp(1, 2, 8, 8)], multiscale([1] * 4), version=2)
    assert found(path) == {("warning", "version")}


def test_a_plate_is_followed_to_its_fields(tmp_path) -> None:
    told = {"rows": [{"name": "A"}], "columns": [{"name": "1"}, {"name": "2"}]}
    wells = [{"path": p} for p in ("A/1", "A/2", "B/7", "../x")]
    path = describe(tmp_path / "p.zarr", {"plate": {**told, "wells": wells}})
    describe(path / "A" / "1", {"well": {"images": [{"path": "0"}]}})
    write_zarr(path / "A" / "1" / "0", [ramp(1, 2, 8, 8)], multiscale([1] * 3))
    codes = found(path)
    assert {("error", c) for c in ("wells", "absent", "path", "transformations")} <= codes
    messages = " ".join(f.message for f in micro.validate(path))
    assert "/plate/A/1/well/0" in messages
    assert str(tmp_path) not in messages


@pytest.mark.parametrize(
    "plate", [7, {}, {"wells": []}, {"wells": 3}, {"wells": [{"path": "A/1"}], "rows": 7}]
)
def test_a_plate_without_wells_is_an_error(tmp_path, plate: object) -> None:
    path = describe(tmp_path / "p.zarr", {"plate": plate})
    assert ("error", "wells") in found(path)


def test_labels_are_followed(tmp_path) -> None:
    path = good(tmp_path / "a.zarr")
    describe(path / "labels", {"labels": ["cells", "gone"]})
    write_zarr(path / "labels" / "cells", [ramp(1, 2, 8, 8)], multiscale([1] * 3))
    assert found(path) == {("error", "absent"), ("error", "transformations")}


def test_labels_that_are_no_list_are_an_error(tmp_path) -> None:
    path = good(tmp_path / "a.zarr")
    describe(path / "labels", {"labels": "cells"})
    assert found(path) == {("error", "labels")}


def test_a_node_that_is_not_ome_is_an_error(tmp_path) -> None:
    assert found(describe(tmp_path / "a.zarr", {})) == {("error", "not-ome")}


def test_a_damaged_node_is_an_error(tmp_path) -> None:
    path = good(tmp_path / "a.zarr")
    (path / "zarr.json").write_text("{")
    assert found(path) == {("error", "metadata")}


def test_the_worst_comes_first(tmp_path) -> None:
    def edit(ome: dict[str, Any]) -> None:
        one(ome).pop("name")
        steps(ome).clear()

    severities = [f.severity for f in micro.validate(edited(tmp_path / "a.zarr", edit))]
    assert severities == ["error", "warning"]


def test_refuses_what_is_no_zarr(tmp_path) -> None:
    with pytest.raises(FormatError, match="must be the folder of a Zarr to be validated"):
        micro.validate(tmp_path)
    with pytest.raises(FormatError, match="must be the folder of a Zarr to be validated"):
        micro.validate(tmp_path / "absent")


def test_does_not_change_what_it_checks(tmp_path) -> None:
    path = good(tmp_path / "a.zarr")
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    micro.validate(path)
    assert before == {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("names", [7, "czyx", ["c"], [1, 2, 3, 4]])
def test_dimension_names_of_any_kind_are_compared(tmp_path, names: object) -> None:
    path = good(tmp_path / "a.zarr")
    file = path / "0" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dimension_names": names}))
    assert found(path) == {("error", "dimension-names")}
