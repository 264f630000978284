"""OME-TIFF: planes placed by OME-XML, with pyramids in SubIFDs; written whole and deflated."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from vesalius.core import Grid, Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io._handle import Array, Content, Finding, Handle, Load, Rules, Window, widening
from vesalius.io._samples import to_numpy
from vesalius.io.micro import _place
from vesalius.io.micro._omexml import Pixels, describe, parse
from vesalius.io.micro._pages import opened, read_box, samples_of, stored_type

WRITTEN = {"u1": "uint8", "u2": "uint16", "u4": "uint32", "i1": "int8", "i2": "int16"}
WRITTEN |= {"i4": "int32", "f4": "float", "f8": "double"}
TILE = 512
ABSENT = -1


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sheets:
    """Where the planes of one image are.

    Attributes:
        files: The file itself, then others of its folder.
        file: (t, c, z), index in ``files``; -1 where a plane is absent.
        page: (t, c, z), page in that file.
        samples: Samples for each pixel of a page, which become channels.
        dtype: Number type of the first page.
    """

    files: tuple[Path, ...]
    file: Array
    page: Array
    samples: int
    dtype: "np.dtype[Any]"


def is_ome(tif: Any) -> bool:
    """Tell whether the first page of an open file has OME-XML as its description."""
    text = str(tif.pages[0].description)
    return text.rstrip()[-10:].endswith("OME>") or "openmicroscopy.org/Schemas/OME" in text[:2000]


def open_ometiff(path: Path, tif: Any, rules: Rules) -> tuple[Handle, ...]:
    """Read the headers of an open OME-TIFF file.

    Args:
        path: The file.
        tif: The same, opened.
        rules: ``frames`` says what a time axis is; ``allow`` "gaps" fills absent planes with 0.

    Returns:
        One handle for each image.

    Raises:
        FormatError: The OME-XML is damaged or does not fit the pages.
    """
    images = parse(path.name, str(tif.pages[0].description))
    if not images:
        raise FormatError(f"{path.name!r} must hold an image, its OME-XML has none: write it anew")
    names = [f"{path.name}#{i}" if len(images) > 1 else path.name for i in range(len(images))]
    return tuple(
        _handle(name, (path, tif), pixels, rules)
        for name, pixels in zip(names, images, strict=True)
    )


def _handle(name: str, source: tuple[Path, Any], pixels: Pixels, rules: Rules) -> Handle:
    tif = source[1]
    findings: list[Finding] = []
    sheets = _sheets(name, source, pixels, findings)
    if (sheets.file == ABSENT).any():
        findings.append(_absent(sheets, rules))
    if len(sheets.files) > 1:
        text = f"its planes lie in {len(sheets.files)} files of one folder; each opens as the whole"
        findings.append(Finding("info", "file-set", text))
    levels = _levels(tif, sheets, pixels)
    note = _place.parse(pixels.note)
    grid = _place.grid_of(note, _own_grid(pixels, findings), findings)
    findings += widening(sheets.dtype)
    content = _content(pixels, rules)
    channels = pixels.sizes["C"] * (pixels.sizes["T"] if rules.frames == "channels" else 1)
    content = _place.content_of(note, content, unit=rules.unit, channels=channels)
    if content.frames > 1 and not content.times_s:
        text = f"{content.frames} frames without times in seconds"
        findings.append(Finding("warning", "no-times", text))
    meta = {
        "format": "OME-TIFF",
        "stored": sheets.dtype.name,
        "big": bool(tif.is_bigtiff),
        "order": pixels.order,
        "files": len(sheets.files),
        "channels": pixels.sizes["C"],
        "frames": pixels.sizes["T"],
    }
    coarser = tuple(_place.covering(grid, shape) for shape in levels)
    load = _loader(name, sheets, [(grid.shape[1], grid.shape[2]), *levels], rules)
    return Handle(name, grid, meta, tuple(findings), content, load, coarser)


def _absent(sheets: Sheets, rules: Rules) -> Finding:
    count, total = int((sheets.file == ABSENT).sum()), sheets.file.size
    if "gaps" in rules.allow:
        text = f"{count} of {total} planes are absent and were filled with 0"
        return Finding("warning", "missing-planes", text)
    text = f"{count} of {total} planes are absent from the file"
    return Finding("error", "missing-planes", text, "gaps")


def _sheets(name: str, source: tuple[Path, Any], pixels: Pixels, findings: list[Finding]) -> Sheets:
    """Follow the TiffData elements to the page of each plane."""
    path, tif = source
    sizes = dict(pixels.sizes)
    if sizes["C"] % pixels.samples:
        raise FormatError(
            f"{name!r} must have channels of equal samples in its OME-XML, it has {sizes['C']} "
            f"in groups of {pixels.samples}: write the file anew"
        )
    sizes["C"] //= pixels.samples
    shape = (sizes["T"], sizes["C"], sizes["Z"])
    if math.prod(shape) > 1 << 24:
        raise FormatError(
            f"{name!r} must have at most {1 << 24} planes, its OME-XML claims "
            f"{math.prod(shape)}: the header is damaged"
        )
    files = [path]
    file, page = np.full(shape, ABSENT), np.zeros(shape, int)
    strides = _strides(pixels.order, sizes)
    for block in pixels.blocks:
        number = _member(name, path, block.file, files)
        z, c, t = block.first
        start = z * strides["Z"] + c // pixels.samples * strides["C"] + t * strides["T"]
        length = block.count or (len(tif.pages) if number == 0 else 1)
        for k in range(min(length, math.prod(shape) - start)):
            at = tuple((start + k) // strides[a] % sizes[a] for a in "TCZ")
            file[at], page[at] = number, block.ifd + k
    if not pixels.blocks:
        text = "the OME-XML does not say where planes are: the order of pages was taken"
        findings.append(Finding("warning", "no-tiffdata", text))
    file[(file == 0) & (page >= len(tif.pages))] = ABSENT
    first = tif.pages[int(page[file == 0].min())] if (file == 0).any() else tif.pages[0]
    _check_page(name, first, pixels)
    return Sheets(tuple(files), file, page, pixels.samples, stored_type(name, first))


def _strides(order: str, sizes: dict[str, int]) -> dict[str, int]:
    """Give how many planes one step along each of z, c, t is."""
    strides, step = {}, 1
    for axis in order[2:]:
        strides[axis] = step
        step *= sizes[axis]
    return strides


def _member(name: str, path: Path, named: str, files: list[Path]) -> int:
    """Give the number of a file that a plane lies in; it never leaves the folder."""
    if not named or named == path.name:
        return 0
    other = path.with_name(Path(named).name)
    if named != other.name or other.is_symlink() or named.startswith("."):
        raise FormatError(
            f"{name!r} must have its planes in files beside it, its OME-XML names a file "
            "elsewhere: copy all files into one folder, and write them anew"
        )
    if not other.is_file():
        return ABSENT
    if other not in files:
        files.append(other)
    return files.index(other)


def _check_page(name: str, page: Any, pixels: Pixels) -> None:
    _, _, rows, columns, _ = page.shaped
    wanted = (pixels.sizes["Y"], pixels.sizes["X"], pixels.samples)
    if (rows, columns, samples_of(page)) != wanted:
        raise FormatError(
            f"{name!r} must have pages of the size that its OME-XML says, (y, x, samples) "
            f"{wanted}; one has {(rows, columns, samples_of(page))}: the file is damaged"
        )


def _levels(tif: Any, sheets: Sheets, pixels: Pixels) -> list[tuple[int, int]]:
    """Give (y, x) of the further levels of the pyramid."""
    inside = np.argwhere(sheets.file == 0)
    if not len(inside):
        return []
    page = tif.pages[int(sheets.page[tuple(inside[0])])]
    shapes = [(pixels.sizes["Y"], pixels.sizes["X"])]
    for small in page.pages or ():
        _, _, rows, columns, _ = small.shaped
        if rows > shapes[-1][0] or columns > shapes[-1][1] or samples_of(small) != sheets.samples:
            break
        shapes.append((int(rows), int(columns)))
    return shapes[1:]


def _own_grid(pixels: Pixels, findings: list[Finding]) -> Grid:
    sizes, spacing = pixels.sizes, dict(pixels.spacing_mm)
    if not (spacing["X"] > 0 and spacing["Y"] > 0):
        text = "OME-XML gives no spacing in a unit of length: 1 mm along L, P and S assumed"
        findings.append(Finding("warning", "no-spacing", text))
        spacing = dict.fromkeys("XYZ", 1.0)
    if not spacing["Z"] > 0:
        spacing["Z"] = _z_step(pixels) or spacing["X"]
        if sizes["Z"] > 1 and not _z_step(pixels):
            text = "OME-XML gives no spacing along z: that along x assumed"
            findings.append(Finding("warning", "no-z-spacing", text))
    elif sizes["Z"] > 1 and _z_step(pixels) and abs(_z_step(pixels) / spacing["Z"] - 1) > 0.01:
        text = (
            f"planes stand {_z_step(pixels) * 1e3:.4g} um apart by their positions, "
            f"{spacing['Z'] * 1e3:.4g} um by PhysicalSizeZ: the latter was taken"
        )
        findings.append(Finding("warning", "z-spacing-differs", text))
    origin = pixels.origin_mm
    if any(origin.values()) and not pixels.note:
        text = "the origin is the stage position of the first plane; its x and y may be its centre"
        findings.append(Finding("info", "stage-origin", text))
    left, posterior, superior = (origin.get(axis, 0.0) for axis in "XYZ")
    shape, steps = (tuple(d[axis] for axis in "ZYX") for d in (sizes, spacing))
    return Grid.from_spacing(
        (int(shape[0]), int(shape[1]), int(shape[2])),
        (steps[0], steps[1], steps[2]),
        origin_mm=(left, posterior, superior),
    )


def _z_step(pixels: Pixels) -> float:
    """Give the distance of planes by their positions, mm; 0 where they do not say."""
    at, last = pixels.heights_mm, pixels.sizes["Z"] - 1
    return abs(at[last] - at[0]) / last if last > 0 and {0, last} <= set(at) else 0.0


def _content(pixels: Pixels, rules: Rules) -> Content:
    frames, channels = pixels.sizes["T"], pixels.sizes["C"]
    named = pixels.channels
    if len(named) == 1 and pixels.samples == channels > 1:
        named = {3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}.get(channels, ())
    if len(named) != channels or not any(named):
        named = ()
    if rules.frames == "channels":
        return Content(rules.unit or "1", named if frames == 1 else ())
    even = tuple(k * pixels.step_s for k in range(frames)) if pixels.step_s > 0 else ()
    times = pixels.times_s or even
    return Content(rules.unit or "1", named, frames=frames, times_s=times if frames > 1 else ())


def _loader(name: str, sheets: Sheets, shapes: list[tuple[int, int]], rules: Rules) -> Load:
    def load(window: Window) -> Array:
        frames, pages, _ = sheets.file.shape
        depth, rows, columns = window.slices
        shape = (frames, pages, sheets.samples, *window.shape)
        rules.budget.check_size(name, shape, sheets.dtype.itemsize)
        out = np.zeros(shape, sheets.dtype)
        for number, path in enumerate(sheets.files):
            part = np.argwhere(sheets.file[:, :, depth] == number)
            if not len(part):
                continue
            with opened(path) as tif:
                for t, c, z in part:
                    page = _page(name, tif, int(sheets.page[t, c, z + depth.start]), window.level)
                    _check_like(name, page, shapes[window.level], sheets)
                    out[t, c, :, z] = read_box(name, page, rows, columns, rules.budget)
        merged = out.reshape(frames, pages * sheets.samples, *window.shape)
        return merged.reshape(1, -1, *window.shape) if rules.frames == "channels" else merged

    return load


def _page(name: str, tif: Any, number: int, level: int) -> Any:
    if number >= len(tif.pages):
        raise FormatError(
            f"{name!r} must hold all its planes, page {number} is not in the file that should "
            "have it: copy all files again"
        )
    page = tif.pages[number]
    if level == 0:
        return page
    smaller = page.pages or ()
    if level > len(smaller):
        raise FormatError(
            f"{name!r} must have its pyramid on every page, page {number} lacks level {level}: "
            "read level 0"
        )
    return smaller[level - 1]


def _check_like(name: str, page: Any, shape: tuple[int, int], sheets: Sheets) -> None:
    _, _, rows, columns, _ = page.shaped
    wanted, found = (*shape, sheets.samples), (rows, columns, samples_of(page))
    if wanted != found or stored_type(name, page) != sheets.dtype:
        raise FormatError(
            f"{name!r} must have pages that are alike, one is {found} where {wanted} "
            f"(y, x, samples) of {sheets.dtype.name} was promised: the file is damaged"
        )


def save_ometiff(obj: Image | Labels | Series, path: Path) -> None:
    """Write an OME-TIFF: one page for each plane, deflated, lossless, sizes in um.

    Args:
        obj: What to write. Planes larger than 512 are tiled. An oblique grid is held in our note;
            other programs see its spacing.
        path: Where it goes.

    Raises:
        FormatError: OME has no such number type (64-bit integers).
    """
    import tifffile

    samples = to_numpy(obj.data)
    kind = WRITTEN.get(samples.dtype.str[1:], "")
    if not kind:
        raise FormatError(
            f"OME-TIFF must hold integers of 8 to 32 bits or floats, {path.name!r} would hold "
            f"{samples.dtype.name}: convert it first, or save as .zarr"
        )
    stack = samples if isinstance(obj, Series) else samples[None]
    _, y, x = obj.grid.shape
    large = stack.nbytes > (1 << 32) - (1 << 25)
    title = path.name.split(".")[0]
    with tifffile.TiffWriter(path, bigtiff=large, ome=False, byteorder="<") as tif:
        tif.write(
            stack.reshape(-1, y, x),
            photometric="minisblack",
            compression="adobe_deflate",
            tile=(TILE, TILE) if min(y, x) > TILE else None,
            description=describe(obj, kind, title).encode(),
            metadata=None,
            software="vesalius",
        )
