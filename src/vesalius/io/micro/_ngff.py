"""OME-Zarr metadata (NGFF 0.4 and 0.5): axes, levels and their places, channels, labels.

Source: https://ngff.openmicroscopy.org/0.4 and /0.5, sections "axes", "coordinateTransformations",
"multiscales", "omero", "image-label".
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from vesalius.errors import FormatError
from vesalius.io.micro._units import length_mm, time_s

VERSIONS = ("0.4", "0.5")
SPACE = ("z", "y", "x")
Kind = Literal["time", "channel", "space"]


@final
@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an image.

    Attributes:
        name: ``"t"``, ``"c"``, ``"z"``, ``"y"`` or ``"x"``.
        kind: What it is.
        unit: As the file spells it, or empty.
    """

    name: str
    kind: Kind
    unit: str = ""

    @property
    def size(self) -> float:
        """Size of the unit in mm or seconds; 0 where the file names none."""
        return time_s(self.unit) if self.kind == "time" else length_mm(self.unit)


@final
@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image.

    Attributes:
        path: Of its array, below the image.
        scale: Along each axis, in the axis' unit.
        translation: Likewise.
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@final
@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image: its axes and its levels, finest first.

    Attributes:
        version: Of the specification.
        axes: In the order of the arrays.
        levels: Finest first.
        channels: Labels of the channels, empty where not given.
        names: Name of each label value, for label images that have any.
        is_labels: Whether the metadata says that it is a label image.
    """

    version: str
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    channels: tuple[str, ...] = ()
    names: Mapping[int, str] | None = None
    is_labels: bool = False


def ome_of(zarr_version: int, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the OME part of a node's attributes: under "ome" in Zarr 3, at the top in Zarr 2."""
    if zarr_version == 3:
        found = attributes.get("ome", {})
        return found if isinstance(found, dict) else {}
    return attributes


def parse(name: str, ome: Mapping[str, Any], zarr_version: int) -> Multiscale:
    """Read the first multiscale of an image's metadata.

    Args:
        name: Name of the image, for errors.
        ome: What ``ome_of`` gave.
        zarr_version: 2 or 3.

    Returns:
        What it says.

    Raises:
        FormatError: The version is neither 0.4 nor 0.5, or what is said does not place samples.
    """
    try:
        first = ome["multiscales"][0]
        version = str(ome.get("version", "") if zarr_version == 3 else first.get("version", "0.4"))
        wanted = "0.5" if zarr_version == 3 else "0.4"
        if version != wanted:
            raise FormatError(
                f"{name!r} must be OME-Zarr {' or '.join(VERSIONS)}, it is {version or 'of none'} "
                f"in Zarr {zarr_version}: convert it first, such as with ome2024-ngff-challenge"
            )
        axes = _axes(name, first["axes"])
        common = first.get("coordinateTransformations", [])
        levels = tuple(_level(name, one, common, len(axes)) for one in first["datasets"])
        if not levels:
            raise ValueError("datasets is empty")
        return Multiscale(version, axes, levels, *_extras(ome))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{name!r} must give axes, datasets and their scales in its OME-Zarr metadata, it "
            f"does not: {str(error)[:100]}: run io.micro.validate on it"
        ) from error


def _axes(name: str, listed: Any) -> tuple[Axis, ...]:
    axes = tuple(_axis(one) for one in listed)
    names = [axis.name for axis in axes]
    order = [{"time": 0, "channel": 1, "space": 2}[axis.kind] for axis in axes]
    space = [axis.name for axis in axes if axis.kind == "space"]
    sound = order == sorted(order) and len(set(names)) == len(names)
    sound = sound and {"y", "x"} <= set(space) <= set(SPACE) and names.count("t") <= 1
    if not sound or order.count(0) > 1 or order.count(1) > 1:
        raise FormatError(
            f"{name!r} must have axes of time, channel and 2 or 3 of space in this order, "
            f"it has {', '.join(names)[:60]}: convert it first"
        )
    return axes


def _axis(one: Mapping[str, Any]) -> Axis:
    name = str(one["name"])
    # 0.4 lets the type be absent; the names are then the usual ones
    kind = str(one.get("type", {"t": "time", "c": "channel"}.get(name, "space")))
    fixed: Kind = "time" if kind == "time" else "space" if kind == "space" else "channel"
    return Axis(name, fixed, str(one.get("unit", "")))


def _level(name: str, one: Mapping[str, Any], common: Any, axes: int) -> Level:
    steps = [*one["coordinateTransformations"], *common]
    scale, translation = [1.0] * axes, [0.0] * axes
    for step in steps:
        kind = str(step["type"])
        values = [float(v) for v in step.get(kind, [])]
        good = kind in ("scale", "translation") and len(values) == axes
        if kind == "identity":
            continue
        if not good or not all(math.isfinite(v) for v in values):
            raise FormatError(
                f"{name!r} must place its levels by a scale and a translation of {axes} finite "
                f"numbers, one has {kind[:20]!r} of {len(values)}: convert it first"
            )
        if kind == "scale":
            scale = [s * v for s, v in zip(scale, values, strict=True)]
            translation = [t * v for t, v in zip(translation, values, strict=True)]
        else:
            translation = [t + v for t, v in zip(translation, values, strict=True)]
    if min(scale) <= 0:
        raise FormatError(
            f"{name!r} must have scales above 0, one is {min(scale):g}: the metadata is damaged"
        )
    return Level(str(one["path"]), tuple(scale), tuple(translation))


def _extras(ome: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[int, str], bool]:
    """Give channel labels and the names of label values, as far as they are told."""
    omero = ome.get("omero")
    listed = omero.get("channels", []) if isinstance(omero, dict) else []
    channels = tuple(str(c.get("label", "")) for c in listed if isinstance(c, dict))
    told = ome.get("image-label")
    names = {}
    for one in (told.get("properties") or []) if isinstance(told, dict) else []:
        if isinstance(one, dict) and isinstance(one.get("label-value"), int) and "name" in one:
            names[int(one["label-value"])] = str(one["name"])
    return channels if any(channels) else (), names, isinstance(told, dict)
