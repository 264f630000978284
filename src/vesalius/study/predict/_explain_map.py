"""Explain map: what the voxels of a picture do to a prediction, drawn in colour over the slices."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.study._charts import INK, Chart
from vesalius.study._figures import figure_png
from vesalius.study._planes import Plane, planes
from vesalius.study.predict._explain_told import Mapped

Slice = npt.NDArray[Any]


def map_chart(mapped: Mapped, case: str) -> Chart:
    """Draw the map over the slices through the piece that matters most.

    Args:
        mapped: Picture and map.
        case: Whose.

    Returns:
        One picture with a slice for each plane that has an extent.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    found = mapped.found
    change = found.image.data[0].cpu().numpy().astype(np.float64)
    grey = mapped.image.data[0].cpu().numpy().astype(np.float64)
    limit = float(np.nanmax(np.abs(change))) if np.isfinite(change).any() else 0.0
    limit = limit or 1e-12
    shown = [one for one in planes(mapped.image.grid) if grey.shape[one.axes[0]] > 1]
    shown = shown or list(planes(mapped.image.grid)[:1])
    at, box = _centre(change), _box(change)
    window = _window(grey, change)
    figure = Figure(figsize=(3.1 * len(shown) + 0.9, 3.2), dpi=160, facecolor="none")
    for k, plane in enumerate(shown):
        ax = figure.add_axes((k * 0.9 / len(shown), 0.02, 0.88 / len(shown), 0.92))
        _draw(ax, plane, at[plane.axes[0]], (grey, change), (*window, limit), box)
    # a bar of its own, since the map is faint where little changes
    scale = ScalarMappable(Normalize(-limit, limit), "RdBu_r")
    bar = figure.colorbar(scale, cax=figure.add_axes((0.9, 0.1, 0.018, 0.76)))
    bar.ax.tick_params(colors=INK, labelsize=7)
    bar.outline.set_visible(False)
    note = (
        f"prediction less the prediction without the piece ({found.output}, "
        f"{found.before:.3f} here): red pieces drive it up, blue ones down"
    )
    return Chart(f"Case {case}: which voxels move the prediction", note, figure_png(figure))


def _draw(
    ax: Any,
    plane: Plane,
    index: int,
    of: tuple[Slice, Slice],
    scale: tuple[float, float, float],
    box: tuple[slice, slice, slice],
) -> None:
    low, high, limit = scale
    shown = []
    for volume in of:
        kept = volume[tuple(slice(None) if k == plane.axes[0] else box[k] for k in range(3))]
        shown.append(plane.cut(kept, index))
    height, width = (n * mm for n, mm in zip(shown[0].shape, plane.pixel_mm, strict=True))
    extent = (0, width, height, 0)
    ax.imshow(shown[0], cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
    share = np.abs(np.nan_to_num(shown[1])) / limit
    ax.imshow(
        np.nan_to_num(shown[1]),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        alpha=np.clip(0.75 * share + 0.1 * np.isfinite(shown[1]), 0, 1),
        extent=extent,
        interpolation="nearest",
    )
    ax.set_title(plane.name, fontsize=8, color=INK)
    ax.set_axis_off()


def _centre(change: Slice) -> tuple[int, ...]:
    """Find the middle of the piece that matters most."""
    size = np.nan_to_num(np.abs(change))
    rows = np.argwhere(size >= size.max() * (1 - 1e-9)) if size.max() else np.argwhere(size == 0)
    middle = np.median(rows, axis=0)
    nearest = rows[np.square(rows - middle).sum(axis=1).argmin()]
    return tuple(int(k) for k in nearest)


def _box(change: Slice) -> tuple[slice, slice, slice]:
    """Find the region with half its size around it."""
    rows = np.argwhere(np.isfinite(change))
    if not len(rows):
        return (slice(None), slice(None), slice(None))
    low, high = rows.min(axis=0), rows.max(axis=0) + 1
    pad = np.maximum((high - low) // 2, 4)
    a, b, c = (
        slice(max(0, int(s - p)), int(e + p)) for s, e, p in zip(low, high, pad, strict=True)
    )
    return (a, b, c)


def _window(grey: Slice, change: Slice) -> tuple[float, float]:
    inside = grey[_box(change)]
    low, high = np.nanpercentile(inside, (1, 99))
    return float(low), float(max(high, low + 1e-12))
