"""Data Exchange HDF5: how synchrotrons write tomography; and simulated scans, the same way."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from vesalius.errors import FormatError
from vesalius.io._atomic import staged
from vesalius.io._budget import Budget
from vesalius.io._samples import Array, to_tensor
from vesalius.io.raw._dataset import find, opened, read_array, read_word
from vesalius.io.raw._projections import RawProjections, as_views
from vesalius.physics.ct import Geometry
from vesalius.physics.ct._geometry import Beam
from vesalius.physics.ct._projections import Quantity

VECTORS = ("source", "centre", "u", "v", "angles_deg")
SCALARS = ("shape", "middle", "arc_mm", "isocentre_mm", "axis")


def open_exchange(path: Path, assume: Quantity, budget: Budget) -> RawProjections:
    """Read a Data Exchange file; see ``open_projections``.

    Raises:
        FormatError: It is damaged or holds no ``exchange/data``.
    """
    with opened(path) as file:
        data = find(file, "exchange/data")
        if data is None:
            raise FormatError(
                f"{path.name!r} must hold views in exchange/data (Data Exchange), it holds "
                f"{', '.join(sorted(file)[:8]) or 'nothing'}: for k-space call io.raw.open_kspace"
            )
        named = read_word(data, "quantity")
        counts = as_views(path.name, to_tensor(read_array(path, data, budget)))
        quantity: Quantity = assume
        for word in get_args(Quantity):
            quantity = word if word == named else quantity
        return RawProjections(
            counts,
            _frames(path, file, "exchange/data_white", budget),
            _frames(path, file, "exchange/data_dark", budget),
            _angles(path, file, budget),
            _geometry(path, file, budget),
            quantity,
        )


def save_exchange(raw: RawProjections, path: Path, title: str) -> None:
    """Write a Data Exchange file; see ``save_projections``."""
    import h5py

    with staged(path) as stage, h5py.File(stage, "w") as file:
        file["implements"] = "exchange:measurement"
        exchange = file.create_group("exchange")
        if title:
            exchange["title"] = title
        data = exchange.create_dataset("data", data=_numpy(raw.counts))
        data.attrs["axes"] = np.bytes_("theta:y:x")
        data.attrs["quantity"] = np.bytes_(raw.quantity)
        data.attrs["units"] = np.bytes_("counts" if raw.quantity == "counts" else "1")
        for name, frames in (("data_white", raw.flats), ("data_dark", raw.darks)):
            if frames is not None:
                exchange.create_dataset(name, data=_numpy(frames)).attrs["axes"] = np.bytes_(
                    "theta:y:x"
                )
        if raw.angles_deg is not None:
            exchange.create_dataset("theta", data=_numpy(raw.angles_deg))
            exchange["theta"].attrs["units"] = np.bytes_("degrees")
        if raw.geometry is not None:
            _put_geometry(file.create_group("geometry"), raw.geometry)


def _put_geometry(group: Any, geometry: Geometry) -> None:
    group.attrs["convention"] = np.bytes_("LPS, mm; vesalius.physics.ct.Geometry")
    group.attrs["beam"] = np.bytes_(geometry.beam)
    for name in SCALARS:
        group.attrs[name] = getattr(geometry, name)
    for name in VECTORS:
        group.create_dataset(name, data=_numpy(getattr(geometry, name)))


def _numpy(data: Tensor) -> Array:
    return data.detach().cpu().contiguous().numpy()


def _frames(path: Path, file: Any, name: str, budget: Budget) -> Tensor | None:
    found = find(file, name)
    if found is None or 0 in getattr(found, "shape", ()):
        return None
    samples = to_tensor(read_array(path, found, budget))
    return as_views(path.name, samples)


def _angles(path: Path, file: Any, budget: Budget) -> Tensor | None:
    found = find(file, "exchange/theta")
    if found is None or 0 in getattr(found, "shape", ()):
        return None
    unit = read_word(found, "units")
    angles = to_tensor(read_array(path, found, budget)).double().reshape(-1)
    return torch.rad2deg(angles) if unit.lower().startswith("rad") else angles


def _geometry(path: Path, file: Any, budget: Budget) -> Geometry | None:
    group = find(file, "geometry")
    if group is None or "convention" not in group.attrs:
        return None
    beams: dict[str, Beam] = {word: word for word in get_args(Beam)}
    told = {name: np.ravel(group.attrs.get(name, ())).tolist() for name in SCALARS}
    sizes = {name: len(value) for name, value in told.items()}
    arrays = {name: find(group, name) for name in VECTORS}
    if (
        sizes != {"shape": 2, "middle": 2, "arc_mm": 1, "isocentre_mm": 3, "axis": 3}
        or read_word(group, "beam") not in beams
        or any(array is None for array in arrays.values())
    ):
        raise FormatError(
            f"{path.name!r} must hold its geometry whole (beam, {', '.join(SCALARS)}, "
            f"{', '.join(VECTORS)}), it does not: write it again with io.raw.save_projections"
        )
    tensors = {name: to_tensor(read_array(path, one, budget)) for name, one in arrays.items()}
    rows, columns = (int(n) for n in told["shape"])
    (r, c), (a, b, d), (e, f, g) = told["middle"], told["isocentre_mm"], told["axis"]
    return Geometry(
        beam=beams[read_word(group, "beam")],
        source=tensors["source"],
        centre=tensors["centre"],
        u=tensors["u"],
        v=tensors["v"],
        shape=(rows, columns),
        middle=(float(r), float(c)),
        angles_deg=tensors["angles_deg"],
        arc_mm=float(told["arc_mm"][0]),
        isocentre_mm=(float(a), float(b), float(d)),
        axis=(float(e), float(f), float(g)),
    )
