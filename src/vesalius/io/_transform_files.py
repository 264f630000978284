"""Files of transforms by suffix, and the sets of files that ANTs writes."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Sequence
from pathlib import Path

from vesalius.core import Composite, Displacement, Grid, Linear, Transform
from vesalius.errors import FormatError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._transform_field import IMAGES, load_field, save_field
from vesalius.io._transform_fsl import load_fsl
from vesalius.io._transform_hdf5 import load_itk_hdf5, save_itk_hdf5
from vesalius.io._transform_json import holds, load_json, save_json
from vesalius.io._transform_lta import load_lta, save_lta
from vesalius.io._transform_matlab import (
    as_linear,
    is_flirt,
    load_itk_mat,
    read_bytes,
    save_itk_mat,
)
from vesalius.io._transform_parts import Dimensions, flatten, holds_parts
from vesalius.io._transform_text import load_itk_text, save_itk_text

TEXT, HDF5 = (".tfm", ".txt"), (".h5", ".hdf5", ".hdf")
SUFFIXES = (".json", *TEXT, *HDF5, ".mat", ".lta", *IMAGES)
INVERTED = re.compile(r"\[\s*(?P<file>.+?)\s*,\s*(?P<flag>[01])\s*\]")


def load(
    path: str | Path,
    *,
    fixed: Grid | None = None,
    moving: Grid | None = None,
    budget: Budget = DEFAULT,
) -> Transform:
    """Read a transform; the suffix, and for .mat the content, names the format.

    Whatever the file's own direction and frame, the result leads from the fixed to the moving
    world in LPS mm: ITK and ANTs files do so as they stand, FLIRT and FreeSurfer lead the other
    way and are turned round.

    Args:
        path: .json (the house's own), .tfm or .txt (ITK text), .h5, .hdf5 or .hdf (ITK), .mat
            (ITK and ANTs, or FLIRT), .lta (FreeSurfer); or an image of ITK displacement vectors
            (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd).
        fixed: Grid of the fixed image (FLIRT's ``-ref``); FLIRT matrices alone need it.
        moving: Grid of the moving image (FLIRT's ``-in``); likewise.
        budget: What reading may cost.

    Returns:
        The transform.

    Raises:
        FormatError: The suffix is unknown, the file is damaged, or a FLIRT matrix comes without
            grids.
    """
    file = Path(path)
    suffix = _suffix(file)
    if suffix == ".json":
        return load_json(file, budget=budget)
    if suffix in TEXT:
        return load_itk_text(file, budget=budget)
    if suffix in HDF5:
        return load_itk_hdf5(file, budget=budget)
    if suffix == ".lta":
        return load_lta(file).transform
    if suffix in IMAGES:
        return load_field(file, budget=budget)
    return _load_mat(file, fixed, moving)


def save(
    transform: Transform,
    path: str | Path,
    *,
    like: Grid | None = None,
    moving: Grid | None = None,
    dimensions: Dimensions = 3,
) -> None:
    """Write a transform in the format that the suffix names; the file appears whole or not at all.

    ``.json`` keeps every transform of ``core`` bit by bit. What a format cannot hold as it is goes
    through ``to_field(like)`` and becomes a field of displacement.

    Args:
        transform: Fixed to moving world.
        path: Where it goes; ``.mat`` is that of ITK and ANTs (``save_fsl`` writes FLIRT's).
        like: Fixed grid, on which displacement is sampled where that is needed; and ``dst`` of an
            .lta file. Not needed otherwise.
        moving: Moving grid, ``src`` of an .lta file. Not needed otherwise.
        dimensions: 2 writes transforms of ITK and ANTs in the plane (L, P).

    Raises:
        FormatError: The suffix is unknown, the format cannot hold the transform, or a grid that
            it needs is not given.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    suffix = _suffix(file)
    if suffix == ".json":
        save_json(_sampled(transform, like, kept=holds(transform)), file)
    elif suffix in TEXT or suffix in HDF5:
        kept = _sampled(transform, like, kept=holds_parts(transform))
        write = save_itk_text if suffix in TEXT else save_itk_hdf5
        write(kept, file, dimensions=dimensions)
    elif suffix == ".mat":
        save_itk_mat(transform, file, dimensions=dimensions)
    elif suffix == ".lta":
        if like is None or moving is None:
            raise FormatError(
                f"{file.name!r} must name both grids to be an .lta file: give like=, the fixed "
                "grid, and moving= (in a shell: --fsl-ref and --fsl-in)"
            )
        save_lta(transform, file, fixed=like, moving=moving)
    else:
        save_field(_field(file.name, transform, like), file, dimensions=dimensions)


def load_ants(files: Sequence[str | Path], *, budget: Budget = DEFAULT) -> Transform:
    """Read the files of ANTs in the order of ``antsApplyTransforms -t``.

    Points of the fixed world go through the first file first: ``load_ants(["1Warp.nii.gz",
    "0GenericAffine.mat"])`` is affine @ warp, fixed to moving. The inverse is
    ``load_ants(["[0GenericAffine.mat,1]", "1InverseWarp.nii.gz"])``.

    Args:
        files: Each a path, or ``"[path,1]"`` for the inverse of a linear one; ``"[path,0]"`` is
            the path.
        budget: What reading may cost, each file.

    Returns:
        The transform; a Composite where there are several.

    Raises:
        FormatError: There is no file, one is damaged, or the inverse of a field is asked for.
    """
    if not files:
        raise FormatError("files must name at least one transform of ANTs, got none")
    parts = [_load_one(str(file), budget) for file in files]
    # the last of ours acts first, the first of theirs
    return parts[0] if len(parts) == 1 else Composite(tuple(reversed(parts)))


def save_ants(
    transform: Transform,
    prefix: str | Path,
    *,
    like: Grid | None = None,
    dimensions: Dimensions = 3,
) -> tuple[Path, ...]:
    """Write a transform as files of ANTs: ``PREFIX0GenericAffine.mat``, ``PREFIX1Warp.nii.gz``.

    Args:
        transform: Linear parts are folded where they meet; other parts become fields.
        prefix: Folder and beginning of the names.
        like: Grid of the fields, for parts other than Linear and Displacement.
        dimensions: 2 writes what ANTs takes with ``-d 2``.

    Returns:
        The files in the order of ``antsApplyTransforms -t``: points go through the first first.

    Raises:
        FormatError: A part needs ``like``.
        OutputError: The folder is absent or not writable.
    """
    runs: list[Transform] = []  # outermost first
    for part in flatten(transform):
        if isinstance(part, Linear) and runs and isinstance(runs[-1], Linear):
            runs[-1] = as_linear("", Composite((runs[-1], part)))
        else:
            runs.append(part)
    files = []
    for number, part in enumerate(runs):
        linear = isinstance(part, Linear)
        name = f"{Path(prefix)}{number}{'GenericAffine.mat' if linear else 'Warp.nii.gz'}"
        save(part, name, like=like, dimensions=dimensions)
        files.append(Path(name))
    return tuple(reversed(files))


def _suffix(file: Path) -> str:
    name = file.name.lower()
    fitting = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    if not fitting:
        raise FormatError(
            f"a transform must end in one of {', '.join(SUFFIXES)}, got {file.name!r}: "
            "choose a format by its suffix"
        )
    return max(fitting, key=len)


def _load_mat(file: Path, fixed: Grid | None, moving: Grid | None) -> Transform:
    if not is_flirt(read_bytes(file)):
        return load_itk_mat(file)
    if fixed is None or moving is None:
        raise FormatError(
            f"{file.name!r} must come with both grids to be read as a matrix of FLIRT, which "
            "means nothing without them: give fixed= (of -ref) and moving= (of -in); if greedy or "
            "ITK-SNAP wrote it, call load_greedy (in a shell: --fsl-ref and --fsl-in, or vesalius "
            "transform convert --greedy)"
        )
    return load_fsl(file, fixed=fixed, moving=moving)


def _sampled(transform: Transform, like: Grid | None, *, kept: bool) -> Transform:
    return transform if kept or like is None else transform.to_field(like)


def _field(file: str, transform: Transform, like: Grid | None) -> Displacement:
    if like is not None:
        return transform.to_field(like)
    if isinstance(transform, Displacement):
        return transform
    raise FormatError(
        f"{file!r} can hold a field of displacement alone, got {type(transform).__name__}: "
        "give like= (in a shell: --like), the grid to sample it on"
    )


def _load_one(text: str, budget: Budget) -> Transform:
    found = INVERTED.fullmatch(text.strip())
    made = load(found["file"] if found else text, budget=budget)
    if not found or found["flag"] == "0":
        return made
    if not isinstance(made, Linear):
        raise FormatError(
            f"{Path(found['file']).name!r} must be linear to be inverted by ',1', it is a "
            f"{type(made).__name__}: name the file of the inverse, such as 1InverseWarp.nii.gz"
        )
    return made.inverse()
