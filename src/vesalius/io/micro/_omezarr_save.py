"""Write OME-Zarr 0.5 and 0.4: a pyramid whose every level knows its place, labels, no loss."""
# SPDX-License-Identifier: Apache-2.0

import colorsys
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError, GeometryError
from vesalius.io._atomic import atomic_write, staged
from vesalius.io._handle import Array, Rules
from vesalius.io._samples import to_numpy
from vesalius.io.micro import _place
from vesalius.io.micro._ngff import ome_of
from vesalius.io.micro._omezarr import OURS, open_omezarr
from vesalius.io.micro._store import attributes, is_zarr

Version = Literal["0.5", "0.4"]
Volume = Image | Labels | Series
CHUNK = (16, 256, 256)
SMALLEST = 256
LEVELS = 8
COLOURS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF", "FFFFFF")
BASE = {"R": "FF0000", "G": "00FF00", "B": "0000FF"}


def save_ome_zarr(
    obj: Volume, path: str | Path, *, version: Version = "0.5", levels: int = LEVELS
) -> None:
    """Write an OME-Zarr folder: staged, read back, compared, then renamed into place.

    Each level halves y and x of the one before (a last odd row or column is left out), until a
    plane fits in 256 x 256. A voxel of an image is the mean of four, rounded half to even for
    integers; one of labels is the first of the four, and its level is placed at those samples.
    Units are micrometres. A grid that is not axis-aligned with x to L, y to P, z to S keeps its
    place in a note of ours ("vesalius" in the attributes); other programs see its spacing.

    Args:
        obj: An image, labels (written as a label image), or a series.
        path: Name of the folder, usually ``name.ome.zarr``; one of that name is replaced.
        version: Of the specification: ``"0.5"`` in Zarr 3, ``"0.4"`` in Zarr 2.
        levels: Most levels of the pyramid, the full resolution counted in.

    Raises:
        FormatError: The number type has no place in a file, or ``levels`` is below 1.
        OutputError: It cannot be written, or what was read back differs.
    """
    from vesalius.io._save import Writer, compare

    with staged(path) as stage:
        write_omezarr(obj, stage, version=version, levels=levels)
        compare(obj, Writer(write_omezarr, open_omezarr, series=True), stage)


def save_ome_zarr_labels(labels: Labels, image: str | Path, name: str) -> None:
    """Write labels into an OME-Zarr image, under ``labels/<name>``, in the image's own version.

    Args:
        labels: On the grid of the image.
        image: Folder of the image.
        name: Of the label image: letters, digits, ``-``, ``_`` and ``.``.

    Raises:
        FormatError: The folder is no OME-Zarr image, or the name is none.
        GeometryError: The labels lie on another grid.
        OutputError: It cannot be written, or what was read back differs.
    """
    from vesalius.core import differences
    from vesalius.io._save import Writer, compare

    root = Path(image)
    if not name or name.startswith(".") or not all(c.isalnum() or c in "-_." for c in name):
        raise FormatError(
            f"name of a label image must be letters, digits, '-', '_' and '.', got {name[:40]!r}"
        )
    (handle,) = open_omezarr(root, Rules())
    unlike = differences(handle.grid, labels.grid)
    if unlike:
        raise GeometryError(
            f"labels must lie on the grid of {root.name!r}; {'; '.join(unlike)}: "
            "resample them with core.resample_labels(labels, like=handle.grid)"
        )
    version: Version = "0.5" if (root / "zarr.json").is_file() else "0.4"
    folder = root / "labels"
    folder.mkdir(exist_ok=True)
    with staged(folder / name) as stage:
        write_omezarr(labels, stage, version=version, levels=len(handle.coarser) + 1, inside=True)
        compare(labels, Writer(write_omezarr, open_omezarr), stage)
    known = ome_of(*attributes(folder)).get("labels") if is_zarr(folder) else []
    names = sorted({*(known if isinstance(known, list) else []), name})
    _write_group(folder, {"labels": names}, {}, version)


def write_omezarr(
    obj: Volume,
    path: Path,
    *,
    version: Version = "0.5",
    levels: int = LEVELS,
    inside: bool = False,
) -> None:
    """Write an OME-Zarr folder, where it is to be, without comparing.

    Args:
        obj: What to write.
        path: A folder that does not exist yet.
        version: See ``save_ome_zarr``.
        levels: See ``save_ome_zarr``.
        inside: Whether it is a label image inside its image.

    Raises:
        FormatError: See ``save_ome_zarr``.
    """
    if levels < 1 or version not in ("0.4", "0.5"):
        raise FormatError(
            f"OME-Zarr must have at least 1 level and version 0.4 or 0.5, got {levels} and "
            f"{version!r}"
        )
    samples = to_numpy(obj.data)
    path.mkdir()
    transforms = []
    pyramid = _pyramid(samples, levels, mean=not isinstance(obj, Labels))
    for number, (array, factors) in enumerate(pyramid):
        _write_array(path / str(number), array, version)
        transforms.append(_transforms(obj, factors))
    _write_group(path, _ome(obj, path.name, transforms, inside), _place.encode(obj), version)


