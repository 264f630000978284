"""Overlay: labels in colour over the image, and maps of doubt beside it."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.core import Image, Labels
from vesalius.segment import Segmentation
from vesalius.study._charts import Chart
from vesalius.study._figures import figure_png
from vesalius.study._planes import Plane, planes
from vesalius.study._views import PALETTE, Window

_LARGEST = 1400
"""Pixels along the longer side of a picture; a larger image is shown by every n-th sample."""

Slice = npt.NDArray[Any]


def doubts(image: Image, found: Segmentation, *, window: Window) -> tuple[Chart, ...]:
    """Draw each map of one channel over the slice that has most of the labels.

    Args:
        image: One channel.
        found: Its segmentation.
        window: Grey levels.

    Returns:
        The pictures; none where there is no map.
    """
    plane, k, grey = _fullest(image, found.labels, window)
    drawn = []
    for name, doubt in found.maps.items():
        if doubt.data.shape[0] == 1 and "flow" not in name:
            values = plane.cut(doubt.data[0].cpu().numpy(), k).astype(np.float64)
            note = f"From {values.min():.3g} (dark) to {values.max():.3g} (bright)."
            png = _sheet(_heated(grey, values), plane.pixel_mm)
            drawn.append(Chart(name.capitalize(), note, png))
    return tuple(drawn)


def objects_picture(image: Image, labels: Labels, *, window: Window) -> Chart:
    """Draw every object in colour on the slice that has most of them.

    Args:
        image: One channel.
        labels: One layer on its grid.
        window: Grey levels.

    Returns:
        The picture.
    """
    plane, k, grey = _fullest(image, labels, window)
    note = "Each object in a colour of its own; neighbours may share one."
    cut = plane.cut(labels.data[0].cpu().numpy(), k)
    return Chart("Objects", note, _sheet(_coloured(grey, cut), plane.pixel_mm))


def _fullest(image: Image, labels: Labels, window: Window) -> tuple[Plane, int, Slice]:
    """Find the slice that holds most of the labels, and its grey levels from 0 to 1."""
    plane = planes(image.grid)[0]
    filled = (labels.data[0] != 0).sum(dim=plane.axes[1:])
    k = int(filled.argmax())
    grey = plane.cut(image.data[0].cpu().numpy(), k).astype(np.float64)
    return plane, k, ((grey - window.low) / (window.high - window.low)).clip(0, 1)


def _coloured(grey: Slice, labels: Slice) -> Slice:
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in PALETTE]) / 255
    picture = np.repeat(grey[..., None], 3, axis=2)
    inside = labels != 0
    # neighbours have neighbouring labels: a stride coprime to the palette keeps them apart
    fill = colours[(labels.astype(np.int64) * 5) % len(colours)]
    edge = _edges(labels)
    picture[inside] = 0.65 * picture[inside] + 0.35 * fill[inside]
    picture[edge] = fill[edge]
    return picture


def _edges(labels: Slice) -> Slice:
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        low = tuple(slice(0, -1) if a == axis else slice(None) for a in (0, 1))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        edge[low] |= step
        edge[high] |= step
    edge &= labels != 0
    return edge


def _heated(grey: Slice, values: Slice) -> Slice:
    from matplotlib import colormaps

    span = float(values.max() - values.min()) or 1.0
    share = (values - values.min()) / span
    heat = colormaps["magma"](share)[..., :3]
    mixed = (1 - share[..., None]) * 0.6 * grey[..., None] + share[..., None] * heat
    return np.asarray(mixed.clip(0, 1))


def _sheet(picture: Slice, pixel: tuple[float, float]) -> bytes:
    from matplotlib.figure import Figure

    step = max(1, max(picture.shape[:2]) // _LARGEST)
    height, width = picture.shape[0] * pixel[0], picture.shape[1] * pixel[1]
    across = 7.2
    figure = Figure(figsize=(across, across * height / width), dpi=150, facecolor="none")
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.imshow(picture[::step, ::step], extent=(0, width, height, 0), interpolation="nearest")
    ax.set_axis_off()
    return figure_png(figure)
