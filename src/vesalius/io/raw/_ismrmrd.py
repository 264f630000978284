"""ISMRMRD: read-outs one by one, each with a header, laid into Cartesian k-space."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from vesalius.core import Grid
from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._samples import Array
from vesalius.io.raw._dataset import find, read_text
from vesalius.io.raw._kspace import RawKSpace, mask_of
from vesalius.io.raw._mr_header import MrHeader, parse_header
from vesalius.physics.mri import KSpace

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE = 19, 20, 21, 22
OTHERS = (23, 24, 26, 27, 28, 29, 30, 31)
"""Navigators, phase correction, feedback, dummies, surface coil scans: no part of the image."""
SINGLE = ("contrast", "phase", "repetition", "set")
BLOCK = 64
NOISE_LIMIT = 1 << 24


@final
@dataclass(frozen=True, slots=True)
class _Lines:
    """K-space that fills up line by line: sums, and how many lines went into each."""

    total: Array
    count: Array
    calibration: Array
    calibrated: Array
    noise: list[Array] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)


def read_ismrmrd(path: Path, file: Any, budget: Budget) -> RawKSpace:
    """Read the group ``dataset``: ``xml`` and ``data``.

    Averages are averaged; lines of calibration fill what imaging left out; the grid comes from
    the first read-out's position and directions.

    Raises:
        FormatError: It is damaged, not Cartesian, larger than the budget, or has several
            contrasts, phases, repetitions or sets.

    References:
        Inati et al. (2017), doi:10.1002/mrm.26089, table 1 (header of a read-out).
    """
    xml = find(file, "dataset/xml")
    header = parse_header(path, read_text(path, xml))
    if header.trajectory != "cartesian":
        raise FormatError(
            f"{path.name!r} must be Cartesian, its trajectory is {header.trajectory}: grid it with "
            "physics.mri.NonUniformFourier"
        )
    data: Any = find(file, "dataset/data")
    _check_fields(path, data)
    # an unwritten dataset would read as millions of empty read-outs
    needed = budget.check_size(path.name, data.shape, data.dtype.itemsize)
    budget.check_stored(
        path.name, needed, data.id.get_storage_size(), deflated=bool(data.compression)
    )
    heads = data.fields("head")[:]
    slices, coils = _extent(path, heads)
    shape = (slices, coils, *header.matrix)
    budget.check_size(path.name, shape, 16)
    per_line = (slices, *header.matrix)
    lines = _Lines(
        total=np.zeros(shape, np.complex64),
        count=np.zeros(per_line, np.int32),
        calibration=np.zeros(shape, np.complex64),
        calibrated=np.zeros(per_line, np.int32),
    )
    for head, samples in _readouts(path, data):
        _place(path, lines, (head, samples), header)
    return _finished(path, lines, heads, header)


def _check_fields(path: Path, data: Any) -> None:
    names = getattr(getattr(data, "dtype", None), "names", None) or ()
    head = data.dtype["head"].names if "head" in names else ()
    wanted = {"flags", "number_of_samples", "active_channels", "center_sample", "idx"}
    if (
        not {"head", "data"} <= set(names)
        or not wanted <= set(head or ())
        or (data.is_virtual or data.external)
    ):
        raise FormatError(
            f"{path.name!r} must hold read-outs with head and data in dataset/data, it does not: "
            "it is no ISMRMRD, or damaged"
        )


def _flag(flags: int, bit: int) -> bool:
    return bool(flags >> (bit - 1) & 1)


def _imaging(flags: int) -> bool:
    return not any(_flag(flags, bit) for bit in (NOISE, *OTHERS))


def _extent(path: Path, heads: Array) -> tuple[int, int]:
    """Numbers of slices and coils of the imaging read-outs."""
    kept = [h for h in heads if _imaging(int(h["flags"]))]
    if not kept:
        raise FormatError(
            f"{path.name!r} must hold at least one read-out of an image, it holds {len(heads)} "
            "read-outs, none of an image: the file is damaged"
        )
    for name in SINGLE:
        numbers = {int(h["idx"][name]) for h in kept}
        if len(numbers) > 1:
            raise FormatError(
                f"{path.name!r} must hold one {name}, it holds {len(numbers)}: save them as files "
                "of their own"
            )
    coils = {int(h["active_channels"]) for h in kept}
    if len(coils) > 1:
        raise FormatError(
            f"{path.name!r} must have as many coils in each read-out, it has {sorted(coils)}: "
            "the file is damaged"
        )
    return max(int(h["idx"]["slice"]) for h in kept) + 1, coils.pop()


def _readouts(path: Path, data: Any) -> Iterator[tuple[Any, Array]]:
    """Give each read-out's head and (coil, sample) samples; a few at a time are in memory."""
    for start in range(0, data.shape[0], BLOCK):
        for head, _, numbers in data[start : start + BLOCK]:
            coils, n = int(head["active_channels"]), int(head["number_of_samples"])
            if numbers.dtype.kind != "f" or numbers.size != 2 * coils * n:
                raise FormatError(
                    f"{path.name!r} must hold {coils} x {n} complex samples in each read-out, one "
                    f"has {numbers.size} numbers: the file is damaged"
                )
            yield (
                head,
                np.ascontiguousarray(numbers, np.float32).view(np.complex64).reshape(coils, n),
            )


