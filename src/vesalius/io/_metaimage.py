"""MetaImage (.mha, .mhd with its data file): our own reader and writer, world LPS as in ITK."""
# SPDX-License-Identifier: Apache-2.0

import math
import zlib
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
from vesalius.io._frames import affine_xyz, compose, decompose, grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, widening
from vesalius.io._layout import Layout, interleaved, loader
from vesalius.io._samples import to_numpy

TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_ULONG_LONG": "u8",
    "MET_LONG_LONG": "i8",
    "MET_ULONG": "u4",
    "MET_LONG": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
WRITTEN = {kind: name for name, kind in reversed(TYPES.items())}
LENGTH_MM = {"": 1.0, "?": 1.0, "mm": 1.0, "um": 1e-3, "cm": 10.0}
LONGEST_HEADER = 1 << 20
ZLIB_LEVEL = 1


def open_metaimage(path: Path, rules: Rules) -> Handle:
    """Read the header of a MetaImage file.

    Args:
        path: A .mha file, or a .mhd file beside its data.
        rules: ``frames`` says what a fourth axis is.

    Returns:
        The handle.

    Raises:
        FormatError: The file is not MetaImage, is damaged, or uses a part not read here.
    """
    header = _header(path)
    findings: list[Finding] = []
    stored, layout = _stored(header), _layout(header, as_channels=rules.frames == "channels")
    bodies = _bodies(header, stored, layout, rules.budget)
    grid = grid_from_xyz(path.name, layout.shape_xyz, _affine(header, findings))
    findings += widening(stored)
    content = _content(header, rules, layout, findings)
    meta = {
        "format": "MetaImage",
        "stored": stored.newbyteorder("=").name,
        "big_endian": stored.byteorder == ">",
        "compressed": header.flag("CompressedData"),
        "channels": layout.channels,
        "frames": layout.frames,
    }
    load = loader(bodies, layout, rules.budget)
    return Handle(path.name, grid, meta, tuple(findings), content, load)


def save_metaimage(obj: Image | Labels, path: Path) -> None:
    """Write .mha (zlib, one file), or .mhd with its samples beside it in a .raw file.

    Args:
        obj: What to write; channels become the fastest axis.
        path: Where it goes.

    Raises:
        FormatError: The number type has no place in MetaImage.
    """
    samples = to_numpy(obj.data)
    body = interleaved(obj.data, samples).reshape(-1).view(np.uint8).data
    kind = WRITTEN[samples.dtype.str[1:]]
    if path.name.lower().endswith(".mhd"):
        beside = path.with_suffix(".raw")
        with atomic_write(beside) as file:
            file.write(body)
        with atomic_write(path) as file:
            file.write(_text(obj, kind, beside.name, packed=0))
        return
    packed = zlib.compress(body, ZLIB_LEVEL)
    with atomic_write(path) as file:
        file.write(_text(obj, kind, "LOCAL", packed=len(packed)))
        file.write(packed)


@dataclass(frozen=True, slots=True)
class _Header:
    """The fields of a header, and where the samples begin."""

    path: Path
    fields: Mapping[str, str]
    end: int
    listed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.name

    def text(self, *keys: str, default: str = "") -> str:
        return next((self.fields[key] for key in keys if key in self.fields), default)

    def flag(self, *keys: str) -> bool:
        return self.text(*keys).lower() in ("true", "1", "yes")

    def numbers(self, *keys: str, count: int, default: str) -> Array:
        text = self.text(*keys, default=default)
        try:
            values = np.array([float(word) for word in text.split()])
        except ValueError:
            values = np.empty(0)
        if len(values) != count:
            raise FormatError(
                f"{self.name!r} must have {count} numbers in {keys[0]}, it has {text!r}: "
                "repair its header"
            )
        return values


