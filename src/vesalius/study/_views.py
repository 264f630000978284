"""Views: slices of the image with the outline of each region, ready to be drawn in millimetres."""
# SPDX-License-Identifier: Apache-2.0

import base64
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.study._planes import Plane, planes

PALETTE = (
    "#4cc9f0",
    "#ff6b6b",
    "#ffd166",
    "#06d6a0",
    "#c77dff",
    "#f8961e",
    "#f15bb5",
    "#90be6d",
    "#9bb1ff",
    "#c5e800",
    "#2ec4b6",
    "#d4a373",
)
_LARGEST = 1024  # pixels along a side of an embedded picture


Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A region to be drawn.

    Attributes:
        name: Name of the region.
        colour: ``"#rrggbb"``.
        labels: Where it lies; on the grid of the image.
        value: Its label.
        layer: Its layer.
        box: The voxels (z, y, x) that hold all of it; None where it has none.
    """

    name: str
    colour: str
    labels: Labels
    value: int
    layer: int
    box: Box | None

    def mask(self) -> npt.NDArray[np.bool_]:
        """Give the part of the region inside its box, (z, y, x)."""
        if self.box is None:
            return np.zeros((0, 0, 0), bool)
        inside = self.labels.data[self.layer][self.box] == self.value
        found: npt.NDArray[np.bool_] = inside.cpu().numpy()
        return found

    def values(self, image: Image) -> Tensor:
        """Give the finite samples of an image (first channel) inside the region, float64."""
        if self.box is None:
            return torch.zeros(0, dtype=torch.float64)
        inside = self.labels.data[self.layer][self.box] == self.value
        values = image.data[0][self.box][inside].double().cpu()
        return values[torch.isfinite(values)]


@dataclass(frozen=True, slots=True)
class Window:
    """Grey levels of a picture: black at ``low``, white at ``high``, in ``unit``."""

    low: float
    high: float
    unit: str

    @property
    def text(self) -> str:
        """Window and level in words."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        width, level = self.high - self.low, (self.high + self.low) / 2
        return f"window {width:.5g}{unit}, level {level:.5g}{unit}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Contour:
    """The outline of one region in one view: closed lines of (x, y), mm from the top left."""

    name: str
    colour: str
    lines: tuple[tuple[tuple[float, float], ...], ...]

    @property
    def path(self) -> str:
        """The lines as the ``d`` of an SVG path."""
        return "".join(
            "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in line) + "Z" for line in self.lines
        )


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One slice, with everything that a reader needs to know where it is.

    Attributes:
        plane: How it is cut.
        picture: (rows, columns) uint8.
        size_mm: Height and width, mm.
        position: Where the slice lies, in words.
        window: Grey levels.
        contours: Outline of each region that it meets.
        bar_mm: Length of the scale bar, mm.
        title: What is shown.
    """

    plane: Plane
    picture: npt.NDArray[np.uint8]
    size_mm: tuple[float, float]
    position: str
    window: Window
    contours: tuple[Contour, ...]
    bar_mm: float
    title: str

    @property
    def data_uri(self) -> str:
        """The picture as a PNG inside a URI."""
        return "data:image/png;base64," + base64.b64encode(png(self.picture)).decode()


def outline(
    labels: Labels, regions: tuple[tuple[int, int], ...], *, names: tuple[str, ...], first: int = 0
) -> tuple[Outline, ...]:
    """Give regions a colour and find the box of each, in one pass over the labels.

    Args:
        labels: The labels.
        regions: (layer, value) of each.
        names: Name of each.
        first: Place of the first colour in the palette.

    Returns:
        One outline for each region.
    """
    from scipy import ndimage

    found: dict[tuple[int, int], Box | None] = {}
    for layer in {layer for layer, _ in regions}:
        wanted = sorted(value for k, value in regions if k == layer)
        data = labels.data[layer].cpu().numpy()
        # labels may be large or negative; their rank is neither
        rank = data if wanted[0] > 0 and wanted[-1] < 256 else _rank(data, wanted)
        boxes: list[Any] = ndimage.find_objects(rank, 256 if rank is data else len(wanted))
        for k, value in enumerate(wanted):
            found[layer, value] = boxes[value - 1] if rank is data else boxes[k]
    return tuple(
        Outline(
            name, PALETTE[(first + k) % len(PALETTE)], labels, value, layer, found[layer, value]
        )
        for k, ((layer, value), name) in enumerate(zip(regions, names, strict=True))
    )


def _rank(data: npt.NDArray[np.generic], wanted: list[int]) -> npt.NDArray[np.int32]:
    ordered = np.asarray(wanted, dtype=np.int64)
    place = np.searchsorted(ordered, data).clip(max=len(wanted) - 1)
    return np.where(ordered[place] == data, place + 1, 0).astype(np.int32)


def overview(image: Image, outlines: tuple[Outline, ...], *, window: Window) -> tuple[View, ...]:
    """Show each plane of the image where it meets the regions best.

    Args:
        image: The first channel is shown.
        outlines: Regions on the image's grid.
        window: Grey levels.

    Returns:
        One to three views.
    """
    volume = image.data[0].cpu().numpy()
    areas = [_areas(outline) for outline in outlines]
    return tuple(
        _view(image, volume, plane, _best_slice(areas, plane.axes[0], image), outlines, window)
        for plane in planes(image.grid)
    )


def close_up(
    image: Image, outlines: tuple[Outline, ...], *, focus: Outline, window: Window
) -> tuple[View, ...]:
    """Show each plane through the middle of one region, magnified.

    Args:
        image: The first channel is shown.
        outlines: Regions drawn, on the image's grid.
        focus: The region in the middle; its box plus as much again around it is shown.
        window: Grey levels.

    Returns:
        One to three views.
    """
    if focus.box is None:
        return ()
    low = np.array([side.start for side in focus.box])
    high = np.array([side.stop for side in focus.box])
    spacing = np.asarray(image.grid.spacing_mm)
    margin = np.maximum(8.0, 0.6 * ((high - low) * spacing).max()) / spacing
    start = np.maximum(0, np.floor(low - margin)).astype(int)
    stop = np.minimum(image.grid.shape, np.ceil(high + margin)).astype(int)
    corner = (int(start[0]), int(start[1]), int(start[2]))
    shape = tuple(int(b - a) for a, b in zip(start, stop, strict=True))
    part = image.crop(corner, (shape[0], shape[1], shape[2]))
    cut = tuple(
        replace(o, labels=o.labels.crop(corner, (shape[0], shape[1], shape[2])), box=None)
        for o in outlines
    )
    middle = np.median(np.argwhere(focus.mask()), axis=0).round().astype(int) + low - start
    volume = part.data[0].cpu().numpy()
    return tuple(
        _view(part, volume, plane, int(middle[plane.axes[0]]), cut, window)
        for plane in planes(part.grid)
    )


def choose_window(image: Image, outlines: tuple[Outline, ...]) -> Window:
    """Choose grey levels: a radiologist's window for HU, else the 1st to 99.5th percentile.

    Args:
        image: The image.
        outlines: Regions; where one is mostly air (below -400 HU) the lung window is taken.

    Returns:
        The window.
    """
    volume = image.data[0]
    if image.unit == "HU":
        airy = any(len(v) and float(v.mean()) < -400 for v in (o.values(image) for o in outlines))
        return Window(-1100.0, 400.0, "HU") if airy else Window(-160.0, 240.0, "HU")
    step = max(1, volume.numel() // 1_000_000)
    sample = volume.reshape(-1)[::step].double()
    sample = sample[torch.isfinite(sample)]
    if not sample.numel():
        return Window(0.0, 1.0, image.unit)
    low, high = torch.quantile(sample, torch.tensor([0.01, 0.995], dtype=torch.float64)).tolist()
    return Window(low, high if high > low else low + 1.0, image.unit)


def png(grey: npt.NDArray[np.uint8]) -> bytes:
    """Encode (rows, columns) as a grey PNG; the same bytes for the same picture."""
    rows, columns = grey.shape
    raw = np.zeros((rows, columns + 1), np.uint8)
    raw[:, 1:] = grey
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(raw.tobytes(), 9)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _areas(outline: Outline) -> tuple[npt.NDArray[np.float64], ...]:
    """Count voxels of a region in each slice, along each axis, relative to the fullest slice."""
    mask = outline.mask()
    counts = []
    for axis, size in enumerate(outline.labels.grid.shape):
        area = np.zeros(size)
        if outline.box is not None:
            others = tuple(k for k in range(3) if k != axis)
            area[outline.box[axis]] = mask.sum(axis=others)
        counts.append(area / max(float(area.max()), 1.0))
    return tuple(counts)


def _best_slice(areas: list[tuple[npt.NDArray[np.float64], ...]], axis: int, image: Image) -> int:
    if not areas:
        return image.grid.shape[axis] // 2
    # the square root lets a slice that meets many regions win over one that fills a few
    score = np.sum([np.sqrt(area[axis]) for area in areas], axis=0)
    return int(np.argmax(score))


def _view(
    image: Image,
    volume: npt.NDArray[np.generic],
    plane: Plane,
    index: int,
    outlines: tuple[Outline, ...],
    window: Window,
) -> View:
    grey = _grey(plane.cut(volume, index), window)
    height, width = (n * mm for n, mm in zip(grey.shape, plane.pixel_mm, strict=True))
    return View(
        plane,
        _shrink(grey),
        (height, width),
        _position(image, plane, index),
        window,
        tuple(c for o in outlines if (c := _contour(o, plane, index)).lines),
        _bar(width),
        plane.name + (" (oblique)" if plane.oblique else ""),
    )


def _grey(cut: npt.NDArray[np.generic], window: Window) -> npt.NDArray[np.uint8]:
    scaled = (cut.astype(np.float64) - window.low) / (window.high - window.low)
    return np.asarray(np.round(np.clip(np.nan_to_num(scaled), 0.0, 1.0) * 255), np.uint8)


def _shrink(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Average blocks of pixels until the picture is small enough to be embedded."""
    step = -(-max(grey.shape) // _LARGEST)
    if step == 1:
        return np.ascontiguousarray(grey)
    rows, columns = (-(-n // step) * step for n in grey.shape)
    padded = np.pad(grey, ((0, rows - grey.shape[0]), (0, columns - grey.shape[1])), "edge")
    blocks = padded.reshape(rows // step, step, columns // step, step)
    return np.asarray(blocks.mean((1, 3)).round(), np.uint8)


def _contour(outline: Outline, plane: Plane, index: int) -> Contour:
    from contourpy import contour_generator

    layer = outline.labels.data[outline.layer]
    flat = layer.select(plane.axes[0], index).cpu().numpy()
    if plane.axes[1] > plane.axes[2]:
        flat = flat.T
    down, right = (slice(None, None, -1 if flip else 1) for flip in plane.flips)
    inside = flat[down, right] == outline.value
    if not inside.any():
        return Contour(outline.name, outline.colour, ())
    padded = np.pad(inside, 1).astype(np.float64)
    height, width = plane.pixel_mm
    lines: list[npt.NDArray[np.float64]] = contour_generator(z=padded).lines(0.5)  # type: ignore[assignment]
    # the padding shifts by one pixel, and a pixel's centre is half a pixel from its edge
    placed = (((line - 0.5) * np.array((width, height))).round(2).tolist() for line in lines)
    return Contour(
        outline.name, outline.colour, tuple(tuple((x, y) for x, y in line[:-1]) for line in placed)
    )


def _position(image: Image, plane: Plane, index: int) -> str:
    centre = [(n - 1) / 2 for n in image.grid.shape]
    centre[plane.axes[0]] = float(index)
    point = image.grid.to_world(torch.tensor(centre, dtype=torch.float64)).tolist()
    world = {"sagittal": 0, "coronal": 1, "axial": 2}[plane.name]
    letter = ("LR", "PA", "SI")[world][0 if point[world] >= 0 else 1]
    return f"{letter} {abs(point[world]):.1f} mm"


def _bar(width_mm: float) -> float:
    """Give a round length of about a quarter of the width, mm."""
    target = width_mm / 4
    power = 10.0 ** np.floor(np.log10(target))
    return float(max(m * power for m in (1, 2, 5) if m * power <= target))
