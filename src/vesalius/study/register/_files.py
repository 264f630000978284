"""Files: transforms applied, composed, inverted and converted, from files to files."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vesalius import io
from vesalius.core import Composite, Grid, Linear, Points, Transform, resample_labels
from vesalius.errors import ConfigError
from vesalius.io import transforms
from vesalius.register._registration import pull
from vesalius.study.register._loaded import open_image

FLIRT, FREESURFER = ".mat", ".lta"


def open_transform(
    path: Path, *, fixed: Path | None = None, moving: Path | None = None
) -> Transform:
    """Read a transform file of any format.

    Args:
        path: The file.
        fixed: FSL's reference image; with ``moving``, a ``.mat`` is read as FLIRT's.
        moving: FSL's input image.

    Returns:
        Fixed world to moving world, mm, LPS.

    Raises:
        ConfigError: Only one of FSL's images is given.
        FormatError: The file is no transform.
    """
    grids = _flirt(fixed, moving)
    if grids is not None and path.suffix.lower() == FLIRT:
        return transforms.load_fsl(path, fixed=grids[0], moving=grids[1])
    return transforms.load(path)


def apply_to_image(
    transform: Transform,
    moving: Path,
    *,
    like: Path,
    out: Path,
    labels: bool = False,
    cubic: bool = False,
) -> None:
    """Pull an image of the moving world onto the grid of another, and write it.

    Args:
        transform: Fixed world to moving world.
        moving: Image or labels.
        like: Image whose grid is taken.
        out: The file to write.
        labels: Whether ``moving`` holds labels, which are never averaged.
        cubic: Cubic B-spline interpolation instead of linear.

    Raises:
        ConfigError: Labels are to be interpolated.
    """
    grid = io.open(like).grid
    if labels:
        if cubic:
            raise ConfigError("labels are never averaged: leave --cubic away")
        io.save(resample_labels(io.open_labels(moving), grid, transform=transform), out)
        return
    how: Literal["cubic", "linear"] = "cubic" if cubic else "linear"
    io.save(pull(open_image(moving).read(), grid, transform, interpolation=how), out)


def apply_to_points(transform: Transform, points: Path, out: Path) -> int:
    """Map points of the fixed world to the moving world, and write them.

    Args:
        transform: Fixed world to moving world.
        points: CSV that says its frame.
        out: CSV to write.

    Returns:
        How many there are.
    """
    found = transforms.load_points(points)
    moved = transform(found.data.double())
    transforms.save_points(Points(moved, found.names), out)
    return len(found)


def compose_files(
    paths: list[Path],
    out: Path,
    *,
    like: Path | None = None,
    fixed: Path | None = None,
    moving: Path | None = None,
) -> str:
    """Write one transform for several in a row; points go through the last one first.

    Args:
        paths: The files, outermost first.
        out: The file to write.
        like: Image on whose grid a dense result is sampled, where the format needs it.
        fixed: FSL's reference image.
        moving: FSL's input image.

    Returns:
        What was done, in words, with the same order for ANTs.

    Raises:
        ConfigError: Fewer than two are given, or several matrices of FLIRT.
    """
    if len(paths) < 2:
        raise ConfigError(f"at least two transforms are composed, got {len(paths)}")
    flirt = [path.name for path in paths if fixed is not None and _is_text_mat(path)]
    if len(flirt) > 1:
        raise ConfigError(
            "one matrix of FLIRT goes with one pair of images, got "
            f"{' and '.join(flirt)}: convert each with its own --fsl-ref and --fsl-in first"
        )
    parts = [open_transform(path, fixed=fixed, moving=moving) for path in paths]
    total = parts[0]
    for part in parts[1:]:
        total = total @ part
    _write(total, out, like, _flirt(fixed, moving))
    names = [path.name for path in paths]
    order = ", then ".join(reversed(names))
    # ANTs too lets points through its first -t first: measured with antspyx
    flags = " ".join(f"-t {name}" for name in reversed(names))
    return f"points go through {order}; equals `antsApplyTransforms {flags}`: {out}"


def invert_file(
    path: Path,
    out: Path,
    *,
    like: Path | None = None,
    fixed: Path | None = None,
    moving: Path | None = None,
) -> str:
    """Write the inverse of a transform.

    Args:
        path: The file.
        out: The file to write.
        like: Image on whose grid a dense inverse is sampled, where the format needs it.
        fixed: FSL's reference image.
        moving: FSL's input image.

    Returns:
        What was done, in words.
    """
    found = open_transform(path, fixed=fixed, moving=moving)
    grids = _flirt(fixed, moving)
    _write(found.inverse(), out, like, None if grids is None else (grids[1], grids[0]))
    return f"moving world to fixed world: {out}"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a file of a transform does not say of itself.

    Attributes:
        fixed: FSL's reference image; with ``moving``, a text ``.mat`` is FLIRT's. Of an ``.lta``
            file, which names both images, ``dst``.
        moving: FSL's input image; of an ``.lta`` file ``src``.
        plane: Whether ITK's transforms are written for 2-D images.
        greedy: Whether a text ``.mat`` is that of greedy or ITK-SNAP.
    """

    fixed: Path | None = None
    moving: Path | None = None
    plane: bool = False
    greedy: bool = False