def _header(path: Path) -> _Header:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in fields:
            line = file.readline(LONGEST_HEADER)
            key, equals, value = line.decode("utf-8", "replace").partition("=")
            if not line or not equals or file.tell() > LONGEST_HEADER:
                break
            fields[key.strip()] = value.strip()
        start, listed = file.tell(), tuple[str, ...]()
        if fields.get("ElementDataFile", "").upper().startswith("LIST"):
            text = file.read(LONGEST_HEADER).decode("utf-8", "replace")
            listed = tuple(line.strip() for line in text.splitlines() if line.strip())
    absent = [
        k for k in ("NDims", "DimSize", "ElementType", "ElementDataFile") if not fields.get(k)
    ]
    if absent or fields.get("ObjectType", "Image").lower() != "image":
        what = f"{absent[0]} is absent" if absent else f"it holds a {fields['ObjectType']}"
        raise FormatError(
            f"{path.name!r} must be a MetaImage file, its header is not: {what}: "
            "check that the file is complete and that its suffix is right"
        )
    return _Header(path, fields, start, listed)


def _bodies(
    header: _Header, stored: "np.dtype[Any]", layout: Layout, budget: Budget
) -> tuple[Body, ...]:
    """Find the files with the samples and check that they hold what the header promises."""
    skip = header.text("HeaderSize", default="0")
    if not skip.lstrip("-").isdigit() or len(skip) > 18:
        raise FormatError(f"{header.name!r} must have a whole HeaderSize, got {skip!r}: repair it")
    local = header.text("ElementDataFile").upper() == "LOCAL"
    names = _names(header, budget)
    files = [header.path] if local else [beside(header.path, one) for one in names]
    count, rest = divmod(math.prod(layout.sizes), len(files))
    packed = header.flag("CompressedData")
    if rest or (packed and len(files) > 1):
        raise FormatError(
            f"{header.name!r} must have its samples in files of one size, not compressed; it "
            f"shares {math.prod(layout.sizes)} among {len(files)} files: save it as one .mha first"
        )
    start = header.end if local else max(int(skip), -1)
    if len(files) > 1:
        budget.check_size(header.name, layout.sizes, stored.itemsize)
    shape = layout.sizes if len(files) == 1 else (count,)
    codec = _codec(header)
    for file in files:
        there = file.stat().st_size - max(start, 0)
        # a number in text takes two characters at least
        item = stored.itemsize if codec != "text" else 2
        budget.check_claim(header.name, shape, item, there + (codec == "text"), packed=packed)
    if codec == "text":
        budget.check_size(header.name, layout.sizes, stored.itemsize)
    return tuple(Body(file, stored, count, start=start, codec=codec) for file in files)


def _codec(header: _Header) -> Codec:
    if "BinaryData" in header.fields and not header.flag("BinaryData"):
        return "text"
    return "zlib" if header.flag("CompressedData") else "raw"


def _names(header: _Header, budget: Budget) -> tuple[str, ...]:
    """Give the files that ElementDataFile names: one, those listed below it, or a counted row."""
    words = header.text("ElementDataFile").split()
    if words[0].upper() == "LIST":
        names: tuple[str, ...] = header.listed
    elif len(words) in (3, 4) and "%" in words[0]:
        names = counted(header.name, words[0], words[1:], budget)
    else:
        names = (header.text("ElementDataFile"),)
    if not 0 < len(names) <= budget.files:
        raise FormatError(
            f"{header.name!r} must list the files of its samples, it lists {len(names)}: "
            "repair its header"
        )
    return names


