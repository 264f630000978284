"""TIFF stacks: one page, or one file of a folder, for each view."""
# SPDX-License-Identifier: Apache-2.0

import re
from pathlib import Path

import torch
from torch import Tensor

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Rules
from vesalius.io.micro._tiff import open_tiff
from vesalius.io.raw._projections import TIFF, RawProjections, as_views
from vesalius.physics.ct._projections import Quantity


def open_tiff_stack(path: Path, assume: Quantity, budget: Budget) -> RawProjections:
    """Read views from a TIFF file or a folder of them; see ``open_projections``.

    Raises:
        FormatError: There is none, one is damaged, or their sizes differ.
    """
    views = _stack(path, budget)
    flats, darks = (
        _stack(path / name, budget) if (path / name).is_dir() else None
        for name in ("flats", "darks")
    )
    return RawProjections(views, flats, darks, quantity=assume)


def _stack(path: Path, budget: Budget) -> Tensor:
    files = [path]
    if path.is_dir():
        files = sorted(
            (p for p in path.iterdir() if p.suffix.lower() in TIFF and p.is_file()), key=_by_number
        )
        if not files:
            raise FormatError(
                f"folder {path.name!r} must hold TIFF files, one for each view, it holds none: "
                "give the folder of the views, or a file"
            )
    # frames in time are views here: without times they are read as channels
    rules = Rules(frames="channels", budget=budget)
    planes: list[Tensor] = []
    for file in files:
        planes.append(_planes(file, rules))
        if planes[-1].shape[1:] != planes[0].shape[1:]:
            raise FormatError(
                f"views must have one size, {files[0].name!r} has {tuple(planes[0].shape[1:])}, "
                f"{file.name!r} has {tuple(planes[-1].shape[1:])}: keep flats and darks in folders "
                "of those names"
            )
        held = sum(p.numel() for p in planes)
        budget.check_size(path.name, (held,), 4)
    return as_views(path.name, torch.cat(planes))


def _planes(file: Path, rules: Rules) -> Tensor:
    handles = open_tiff(file, rules)
    if len(handles) != 1:
        raise FormatError(
            f"{file.name!r} must hold one series of views, it holds {len(handles)}: "
            "save them as files of their own"
        )
    data = handles[0].read().data
    if data.shape[0] > 1 and data.shape[1] > 1:
        raise FormatError(
            f"{file.name!r} must have one axis of views, it has {data.shape[0]} channels of "
            f"{data.shape[1]} pages: save grey views"
        )
    return as_views(file.name, data.flatten(0, 1))


def _by_number(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]
