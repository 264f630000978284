"""ITK transforms in HDF5 (.h5): linear, B-spline, displacement, and composites of them."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vesalius._version import __version__
from vesalius.core import Transform
from vesalius.errors import FormatError
from vesalius.io._atomic import staged
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._chunks import read_chunks
from vesalius.io._transform_parts import (
    Array,
    Dimensions,
    Part,
    from_parts,
    split_name,
    to_parts,
)

GROUP = "TransformGroup"
# up to version 4.7 ITK wrote these names with a letter missing
PARAMETERS = ("TransformParameters", "TranformParameters")
FIXED = ("TransformFixedParameters", "TranformFixedParameters")
MOST = 1000
CHUNK = 1 << 16
PACKING: dict[str, Any] = {"chunks": (CHUNK,), "compression": 1, "shuffle": True}


def load_itk_hdf5(path: str | Path, *, budget: Budget = DEFAULT) -> Transform:
    """Read an ITK transform in HDF5, such as ``Composite.h5`` of ANTs or fMRIPrep.

    ITK maps points of the fixed world to the moving world in LPS mm, as here: nothing is inverted.

    Args:
        path: A .h5, .hdf5 or .hdf file.
        budget: What reading may cost.

    Returns:
        A Linear, BSpline or Displacement, or a Composite of them. A transform in two dimensions
        leaves S alone. Beyond the region of a B-spline, where ITK moves nothing, ours fades out.

    Raises:
        FormatError: The file is not an ITK transform in HDF5, is damaged, costs more than
            ``budget``, or holds a kind that is not known here.
    """
    import h5py

    file = Path(path)
    try:
        with h5py.File(file, "r") as opened:
            parts = list(_parts(file.name, opened, budget))
    except FormatError:
        raise
    except Exception as error:  # h5py raises whatever the library says, by its number
        if isinstance(error, MemoryError):
            raise
        reason = str(error).replace(str(file), file.name).splitlines() or [type(error).__name__]
        raise FormatError(
            f"{file.name!r} must be an ITK transform in HDF5, it is not: {reason[0]}: "
            "check that the file is complete and that its suffix is right"
        ) from error
    return from_parts(file.name, parts)


def save_itk_hdf5(transform: Transform, path: str | Path, *, dimensions: Dimensions = 3) -> None:
    """Write an ITK transform in HDF5; ITK, SimpleITK, ANTs and Slicer read it as it stands.

    Args:
        transform: Linear (written as AffineTransform), BSpline (surrounded by zeros, since ITK
            moves nothing where ours fades out), Displacement, or a Composite.
            A field keeps its number type; beyond its grid ITK moves nothing.
        path: Where it goes.
        dimensions: 2 writes a transform of the plane (L, P).

    Raises:
        FormatError: A transform has no place in this format.
        OutputError: The folder is absent or not writable.
    """
    import h5py

    file = Path(path)
    parts = to_parts(file.name, transform, dimensions)
    with staged(file) as stage, h5py.File(stage, "w") as made:
        made["ITKVersion"] = _text("5.4.0")
        made["HDFVersion"] = _text(f"HDF5 library version: {h5py.version.hdf5_version}")
        made["OSName"], made["OSVersion"] = _text(f"vesalius {__version__}"), _text("")
        for number, part in enumerate(parts):
            group = made.create_group(f"{GROUP}/{number}")
            n = part.dimension
            group["TransformType"] = _text(f"{part.kind}_double_{n}_{n}")
            if part.kind == "CompositeTransform":
                continue
            group.create_dataset(FIXED[0], data=part.fixed)
            packing = PACKING if part.parameters.size >= CHUNK else {}
            group.create_dataset(PARAMETERS[0], data=part.parameters, **packing)


def _text(value: str) -> Array:
    return np.array([value.encode()], dtype=object)


def _parts(file: str, opened: Any, budget: Budget) -> Iterator[Part]:
    group = _own(file, opened, GROUP)
    names = sorted(group, key=lambda name: (len(name), name))
    if len(names) > MOST or names != [str(k) for k in range(len(names))]:
        raise FormatError(
            f"{file!r} must number its transforms 0, 1, 2, ..., at most {MOST}, it has "
            f"{len(names)} named {', '.join(names[:3])}: the file is damaged"
        )
    for name in names:
        entry = _own(file, group, name)
        kind, dimension = split_name(file, _type(file, _own(file, entry, "TransformType")))
        numbers = np.empty(0)
        lists = (_numbers(file, entry, key, budget, numbers) for key in (PARAMETERS, FIXED))
        yield Part(kind, dimension, *lists)


def _own(file: str, group: Any, name: str) -> Any:
    """Follow a hard link, so that nothing leads out of the file."""
    import h5py

    link = group.get(name, getclass=True, getlink=True) if name in group else None
    if link is not h5py.HardLink:
        raise FormatError(
            f"{file!r} must hold {name!r} itself to be an ITK transform, it does not: "
            "the file is damaged, or it is other HDF5"
        )
    return group[name]


def _type(file: str, dataset: Any) -> str:
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1:
        raise FormatError(f"{file!r} must hold one text as TransformType, it does not: damaged")
    value = np.asarray(dataset[()]).reshape(-1)[0]
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _numbers(
    file: str, entry: Any, names: tuple[str, ...], budget: Budget, default: Array
) -> Array:
    import h5py

    name = next((one for one in names if one in entry), "")
    if not name:
        return default
    dataset = _own(file, entry, name)
    fits = isinstance(dataset, h5py.Dataset) and dataset.ndim == 1
    if (
        not fits
        or dataset.dtype.str[1:] not in ("f4", "f8")
        or dataset.is_virtual
        or dataset.external
    ):
        raise FormatError(
            f"{file!r} must hold {name} as one row of float32 or float64 in the file itself, "
            "it does not: the file is damaged"
        )
    if not dataset.size:
        return default
    budget.check_size(file, dataset.shape, dataset.dtype.itemsize)
    if dataset.chunks is None:
        found = dataset[()]
    else:
        found = read_chunks(file, dataset, (slice(0, dataset.size),), budget)
    return np.asarray(found, dtype=found.dtype.newbyteorder("="))
