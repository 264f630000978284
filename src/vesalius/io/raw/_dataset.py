"""One dataset out of an HDF5 file: by hard links alone, unpacked within the budget."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import FormatError, OutputError
from vesalius.io._budget import Budget
from vesalius.io._chunks import read_chunks
from vesalius.io._hdf5 import FILTERS
from vesalius.io._samples import Array

TEXT_LIMIT = 1 << 24


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file; whatever goes wrong inside it is a FormatError.

    Args:
        path: A file.

    Yields:
        The open ``h5py.File``.

    Raises:
        FormatError: It is not HDF5, or damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (FormatError, OutputError, MemoryError):
        raise
    except ValueError as error:
        if type(error) is not ValueError:  # our own errors, of shapes and geometry, speak already
            raise
        raise _damaged(path, error) from error
    except Exception as error:  # h5py raises whatever the library says, by its number
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FormatError:
    said = (str(error).replace(str(path), path.name) or type(error).__name__).splitlines()[0]
    return FormatError(
        f"{path.name!r} must be a whole HDF5 file, it is not: {said}: the file is truncated or "
        "damaged, copy it again"
    )


def find(file: Any, name: str) -> Any | None:
    """Find a group or dataset; a link that leads elsewhere counts as absent.

    Args:
        file: An open ``h5py.File`` or group.
        name: Its path, parts separated by ``/``.

    Returns:
        The object, or ``None``.
    """
    import h5py

    here = file
    for part in name.split("/"):
        if not isinstance(here, h5py.Group) or part not in here:
            return None
        if here.get(part, getclass=True, getlink=True) is not h5py.HardLink:
            return None
        here = here[part]
    return here


def read_array(path: Path, dataset: Any, budget: Budget) -> Array:
    """Read a dataset of numbers whole.

    Args:
        path: Its file, for errors.
        dataset: An open h5py dataset, real or complex.
        budget: What it may cost.

    Returns:
        Its samples, in the file's number type.

    Raises:
        FormatError: It is not of numbers, lies in other files, is packed in an unknown way, or
            does not fit the budget.
    """
    import h5py

    name = f"{path.name}:{getattr(dataset, 'name', '').lstrip('/')}"
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iufcb":
        raise FormatError(f"{name!r} must be a dataset of numbers, it is not: check the file")
    plist = dataset.id.get_create_plist()
    codes = {int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())}
    if dataset.is_virtual or dataset.external or codes - FILTERS.keys():
        raise FormatError(
            f"{name!r} must hold its samples itself, unpacked or packed with "
            f"{', '.join(FILTERS.values())}: repack it with h5repack"
        )
    if dataset.shape == ():
        return np.asarray(dataset[()])
    needed = budget.check_size(name, dataset.shape, dataset.dtype.itemsize)
    if dataset.chunks is None:
        # an unwritten dataset would read as fill values
        budget.check_stored(name, needed, dataset.id.get_storage_size(), deflated=False)
        return np.asarray(dataset[...])
    return read_chunks(name, dataset, tuple(slice(0, n) for n in dataset.shape), budget)


def read_text(path: Path, dataset: Any) -> str:
    """Read one string.

    Args:
        path: Its file, for errors.
        dataset: An open h5py dataset with one string.

    Returns:
        The text; bytes that are not UTF-8 are replaced.

    Raises:
        FormatError: It is not one string, lies in another file, or is longer than 16 MiB.
    """
    import h5py

    own = isinstance(dataset, h5py.Dataset) and not (dataset.is_virtual or dataset.external)
    short = own and dataset.size == 1 and dataset.dtype.itemsize <= TEXT_LIMIT
    text = dataset[()] if short else None
    if isinstance(text, np.ndarray):
        text = text.ravel()[0]
    if isinstance(text, str):
        text = text.encode()
    if not isinstance(text, bytes) or len(text) > TEXT_LIMIT:
        raise FormatError(
            f"{path.name!r} must hold one text of at most 16 MiB where its header stands, "
            "it does not: check the file"
        )
    return text.decode("utf-8", errors="replace")


def read_word(group: Any, name: str) -> str:
    """Read an attribute that is one word; empty where there is none.

    Ours are of fixed length: the library itself can crash on a damaged one of variable length.
    """
    if name not in group.attrs:
        return ""
    value = group.attrs[name]
    return value.decode("ascii", errors="replace") if isinstance(value, bytes) else str(value)
