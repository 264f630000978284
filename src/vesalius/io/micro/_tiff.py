"""TIFF: plain stacks, ImageJ hyperstacks, BigTIFF, tiles, pyramids (SVS); OME goes its own way."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from vesalius.core import Grid
from vesalius.errors import FormatError
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, Window, widening
from vesalius.io.micro import _place
from vesalius.io.micro._chain import check_chain
from vesalius.io.micro._imagej import ImageJ, imagej_of
from vesalius.io.micro._ometiff import is_ome, open_ometiff
from vesalius.io.micro._pages import opened, read_box, samples_of, stored_type

PRINT_DPI = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 300, 350, 400, 600, 1200)
UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
KNOWN = "TCZYXS"
UNSURE = "QI"
COLOURS = {3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}
RGB, PALETTE, WHITE_IS_ZERO = 2, 3, 0


@final
@dataclass(frozen=True, slots=True)
class Axes:
    """How the axes of a TIFF series lie.

    Attributes:
        outer: Letters of the axes over pages, slowest first.
        sizes: Number of samples along each of them.
        samples: Samples for each pixel, which become channels.
        rows: Number of rows.
        columns: Number of columns.
    """

    outer: str
    sizes: tuple[int, ...]
    samples: int
    rows: int
    columns: int

    def count(self, letter: str) -> int:
        """Give the number of frames ("T"), channels over pages ("C") or slices ("Z")."""
        return math.prod(n for a, n in zip(self.outer, self.sizes, strict=True) if a == letter)

    def order(self) -> list[int]:
        """Give the order of the outer axes that puts them as (t, c, z)."""
        return [i for letter in "TCZ" for i, a in enumerate(self.outer) if a == letter]


def open_tiff(path: Path, rules: Rules) -> tuple[Handle, ...]:
    """Read the headers of a TIFF file.

    Args:
        path: A .tif, .tiff, .btf or .svs file.
        rules: ``frames`` says what a time axis is; ``budget`` bounds each read.

    Returns:
        One handle for each series of the file.

    Raises:
        FormatError: The file is not TIFF, is damaged, or has axes that cannot be told apart.
    """
    check_chain(path, rules.budget)
    with opened(path) as tif:
        if is_ome(tif):
            return open_ometiff(path, tif, rules)
        kept = [k for k, s in enumerate(tif.series) if s.kind != "svs" or s.name == "Baseline"]
        return tuple(_handle(path, tif, (k, len(kept)), rules) for k in kept)


def _handle(path: Path, tif: Any, which: tuple[int, int], rules: Rules) -> Handle:
    number, kept = which
    series, left_out = tif.series[number], len(tif.series) - kept
    name = f"{path.name}#{number}" if kept > 1 else path.name
    findings: list[Finding] = []
    axes = _axes(name, series, rules, findings)
    stored = stored_type(name, series.keyframe)
    imagej = imagej_of(tif)
    own = _own_grid(tif, series, (axes, imagej), findings)
    note = _place.parse(imagej.note)
    grid = _place.grid_of(note, own, findings)
    findings += widening(stored)
    findings += _remarks(series.keyframe, left_out)
    content = _content(axes, series, imagej, rules)
    channels = max(axes.count("C") * axes.samples, 1)
    content = _place.content_of(note, content, unit=rules.unit, channels=channels)
    if content.frames > 1 and not content.times_s:
        text = f"{content.frames} frames without times in seconds"
        findings.append(Finding("warning", "no-times", text))
    meta = {
        "format": "ImageJ TIFF" if imagej.present else "TIFF",
        "stored": stored.name,
        "compression": str(getattr(series.keyframe.compression, "name", "none")).lower(),
        "big": bool(tif.is_bigtiff),
        "axes": str(series.axes),
    }
    load = _loader(path, number, axes, rules)
    coarser = tuple(_place.covering(grid, _plane_shape(level)) for level in series.levels[1:])
    return Handle(name, grid, meta, tuple(findings), content, load, coarser)


def _plane_shape(series: Any) -> tuple[int, int]:
    _, _, rows, columns, _ = series.keyframe.shaped
    return int(rows), int(columns)


def _axes(name: str, series: Any, rules: Rules, findings: list[Finding]) -> Axes:
    """Tell outer axes from the samples of a pixel; an axis of unknown meaning counts as z."""
    letters, sizes = str(series.axes), [int(n) for n in series.shape]
    samples = samples_of(series.keyframe)
    inner = {letters.find("Y"), letters.find("X")}
    if samples > 1:
        inner.add(letters.find("Y") - 1 if series.keyframe.shaped[0] > 1 else len(letters) - 1)
    outer = [(a, n) for i, (a, n) in enumerate(zip(letters, sizes, strict=True)) if i not in inner]
    unsure = [a for a, n in outer if a in UNSURE and n > 1]
    strange = [a for a, n in outer if a not in KNOWN + UNSURE and n > 1]
    if -1 in inner or strange or (unsure and ("Z" in letters or len(unsure) > 1)):
        raise FormatError(
            f"{name!r} must have axes of time, channel, z, y and x, its axes are {letters} of "
            f"sizes {tuple(sizes)}: save the parts as files of their own"
        )
    if unsure:
        text = f"the file does not say what its {dict(outer)[unsure[0]]} pages are: z assumed"
        findings.append(Finding("warning", "axis-assumed", text))
    kept = [("Z" if a in UNSURE else a, n) for a, n in outer if a in KNOWN or n > 1]
    if rules.frames == "channels":
        kept = [("C" if a == "T" else a, n) for a, n in kept]
    kept = [("C" if a == "S" else a, n) for a, n in kept]
    rows, columns = _plane_shape(series)
    return Axes("".join(a for a, _ in kept), tuple(n for _, n in kept), samples, rows, columns)


def _own_grid(tif: Any, series: Any, parts: tuple[Axes, ImageJ], findings: list[Finding]) -> Grid:
    axes, imagej = parts
    shape = (max(axes.count("Z"), 1), axes.rows, axes.columns)
    page = series.keyframe
    if series.kind == "svs":
        dy = dx = _microns_per_pixel(str(page.description)) * 1e-3
    else:
        dx, dy = _resolution(page, imagej, findings)
    if not (dx > 0 and dy > 0):
        text = "TIFF has no spacing in a unit of length: 1 mm along L, P and S assumed"
        findings.append(Finding("warning", "no-spacing", text))
        return Grid.from_spacing(shape)
    dz = imagej.spacing * imagej.unit_mm
    if not dz > 0:
        dz = dx
        if shape[0] > 1:
            text = "TIFF has no spacing along z: that along x assumed"
            findings.append(Finding("warning", "no-z-spacing", text))
    spacing = (dz, dy, dx)
    origin = [-o * s for o, s in zip(imagej.origin_zyx, spacing, strict=True)]
    return Grid.from_spacing(shape, spacing, origin_mm=(origin[2], origin[1], origin[0]))


def _microns_per_pixel(description: str) -> float:
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.]{1,20})", description)
    return float(found[1]) if found and found[1].count(".") <= 1 else 0.0


def _resolution(page: Any, imagej: ImageJ, findings: list[Finding]) -> tuple[float, float]:
    """Give the spacing along x and y in mm, 0 where none is stated or it is that of a screen."""
    per_unit = [_ratio(page, tag) for tag in ("XResolution", "YResolution")]
    kind = int(page.resolutionunit or 1)
    unit = imagej.unit_mm if imagej.present else UNIT_MM.get(kind, 0.0)
    if not unit or min(per_unit) <= 0:
        return 0.0, 0.0
    inches = [n * 25.4 / unit for n in per_unit]
    if not imagej.present and all(any(abs(n - d) < 0.02 for d in PRINT_DPI) for n in inches):
        text = f"the resolution of {inches[0]:.0f} dpi is that of a screen or printer: not taken"
        findings.append(Finding("info", "print-resolution", text))
        return 0.0, 0.0
    return unit / per_unit[0], unit / per_unit[1]


def _ratio(page: Any, tag: str) -> float:
    value = page.tags.valueof(tag, (0, 1))
    pair = isinstance(value, tuple) and len(value) == 2 and value[1]
    return float(value[0] / value[1]) if pair else 0.0


def _remarks(page: Any, left_out: int) -> list[Finding]:
    found = []
    if page.photometric == PALETTE:
        text = "samples are indices of a palette and were left as they are"
        found.append(Finding("info", "palette", text))
    if page.photometric == WHITE_IS_ZERO and page.dtype.kind != "b":
        text = "white is stored as 0 (photometric WhiteIsZero): samples were left as they are"
        found.append(Finding("warning", "inverted", text))
    if left_out:
        text = f"{left_out} further images of the slide (label, macro, thumbnail) were left out"
        found.append(Finding("info", "slide-extras", text))
    return found


def _content(axes: Axes, series: Any, imagej: ImageJ, rules: Rules) -> Content:
    frames = max(axes.count("T"), 1)
    channels = max(axes.count("C"), 1) * axes.samples
    colour = series.keyframe.photometric == RGB and channels == axes.samples
    named = COLOURS.get(channels, ()) if colour else ()
    step = imagej.interval_s
    times = tuple(k * step for k in range(frames)) if step > 0 and frames > 1 else ()
    return Content(rules.unit or "1", named, frames=frames, times_s=times)


def _loader(path: Path, number: int, axes: Axes, rules: Rules) -> Callable[[Window], Array]:
    def load(window: Window) -> Array:
        with opened(path) as tif:
            series = tif.series[number].levels[window.level]
            stored = stored_type(path.name, series.keyframe)
            frames, pages = max(axes.count("T"), 1), max(axes.count("C"), 1)
            shape = (frames, pages * axes.samples, *window.shape)
            rules.budget.check_size(path.name, shape, stored.itemsize)
            if series.dataoffset is not None and axes.samples == 1:
                return _contiguous(path, series, axes, window)
            numbers = np.arange(math.prod(axes.sizes)).reshape(axes.sizes)
            sheets = numbers.transpose(axes.order()).reshape(frames, pages, -1)
            return _paged(path, series, (sheets, axes.samples), window, rules)

    return load


def _contiguous(path: Path, series: Any, axes: Axes, window: Window) -> Array:
    """Map a series that lies in one piece, as ImageJ writes stacks."""
    dtype = np.dtype(series.keyframe.parent.byteorder + series.dtype.char)
    rows, columns = _plane_shape(series)
    whole = (*axes.sizes, rows, columns)
    needed = math.prod(whole) * dtype.itemsize
    if series.dataoffset + needed > path.stat().st_size:
        raise FormatError(
            f"{path.name!r} must hold {needed} bytes of samples, fewer are there: "
            "the file is truncated, copy it again"
        )
    array: Array = np.memmap(path, dtype, "r", series.dataoffset, whole)
    n = len(axes.sizes)
    ordered = array.transpose([*axes.order(), n, n + 1])
    frames, pages = max(axes.count("T"), 1), max(axes.count("C"), 1)
    ordered = ordered.reshape(frames, pages, -1, rows, columns)
    return np.array(ordered[(..., *window.slices)])


def _paged(
    path: Path, series: Any, sheets: tuple[Array, int], window: Window, rules: Rules
) -> Array:
    numbers, samples = sheets
    depth, rows, columns = window.slices
    stored = stored_type(path.name, series.keyframe)
    frames, pages = numbers.shape[:2]
    out = np.zeros((frames, pages, samples, *window.shape), stored)
    for t, c, z in np.ndindex(frames, pages, window.shape[0]):
        number = int(numbers[t, c, z + depth.start])
        page = series[number] if number < len(series) else None
        if page is None or samples_of(page.keyframe) != samples:
            raise FormatError(
                f"{path.name!r} must hold all pages of its stack, page {number} is not there: "
                "the file is truncated, copy it again"
            )
        out[t, c, :, z] = read_box(path.name, _full(page), rows, columns, rules.budget)
    return out.reshape(frames, pages * samples, *window.shape)


def _full(page: Any) -> Any:
    """Give a page with its own tables of tiles; tifffile may hold a mere frame."""
    return page if hasattr(page, "decode") and hasattr(page, "tags") else page.aspage()
