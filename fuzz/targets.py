"""Targets: what the fuzzers run on damaged bytes; only an error of our own may come out."""
# SPDX-License-Identifier: Apache-2.0

import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

from phantoms_io import make_phantom

import seeds
from vesalius import io
from vesalius.core import Grid
from vesalius.errors import VesaliusError
from vesalius.io._archive import ARCHIVES
from vesalius.io._open import OUTLINES, READERS
from vesalius.io._save import WRITERS
from vesalius.io.dicom._csa import parse_csa

BUDGET = io.Budget(bytes=1 << 26, voxels=1 << 25, free_bytes=1 << 24, files=1000)
ALIASES = (".tiff", ".btf", ".svs", ".jpeg", ".mrcs", ".map", ".ccp4", ".hdf5", ".mgh.gz")
"""Suffixes of a format that has another one here."""
GRID = Grid.from_spacing((8, 16, 16), origin_mm=(-10.0, 20.0, 30.5))
"""Where outlines are drawn; the square of the seeds lies on it."""
CORPUS = Path(__file__).parent / "corpus"
SECONDS = 2.0


@final
@dataclass(frozen=True, slots=True)
class Target:
    """One way into the library.

    Attributes:
        name: What ``--target`` calls it.
        seeds: Gives valid inputs.
        run: Takes an input and an empty folder, and reads it.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes, Path], None]


def attempt(target: Target, data: bytes, folder: Path) -> str:
    """Run a target on an input.

    Args:
        target: What to run.
        data: The input.
        folder: An empty folder for its files; emptied afterwards.

    Returns:
        What the error said, empty where the input was read.

    Raises:
        AssertionError: The error tells where the file lies.
    """
    said = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.run(data, folder)
    except VesaliusError as error:
        said = str(error)
    finally:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert str(folder) not in said, f"the error tells where the file lies: {said}"
    return said


def kept(target: Target) -> list[bytes]:
    """Give the inputs that once broke a target, kept as hexadecimal text."""
    files = sorted(CORPUS.glob(f"{target.name}-*.hex"))
    return [bytes.fromhex(path.read_text(encoding="ascii")) for path in files]


def targets() -> dict[str, Target]:
    """Give every target by name: each reader, aliases left out, and what lies deeper."""
    suffixes = [suffix for suffix in (*READERS, ".dcm", *OUTLINES) if suffix not in ALIASES]
    found = [_of_suffix(suffix) for suffix in suffixes]
    found += [_of_suffix(suffix) for suffix in ARCHIVES if suffix in seeds.MAKERS]
    found.append(Target("rtstruct", cache(lambda: seeds.of_suffix("rtstruct")), _run_labels))
    found.append(Target("dicomdir", cache(lambda: seeds.of_suffix("DICOMDIR")), _run_disc))
    found.append(Target("csa", seeds.csa, lambda data, _: (parse_csa(data), None)[1]))
    if ".zarr" in WRITERS:
        found += [_of_zarr(name) for name in _zarr_files()]
    return {target.name: target for target in found}


def _of_suffix(suffix: str) -> Target:
    def run(data: bytes, folder: Path) -> None:
        path = folder / f"a{suffix}"
        path.write_bytes(data)
        packed = ".gz" if suffix.endswith(".gz") else ""
        if suffix in (".hdr", ".hdr.gz"):
            (folder / f"a.img{packed}").write_bytes(seeds.of_suffix(f".img{packed}")[0])
        elif suffix in (".img", ".img.gz"):
            (folder / f"a.hdr{packed}").write_bytes(_header(packed))
        elif suffix in (".nhdr", ".mhd"):
            beside = "a.raw" if suffix == ".mhd" else "a.nhdr.raw"
            (folder / beside).write_bytes(bytes(480))
        if suffix in OUTLINES:
            _draw(path)
        else:
            _read(path)

    return Target(suffix.strip("."), cache(lambda: seeds.of_suffix(suffix)), run)


@cache
def _header(packed: str) -> bytes:
    return seeds.of_suffix(f".hdr{packed}")[0]


def _read(path: Path) -> None:
    for handle in io.scan(path, budget=BUDGET)[:4]:
        if handle.content.frames == 1:
            handle.read()
        else:
            handle.read_series()


def _draw(path: Path) -> None:
    io.open_labels(path, like=GRID, budget=BUDGET)


def _run_labels(data: bytes, folder: Path) -> None:
    (folder / "a.dcm").write_bytes(data)
    _draw(folder / "a.dcm")


def _run_disc(data: bytes, folder: Path) -> None:
    image = folder / "PT000000" / "ST000000" / "SE000000" / "IM000000"
    image.parent.mkdir(parents=True)
    image.write_bytes(_slice())
    (folder / "DICOMDIR").write_bytes(data)
    _read(folder / "DICOMDIR")


@cache
def _slice() -> bytes:
    return seeds.of_suffix(".dcm")[0]


@cache
def _zarr() -> dict[str, bytes]:
    with TemporaryDirectory() as name:
        root = Path(name) / "a.zarr"
        io.save(make_phantom(), root)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _zarr_files() -> list[str]:
    """Give the texts of a small volume, and the first of its chunks."""
    texts = [name for name in _zarr() if name.endswith((".json", ".zattrs", ".zarray"))]
    return texts + [name for name in _zarr() if name not in texts][:1]


def _of_zarr(name: str) -> Target:
    def run(data: bytes, folder: Path) -> None:
        for inner, intact in _zarr().items():
            path = folder / "a.zarr" / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if inner == name else intact)
        _read(folder / "a.zarr")

    return Target(f"zarr.{name.replace('/', '.')}", lambda: [_zarr()[name]], run)
