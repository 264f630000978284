"""NumPy files: .npy and .npz, never pickled objects, sizes checked before anything is allocated."""
# SPDX-License-Identifier: Apache-2.0

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._samples import Array, to_tensor
from vesalius.io.raw._projections import RawProjections, as_views
from vesalius.physics.ct._projections import Quantity

NAMES = ("data", "flats", "darks", "angles_deg")


def open_numpy(path: Path, assume: Quantity, budget: Budget) -> RawProjections:
    """Read views from .npy or .npz; see ``open_projections``.

    Raises:
        FormatError: It is damaged or holds no views.
    """
    arrays = load_arrays(path, budget)
    known = {name: arrays[name] for name in NAMES if name in arrays}
    if "data" not in known:
        raise FormatError(
            f"{path.name!r} must hold an array 'data' (view, row, column), it holds "
            f"{', '.join(arrays) or 'none'}: save it with numpy.savez(path, data=..., flats=...)"
        )
    angles = known.pop("angles_deg", None)
    parts = {name: as_views(path.name, tensor_of(path, value)) for name, value in known.items()}
    return RawProjections(
        parts["data"],
        parts.get("flats"),
        parts.get("darks"),
        None if angles is None else tensor_of(path, angles).double().reshape(-1),
        quantity=assume,
    )


def tensor_of(path: Path, array: Array) -> Tensor:
    """Hand numbers over to torch.

    Raises:
        FormatError: The array is not of numbers.
    """
    if array.dtype.kind == "c" and array.dtype.itemsize in (8, 16):
        native = array.astype(array.dtype.newbyteorder("="))
        return torch.from_numpy(np.ascontiguousarray(native))
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise FormatError(
            f"{path.name!r} must hold numbers of at most 64 bits, it holds {array.dtype}: "
            "convert it first"
        )
    return to_tensor(array)


def load_arrays(path: Path, budget: Budget) -> dict[str, Array]:
    """Read every array of a NumPy file.

    Args:
        path: A .npy file, whose array is called ``data``, or a .npz file.
        budget: What it may cost.

    Returns:
        The arrays by name.

    Raises:
        FormatError: It is damaged, holds objects, or does not fit the budget.
    """
    try:
        if path.suffix.lower() == ".npy":
            # mapped, not read: the size is compared with the file's before anything is allocated
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            budget.check_size(path.name, mapped.shape or (1,), mapped.dtype.itemsize)
            return {"data": np.array(mapped)}
        with zipfile.ZipFile(path) as archive:
            return _members(path, archive, budget)
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # zip, deflate and the header's parser raise what they meet
        said = (str(error).replace(str(path), path.name) or type(error).__name__).splitlines()[0]
        raise FormatError(
            f"{path.name!r} must be a whole NumPy file of numbers, it is not: {said}: "
            "the file is truncated or damaged, or holds Python objects, which are never loaded"
        ) from error


def _members(path: Path, archive: zipfile.ZipFile, budget: Budget) -> dict[str, Array]:
    inside = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    budget.check_size(path.name, (sum(info.file_size for info in inside) or 1,), 1)
    found = {}
    for info in inside:
        budget.check_growth(path.name, info.file_size, info.compress_size)
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, kind = header(file)
            needed = budget.check_size(path.name, shape or (1,), kind.itemsize)
            budget.check_stored(path.name, needed, info.file_size, deflated=False)
        with archive.open(info) as file:
            found[info.filename.removesuffix(".npy")] = np.lib.format.read_array(
                file, allow_pickle=False
            )
    return found