PLAIN = Dialect()


def convert_file(
    path: Path, out: Path, *, like: Path | None = None, dialect: Dialect = PLAIN
) -> str:
    """Write a transform in another format.

    Args:
        path: The file.
        out: The file to write.
        like: Image on whose grid a dense field is sampled, where the format needs it.
        dialect: What the files do not say; of two ``.mat`` files a dialect of text is that of
            the one that is text.

    Returns:
        What was written, in words.
    """
    grids = _flirt(dialect.fixed, dialect.moving)
    text = _is_text_mat(path)
    if dialect.greedy and text:
        found: Transform = transforms.load_greedy(path)
    else:
        found = open_transform(
            path,
            fixed=dialect.fixed if text else None,
            moving=dialect.moving if text else None,
        )
    if dialect.greedy and not text and out.suffix.lower() == FLIRT:
        transforms.save_greedy(linear_of(found), out)
    else:
        asked = None if text and path.suffix == out.suffix else grids
        _write(found, out, like, asked, plane=dialect.plane)
    return f"fixed world to moving world, mm, LPS: {out}"


def _is_text_mat(path: Path) -> bool:
    if path.suffix.lower() != FLIRT:
        return False
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(4096)
    except OSError:
        return False  # whoever reads it says why it cannot be read


def _write(
    transform: Transform,
    out: Path,
    like: Path | None,
    grids: tuple[Grid, Grid] | None,
    *,
    plane: bool = False,
) -> None:
    if grids is not None and out.suffix.lower() == FLIRT:
        transforms.save_fsl(linear_of(transform), out, fixed=grids[0], moving=grids[1])
        return
    if grids is not None and out.suffix.lower() == FREESURFER:
        transforms.save(transform, out, like=grids[0], moving=grids[1])
        return
    grid = None if like is None else io.open(like).grid
    transforms.save(transform, out, like=grid, dimensions=2 if plane else 3)


def linear_of(transform: Transform) -> Linear:
    """Give the one matrix of a transform.

    Args:
        transform: Linear, or a row of linear ones.

    Returns:
        The linear transform.

    Raises:
        ConfigError: It bends.
    """
    if isinstance(transform, Linear):
        return transform
    if isinstance(transform, Composite):
        total = Linear.identity()
        for part in transform.parts:
            total = Linear(total.matrix @ linear_of(part).matrix)
        return total
    raise ConfigError(
        f"this format holds linear transforms alone, got {type(transform).__name__}: write .json, "
        ".h5 or .nii.gz"
    )


def _flirt(fixed: Path | None, moving: Path | None) -> tuple[Grid, Grid] | None:
    if fixed is None and moving is None:
        return None
    if fixed is None or moving is None:
        raise ConfigError("FSL's matrices need both images: give --fsl-ref and --fsl-in")
    return io.open(fixed).grid, io.open(moving).grid
