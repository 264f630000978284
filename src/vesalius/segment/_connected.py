"""Connected parts of labels: count them, keep the largest, drop the small, fill, part, link."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int32, Integer
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._components import Components, kept, largest_of_each, touching_border
from vesalius.ops._components import components as numbered
from vesalius.ops._enclosed import fill_enclosed
from vesalius.ops._geodesic import geodesic
from vesalius.ops._object_boxes import object_boxes
from vesalius.segment._elements import Ball
from vesalius.segment._morphology import erode
from vesalius.segment._one_channel import one_channel, orthogonal_spacing

Connectivity = Literal["face", "full"]
Layer = Integer[Tensor, "z y x"]


def components(labels: Labels, *, connectivity: Connectivity = "full") -> Labels:
    """Number the connected parts, from 1 in the order of their first voxel.

    Args:
        labels: Each layer by itself; different labels never join.
        connectivity: ``"full"``: voxels that share a corner hang together (26 neighbours, 8 in a
            plane); ``"face"``: only those that share a face (6, or 4).

    Returns:
        int32 numbers on the same grid; each is named after its label, where that has a name.
    """
    found = [numbered(layer, full=connectivity == "full") for layer in labels.data]
    names = {
        (k, number): f"{labels.names[(k, int(value))]} {number}"
        for k, one in enumerate(found)
        for number, value in enumerate(one.values, 1)
        if (k, int(value)) in labels.names
    }
    data = torch.stack([torch.from_numpy(one.numbers) for one in found])
    return Labels(data.to(labels.device), labels.grid, names)


def largest_component(labels: Labels, *, connectivity: Connectivity = "full") -> Labels:
    """Keep the largest connected part of each label; of equal ones the first.

    Args:
        labels: Each layer by itself.
        connectivity: See ``components``.

    Returns:
        Labels with the same names and number type.
    """
    return _filtered(labels, connectivity, largest_of_each)


def remove_small(
    labels: Labels,
    least: float,
    *,
    unit: Literal["mm3", "voxels"] = "mm3",
    connectivity: Connectivity = "full",
) -> Labels:
    """Drop the connected parts that are smaller than a volume.

    Args:
        labels: Each layer by itself.
        least: Parts of this volume and more stay.
        unit: Of ``least``; in 2-D a pixel has the volume that its grid says, so that
            ``"voxels"`` is plainer.
        connectivity: See ``components``.

    Returns:
        Labels with the same names and number type.

    Raises:
        ConfigError: ``least`` is negative or not finite.
    """
    if not (math.isfinite(least) and least >= 0):
        raise ConfigError(f"least must be finite and at least 0 {unit}, got {least}")
    each = labels.grid.voxel_volume_mm3 if unit == "mm3" else 1.0
    bound = least * (1 - 1e-9)  # rounding of the volume of a voxel
    return _filtered(labels, connectivity, lambda found: found.sizes * each >= bound)


def clear_border(labels: Labels, *, connectivity: Connectivity = "full") -> Labels:
    """Drop the connected parts that touch the border of the image, as they are cut off there.

    Args:
        labels: Each layer by itself; an axis of one sample has no border.
        connectivity: See ``components``.

    Returns:
        Labels with the same names and number type.
    """
    return _filtered(labels, connectivity, lambda found: ~touching_border(found))


def fill_holes(labels: Labels, *, by_slice: bool = False) -> Labels:
    """Give each hole to the label around it; a hole between two labels stays.

    A hole is background that hangs together by faces and does not reach the border of the image.

    Args:
        labels: Each layer by itself.
        by_slice: Fill each slice along z by itself, which fills more.

    Returns:
        Labels with the same names and number type.
    """

    def filled(layer: Layer) -> Layer:
        if not by_slice:
            return fill_enclosed(layer)
        return torch.cat([fill_enclosed(layer[k : k + 1]) for k in range(layer.shape[0])])

    return _mapped(labels, filled)


def hysteresis(
    image: Image, low: float, high: float, *, connectivity: Connectivity = "face"
) -> Labels:
    """Keep what is above a low threshold where it hangs together with something above a high one.

    Args:
        image: Of one channel.
        low: Values above it may belong.
        high: Values above it surely belong; at least ``low``.
        connectivity: See ``components``.

    Returns:
        Label 1, ``"object"``.

    Raises:
        ConfigError: The thresholds are the wrong way round.
        ShapeError: There is more than one channel.
        IntensityError: The image has NaN.
    """
    if not low <= high:
        raise ConfigError(f"the low threshold must not exceed the high one, got {low} and {high}")
    x = one_channel(image, "hysteresis").detach().cpu()
    if x.is_floating_point() and bool(torch.isnan(x).any()):
        raise IntensityError("hysteresis needs an image without NaN: replace them first")
    values = (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x).numpy()
    found = numbered(torch.from_numpy(values > low), full=connectivity == "full")
    keep = np.zeros(len(found.sizes) + 1, np.bool_)
    keep[np.unique(found.numbers[values > high])] = True
    keep[0] = False
    data = torch.from_numpy(keep[found.numbers].astype(np.uint8))
    return Labels(data[None].to(image.device), image.grid, {(0, 1): "object"})


def separate(labels: Labels, neck_mm: float) -> Labels:
    """Part objects that hang together by a neck: shrink, count, and let each grow back.

    Args:
        labels: One layer; each label by itself; negative ones (not known) are left out.
        neck_mm: Half the width of the widest neck that is cut. Objects thinner than it stay whole.

    Returns:
        int32 numbers of the objects; together they cover what the labels covered. A voxel belongs
        to the core that is nearest by a way inside the label.

    Raises:
        ConfigError: ``neck_mm`` is negative or not finite, or there are several layers.
        GeometryError: The grid is sheared.
    """
    if labels.data.shape[0] != 1:
        raise ConfigError(f"objects are parted in one layer, got {labels.data.shape[0]} layers")
    spacing = orthogonal_spacing(labels.grid, "separate")
    cores = numbered(erode(labels, Ball(neck_mm)).data[0], full=True)
    data = labels.data[0].detach().cpu().numpy()
    out = torch.zeros(data.shape, dtype=torch.int32)
    found = object_boxes(labels.data[0])
    for number, box in enumerate(found.boxes, 1):
        part = tuple(slice(int(box[2 * a]), int(box[2 * a + 1])) for a in range(3))
        inside = torch.from_numpy(found.numbers[part] == number)
        seeds = torch.from_numpy(cores.numbers[part]) * inside
        out[part] += geodesic(seeds, inside, spacing).nearest
    out = _with_thin(out, np.where(found.numbers > 0, data, 0), len(cores.sizes))
    return Labels(out[None].to(labels.device), labels.grid)


def _with_thin(
    out: Int32[Tensor, "z y x"], data: NDArray[np.generic], count: int
) -> Int32[Tensor, "z y x"]:
    """Number the objects without a core after the others."""
    thin = numbered(torch.from_numpy(np.where(out.numpy() == 0, data, 0)), full=True)
    return out + torch.from_numpy(np.where(thin.numbers > 0, thin.numbers + count, 0)).int()


def _mapped(labels: Labels, one: Callable[[Layer], Layer]) -> Labels:
    data = torch.stack([one(layer) for layer in labels.data]).to(labels.device)
    return Labels(data, labels.grid, labels.names)


def _filtered(
    labels: Labels, connectivity: Connectivity, rule: Callable[[Components], NDArray[np.bool_]]
) -> Labels:
    def one(layer: Layer) -> Layer:
        found = numbered(layer, full=connectivity == "full")
        return torch.from_numpy(kept(found, rule(found), layer))

    return _mapped(labels, one)
