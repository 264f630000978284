"""Place: the full grid of an object, kept beside what a microscopy format itself can say.

OME-TIFF, OME-Zarr and ImageJ know spacing and origin along x, y, z and nothing oblique. Our note
holds the affine, so that what we wrote comes back where it was; a file whose own spacing no longer
fits the note was changed by somebody, and its own spacing wins.
"""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vesalius.core import Grid, Image, Labels, Series
from vesalius.io import _note
from vesalius.io._frames import affine_xyz, corner_distance
from vesalius.io._handle import Content, Finding

SAME = 1e-3
"""Largest distance between note and file, as a part of the volume's size, that is rounding."""
NOTE_BYTES = 1 << 24


def is_plain(grid: Grid) -> bool:
    """Tell whether x runs to L, y to P and z to S, so that spacing and origin say it all."""
    linear = affine_xyz(grid)[:3, :3]
    return bool((np.diag(linear) > 0).all()) and not (linear - np.diag(np.diag(linear))).any()


def shown(grid: Grid) -> Grid:
    """Give the grid that other programs see: itself if plain, else its spacing from zero."""
    return grid if is_plain(grid) else Grid.from_spacing(grid.shape, grid.spacing_mm)


def covering(grid: Grid, shape: tuple[int, int]) -> Grid:
    """Give the grid of (y, x) larger voxels that covers the same area, as pyramids of TIFF do."""
    z, y, x = grid.shape
    ratio = torch.tensor([1.0, y / shape[0], x / shape[1]], dtype=torch.float64)
    affine = grid.affine.clone()
    affine[:3, :3] *= ratio
    affine[:3, 3] += grid.affine[:3, :3] @ ((ratio - 1) / 2)
    return Grid((z, *shape), affine)


def encode(obj: Image | Labels | Series) -> dict[str, Any]:
    """Give what the note of an object says: its names and unit, affine, shape and times."""
    told = _note.encode(obj)
    note: dict[str, Any] = json.loads(told) if told else {}
    note |= {"affine": affine_xyz(obj.grid).tolist(), "shape": list(obj.grid.shape)}
    return note | ({"times_s": list(obj.times_s)} if isinstance(obj, Series) else {})


def text(note: Mapping[str, Any]) -> str:
    """Write a note as one line of ASCII."""
    return json.dumps(note, sort_keys=True, separators=(",", ":"))


def parse(line: str) -> dict[str, Any]:
    """Read a note back; a damaged or foreign one counts as absent."""
    try:
        found = json.loads(line) if 0 < len(line) <= NOTE_BYTES else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def grid_of(note: Mapping[str, Any], own: Grid, findings: list[Finding]) -> Grid:
    """Give the grid that the note holds, if it still fits what the file itself says.

    Args:
        note: What ``parse`` gave.
        own: The grid that the file's own entries say.
        findings: Where it is told what was taken.

    Returns:
        The note's grid, or ``own``.
    """
    if "affine" not in note:
        return own
    kept = _kept(note, own)
    if kept is None:
        message = (
            "the spacing or size of the file no longer fits the position that vesalius noted in "
            "it: the file's own was taken"
        )
        findings.append(Finding("warning", "stale-place", message))
        return own
    if not is_plain(kept):
        message = (
            "the grid is oblique, which this format cannot say: it was taken from the note that "
            "vesalius left; other programs see its spacing only"
        )
        findings.append(Finding("info", "own-place", message))
    return kept


def _kept(note: Mapping[str, Any], own: Grid) -> Grid | None:
    try:
        affine = np.array(note["affine"], dtype=np.float64)
        grid = Grid(own.shape, torch.from_numpy(affine[:, [2, 1, 0, 3]]))
        fits = [int(n) for n in note["shape"]] == list(own.shape)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return None
    z, y, x = own.shape
    apart = corner_distance((x, y, z), affine_xyz(shown(grid)), affine_xyz(own))
    size = sum(n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    return grid if fits and apart <= SAME * size else None


def content_of(note: Mapping[str, Any], own: Content, *, unit: str, channels: int) -> Content:
    """Put what the note says about the samples over what the file itself says.

    Args:
        note: What ``parse`` gave.
        own: What the file's own entries say.
        unit: The unit that the caller asked for, or empty.
        channels: Number of channels in the file.

    Returns:
        The content; frames stay the file's, times come from the note where they fit.
    """
    told = _note.decode(text(note), unit=unit, channels=channels)
    times = note.get("times_s")
    fits = isinstance(times, list) and len(times) == own.frames == len(own.times_s or times)
    numbers = all(isinstance(t, int | float) for t in times) if isinstance(times, list) else False
    return replace(
        own,
        unit=told.unit if told.unit != "1" else own.unit,
        channels=told.channels or own.channels,
        names=told.names or own.names,
        times_s=tuple(float(t) for t in times or ()) if fits and numbers else own.times_s,
    )
