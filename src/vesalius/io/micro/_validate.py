"""Check an OME-Zarr folder against the specification: what holds, what does not, in findings.

Source: https://ngff.openmicroscopy.org/0.4 and /0.5. Our own reading of it; the reference
validator is ``ome-zarr-models``, beside which the tests hold this one.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from vesalius.errors import FormatError
from vesalius.io._handle import Finding
from vesalius.io.micro._ngff import SPACE, ome_of
from vesalius.io.micro._store import (
    Header,
    attributes,
    inside,
    is_zarr,
    read_header,
    read_json,
)
from vesalius.io.micro._units import length_mm, time_s

MOST_WELLS = 10_000


def validate(path: str | Path) -> tuple[Finding, ...]:
    """Check the metadata of an OME-Zarr image, plate, well or label image.

    Args:
        path: Its folder. Chunks are not read.

    Returns:
        What does not hold, worst first; "error" where the specification says MUST, "warning" where
        it says SHOULD. Empty where all holds.

    Raises:
        FormatError: The folder is no Zarr at all.
    """
    root = Path(path)
    if not root.is_dir() or not is_zarr(root):
        raise FormatError(
            f"{root.name!r} must be the folder of a Zarr to be validated, it is not: check the path"
        )
    found = list(_node(root, ""))
    worst_first = ("error", "warning", "info")
    return tuple(sorted(found, key=lambda f: worst_first.index(f.severity)))


def _must(code: str, at: str, text: str) -> Finding:
    return Finding("error", code, f"{at or 'the root'}: {text}")


def _should(code: str, at: str, text: str) -> Finding:
    return Finding("warning", code, f"{at or 'the root'}: {text}")


def _node(folder: Path, at: str) -> Iterator[Finding]:
    """Check a node and those that it lists."""
    try:
        zarr, told = attributes(folder)
        ome = ome_of(zarr, told)
    except FormatError as error:
        yield _must("metadata", at, str(error))
        return
    kinds = [k for k in ("multiscales", "plate", "well", "labels") if k in ome]
    if not kinds and "bioformats2raw.layout" not in ome:
        yield _must("not-ome", at, "multiscales, plate, well or labels must be given, none is")
        return
    yield from _version(zarr, ome, at)
    if "multiscales" in ome:
        yield from _image(folder, ome, at)
    for kind, inner in (("plate", "wells"), ("well", "images")):
        if kind in ome:
            yield from _collection(folder, ome[kind], inner, f"{at}/{kind}")
    if "labels" in ome:
        yield from _labels(folder, ome["labels"], at)
    elif "multiscales" in ome and is_zarr(folder / "labels"):
        yield from _node(folder / "labels", f"{at}/labels")


def _version(zarr: int, ome: Mapping[str, Any], at: str) -> Iterator[Finding]:
    if zarr == 3 and ome.get("version") != "0.5":
        yield _must("version", at, f"ome.version must be '0.5' in Zarr 3, it is {_shown(ome)}")
    if zarr != 2:
        return
    for key in ("multiscales", "plate", "well"):
        told = ome.get(key)
        for one in told if isinstance(told, list) else [told]:
            if isinstance(one, dict) and one.get("version") != "0.4":
                yield _should(
                    "version", at, f"{key} should say version '0.4', it says {_shown(one)}"
                )


def _shown(one: Mapping[str, Any]) -> str:
    return repr(one.get("version", "nothing"))[:20]


def _image(folder: Path, ome: Mapping[str, Any], at: str) -> Iterator[Finding]:
    listed = ome["multiscales"]
    if not isinstance(listed, list) or not listed or not all(isinstance(m, dict) for m in listed):
        yield _must("multiscales", at, "multiscales must be a list of at least one object")
        return
    for one in listed:
        if "name" not in one:
            yield _should("name", at, "a multiscale should have a name")
        axes = one.get("axes")
        sound = isinstance(axes, list) and all(isinstance(a, dict) for a in axes)
        if not sound:
            yield _must("axes", at, "axes must be a list of objects")
            continue
        yield from _axes(axes, at)
        yield from _datasets(folder, one, [str(a.get("name", "")) for a in axes], at)
    yield from _omero(ome.get("omero"), at)
    yield from _image_label(ome.get("image-label"), at)


def _axes(axes: list[dict[str, Any]], at: str) -> Iterator[Finding]:
    names = [str(axis.get("name", "")) for axis in axes]
    kinds = [axis.get("type") for axis in axes]
    if not 2 <= len(axes) <= 5 or "" in names or len(set(names)) != len(names):
        yield _must("axes", at, f"there must be 2 to 5 axes of different names, got {names}")
    if kinds.count("space") not in (2, 3) or kinds.count("time") > 1:
        yield _must("axes", at, f"2 or 3 axes of space and at most one of time, got {kinds}")
    rank = {"time": 0, "space": 2}
    order = [rank.get(str(kind), 1) for kind in kinds]
    if order != sorted(order) or order.count(1) > 1:
        yield _must("axes-order", at, f"time, then channel or custom, then space; got {kinds}")
    space = [name for name, kind in zip(names, kinds, strict=True) if kind == "space"]
    if space != [name for name in SPACE if name in space]:
        yield _should("axes-order", at, f"axes of space should be z, y, x; got {space}")
    for axis, kind in zip(axes, kinds, strict=True):
        unit = str(axis.get("unit", ""))
        known = {"space": length_mm, "time": time_s}.get(str(kind))
        if known is not None and not known(unit):
            yield _should("unit", at, f"axis {axis.get('name')!r} should have a unit, got {unit!r}")


def _datasets(folder: Path, one: Mapping[str, Any], names: list[str], at: str) -> Iterator[Finding]:
    datasets = one.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        yield _must("datasets", at, "datasets must be a list of at least one object")
        return
    headers: list[Header] = []
    for data in datasets:
        path = data.get("path") if isinstance(data, dict) else None
        if not isinstance(path, str):
            yield _must("datasets", at, "each dataset must have a path")
            continue
        yield from _transforms(data.get("coordinateTransformations"), names, f"{at}/{path}")
        try:
            headers.append(read_header(path, inside(folder, path)))
        except FormatError as error:
            yield _must("array", f"{at}/{path}", str(error))
    common = one.get("coordinateTransformations")
    if common is not None:
        yield from _transforms(common, names, at, common=True)
    yield from _arrays(headers, names, at)


def _arrays(headers: list[Header], names: list[str], at: str) -> Iterator[Finding]:
    if any(len(header.shape) != len(names) for header in headers):
        yield _must("array", at, f"every array must have the {len(names)} axes that are listed")
        return
    if len({header.stored for header in headers}) > 1:
        yield _must("array", at, "all levels must have one number type")
    sizes = [header.shape for header in headers]
    for fine, coarse in pairwise(sizes):
        if any(b > a for a, b in zip(fine, coarse, strict=True)):
            yield _must(
                "levels", at, f"levels must go from fine to coarse, {coarse} follows {fine}"
            )
    for header in headers:
        named = _dimension_names(header)
        if named is not None and named != names:
            yield _must(
                "dimension-names",
                f"{at}/{header.folder.name}",
                f"dimension_names must be those of the axes {names}, they are {named}",
            )


def _dimension_names(header: Header) -> Any:
    if header.version != 3:
        return None
    return read_json(header.folder / "zarr.json").get("dimension_names")


def _transforms(
    listed: Any, names: list[str], at: str, *, common: bool = False
) -> Iterator[Finding]:
    if not isinstance(listed, list) or not all(isinstance(t, dict) for t in listed):
        yield _must("transformations", at, "coordinateTransformations must be a list of objects")
        return
    kinds = [t.get("type") for t in listed]
    if kinds not in (["scale"], ["scale", "translation"]):
        where = "the multiscale" if common else "a dataset"
        yield _must(
            "transformations",
            at,
            f"{where} must have one scale, then at most one translation; it has {kinds}",
        )
    for one in listed:
        values = one.get(str(one.get("type")))
        numbers = isinstance(values, list) and all(isinstance(v, int | float) for v in values)
        if one.get("type") in ("scale", "translation") and (
            not numbers or len(values) != len(names)
        ):
            yield _must("transformations", at, f"a {one['type']} must have {len(names)} numbers")


def _omero(omero: Any, at: str) -> Iterator[Finding]:
    if omero is None:
        return
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        yield _must("omero", at, "omero must have a list of channels")
        return
    for one in channels:
        colour = one.get("color") if isinstance(one, dict) else None
        window = one.get("window") if isinstance(one, dict) else None
        if not isinstance(colour, str) or len(colour) != 6:
            yield _must("omero", at, "a channel must have a color of six hexadecimal digits")
        bounds = {"min", "max", "start", "end"}
        if window is not None and not (isinstance(window, dict) and bounds <= set(window)):
            yield _must("omero", at, "a window must have min, max, start and end")


def _image_label(told: Any, at: str) -> Iterator[Finding]:
    if told is None:
        return
    if not isinstance(told, dict):
        yield _must("image-label", at, "image-label must be an object")
        return
    for key in ("colors", "properties"):
        listed = told.get(key, [])
        if not isinstance(listed, list):
            yield _must("image-label", at, f"{key} must be a list")
            continue
        values = [one.get("label-value") for one in listed if isinstance(one, dict)]
        if len(values) != len(listed) or not all(isinstance(v, int) for v in values):
            yield _must("image-label", at, f"each of {key} must have an integer label-value")
        elif len(set(values)) != len(values):
            yield _must("image-label", at, f"label-values of {key} must be unique")


def _labels(folder: Path, names: Any, at: str) -> Iterator[Finding]:
    if not isinstance(names, list):
        yield _must("labels", at, "labels must be a list of paths")
        return
    yield from _members(folder, [str(name) for name in names], at)


def _collection(folder: Path, node: Any, inner: str, at: str) -> Iterator[Finding]:
    listed = node.get(inner) if isinstance(node, dict) else None
    if not isinstance(listed, list) or not listed:
        yield _must(inner, at, f"{inner} must be a list of at least one object")
        return
    paths = [str(one.get("path", "")) for one in _objects(listed)]
    if inner == "wells":
        rows, columns = (
            [str(one.get("name", "")) for one in _objects(node.get(key))]
            for key in ("rows", "columns")
        )
        expected = {f"{row}/{column}" for row in rows for column in columns}
        strange = sorted(set(paths) - expected)
        if strange:
            yield _must("wells", at, f"wells must be row/column, {strange[:3]} are not")
    yield from _members(folder, paths[:MOST_WELLS], at)


def _objects(listed: Any) -> list[dict[str, Any]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _members(folder: Path, paths: list[str], at: str) -> Iterator[Finding]:
    for path in dict.fromkeys(paths):
        try:
            member = inside(folder, path)
        except FormatError as error:
            yield _must("path", at, str(error))
            continue
        if is_zarr(member):
            yield from _node(member, f"{at}/{path}")
        else:
            yield _must("absent", at, f"{path[:60]!r} is listed and not there")
