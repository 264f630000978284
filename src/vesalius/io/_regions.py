"""Regions: labels from whatever holds them - a label map, outlines, or a folder of masks."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from vesalius.core import Grid, Labels, differences
from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._contours import Contours
from vesalius.io._handle import Finding, Handle
from vesalius.io._label_names import SUFFIXES, names_beside
from vesalius.io._rasterise import Drawn, matching, rasterise
from vesalius.io.micro._cellpose import cell_names


@final
@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """What outlines are drawn on.

    Attributes:
        like: The grid; none takes that of the one volume beside the outlines.
        frame: Mark of the frame of reference that it lies in, as ``meta["frame_of_reference"]``
            of a DICOM volume tells it; empty where it is not known.
    """

    like: Grid | None = None
    frame: str = ""


def draw_outlines(
    contours: Contours, handles: Sequence[Handle], canvas: Canvas, roi: str, budget: Budget
) -> Drawn:
    """Draw a file of outlines on the grid that was given, or on that of the volume beside it.

    Args:
        contours: The outlines.
        handles: Volumes found beside them.
        canvas: What they are drawn on.
        roi: See ``rasterise``.
        budget: See ``rasterise``.

    Returns:
        The labels, and all findings of reading and drawing.

    Raises:
        FormatError: There is no grid, or a finding about the file is an error.
        GeometryError: See ``rasterise``.
    """
    wrong = [f.message for f in contours.findings if f.severity == "error"]
    if wrong:
        raise FormatError(
            f"{contours.name!r} must be sound to be drawn, it is not: {'; '.join(wrong)}"
        )
    if canvas.like is None and len(handles) != 1:
        raise FormatError(
            f"{contours.name!r} must be drawn on a grid, outlines have none: "
            "call io.open_labels(path, like=image.grid)"
        )
    grid, frame = canvas.like, canvas.frame
    if grid is None:
        grid, frame = handles[0].grid, str(handles[0].meta.get("frame_of_reference", ""))
    drawn = rasterise(contours, grid, roi=roi, budget=budget)
    found = contours.findings + _frames(contours, frame) + drawn.findings
    return replace(drawn, findings=found)


def _frames(contours: Contours, frame: str) -> tuple[Finding, ...]:
    told = contours.meta.get("frames_of_reference", ())
    if not frame or not isinstance(told, tuple) or not told or frame in told:
        return ()
    text = (
        f"outlines of {contours.name!r} lie in another frame of reference than the image: they fit "
        "only where a registration says that both are the same"
    )
    return (Finding("warning", "other-frame", text),)


def read_map(handle: Handle, path: Path, roi: str) -> Drawn:
    """Read a label map, with the names inside it or beside it.

    Args:
        handle: The volume.
        path: The file, or the folder that it is in.
        roi: Regular expression that a name must match, whole; others become 0. Empty takes all.

    Returns:
        The labels and their findings.

    Raises:
        FormatError: It is no label map, or no label has such a name.
    """
    labels = handle.read_labels()
    beside: list[Finding] = []
    if not labels.names and path.is_file():
        names = names_beside(path, beside) or cell_names(path, labels.values)
        labels = Labels(labels.data, labels.grid, names)
    return Drawn(pick(labels, roi, handle.name), handle.findings + tuple(beside))


def join_masks(name: str, handles: Sequence[Handle], roi: str, budget: Budget) -> Drawn:
    """Join a folder of masks, one structure in each, named by their files.

    Args:
        name: Name of the folder.
        handles: The masks, in the order of their values, which count from 1.
        roi: See ``read_map``; other masks are not read, and values do not depend on it.
        budget: What the labels may cost.

    Returns:
        One value for each mask that is not empty; masks that overlap lie in further layers.

    Raises:
        FormatError: They do not share a grid, one holds several values or several frames, or no
            mask has such a name.
    """
    grid = handles[0].grid
    titles = [_stem(handle.name) for handle in handles]
    for handle in handles:
        apart = differences(grid, handle.grid)
        if apart:
            raise FormatError(
                f"masks in {name!r} must share one grid to be joined, {handle.name!r} differs from "
                f"{handles[0].name!r}: {apart[0]}: open them one by one"
            )
    wanted = matching(titles, roi, name)
    kind = torch.uint8 if len(handles) < 256 else torch.int16
    layers: list[torch.Tensor] = []
    names: dict[tuple[int, int], str] = {}
    findings: list[Finding] = []
    for value, (handle, title) in enumerate(zip(handles, titles, strict=True), start=1):
        if title not in wanted:
            continue
        inside = _mask(handle)
        if not bool(inside.any()):
            findings.append(Finding("info", "empty", f"{title!r} holds no voxel"))
            continue
        layer = next((k for k, one in enumerate(layers) if not one[inside].any()), len(layers))
        if layer == len(layers):
            budget.check_size(name, (layer + 1, *grid.shape), 2)
            layers.append(torch.zeros(grid.shape, dtype=kind))
        layers[layer][inside] = value
        names[layer, value] = title
    data = torch.stack(layers or [torch.zeros(grid.shape, dtype=kind)])
    return Drawn(Labels(data, grid, names), tuple(findings))


def _mask(handle: Handle) -> torch.Tensor:
    labels = handle.read_labels()
    values = sorted({value for _, value in labels.values})
    if len(values) > 1 or labels.data.shape[0] > 1:
        raise FormatError(
            f"masks of a folder must each hold one structure, {handle.name!r} holds the values "
            f"{', '.join(map(str, values[:5]))}: open it by its own path"
        )
    return labels.data[0] != 0


def _stem(name: str) -> str:
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)] if suffix else name


def pick(labels: Labels, roi: str, file: str) -> Labels:
    """Set labels whose name does not match to 0.

    Args:
        labels: The labels.
        roi: Regular expression that a name must match, whole; empty takes all.
        file: Name of the file, for the error.

    Returns:
        The labels, with the names that are left.

    Raises:
        FormatError: None matches, or the expression is none.
    """
    if not roi:
        return labels
    keys = labels.values
    wanted = matching([labels.name(v, k) for k, v in keys], roi, file)
    data = labels.data.clone()
    for layer, value in keys:
        if labels.name(value, layer) not in wanted:
            data[layer][labels.data[layer] == value] = 0
    kept = {key: name for key, name in labels.names.items() if name in wanted}
    return Labels(data, labels.grid, kept)
