"""OME-Zarr 0.4 and 0.5: pyramids read by region, plates and wells, labels; local folders only."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vesalius.core import Grid
from vesalius.errors import FormatError
from vesalius.io._handle import Array, Content, Finding, Handle, Load, Rules, Window, widening
from vesalius.io.micro import _place
from vesalius.io.micro._ngff import Axis, Level, Multiscale, ome_of, parse
from vesalius.io.micro._store import Header, attributes, inside, is_zarr, read_box, read_header

OURS = "vesalius"
NO_UNIT_MM = 1e-3
FIVE = "tczyx"


def is_image(folder: Path) -> bool:
    """Tell whether a folder is an OME-Zarr image, plate or well, whatever its name."""
    if not is_zarr(folder):
        return False
    try:
        version, found = attributes(folder)
    except FormatError:
        return False
    ome = ome_of(version, found)
    return any(key in ome for key in ("multiscales", "plate", "well", "bioformats2raw.layout"))


def open_omezarr(path: Path, rules: Rules) -> tuple[Handle, ...]:
    """Read the metadata of an OME-Zarr folder; no chunk is touched.

    Args:
        path: An image, a plate, a well, or a set of images as bioformats2raw makes it.
        rules: ``frames`` says what a time axis is; ``budget`` bounds each read.

    Returns:
        One handle for each image or field, with its pyramid.

    Raises:
        FormatError: It is none of these, is damaged, or names a place outside its folder.
    """
    found: list[Handle] = []
    for name, folder in _images(path, path.name, rules):
        if len(found) >= rules.budget.files:
            raise FormatError(
                f"{path.name!r} must hold at most {rules.budget.files} images, it holds more: "
                "open a part of it, or raise the budget"
            )
        found.append(_handle(name, folder, rules))
    return tuple(found)


def _images(folder: Path, name: str, rules: Rules, depth: int = 0) -> Iterator[tuple[str, Path]]:
    """Find the images of a node: itself, or those that a plate, a well or a set lists."""
    version, found = attributes(folder)
    ome = ome_of(version, found)
    if "multiscales" in ome:
        yield name, folder
        return
    paths = _listed(folder, ome) if depth < 4 else []
    if not paths:
        raise FormatError(
            f"{name!r} must be an OME-Zarr image, plate or well, its metadata says none of them: "
            "open the folder of an image"
        )
    for path in dict.fromkeys(paths):
        yield from _images(inside(folder, path), f"{name}/{path}", rules, depth + 1)


def _listed(folder: Path, ome: Mapping[str, Any]) -> list[str]:
    """Give the paths that a plate (its wells), a well (its fields) or a set (its series) lists."""
    for key, inner in (("plate", "wells"), ("well", "images")):
        node = ome.get(key)
        if isinstance(node, dict) and isinstance(node.get(inner), list):
            return [str(one["path"]) for one in node[inner] if "path" in one]
    if "bioformats2raw.layout" not in ome:
        return []
    told = ome_of(*attributes(folder / "OME")).get("series")
    if isinstance(told, list):
        return [str(path) for path in told]
    count = 0
    while is_zarr(folder / str(count)):
        count += 1
    return [str(k) for k in range(count)]


def _handle(name: str, folder: Path, rules: Rules) -> Handle:
    version, found = attributes(folder)
    image = parse(name, ome_of(version, found), version)
    headers = [read_header(name, inside(folder, level.path)) for level in image.levels]
    _check_levels(name, image, headers)
    findings: list[Finding] = []
    told = found.get(OURS, {})
    note = told if isinstance(told, dict) else {}
    factors = _factors(image, findings)
    grids = _grids(image, headers, factors, note, findings)
    sizes = _sizes(image, headers[0])
    findings += widening(headers[0].stored) + _labels_inside(folder)
    content = _content(image, sizes, rules, findings)
    channels = sizes["c"] * (sizes["t"] if rules.frames == "channels" else 1)
    content = _place.content_of(note, content, unit=rules.unit, channels=channels)
    if content.frames > 1 and not content.times_s:
        text = f"{content.frames} frames without times in seconds"
        findings.append(Finding("warning", "no-times", text))
    meta = {
        "format": f"OME-Zarr {image.version}",
        "stored": headers[0].stored.name,
        "chunks": headers[0].pieces,
        "axes": "".join(axis.name for axis in image.axes),
        "levels": len(headers),
        "labels": image.is_labels,
        "channels": sizes["c"],
        "frames": sizes["t"],
    }
    load = _loader(name, image, headers, rules)
    return Handle(name, grids[0], meta, tuple(findings), content, load, tuple(grids[1:]))


def _check_levels(name: str, image: Multiscale, headers: list[Header]) -> None:
    axes = len(image.axes)
    types = {header.stored for header in headers}
    if any(len(header.shape) != axes for header in headers) or len(types) > 1:
        raise FormatError(
            f"{name!r} must have arrays of {axes} axes and one number type at every level, it has "
            f"{', '.join(str(header.shape) for header in headers[:4])}: the image is damaged"
        )
    outer = [i for i, axis in enumerate(image.axes) if axis.kind != "space"]
    first = headers[0].shape
    for fine, coarse in pairwise(headers):
        same = all(coarse.shape[i] == first[i] for i in outer)
        if not same or any(b > a for a, b in zip(fine.shape, coarse.shape, strict=True)):
            raise FormatError(
                f"{name!r} must have levels from fine to coarse with equal frames and channels, "
                f"{coarse.shape} follows {fine.shape}: the image is damaged"
            )


def _factors(image: Multiscale, findings: list[Finding]) -> dict[str, float]:
    """Give the size in mm of each axis of space; a missing unit counts as micrometres."""
    factors = {axis.name: axis.size for axis in image.axes if axis.kind == "space"}
    unknown = sorted(name for name, size in factors.items() if size == 0)
    if unknown:
        text = f"no unit of length is given along {', '.join(unknown)}: micrometres assumed"
        findings.append(Finding("warning", "no-unit", text))
    return {name: size or NO_UNIT_MM for name, size in factors.items()}


def _place_of(image: Multiscale, level: Level, factors: Mapping[str, float]) -> tuple[Any, Any]:
    """Give spacing and origin of a level along (z, y, x), mm; a plane is as thick as wide."""
    at = {axis.name: i for i, axis in enumerate(image.axes)}
    steps = {n: level.scale[at[n]] * factors[n] for n in factors}
    starts = {n: level.translation[at[n]] * factors[n] for n in factors}
    first = image.levels[0].scale[at["x"]] * factors["x"]
    spacing = np.array([steps.get("z", first), steps["y"], steps["x"]])
    return spacing, np.array([starts.get("z", 0.0), starts["y"], starts["x"]])


def _grids(
    image: Multiscale,
    headers: list[Header],
    factors: Mapping[str, float],
    note: Mapping[str, Any],
    findings: list[Finding],
) -> list[Grid]:
    """Place every level; those of a grid that our note holds lie on its axes."""
    places = [_place_of(image, level, factors) for level in image.levels]
    shapes = [_shape(image, header) for header in headers]
    spacing, start = places[0]
    origin = (float(start[2]), float(start[1]), float(start[0]))
    own = Grid.from_spacing(shapes[0], tuple(spacing.tolist()), origin_mm=origin)
    first = _place.grid_of(note, own, findings)
    grids = []
    for shape, (step, at) in zip(shapes, places, strict=True):
        # index of this level -> index of the first level -> world
        affine = first.affine.clone()
        affine[:3, 3] += first.affine[:3, :3] @ torch.from_numpy((at - start) / spacing)
        affine[:3, :3] *= torch.from_numpy(step / spacing)
        grids.append(Grid(shape, affine))
    return grids


def _shape(image: Multiscale, header: Header) -> tuple[int, int, int]:
    sizes = _sizes(image, header)
    return sizes["z"], sizes["y"], sizes["x"]


def _sizes(image: Multiscale, header: Header) -> dict[str, int]:
    named = {_letter(axis): n for axis, n in zip(image.axes, header.shape, strict=True)}
    return {letter: named.get(letter, 1) for letter in FIVE}


def _letter(axis: Axis) -> str:
    return {"time": "t", "channel": "c", "space": axis.name}[axis.kind]


def _content(
    image: Multiscale, sizes: Mapping[str, int], rules: Rules, findings: list[Finding]
) -> Content:
    frames, channels = sizes["t"], sizes["c"]
    named = image.channels if len(image.channels) == channels else ()
    if image.channels and not named:
        text = f"{len(image.channels)} channel names for {channels} channels: left out"
        findings.append(Finding("warning", "channel-names", text))
    names = {(0, value): name for value, name in (image.names or {}).items()}
    if frames == 1 or rules.frames == "channels":
        named = named if frames == 1 else ()
        return Content(rules.unit or "1", named, names)
    clock = next((i for i, axis in enumerate(image.axes) if axis.kind == "time"), -1)
    size, level = image.axes[clock].size, image.levels[0]
    times = tuple((level.translation[clock] + k * level.scale[clock]) * size for k in range(frames))
    return Content(rules.unit or "1", named, names, frames, times if size > 0 else ())


def _labels_inside(folder: Path) -> list[Finding]:
    """Name the label images that an image carries; each is opened by its own path."""
    inner = folder / "labels"
    if not is_zarr(inner):
        return []
    listed = ome_of(*attributes(inner)).get("labels")
    names = [str(one)[:40] for one in listed] if isinstance(listed, list) else []
    shown = ", ".join(repr(name) for name in names[:5])
    text = f"label images are in its folder 'labels': {shown}; open each by that path"
    return [Finding("info", "labels", text)] if names else []


def _loader(name: str, image: Multiscale, headers: list[Header], rules: Rules) -> Load:
    letters = [_letter(axis) for axis in image.axes]
    order = [letters.index(letter) for letter in FIVE if letter in letters]

    def load(window: Window) -> Array:
        header = headers[window.level]
        sizes = _sizes(image, header)
        parts = dict(zip("zyx", window.slices, strict=True))
        box = tuple(parts.get(a, slice(0, sizes[a])) for a in letters)
        found = read_box(name, header, box, rules.budget).transpose(order)
        frames = (1, -1) if rules.frames == "channels" else (sizes["t"], sizes["c"])
        return np.asarray(found.reshape(*frames, *window.shape))

    return load
