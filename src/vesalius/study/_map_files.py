"""Map files: the voxel-wise feature maps of a study, as NIfTI beside its tables."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vesalius.core import Image, Step
from vesalius.errors import OutputError, VesaliusError
from vesalius.io import save
from vesalius.measure import Config, feature_maps

FOLDER = "maps"
"""Where the maps go, inside the output folder."""


class NamedMask(NamedTuple):
    """A region: what it is called, the stem of its files, and its voxels (z, y, x)."""

    name: str
    stem: str
    mask: Tensor


class MapFiles(NamedTuple):
    """The files written, relative to the output folder, and what went wrong, in sentences."""

    files: tuple[str, ...]
    findings: tuple[str, ...]


def write_maps(
    image: Image,
    regions: Iterable[NamedMask],
    out: Path,
    *,
    config: Config,
    on_step: Callable[[Step], None] | None = None,
) -> MapFiles:
    """Map the features that ``config.maps`` names, region by region, and write each map.

    Args:
        image: One channel.
        regions: Where to map, on the grid of the image.
        out: The output folder; it exists.
        config: ``maps`` says what; nothing is done where it names no feature.
        on_step: Called as the maps are made.

    Returns:
        Names of the files (``maps/<stem>_<feature>.nii.gz``, float32, NaN outside the region),
        and a finding for each region that could not be mapped.

    Raises:
        OutputError: A file cannot be written.
    """
    if not config.maps.features:
        return MapFiles((), ())
    files: list[str] = []
    findings: list[str] = []
    for region in regions:
        try:
            files += _write_region(image, region, out, config=config, on_step=on_step)
        except OutputError:
            raise
        except VesaliusError as error:
            findings.append(f"{region.name}: no feature maps: {error}")
    return MapFiles(tuple(files), tuple(findings))


def _write_region(
    image: Image,
    region: NamedMask,
    out: Path,
    *,
    config: Config,
    on_step: Callable[[Step], None] | None,
) -> list[str]:
    wanted = config.maps
    maps = feature_maps(
        image,
        region.mask,
        features=wanted.features,
        radius=wanted.radius,
        config=config,
        on_step=on_step,
    )
    _make_folder(out / FOLDER)
    names = []
    for key, found in maps.items():
        name = f"{FOLDER}/{region.stem}_{key}.nii.gz"
        save(found.map(lambda x: x.float()), out / name)
        names.append(name)
    return names


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"folder {folder.name!r} for feature maps must be writable, it cannot be made: "
            f"{error.strerror}: choose another output folder with -o"
        ) from error