def _place(path: Path, lines: _Lines, readout: tuple[Any, Array], header: MrHeader) -> None:
    head, samples = readout
    flags = int(head["flags"])
    if _flag(flags, NOISE):
        if sum(part.size for part in lines.noise) < NOISE_LIMIT:
            lines.noise.append(samples)
        return
    if not _imaging(flags):
        lines.left_out.append(flags)
        return
    nz, ny, nx = header.matrix
    index = head["idx"]
    z = int(index["kspace_encode_step_2"]) - header.centre[0] + nz // 2 if nz > 1 else 0
    y = int(index["kspace_encode_step_1"]) - header.centre[1] + ny // 2
    centre = int(head["center_sample"])
    first, last = _kept(head, samples.shape[1])
    if _flag(flags, REVERSE):
        samples, centre = samples[:, ::-1], samples.shape[1] - 1 - centre
        first, last = samples.shape[1] - last, samples.shape[1] - first
    x = nx // 2 - centre
    if not (0 <= z < nz and 0 <= y < ny and x + first >= 0 and x + last <= nx):
        raise FormatError(
            f"{path.name!r} must have its read-outs inside the encoded matrix {header.matrix} "
            f"(z, y, x), one is at z {z}, y {y}, x {x + first} to {x + last}: the header is damaged"
        )
    alone = _flag(flags, CALIBRATION) and not _flag(flags, CALIBRATION_AND_IMAGING)
    total = lines.calibration if alone else lines.total
    count = lines.calibrated if alone else lines.count
    k = int(index["slice"])
    total[k, :, z, y, x + first : x + last] += samples[:, first:last]
    count[k, z, y, x + first : x + last] += 1


def _kept(head: Any, n: int) -> tuple[int, int]:
    """First and last sample that are not to be discarded."""
    names = head.dtype.names
    before = int(head["discard_pre"]) if "discard_pre" in names else 0
    after = int(head["discard_post"]) if "discard_post" in names else 0
    return min(before, n), max(n - after, min(before, n))


def _finished(path: Path, lines: _Lines, heads: Array, header: MrHeader) -> RawKSpace:
    take = (lines.count == 0) & (lines.calibrated > 0)
    total = np.where(take[:, None], lines.calibration, lines.total)
    count = np.where(take, lines.calibrated, lines.count)
    data = torch.from_numpy(total / np.maximum(count, 1)[:, None].astype(np.float32))
    remarks = []
    if count.max() > 1:
        remarks.append(f"up to {int(count.max())} read-outs of one line were averaged")
    if lines.left_out:
        remarks.append(f"{len(lines.left_out)} read-outs without image were left out")
    slices = []
    for k, part in enumerate(data):
        if bool((part != 0).any()):
            grid = _grid(heads, k, header, remarks)
            slices.append(KSpace(part, mask_of(path, part), grid))
    if not slices:
        raise FormatError(
            f"{path.name!r} must hold samples that are not all 0, it does not: the file is damaged"
        )
    noise = None
    fitting = [part for part in lines.noise if part.shape[0] == data.shape[1]]
    if fitting:
        noise = torch.from_numpy(np.concatenate(fitting, axis=1))
    return RawKSpace(tuple(slices), noise, tuple(dict.fromkeys(remarks)))


def _grid(heads: Array, number: int, header: MrHeader, remarks: list[str]) -> Grid:
    """Lay the grid by the position and directions of a slice's first read-out."""
    mine = [h for h in heads if _imaging(int(h["flags"])) and int(h["idx"]["slice"]) == number]
    names = ("slice_dir", "phase_dir", "read_dir")
    turn = np.eye(3)[:, ::-1]
    middle = np.array([0.0, 0.0, number * header.spacing_mm[0]])
    if {*names, "position"} <= set(mine[0].dtype.names):
        told = np.stack([np.asarray(mine[0][name], float) for name in names], axis=1)
        position = np.asarray(mine[0]["position"], float)
        if np.allclose(told.T @ told, np.eye(3), atol=1e-2) and np.isfinite(position).all():
            turn, middle = told, position
        else:
            remarks.append("the read-outs do not tell their directions: axis-aligned assumed")
    affine = np.eye(4)
    affine[:3, :3] = turn * header.spacing_mm
    # voxel n // 2, the centre of the transform, is at the position
    affine[:3, 3] = middle - affine[:3, :3] @ [n // 2 for n in header.matrix]
    return Grid(header.matrix, torch.from_numpy(affine))
