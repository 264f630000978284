"""Morphology on labels and on grey values: grow, shrink, open, close, in millimetres."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Integer, Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core import Grid, Image, Labels, differences
from vesalius.errors import GeometryError, IntensityError, ShapeError
from vesalius.ops import _flat_morphology as flat
from vesalius.ops._components import components, kept
from vesalius.ops._nearest_label import grown, shrunk
from vesalius.ops._object_boxes import object_boxes
from vesalius.segment._elements import (
    Ball,
    Element,
    Ellipsoid,
    Footprint,
    radii_in_samples,
    rows_of,
)

Subject = TypeVar("Subject", Image, Labels)
Layer = Integer[Tensor, "z y x"]
Values = Shaped[Tensor, "z y x"]


def dilate(subject: Subject, element: Element) -> Subject:
    """Grow labels, or take the greatest grey value around each voxel.

    A label grows into the background only: of several the nearest takes it (for a box or footprint,
    and where two are equally near, the smaller label). Outside the image is nothing.

    Args:
        subject: Labels, or an image; each layer or channel by itself.
        element: Around each voxel, such as ``Ball(2.0)``.

    Returns:
        Same grid, names, unit and number type; whole numbers stay exact.

    Raises:
        GeometryError: The grid is sheared.
        ConfigError: Half precision floats.
        IntensityError: A sample is NaN, which is neither greater nor less.
    """
    if isinstance(subject, Labels):
        return _each_layer(subject, lambda layer: _grown(layer, element, subject.grid))
    return _sound(subject).map(lambda x: _each(x, lambda c: _greatest(c, element, subject.grid)))


def erode(subject: Subject, element: Element) -> Subject:
    """Shrink labels, or take the least grey value around each voxel.

    A voxel keeps its label where all voxels around it have the same one; beyond the border of the
    image nothing is known, so that the border does not shrink a label.

    Args:
        subject: Labels, or an image; each layer or channel by itself.
        element: Around each voxel.

    Returns:
        Same grid, names, unit and number type.

    Raises:
        GeometryError: The grid is sheared.
        ConfigError: Half precision floats.
        IntensityError: A sample is NaN, which is neither greater nor less.
    """
    if isinstance(subject, Labels):
        return _each_layer(subject, lambda layer: _shrunk(layer, element, subject.grid))
    return _sound(subject).map(lambda x: _each(x, lambda c: _least(c, element, subject.grid)))


def opening(subject: Subject, element: Element) -> Subject:
    """Erode, then dilate: what the element does not fit into goes, the rest keeps its size.

    Args:
        subject: Labels, or an image.
        element: Around each voxel.

    Returns:
        Same grid, names, unit and number type; nowhere more than before.
    """
    again = dilate(erode(subject, element), element)
    if isinstance(subject, Labels) and isinstance(again, Labels):
        new, old = again.data.cpu().numpy(), subject.data.cpu().numpy()
        return _with_data(subject, np.where(new == old, new, 0))  # never into another label
    return again


def closing(subject: Subject, element: Element) -> Subject:
    """Dilate, then erode: gaps that the element does not fit into close.

    Args:
        subject: Labels, or an image.
        element: Around each voxel.

    Returns:
        Same grid, names, unit and number type; nowhere less than before.
    """
    again = erode(dilate(subject, element), element)
    if isinstance(subject, Labels) and isinstance(again, Labels):
        new, old = again.data.cpu().numpy(), subject.data.cpu().numpy()
        return _with_data(subject, np.where(old != 0, old, new))
    return again


def top_hat(image: Image, element: Element, *, kind: Literal["white", "black"] = "white") -> Image:
    """Keep what is smaller than an element: bright spots and lines, or dark ones.

    Args:
        image: Grey values.
        element: Larger than what is to be kept.
        kind: ``"white"``: the image less its opening; ``"black"``: its closing less the image.

    Returns:
        At least 0; whole numbers of up to 16 bits come as int32, wider ones as int64.
    """
    if kind == "white":
        return _less(image, opening(image, element))
    return _less(closing(image, element), image)


def gradient(image: Image, element: Element) -> Image:
    """Take the greatest less the least value around each voxel: high at edges.

    Args:
        image: Grey values.
        element: Around each voxel.

    Returns:
        At least 0; number type as for ``top_hat``.
    """
    return _less(dilate(image, element), erode(image, element))


def reconstruct(
    marker: Subject, within: Subject, *, connectivity: Literal["face", "full"] = "full"
) -> Subject:
    """Spread a marker as far as another image or mask lets it (geodesic reconstruction).

    Grey values: the marker grows from voxel to voxel and never above ``within``: peaks that it does
    not reach are cut off. Labels: components of ``within`` that a marker touches stay, others go.

    Args:
        marker: Where to start.
        within: What bounds it, on the same grid.
        connectivity: Whether edges and corners connect, or faces only.

    Returns:
        As ``within``.

    Raises:
        GeometryError: The grids differ.
        ShapeError: The channels or number types differ.
        IntensityError: A sample is NaN.
    """
    unlike = differences(within.grid, marker.grid)
    if unlike:
        raise GeometryError(f"marker and mask must share a grid, they differ: {'; '.join(unlike)}")
    full = connectivity == "full"
    if isinstance(marker, Labels) and isinstance(within, Labels):
        marked = (marker.data != 0).any(dim=0).cpu().numpy()
        return _each_layer(within, lambda layer: _touched(layer, marked, full))
    if len(marker.data) != len(within.data):
        raise ShapeError(
            f"marker and within must have as many channels, got {len(marker.data)} and "
            f"{len(within.data)}"
        )
    parts = [
        flat.reconstruct(m, w, full=full)
        for m, w in zip(_sound(marker).data, _sound(within).data, strict=True)
    ]
    return within.map(lambda x: torch.stack(parts).to(x.device))


def _sound(image: Image | Labels) -> Image:
    """Refuse NaN; infinity is a value like others."""
    assert isinstance(image, Image)
    if image.data.is_floating_point() and bool(torch.isnan(image.data.amax())):
        raise IntensityError(
            f"morphology needs numbers, {int(torch.isnan(image.data).sum())} samples are NaN: "
            "replace them first (torch.nan_to_num)"
        )
    return image


def _touched(layer: Layer, marked: NDArray[np.bool_], full: bool) -> Layer:
    found = components(layer, full=full)
    keep = np.zeros(len(found.sizes) + 1, np.bool_)
    keep[np.unique(found.numbers[marked])] = True
    return torch.from_numpy(kept(found, keep[1:], layer))


def _each(x: Shaped[Tensor, "c z y x"], one: Callable[[Values], Values]) -> Tensor:
    return torch.stack([one(c) for c in x]).to(x.device)


def _each_layer(labels: Labels, one: Callable[[Layer], Layer]) -> Labels:
    return Labels(_each(labels.data, one), labels.grid, labels.names)


def _with_data(labels: Labels, data: NDArray[np.generic]) -> Labels:
    # by way of numpy, since torch cannot compare or multiply unsigned numbers of 16 bits and more
    same = data.astype(labels.data.cpu().numpy().dtype)
    return Labels(torch.from_numpy(same).to(labels.device), labels.grid, labels.names)


def _less(more: Image, less: Image) -> Image:
    if more.data.is_floating_point():
        return Image(more.data - less.data, more.grid, more.unit, more.channels)
    wide = torch.int32 if more.data.element_size() <= 2 else torch.int64
    data = more.data.to(wide) - less.data.to(wide)
    return Image(data, more.grid, more.unit, more.channels)


def _greatest(x: Values, element: Element, grid: Grid) -> Values:
    if isinstance(element, Footprint):
        return flat.dilate_offsets(x, -element.offsets())
    return flat.dilate_rows(x, rows_of(element, grid))


def _least(x: Values, element: Element, grid: Grid) -> Values:
    turned = flat.complement(x)
    if isinstance(element, Footprint):
        return flat.complement(flat.dilate_offsets(turned, element.offsets()))
    return flat.complement(flat.dilate_rows(turned, rows_of(element, grid)))


def _grown(layer: Layer, element: Element, grid: Grid) -> Layer:
    if isinstance(element, Ball | Ellipsoid):
        return _numbered(layer, lambda n: grown(n, radii_in_samples(element, grid)))
    return _one_by_one(layer, element, grid, grow=True)


def _shrunk(layer: Layer, element: Element, grid: Grid) -> Layer:
    if isinstance(element, Ball | Ellipsoid):
        inside = shrunk(layer, radii_in_samples(element, grid))
        values = layer.detach().cpu().numpy()
        return torch.from_numpy(values * inside.astype(values.dtype))
    return _one_by_one(layer, element, grid, grow=False)


def _numbered(layer: Layer, work: Callable[[Layer], NDArray[np.int32]]) -> Layer:
    """Do something with labels that fit 32 bits, and give the labels their own numbers back."""
    values = layer.detach().cpu().numpy()
    if values.dtype.itemsize <= 2 or int(values.max()) < 2**31:
        return torch.from_numpy(work(torch.from_numpy(values)).astype(values.dtype))
    found = object_boxes(layer)
    table = np.concatenate([[0], found.values]).astype(values.dtype)
    return torch.from_numpy(table[work(torch.from_numpy(found.numbers))])


def _one_by_one(layer: Layer, element: Element, grid: Grid, *, grow: bool) -> Layer:
    """Grow or shrink each label by itself, in its own box with room around it."""
    found = object_boxes(layer)
    values = layer.detach().cpu().numpy()
    out = values.copy() if grow else np.zeros_like(values)
    room = _reach(element, grid)
    for number, (value, box) in enumerate(zip(found.values, found.boxes, strict=True), 1):
        part = tuple(
            slice(max(0, int(box[2 * a]) - room[a]), int(box[2 * a + 1]) + room[a])
            for a in range(3)
        )
        mask = torch.from_numpy((found.numbers[part] == number).astype(np.uint8))
        changed = (_greatest if grow else _least)(mask, element, grid).numpy() != 0
        free = out[part] == 0 if grow else mask.numpy() != 0
        out[part][changed & free] = value
    return torch.from_numpy(out)


def _reach(element: Element, grid: Grid) -> tuple[int, int, int]:
    if isinstance(element, Footprint):
        z, y, x = (n // 2 for n in element.voxels.shape)
        return z, y, x
    halves = rows_of(element, grid)
    return halves.shape[0] // 2, halves.shape[1] // 2, int(halves.max())
