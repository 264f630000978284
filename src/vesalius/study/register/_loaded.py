"""Loaded: the files of a registration as images, labels, points and a start."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path

import torch

from vesalius import io
from vesalius.core import Image, Labels, Linear, Points, Transform, hash_samples, resample
from vesalius.errors import ConfigError, FormatError, ShapeError
from vesalius.io.transforms import load, load_points
from vesalius.register import Guides, Init
from vesalius.register.landmarks import fit_linear
from vesalius.study.register._job import Inputs, Job


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What the files of a registration hold.

    Attributes:
        fixed: With one channel for each pair.
        moving: The same.
        guides: What may pull.
        labels: What judges, or None.
        points: What judges, or None.
        init: Where the search begins.
        remarks: What was noticed.
    """

    fixed: Image
    moving: Image
    guides: Guides
    labels: tuple[Labels, Labels] | None
    points: tuple[Points, Points] | None
    init: Init | Transform
    remarks: tuple[str, ...] = ()

    def hashes(self) -> dict[str, str]:
        """Give the hash of each image's content, by role."""
        return {
            role: hash_samples(image.data, image.grid.affine)
            for role, image in (("fixed", self.fixed), ("moving", self.moving))
        }


def load_inputs(inputs: Inputs, job: Job) -> Loaded:
    """Read everything that a registration needs.

    Args:
        inputs: The files.
        job: What is to be done with them.

    Returns:
        What they hold.

    Raises:
        FormatError: A file cannot be read, or holds a series.
        ConfigError: Landmarks are wanted and not given.
    """
    stays, moves = open_image(inputs.fixed), open_image(inputs.moving)
    noticed = (*_noticed("fixed", stays), *_noticed("moving", moves))
    fixed = _stacked(stays.read(), tuple(pair[0] for pair in inputs.pairs))
    moving = _stacked(moves.read(), tuple(pair[1] for pair in inputs.pairs))
    labels = None if inputs.labels is None else _read_both(inputs.labels)
    points = None
    if inputs.points is not None:
        points = (load_points(inputs.points[0]), load_points(inputs.points[1]))
        Guides(fixed_points=points[0], moving_points=points[1])
    return Loaded(
        fixed,
        moving,
        _guides(inputs, job, labels, points),
        labels,
        points,
        _init(job, points),
        (*noticed, *_remarks(job, labels, points)),
    )


def open_image(path: Path) -> io.Handle:
    """Open one image; a series is refused.

    Args:
        path: A file or a folder with one DICOM series.

    Returns:
        Its handle.

    Raises:
        FormatError: It cannot be opened, or has times.
    """
    handle = io.open(path)
    if handle.content.frames != 1:
        raise FormatError(
            f"{path.name!r} must hold one image, it holds {handle.content.frames} frames: a series "
            "is aligned with 'vesalius register series'"
        )
    return handle


def _noticed(side: str, handle: io.Handle) -> tuple[str, ...]:
    """Say what a reader noticed about a file: no spacing in it, a guess, a damaged header."""
    found = handle.findings
    return tuple(f"{side} image: {f.message}" for f in found if f.severity != "info")


def _read_both(paths: tuple[Path, Path]) -> tuple[Labels, Labels]:
    return io.open_labels(paths[0]), io.open_labels(paths[1])


def _stacked(image: Image, more: tuple[Path, ...]) -> Image:
    """Lay further images on the grid of the first, as channels."""
    if not more:
        return image
    parts = [image.data.float()]
    for path in more:
        other = open_image(path).read().map(lambda x: x.float())
        if other.data.shape[0] != 1:
            raise ShapeError(
                f"{path.name!r} must have one channel to be paired, got {other.data.shape[0]}"
            )
        parts.append(resample(other, image.grid).data)
    return Image(torch.cat(parts), image.grid, image.unit)


def _guides(
    inputs: Inputs,
    job: Job,
    labels: tuple[Labels, Labels] | None,
    points: tuple[Points, Points] | None,
) -> Guides:
    masks = [None if path is None else io.open_labels(path) for path in inputs.masks]
    weights = (1.0, *(pair[2] for pair in inputs.pairs)) if inputs.pairs else ()
    pull = job.guide or job.preset == "landmarks"
    if pull and labels is None and points is None:
        raise ConfigError(
            "labels or landmarks must be given to be followed, got neither: give --fixed-points "
            "and --moving-points, or --fixed-labels and --moving-labels"
        )
    led, marks = (labels, points) if pull else (None, None)
    return Guides(
        fixed_mask=masks[0],
        moving_mask=masks[1],
        fixed_points=None if marks is None else marks[0],
        moving_points=None if marks is None else marks[1],
        fixed_labels=None if led is None else led[0],
        moving_labels=None if led is None else led[1],
        channel_weights=weights,
        smoothing=job.smoothing,
    )


def _init(job: Job, points: tuple[Points, Points] | None) -> Init | Transform:
    start = job.start
    if start == "landmarks":
        if points is None:
            raise ConfigError(
                "init=landmarks needs landmarks in both images: give --fixed-points and "
                "--moving-points"
            )
        return fit_linear(points[0], points[1], model="rigid")
    if isinstance(start, str):
        return start  # type: ignore[return-value]
    total: Transform = Linear.identity()
    for path in start:
        total = total @ load(path)
    return total


def _remarks(
    job: Job, labels: tuple[Labels, Labels] | None, points: tuple[Points, Points] | None
) -> tuple[str, ...]:
    notes = []
    if job.guide and labels is not None:
        notes.append("Labels pulled the deformation: their overlap is no independent judge of it.")
    if (job.guide or job.preset == "landmarks" or job.start == "landmarks") and points is not None:
        notes.append("Landmarks pulled the transform: their error is no independent judge of it.")
    return tuple(notes)
