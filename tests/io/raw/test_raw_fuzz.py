"""Damaged raw files: whatever bytes change, a typed error comes, or arrays of the right kind."""

import random
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from test_kspace_file import COILS, NX, NY, all_lines, random_kspace, write_ismrmrd

from vesalius.errors import VesaliusError
from vesalius.io import Budget
from vesalius.io.raw import (
    RawKSpace,
    RawProjections,
    Scanner,
    open_geometry,
    open_kspace,
    open_projections,
    save_geometry,
    save_projections,
)
from vesalius.physics.ct import Projections, cone

SMALL = Budget(bytes=1 << 24, voxels=1 << 22)
VIEWS = np.arange(60, dtype=np.float32).reshape(4, 3, 5)


def scan() -> Projections:
    angles = torch.tensor([0.0, 30.0, 77.0, 200.0])
    geometry = cone(angles, shape=(3, 5), pitch_mm=(1, 2), source_mm=50, detector_mm=90)
    return Projections(torch.from_numpy(VIEWS), geometry)


def write(path: Path) -> None:
    if path.name == "exchange.h5":
        save_projections(scan(), path)
    elif path.name == "ismrmrd.h5":
        write_ismrmrd(path, all_lines(random_kspace(COILS, NY, NX)))
    elif path.suffix == ".npy":
        np.save(path, VIEWS)
    elif path.suffix == ".npz":
        np.savez_compressed(path, data=VIEWS, flats=VIEWS[:1])
    elif path.suffix == ".tif":
        tifffile.imwrite(path, VIEWS, photometric="minisblack")
    elif path.suffix == ".hdr":
        path.write_text("# Dimensions\n5 3 1 4 1\n")
        random_kspace(4, 3, 5).tofile(path.with_suffix(".cfl"))
    else:
        save_geometry(Scanner(scan().geometry), path)


def read(path: Path) -> RawProjections | RawKSpace | Scanner:
    if path.suffix == ".yaml":
        return open_geometry(path)
    if path.name == "ismrmrd.h5" or path.suffix == ".hdr":
        return open_kspace(path, budget=SMALL)
    return open_projections(path, budget=SMALL)


NAMES = ["exchange.h5", "ismrmrd.h5", "a.npy", "a.npz", "a.tif", "a.hdr", "a.yaml"]


# the HDF5 library itself may crash on a damaged heap, where ISMRMRD keeps all its samples
@pytest.mark.parametrize("name", [name for name in NAMES if name != "ismrmrd.h5"])
def test_changed_bytes_give_a_typed_error_or_arrays(tmp_path, name):
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    draw = random.Random(7)
    refused = 0
    for _ in range(60):
        changed = bytearray(whole)
        for _ in range(draw.choice([1, 3, 20])):
            # headers stand in front: half of the changes go there
            end = draw.choice([min(256, len(changed)), len(changed)])
            changed[draw.randrange(end)] = draw.randrange(256)
        path.write_bytes(bytes(changed))
        try:
            found = read(path)
        except VesaliusError:
            refused += 1
            continue
        if isinstance(found, RawProjections):
            assert found.counts.ndim == 3
    assert refused > 0


# the end of BART's header is optional ones: a cut there is no damage
@pytest.mark.parametrize("name", [name for name in NAMES if name != "a.hdr"])
def test_any_cut_gives_a_typed_error(tmp_path, name):
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:size])
        with pytest.raises(VesaliusError):
            read(path)