def _pyramid(samples: Array, levels: int, *, mean: bool) -> Iterator[tuple[Array, tuple[int, int]]]:
    """Give each level and by how much its y and x are coarser."""
    array, factors = samples, (1, 1)
    for _ in range(levels):
        yield array, factors
        y, x = array.shape[-2:]
        if max(y, x) <= SMALLEST:
            return
        step = (2 if y > 1 else 1, 2 if x > 1 else 1)
        array = _halved(array, step, mean=mean)
        factors = (factors[0] * step[0], factors[1] * step[1])


def _halved(array: Array, step: tuple[int, int], *, mean: bool) -> Array:
    a, b = step
    y, x = array.shape[-2] // a, array.shape[-1] // b
    out = np.empty((*array.shape[:-2], y, x), array.dtype)
    for at in np.ndindex(array.shape[:-2]):
        plane = array[at][: y * a, : x * b]
        if not mean:
            out[at] = plane[::a, ::b]
            continue
        average = plane.reshape(y, a, x, b).mean(axis=(1, 3), dtype=np.float64)
        whole = np.issubdtype(array.dtype, np.integer)
        out[at] = np.rint(average) if whole else average
    return out


def _write_array(path: Path, array: Array, version: Version) -> None:
    import zarr

    spatial = tuple(min(n, most) for n, most in zip(array.shape[-3:], CHUNK, strict=True))
    chunks = (*(1 for _ in array.shape[:-3]), *spatial)
    new = version == "0.5"
    zstd = {"name": "zstd", "configuration": {"level": 3}} if new else {"id": "zstd", "level": 3}
    stored = zarr.create_array(
        store=str(path),
        shape=array.shape,
        chunks=chunks,
        dtype=array.dtype,
        compressors=zstd,
        fill_value=0,
        zarr_format=3 if new else 2,
        dimension_names=list("tczyx"[-array.ndim :]) if new else None,
        chunk_key_encoding={"name": "default" if new else "v2", "separator": "/"},
    )
    stored[...] = array


def _transforms(obj: Volume, factors: tuple[int, int]) -> list[dict[str, Any]]:
    """Place a level: its first voxel is the centre of the voxels that it is the mean of."""
    grid = _place.shown(obj.grid)
    dz, dy, dx = (1e3 * s for s in grid.spacing_mm)
    left, posterior, superior = (1e3 * o for o in grid.origin_mm)
    shift = 0.0 if isinstance(obj, Labels) else 0.5
    fy, fx = factors
    scale = [1.0, dz, dy * fy, dx * fx]
    start = [0.0, superior, posterior + shift * (fy - 1) * dy, left + shift * (fx - 1) * dx]
    if isinstance(obj, Series):
        frames = len(obj)
        step = (obj.times_s[-1] - obj.times_s[0]) / (frames - 1) if frames > 1 else 1.0
        scale, start = [step, *scale], [obj.times_s[0], *start]
    return [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": start},
    ]


def _ome(
    obj: Volume, name: str, transforms: list[list[dict[str, Any]]], inside: bool
) -> dict[str, Any]:
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    if isinstance(obj, Series):
        axes.insert(0, {"name": "t", "type": "time", "unit": "second"})
    labels = isinstance(obj, Labels)
    datasets = [
        {"path": str(k), "coordinateTransformations": steps} for k, steps in enumerate(transforms)
    ]
    multiscale = {"name": name.split(".")[0], "axes": axes, "datasets": datasets}
    ome: dict[str, Any] = {"multiscales": [multiscale]}
    if len(datasets) > 1:
        multiscale["type"] = "nearest" if labels else "mean"
    if isinstance(obj, Labels):
        ome["image-label"] = _image_label(obj, inside)
    if isinstance(obj, Image) and obj.channels:
        ome["omero"] = {"channels": list(_omero(obj))}
    return ome


def _omero(image: Image) -> Iterator[dict[str, Any]]:
    for k, (name, channel) in enumerate(zip(image.channels, image.data, strict=True)):
        low, high = float(channel.min()), float(channel.max())
        window = {"min": low, "max": high, "start": low, "end": high}
        colour = BASE.get(name, COLOURS[k % len(COLOURS)])
        yield {"label": name, "color": colour, "active": True, "window": window}


def _image_label(labels: Labels, inside: bool) -> dict[str, Any]:
    named = sorted((value, name) for (layer, value), name in labels.names.items() if layer == 0)
    told: dict[str, Any] = {"source": {"image": "../../"}} if inside else {}
    if named:
        told["colors"] = [{"label-value": value, "rgba": _rgba(value)} for value, _ in named]
        told["properties"] = [{"label-value": value, "name": name} for value, name in named]
    return told


def _rgba(value: int) -> list[int]:
    """Give a colour of a label: hues a golden section apart, so that neighbours differ."""
    hue = value * 0.618033988749895 % 1.0
    return [*(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, 0.95)), 255]


def _write_group(folder: Path, ome: dict[str, Any], note: dict[str, Any], version: Version) -> None:
    ours = {OURS: note} if note else {}
    if version == "0.5":
        told = {"ome": {"version": "0.5", **ome}, **ours}
        node = {"zarr_format": 3, "node_type": "group", "attributes": told}
        _write_json(folder / "zarr.json", node)
        return
    for one in (
        *ome.get("multiscales", []),
        *([ome["image-label"]] if "image-label" in ome else []),
    ):
        one["version"] = "0.4"
    _write_json(folder / ".zgroup", {"zarr_format": 2})
    _write_json(folder / ".zattrs", {**ome, **ours})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2, sort_keys=True).encode())