def _stored(header: _Header) -> "np.dtype[Any]":
    named = header.text("ElementType").upper().removesuffix("_ARRAY")
    if named not in TYPES:
        raise FormatError(
            f"{header.name!r} must hold real numbers, its ElementType is {named!r}: "
            "convert it first"
        )
    big = header.flag("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    return np.dtype((">" if big else "<") + TYPES[named])


def _layout(header: _Header, *, as_channels: bool) -> Layout:
    text = header.text("NDims")
    n = int(text) if text.isdigit() else 0
    if not 2 <= n <= 4:
        raise FormatError(
            f"{header.name!r} must have 2 to 4 axes (x, y, z, time), NDims is {text!r}: "
            "split it first"
        )
    sizes = [int(v) for v in header.numbers("DimSize", count=n, default="")]
    channels = int(header.numbers("ElementNumberOfChannels", count=1, default="1")[0])
    shift = 1 if channels != 1 else 0
    space = tuple(range(shift, shift + min(n, 3)))
    return Layout(
        tuple([channels] * shift + sizes),
        space,
        time=shift + 3 if n == 4 else -1,
        channel=0 if shift else -1,
        as_channels=as_channels,
    )


def _affine(header: _Header, findings: list[Finding]) -> Array:
    n = int(header.text("NDims"))
    m = min(n, 3)
    identity = " ".join(str(float(i == j)) for i in range(n) for j in range(n))
    ones, zeros = " ".join(["1"] * n), " ".join(["0"] * n)
    keys = ("TransformMatrix", "Rotation", "Orientation")
    # each line of the matrix in the file is the direction of one axis: a column of ours
    direction = header.numbers(*keys, count=n * n, default=identity).reshape(n, n).T[:m, :m]
    origin = header.numbers("Offset", "Position", "Origin", count=n, default=zeros)[:m]
    spacing = header.numbers("ElementSpacing", "ElementSize", count=n, default=ones)[:m]
    if not {"ElementSpacing", "ElementSize"} & set(header.fields):
        findings.append(Finding("warning", "no-spacing", "no ElementSpacing: 1 mm assumed"))
    affine = compose(spacing, direction, origin)
    affine[:3] *= _length_mm(header, findings)
    _check_letters(header, affine, findings)
    return affine


def _length_mm(header: _Header, findings: list[Finding]) -> float:
    unit = header.text("DistanceUnits").lower()
    if unit not in LENGTH_MM:
        raise FormatError(
            f"{header.name!r} must give lengths in mm, um or cm, DistanceUnits is {unit!r}: "
            "repair its header"
        )
    if LENGTH_MM[unit] != 1.0:
        text = f"lengths converted from {unit} to mm; ITK takes them for mm"
        findings.append(Finding("info", "unit-converted", text))
    return LENGTH_MM[unit]


def _check_letters(header: _Header, affine: Array, findings: list[Finding]) -> None:
    letters = header.text("AnatomicalOrientation").upper()
    if len(letters) == 3 and set(letters) <= set("RLAPIS") and letters != _letters(affine):
        text = (
            f"AnatomicalOrientation says {letters}, TransformMatrix says {_letters(affine)}: "
            "the matrix is followed, as ITK does"
        )
        findings.append(Finding("warning", "orientation-contradicts", text))


def _letters(affine: Array) -> str:
    """Give the letters that ITK writes: where each of x, y, z comes from."""
    names = ""
    for column in affine[:3, :3].T:
        axis = int(np.abs(column).argmax())
        names += ("RL", "AP", "IS")[axis][0 if column[axis] > 0 else 1]
    return names


def _content(header: _Header, rules: Rules, layout: Layout, findings: list[Finding]) -> Content:
    content = _note.decode(header.text(_note.KEY), unit=rules.unit, channels=layout.channels)
    line = [header.text(f"ElementToIntensityFunction{part}") for part in ("Slope", "Offset")]
    if line[0] not in ("", "1") or line[1] not in ("", "0"):
        text = "ElementToIntensityFunction is not applied, nor does ITK: samples are as stored"
        findings.append(Finding("warning", "not-scaled", text))
    if layout.frames > 1:
        text = f"{layout.frames} frames without times in seconds"
        findings.append(Finding("warning", "no-times", text))
    return replace(content, frames=layout.frames)


def _text(obj: Image | Labels, kind: str, data_file: str, *, packed: int) -> bytes:
    z, y, x = obj.grid.shape
    affine = affine_xyz(obj.grid)
    spacing, direction, origin = decompose(affine)
    channels = int(obj.data.shape[0])
    note = _note.encode(obj)
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(bool(packed)),
        **({"CompressedDataSize": str(packed)} if packed else {}),
        "TransformMatrix": _words(direction.T.reshape(-1)),
        "Offset": _words(origin),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": _letters(affine),
        "ElementSpacing": _words(spacing),
        "DimSize": f"{x} {y} {z}",
        **({"ElementNumberOfChannels": str(channels)} if channels > 1 else {}),
        **({_note.KEY: note} if note else {}),
        "ElementType": kind,
        "ElementDataFile": data_file,
    }
    return "".join(f"{key} = {value}\n" for key, value in fields.items()).encode()


def _words(values: Array) -> str:
    return " ".join(repr(float(value)) for value in values)
