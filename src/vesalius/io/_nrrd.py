"""NRRD (.nrrd, .nhdr): spaces LPS, RAS and LAS, vectors, gzip; read with pynrrd."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.core import Image, Labels
from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._atomic import atomic_write
from vesalius.io._body import Body, Codec, beside, counted
from vesalius.io._budget import Budget
from vesalius.io._frames import affine_xyz, grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, widening
from vesalius.io._label_names import slicer_names
from vesalius.io._layout import Layout, interleaved, loader
from vesalius.io._samples import STORED, to_numpy

SIGNS = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
}
SHORT = {"lps": "left-posterior-superior", "ras": "right-anterior-superior"}
SHORT |= {"las": "left-anterior-superior"}
LENGTH_MM = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3}
LENGTH_MM |= {"micron": 1e-3, "microns": 1e-3, "nm": 1e-6, "cm": 10.0, "m": 1000.0, "": 1.0}
TYPES = {
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i1": ("signed char", "int8", "int8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
WRITTEN = {"f4": "float", "f8": "double"}
COLOURS = {"rgb-color": "RGB", "rgba-color": "RGBA"}
CODECS: dict[str, Codec] = {"raw": "raw", "gzip": "zlib", "gz": "zlib"}
CODECS |= {"bzip2": "bzip2", "bz2": "bzip2", "ascii": "text", "text": "text", "txt": "text"}
CODECS |= {"ASCII": "text"}
GZIP_LEVEL = 1
LONGEST_HEADER = 1 << 24


def open_nrrd(path: Path, rules: Rules) -> Handle:
    """Read the header of an NRRD file.

    Args:
        path: A .nrrd file, or a .nhdr file beside its data.
        rules: ``frames`` says what a time axis is.

    Returns:
        The handle.

    Raises:
        FormatError: The file is not NRRD, is damaged, or has axes that cannot be told apart.
    """
    header = _header(path)
    findings: list[Finding] = []
    stored = _stored(path.name, header.fields)
    layout = _layout(path.name, header.fields, as_channels=rules.frames == "channels")
    bodies = _bodies(header, stored, layout, rules.budget)
    affine = _affine(path.name, header.fields, layout, findings)
    grid = grid_from_xyz(path.name, layout.shape_xyz, affine)
    findings += widening(stored)
    content = _content(header.fields, rules, layout, findings)
    meta = {
        "format": "NRRD",
        "stored": stored.newbyteorder("=").name,
        "big_endian": header.fields.get("endian") == "big",
        "encoding": header.fields["encoding"],
        "channels": layout.channels,
        "frames": layout.frames,
    }
    load = loader(bodies, layout, rules.budget)
    return Handle(path.name, grid, meta, tuple(findings), content, load)


def save_nrrd(obj: Image | Labels, path: Path) -> None:
    """Write .nrrd (gzip, one file), or .nhdr with its samples beside it in a .nhdr.raw file.

    Args:
        obj: What to write, in LPS; channels become the fastest axis.
        path: Where it goes.

    Raises:
        FormatError: The number type has no place in NRRD.
    """
    samples = to_numpy(obj.data)
    text = _text(obj, samples.dtype.str[1:], path)
    body = interleaved(obj.data, samples).reshape(-1).view(np.uint8).data
    if path.name.lower().endswith(".nhdr"):
        with atomic_write(_beside(path)) as file:
            file.write(body)
        with atomic_write(path) as file:
            file.write(text)
        return
    with atomic_write(path) as file:
        file.write(text)
        with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as zipper:
            zipper.write(body)


@dataclass(frozen=True, slots=True)
class _Header:
    """The fields of a header, where it ends, and the files listed at its end."""

    path: Path
    fields: Mapping[str, Any]
    end: int
    listed: tuple[str, ...]


def _header(path: Path) -> _Header:
    import nrrd

    try:
        lines, end, listed = _lines(path)
        fields = nrrd.read_header(lines)
        for key in ("type", "dimension", "sizes", "encoding"):
            if key not in fields:
                raise ValueError(f"the field {key!r} is absent")
        axes = int(fields["dimension"])
        for key in ("sizes", "kinds", "spacings", "space directions"):
            if key in fields and len(fields[key]) != axes:
                raise ValueError(f"{len(fields[key])} {key} for {axes} axes")
        return _Header(path, fields, end, listed)
    except Exception as error:  # pynrrd raises whatever its parsers meet
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise FormatError(
            f"{path.name!r} must be an NRRD file, its header is not: {reason}: "
            "check that the file is complete and that its suffix is right"
        ) from error


def _lines(path: Path) -> tuple[list[str], int, tuple[str, ...]]:
    """Read a header up to its empty line, and the names that may be listed instead of samples."""
    lines: list[str] = []
    listing = False
    with path.open("rb") as file:
        while line := file.readline(LONGEST_HEADER):
            # one list of lines reads like one string to pynrrd only where no line holds a break
            lines.append(line.decode("utf-8", "replace").rstrip())
            field = re.sub(r"\s", "", lines[-1].lower())
            listing = field.startswith(("datafile:list", "datafile:=list"))
            if not lines[-1] or listing or file.tell() > LONGEST_HEADER:
                break
        end = file.tell()
        rest = file.read(LONGEST_HEADER).decode("utf-8", "replace") if listing else ""
    return lines, end, tuple(one.strip() for one in rest.splitlines() if one.strip())


def _stored(name: str, header: Mapping[str, Any]) -> "np.dtype[Any]":
    kind = next((k for k, names in TYPES.items() if header["type"] in names), "")
    if kind not in STORED:
        raise FormatError(
            f"{name!r} must hold real numbers, its type is {header['type']!r}: convert it first"
        )
    binary = CODECS.get(str(header["encoding"])) != "text"
    if kind[1] != "1" and binary and header.get("endian") not in ("big", "little"):
        raise FormatError(f"{name!r} must say its endian, it does not: add 'endian: little'")
    return np.dtype((">" if header.get("endian") == "big" else "<") + kind)


def _layout(name: str, header: Mapping[str, Any], *, as_channels: bool) -> Layout:
    sizes = tuple(int(n) for n in header["sizes"])
    kinds = [str(k).lower() for k in header.get("kinds", [])]
    directions = _directions(header)
    if directions is not None:
        space = [i for i, row in enumerate(directions) if row is not None]
    elif kinds:
        space = [i for i, kind in enumerate(kinds) if kind in ("domain", "space")]
    else:
        space = list(range(len(sizes)))
    rest = [i for i in range(len(sizes)) if i not in space]
    time = [i for i in rest if kinds and kinds[i] == "time"]
    other = [i for i in rest if i not in time]
    if not 2 <= len(space) <= 3 or len(time) > 1 or len(other) > 1:
        raise FormatError(
            f"{name!r} must have 2 or 3 axes of space, at most one of time and one of channels; "
            f"its {len(sizes)} axes have kinds {kinds or 'not given'} and {len(space)} lie in "
            "space: set 'kinds' and 'space directions' in its header"
        )
    at = [found[0] if found else -1 for found in (time, other)]
    return Layout(sizes, tuple(space), at[0], at[1], as_channels)


def _directions(header: Mapping[str, Any]) -> list[Array | None] | None:
    """Give the direction of each axis, None for an axis outside space, or None for no field."""
    if "space directions" not in header:
        return None
    rows = [None if r is None else np.asarray(r, float) for r in header["space directions"]]
    return [None if r is None or bool(np.isnan(r).all()) else r for r in rows]


def _affine(name: str, header: Mapping[str, Any], layout: Layout, findings: list[Finding]) -> Array:
    affine = np.eye(4)
    directions, origin = _directions(header), header.get("space origin")
    if directions is None:
        steps, mins = _steps(name, header, layout)
        if not np.isfinite(steps).all():
            text = "neither space directions nor spacings are given: 1 mm along L, P, S assumed"
            findings.append(Finding("warning", "no-spacing", text))
            steps = np.ones(len(steps))
        affine[range(len(steps)), range(len(steps))] = steps
        origin = mins if origin is None and np.isfinite(mins).all() else origin
    else:
        columns = np.stack([r for r in (directions[a] for a in layout.space) if r is not None])
        affine[: columns.shape[1], : columns.shape[0]] = columns.T
    if origin is None:
        findings.append(Finding("warning", "no-origin", "no space origin is given: 0 assumed"))
    else:
        affine[: len(origin), 3] = np.asarray(origin, float)
    if affine[2, :2].any() and len(layout.space) == 2:
        affine[:3, 2] = _unit_normal(affine)
    affine[:3] *= _length_mm(name, header)
    return _signs(header, findings) @ affine


def _steps(name: str, header: Mapping[str, Any], layout: Layout) -> tuple[Array, Array]:
    """Give spacing and position of the first sample along each axis of space, NaN where absent.

    Fields of NRRD without a space; as in its library, samples are taken for cells, whose minimum
    lies half a step before them, unless they are said to be nodes.
    """
    lines = [_per_axis(name, header, key, layout) for key in ("spacings", "axis mins", "axis maxs")]
    centres = [str(one).lower() for one in header.get("centerings", [])]
    cells = np.array([(centres + ["cell"] * 9)[axis] != "node" for axis in layout.space])
    sizes = np.array([layout.sizes[axis] for axis in layout.space])
    steps, mins, maxs = lines
    within = (maxs - mins) / np.maximum(sizes - ~cells, 1)
    steps = np.where(np.isfinite(steps), steps, within)
    return steps, mins + np.where(cells, steps / 2, 0.0)


def _per_axis(name: str, header: Mapping[str, Any], key: str, layout: Layout) -> Array:
    told = header.get(key, header.get(key.replace(" ", ""), [np.nan] * len(layout.sizes)))
    try:
        values = np.array(told.split() if isinstance(told, str) else told, float)
        return values[list(layout.space)]
    except (ValueError, IndexError):
        raise FormatError(
            f"{name!r} must have a number for each axis in {key}, it has not: repair its header"
        ) from None


def _unit_normal(affine: Array) -> Array:
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return np.asarray(normal / (np.linalg.norm(normal) or 1.0))


def _signs(header: Mapping[str, Any], findings: list[Finding]) -> Array:
    space = str(header.get("space", "")).lower().removesuffix("-time").removesuffix("t")
    space = SHORT.get(space, space)
    if space not in SIGNS:
        what = f"space {space!r} has no anatomical directions" if space else "no space is given"
        findings.append(Finding("warning", "no-orientation", f"{what}: L, P, S assumed"))
    return np.diag([*SIGNS.get(space, (1.0, 1.0, 1.0)), 1.0])


def _length_mm(name: str, header: Mapping[str, Any]) -> float:
    units = {str(u).strip('"') for u in header.get("space units", []) or []} - {"???"}
    if len(units) > 1 or not units <= set(LENGTH_MM):
        raise FormatError(
            f"{name!r} must give all lengths in one of {', '.join(filter(None, LENGTH_MM))}, "
            f"its space units are {', '.join(sorted(units))}: convert its header"
        )
    return LENGTH_MM[units.pop()] if units else 1.0


def _bodies(
    header: _Header, stored: "np.dtype[Any]", layout: Layout, budget: Budget
) -> tuple[Body, ...]:
    """Find the files with the samples and check that they hold what the header promises."""
    name, encoding = header.path.name, str(header.fields["encoding"])
    skip = _check_encoding(name, header.fields)
    files = _files(header, layout, budget)
    count, codec = math.prod(layout.sizes) // len(files), CODECS[encoding]
    shape = layout.sizes if len(files) == 1 else (count,)
    if len(files) > 1 or codec in ("bzip2", "text"):
        budget.check_size(name, layout.sizes, stored.itemsize)
    bodies = []
    for file in files:
        start = header.end if file == header.path else 0
        there = file.stat().st_size - start
        if codec in ("raw", "zlib"):
            budget.check_claim(name, shape, stored.itemsize, there, packed=codec == "zlib")
        elif codec == "bzip2":
            budget.check_growth(name, count * stored.itemsize, there)
        else:
            # a number in text takes two characters at least, the last one takes one
            budget.check_stored(name, 2 * count, there + 1, deflated=False)
        bodies.append(
            Body(file, stored, count, start=-1 if skip < 0 else start + skip, codec=codec)
        )
    return tuple(bodies)


def _check_encoding(name: str, header: Mapping[str, Any]) -> int:
    """Give how many bytes stand before the samples; negative says that they end the file."""
    encoding = str(header["encoding"])
    skips = {key: int(header.get(key, 0)) for key in ("line skip", "lineskip")}
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    if encoding not in CODECS or any(skips.values()) or (skip and encoding != "raw"):
        raise FormatError(
            f"{name!r} must be encoded as {', '.join(CODECS)}, with byte skip for raw only; "
            f"it is {encoding}, with skips {skip} and {max(skips.values())}: write it anew"
        )
    return skip


def _files(header: _Header, layout: Layout, budget: Budget) -> list[Path]:
    """List the files with the samples: itself, the one it names, or several in order."""
    fields = header.fields
    named = str(fields.get("data file", fields.get("datafile", "")))
    words = named.split()
    if not words:
        return [header.path]
    last = ""
    if words[0].upper() == "LIST":
        names, last = header.listed, "".join(words[1:])
    elif "%" in named and len(words) in (4, 5):
        names, last = counted(header.path.name, words[0], words[1:4], budget), "".join(words[4:])
    else:
        names = (named,)
    # each file holds one step along the slowest axis, or the whole of the first `last` axes
    axes = int(last) if last.isdigit() and len(last) < 3 else len(layout.sizes) - 1
    wanted = math.prod(layout.sizes[axes:]) if len(names) > 1 else 1
    if len(names) != wanted or len(names) > budget.files:
        raise FormatError(
            f"{header.path.name!r} must name {wanted} files for its samples, it names "
            f"{len(names)}: repair its header"
        )
    return [beside(header.path, one) for one in names]


def _content(
    header: Mapping[str, Any], rules: Rules, layout: Layout, findings: list[Finding]
) -> Content:
    unit = rules.unit or ("" if _note.KEY in header else _sample_units(header))
    note = str(header.get(_note.KEY, ""))
    content = _note.decode(note, unit=unit, channels=layout.channels)
    kind = str(header.get("kinds", [""] * 9)[layout.channel]).lower() if layout.channel >= 0 else ""
    if kind in COLOURS and len(COLOURS[kind]) == layout.channels:
        content = replace(content, channels=tuple(COLOURS[kind]))
    names = dict(content.names) or slicer_names(header)
    if layout.frames > 1:
        text = f"{layout.frames} frames without times in seconds"
        findings.append(Finding("warning", "no-times", text))
    return replace(content, names=names, frames=layout.frames)


def _sample_units(header: Mapping[str, Any]) -> str:
    return str(header.get("sample units", "")).strip('"')


def _text(obj: Image | Labels, kind: str, path: Path) -> bytes:
    detached = path.name.lower().endswith(".nhdr")
    name = WRITTEN.get(kind) or TYPES[kind][-2 if kind != "u1" else 2]
    z, y, x = obj.grid.shape
    channels = int(obj.data.shape[0])
    affine = affine_xyz(obj.grid)
    first = [str(channels)] if channels > 1 else []
    columns = [_vector(affine[:3, axis]) for axis in range(3)]
    lines = [
        "NRRD0005",
        f"type: {name}",
        f"dimension: {3 + len(first)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join([*first, str(x), str(y), str(z)])}",
        f"space directions: {' '.join(['none'] * len(first) + columns)}",
        f"kinds: {' '.join(['vector'] * len(first) + ['domain'] * 3)}",
        "endian: little",
        f"encoding: {'raw' if detached else 'gzip'}",
        'space units: "mm" "mm" "mm"',
        f"space origin: {_vector(affine[:3, 3])}",
    ]
    lines += [f"data file: {_beside(path).name}"] if detached else []
    note = _note.encode(obj)
    lines += [f"{_note.KEY}:={note}"] if note else []
    return ("\n".join(lines) + "\n\n").encode()


def _beside(path: Path) -> Path:
    # a.raw would be that of an a.mhd, which writing a.nhdr must not replace
    return path.with_name(f"{path.name}.raw")


def _vector(values: Array) -> str:
    return f"({','.join(repr(float(v)) for v in values)})"
