"""HDF5: each numeric dataset of two to five axes is a volume; unpacked here, within the budget."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._chunks import read_chunks
from vesalius.io._frames import compose, grid_from_xyz
from vesalius.io._handle import Array, Finding, Handle, Rules, Window, widening
from vesalius.io._layout import Layout
from vesalius.io._samples import STORED

ASSUMED = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
MICROMETRE_MM = 1e-3
Refused = Literal["outside", "virtual", "filter"]


def open_hdf5(path: Path, rules: Rules) -> tuple[Handle, ...]:
    """Read the headers of the datasets of an HDF5 file.

    Args:
        path: A .h5, .hdf5 or .hdf file.
        rules: ``frames`` says what a time axis is.

    Returns:
        One handle for each dataset of numbers with 2 to 5 axes, by name. Axes are those of
        ``axistags`` (vigra, ilastik) or of the dimension labels, else (t, c, z, y, x) from the
        right; ``element_size_um`` gives (z, y, x) as ImageJ writes it.

    Raises:
        FormatError: The file is not HDF5, is damaged, or holds no such dataset itself.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            findings: list[Finding] = []
            found = [_handle(path, d, rules) for d in _datasets(file, rules, findings)]
    except FormatError:
        raise
    except Exception as error:  # h5py raises whatever the library says, by its number
        raise FormatError(
            f"{path.name!r} must be an HDF5 file, it is not: {_reason(path, error)}: "
            "check that the file is complete and that its suffix is right"
        ) from error
    if not found:
        why = "; ".join(f.message for f in findings) or "it holds none"
        raise FormatError(
            f"{path.name!r} must hold a dataset of real numbers with 2 to 5 axes, {why}: "
            "convert it first"
        )
    return tuple(replace(h, findings=(*h.findings, *findings)) for h in found)


def _reason(path: Path, error: Exception) -> str:
    text = str(error).replace(str(path), path.name)
    return text.splitlines()[0] if text else type(error).__name__


def _datasets(file: Any, rules: Rules, findings: list[Finding]) -> Iterator[Any]:
    """Walk the groups by hard links alone, so that nothing leads out of the file."""
    import h5py

    waiting, seen = [(file["/"], 0)], set()
    while waiting:
        group, depth = waiting.pop(0)
        for name in group:
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                text = f"{name!r} is a link, which is not followed"
                findings.append(Finding("info", "link", text))
                continue
            one = group[name]
            address = h5py.h5o.get_info(one.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > rules.budget.files:
                raise FormatError(
                    f"{file.filename.rsplit('/', 1)[-1]!r} must hold at most {rules.budget.files} "
                    "groups and datasets, it holds more: raise the budget's files"
                )
            if isinstance(one, h5py.Group) and depth < rules.budget.depth:
                waiting.append((one, depth + 1))
            elif isinstance(one, h5py.Dataset) and _is_volume(one, findings):
                yield one


def _is_volume(dataset: Any, findings: list[Finding]) -> bool:
    """Tell whether a dataset is one that can be read here; note why one of numbers is not."""
    shape, kind = dataset.shape or (), dataset.dtype.str[1:]
    if kind not in STORED or not 2 <= len(shape) <= 5 or min(shape) < 1:
        return False
    plist = dataset.id.get_create_plist()
    codes = {int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())}
    unknown = codes - FILTERS.keys()
    if dataset.is_virtual or dataset.external:
        text = "has its samples in other files, which are not followed"
    elif unknown:
        text = f"is packed with filter {min(unknown)}, known are {', '.join(FILTERS.values())}"
    else:
        return True
    findings.append(Finding("warning", "unread", f"{dataset.name.lstrip('/')!r} {text}"))
    return False


@dataclass(frozen=True, slots=True)
class _Axes:
    """One letter for each axis, slowest first, and what was assumed about them."""

    letters: str
    findings: tuple[Finding, ...] = ()


def _axes(dataset: Any) -> _Axes:
    n = len(dataset.shape)
    told = _tags(dataset) or "".join(str(d.label).lower()[:1] for d in dataset.dims)
    if len(told) == n and len(set(told)) == n and {"y", "x"} <= set(told) <= set("tczyx"):
        return _Axes(told)
    letters = ASSUMED[n]
    if n == 2:
        return _Axes(letters)
    text = f"the file does not name its axes: {', '.join(letters)} assumed"
    return _Axes(letters, (Finding("warning", "axes-assumed", text),))


def _tags(dataset: Any) -> str:
    """Read the letters of vigra's axistags, empty where there are none."""
    try:
        listed = json.loads(dataset.attrs["axistags"])["axes"]
        return "".join(str(one["key"]).lower() for one in listed)
    except (KeyError, ValueError, TypeError, OSError, RecursionError):
        return ""


def _handle(path: Path, dataset: Any, rules: Rules) -> Handle:
    name, stored, axes = f"{path.name}:{dataset.name.lstrip('/')}", dataset.dtype, _axes(dataset)
    findings = [*axes.findings, *widening(stored)]
    layout = _layout(axes.letters, dataset.shape, as_channels=rules.frames == "channels")
    affine = _affine(dataset, layout, findings)
    grid = grid_from_xyz(path.name, layout.shape_xyz, affine)
    content = _note.decode("", unit=rules.unit, channels=layout.channels)
    if layout.frames > 1:
        text = f"{layout.frames} frames without times in seconds"
        findings.append(Finding("warning", "no-times", text))
    content = replace(content, frames=layout.frames)
    meta = {
        "format": "HDF5",
        "dataset": dataset.name.lstrip("/"),
        "axes": axes.letters,
        "stored": stored.newbyteorder("=").name,
        "channels": layout.channels,
        "frames": layout.frames,
    }
    inner = dataset.name

    def load(window: Window) -> Array:
        return layout.arrange(_samples(path, inner, layout.box(window)[::-1], rules))

    return Handle(name, grid, meta, tuple(findings), content, load)


def _layout(letters: str, shape: tuple[int, ...], *, as_channels: bool) -> Layout:
    fastest_first = letters[::-1]
    space = tuple(fastest_first.index(one) for one in "xyz" if one in letters)
    time, channel = fastest_first.find("t"), fastest_first.find("c")
    return Layout(tuple(int(n) for n in shape[::-1]), space, time, channel, as_channels)


def _affine(dataset: Any, layout: Layout, findings: list[Finding]) -> Array:
    try:
        sizes = np.asarray(dataset.attrs["element_size_um"], float).reshape(-1)[::-1]
    except (KeyError, ValueError, TypeError, OSError):
        sizes = np.empty(0)
    if len(sizes) != 3:
        text = "the dataset has no element_size_um: 1 mm assumed"
        findings.append(Finding("warning", "no-spacing", text))
        sizes = np.full(3, 1 / MICROMETRE_MM)
    return compose(sizes * MICROMETRE_MM, np.eye(3), np.zeros(3))


def _samples(path: Path, inner: str, box: tuple[slice, ...], rules: Rules) -> Array:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            dataset = file[inner]
            lengths = tuple(part.stop - part.start for part in box)
            rules.budget.check_size(path.name, lengths, dataset.dtype.itemsize)
            if dataset.chunks is None:
                return np.asarray(dataset[box])
            return read_chunks(path.name, dataset, box, rules.budget)
    except FormatError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise FormatError(
            f"{path.name!r} must hold all samples that its header promises, it does not: "
            f"{_reason(path, error)}: the file is truncated or damaged, copy it again"
        ) from error
