"""Map files: the voxel-wise feature maps of a study, as NIfTI beside its tables."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import OutputError, VesaliusError
from vesalius.io import save
from vesalius.measure import Config, feature_maps

FOLDER = "maps"
"""Where the maps go, inside the output folder."""


class Mapped(NamedTuple):
    """A region to map: what it is called, the stem of its files, and where it is."""

    name: str
    stem: str
    value: int
    layer: int = 0


class MapFiles(NamedTuple):
    """The files written, relative to the output folder, and what went wrong, in sentences."""

    files: tuple[str, ...]
    findings: tuple[str, ...]


def write_maps(
    image: Image,
    labels: Labels,
    *,
    regions: Sequence[Mapped],
    out: Path,
    config: Config,
    on_step: Callable[[Step], None] | None = None,
) -> MapFiles:
    """Map the features that ``config.maps`` names, region by region, and write each map.

    Args:
        image: One channel.
        labels: Regions on the same grid.
        regions: Those to map.
        out: The output folder; it exists.
        config: ``maps`` says what; nothing is done where it names no feature.
        on_step: Called when the maps of a region begin, and when all are done.

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
    for done, region in enumerate(regions):
        if on_step is not None:
            on_step(Step(f"maps: {region.name}", done, len(regions)))
        try:
            maps = _maps(image, labels.mask(region.value, region.layer), config)
        except VesaliusError as error:
            findings.append(f"{region.name}: no feature maps: {error}")
            continue
        files += [_write(found, out, f"{region.stem}_{key}") for key, found in maps.items()]
    if on_step is not None:
        on_step(Step("maps", len(regions), len(regions)))
    return MapFiles(tuple(files), tuple(findings))


def _maps(image: Image, mask: Tensor, config: Config) -> dict[str, Image]:
    wanted = config.maps
    return feature_maps(image, mask, features=wanted.features, radius=wanted.radius, config=config)


def _write(found: Image, out: Path, stem: str) -> str:
    folder = out / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"folder {FOLDER!r} for feature maps must be writable, it cannot be made: "
            f"{error.strerror}: choose another output folder with -o"
        ) from error
    save(found.map(lambda x: x.float()), folder / f"{stem}.nii.gz")
    return f"{FOLDER}/{stem}.nii.gz"
