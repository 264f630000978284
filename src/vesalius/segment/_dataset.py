"""Dataset: a folder of images and labels, as cases that are read one at a time and checked."""
# SPDX-License-Identifier: Apache-2.0

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, final

import torch

from vesalius import io
from vesalius.core import Image, Labels, differences
from vesalius.errors import (
    ConfigError,
    FormatError,
    GeometryError,
    IntensityError,
    RegionError,
    ShapeError,
    VesaliusError,
)

Layout = Literal["folders", "nnU-Net"]

IMAGES = ("images", "image", "imagesTr")
UNLABELLED = ("imagesUn", "unlabelled", "unlabeled")
"""Folders of images that have no labels at all; those of ``images/`` may lack them, too."""
LABELS = ("labels", "label", "masks", "labelsTr")
REGIONS = ("regions", "region", "fov")
ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_gt")
"""What the name of a label file may have behind the name of its image."""
LARGEST = 1 << 30
"""Largest label value: room is left in 32 bits for what is not known, and for sums."""
_CHANNEL = re.compile(r"(.+)_(\d{4})$")


@final
@dataclass(frozen=True, slots=True)
class Case:
    """One image of a data set, with what is known about it; nothing is read yet.

    Attributes:
        name: Of the case, the same in all folders.
        images: One file for each channel, or one file with all of them.
        labels: The truth; none where the case has no labels.
        region: Where the truth is known; none where it is known everywhere.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path | None = None
    region: Path | None = None


@final
@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of cases.

    Attributes:
        name: Of the data set.
        cases: In the order of their names.
        layout: How the folder is laid out.
        channels: Names of the channels; empty where nothing says them.
        names: Label values and their names, background left out; empty where nothing says them.
        ignore: Label value that means "not known"; -1 for none.
        licence: What ``dataset.json`` says; empty otherwise.
        reference: Where the data come from; empty where nothing says it.
    """

    name: str
    cases: tuple[Case, ...]
    layout: Layout = "folders"
    channels: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    ignore: int = -1
    licence: str = ""
    reference: str = ""

    @property
    def labelled(self) -> tuple[Case, ...]:
        """The cases with labels."""
        return tuple(case for case in self.cases if case.labels is not None)

    @property
    def unlabelled(self) -> tuple[Case, ...]:
        """The cases without."""
        return tuple(case for case in self.cases if case.labels is None)

    def case(self, name: str) -> Case:
        """Find a case by its name.

        Args:
            name: Of the case.

        Raises:
            ConfigError: There is none of that name.
        """
        for case in self.cases:
            if case.name == name:
                return case
        raise ConfigError(
            f"data set {self.name!r} must have a case {name!r}, it has {len(self.cases)}, the "
            f"first is {self.cases[0].name!r}: names have no suffix and no channel number"
        )

    def without(self, names: tuple[str, ...]) -> "Dataset":
        """Leave cases out, such as those that are held out.

        Args:
            names: Of the cases; each must be there.
        """
        for name in names:
            self.case(name)
        return replace(self, cases=tuple(c for c in self.cases if c.name not in names))

    def only(self, names: tuple[str, ...]) -> "Dataset":
        """Keep some cases, in the order of the data set.

        Args:
            names: Of the cases; each must be there.
        """
        for name in names:
            self.case(name)
        return replace(self, cases=tuple(c for c in self.cases if c.name in names))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A case that was read and found sound.

    Attributes:
        case: Which one.
        image: Its channels; the number type of the files.
        labels: One layer on the image's grid; -1 where the truth is not known (outside the region
            of the case, ignored values); none where the case has no labels.
        remarks: What was put right.
        format: Of the image's file, such as ``"NIfTI-1"`` or ``"PNG"``.
    """

    case: Case
    image: Image
    labels: Labels | None
    remarks: tuple[str, ...] = ()
    format: str = ""


def read_dataset(folder: str | Path, *, only: str = "*") -> Dataset:
    """Find the cases of a data set; no samples are read.

    Two layouts: ``images/`` and ``labels/`` with equal names (``image``, ``label``, ``masks`` will
    do, and ``NAME_mask``; ``regions/`` says where the truth is known); and that of nnU-Net v2,
    ``imagesTr/NAME_0000.nii.gz``, ``labelsTr/NAME.nii.gz`` and ``dataset.json``. Every format that
    :func:`vesalius.io.open` reads will do. ``dataset.json`` is read in both. Cases without labels
    count as unlabelled, and so do all in ``imagesUn/`` or ``unlabelled/``.

    Args:
        folder: The data set.
        only: Pattern that the name of a case must match, such as ``"fluo_*"``.

    Returns:
        The cases, in the order of their names.

    Raises:
        FormatError: There are no images, labels have no image, or ``dataset.json`` is damaged.
        ConfigError: No case matches the pattern.
    """
    root = Path(folder)
    images = _first_of(root, IMAGES)
    if images is None:
        raise FormatError(
            f"data set {root.name!r} must have a folder images/ or imagesTr/, it has "
            f"{_listed(root)}: put the images there and their labels in labels/ under equal names"
        )
    labels = _stems(_first_of(root, LABELS), endings=ENDINGS)
    regions = _stems(_first_of(root, REGIONS), endings=(*ENDINGS, "_fov"))
    found = _channels_joined(_stems(images), known=set(labels), nnunet=images.name == "imagesTr")
    orphans = sorted(set(labels) - set(found))
    if orphans:
        raise FormatError(
            f"every label file must have an image of its name, case {orphans[0]!r} has none "
            f"({len(orphans)} such cases) in {images.name}/: rename or remove the labels"
        )
    found = {**found, **_without_labels(root, known=set(found))}
    cases = tuple(
        Case(name, found[name], labels.get(name), regions.get(name))
        for name in sorted(found)
        if fnmatch(name, only)
    )
    if not cases:
        raise ConfigError(
            f"a case must match {only!r}, none of {len(found)} in {root.name!r} does: "
            f"{', '.join(sorted(found)[:3])}"
        )
    told = _Told.read(root / "dataset.json")
    layout: Layout = "nnU-Net" if images.name == "imagesTr" else "folders"
    return Dataset(
        told.name or root.name,
        cases,
        layout,
        told.channels,
        told.names,
        told.ignore,
        told.licence,
        told.reference,
    )


def _without_labels(root: Path, *, known: set[str]) -> dict[str, tuple[Path, ...]]:
    """Images that are in a folder of their own because they have no labels."""
    folder = _first_of(root, UNLABELLED)
    if folder is None:
        return {}
    found = _channels_joined(_stems(folder), known=known, nnunet=folder.name == "imagesUn")
    both = sorted(known & set(found))
    if both:
        raise FormatError(
            f"a case must have one image, {both[0]!r} is in {folder.name}/ as well "
            f"({len(both)} such cases): rename or remove it there"
        )
    return found


def read_case(dataset: Dataset, case: Case) -> Sample:
    """Read one case and check it.

    Args:
        dataset: It belongs to.
        case: One of its cases.

    Returns:
        Image and labels on one grid.

    Raises:
        VesaliusError: A file is missing or damaged, the image has NaN, image and labels do not
            share a grid (says in what, and the command that resamples), labels are not whole,
            unknown, or empty. The text begins with the name of the case; the type is that of the
            fault.
    """
    with naming(case.name):
        image, kind = _read_image(case)
        if case.labels is None:
            return Sample(case, image, None, format=kind)
        labels, remarks = _read_labels(case.labels, case, image)
        _check_values(labels, dataset)
        return Sample(case, image, _masked(labels, case, image, dataset.ignore), remarks, kind)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Let an error begin with the name of the case that it is about; its type stays.

    Args:
        name: Of the case.
    """
    try:
        yield
    except VesaliusError as error:
        text, start = str(error), f"case {name!r}: "
        raise type(error)(text if text.startswith(start) else start + text) from error


def _read_image(case: Case) -> tuple[Image, str]:
    """The channels of a case on one grid, and the format of the file."""
    handles = [io.open(path, frames="channels") for path in case.images]
    parts = [handle.read() for handle in handles]
    first = parts[0]
    for path, part in zip(case.images[1:], parts[1:], strict=True):
        unlike = differences(first.grid, part.grid)
        if unlike:
            raise GeometryError(
                f"the channels of an image must share a grid, {path.name!r} differs from "
                f"{case.images[0].name!r}: {'; '.join(unlike)}: "
                f"vesalius convert {path.name} OUT --like {case.images[0].name}"
            )
    image = first
    if len(parts) > 1:
        image = Image(torch.cat([p.data for p in parts]), first.grid, first.unit)
    if image.data.is_floating_point():
        bad = int((~torch.isfinite(image.data)).sum())
        if bad:
            raise IntensityError(
                f"an image must be finite, {bad} samples are NaN or infinite: replace them first"
            )
    return image, str(handles[0].meta.get("format", ""))


def _read_labels(path: Path, case: Case, image: Image) -> tuple[Labels, tuple[str, ...]]:
    handle = io.open(path)
    labels = handle.read_labels()
    if labels.data.shape[0] != 1:
        raise ShapeError(
            f"labels must have one layer, {path.name!r} has {labels.data.shape[0]} (a colour "
            "picture?): save them as numbers, one for each class or object"
        )
    unlike = differences(image.grid, labels.grid)
    blank = any(finding.code == "no-spacing" for finding in handle.findings)
    if unlike and blank and labels.grid.shape == image.grid.shape:
        return Labels(labels.data, image.grid, labels.names), (
            f"{path.name} does not say where its samples are; it was laid on the image's",
        )
    if unlike:
        raise GeometryError(
            f"labels must lie on the grid of their image, {path.name!r} does not: "
            f"{'; '.join(unlike)}: check that they belong together, then "
            f"vesalius convert {path.parent.name}/{path.name} OUT --labels --like "
            f"{case.images[0].parent.name}/{case.images[0].name}"
        )
    return Labels(labels.data, image.grid, labels.names), ()


def _check_values(labels: Labels, dataset: Dataset) -> None:
    values = [value for _, value in labels.values]
    if values and values[0] < 0 and values[0] != dataset.ignore:
        raise FormatError(f"labels must be 0 or more, got {values[0]}: 0 is the background")
    if values and values[-1] > LARGEST:
        raise FormatError(
            f"labels must be at most {LARGEST}, got {values[-1]}: number classes and objects from "
            "1 on"
        )
    unknown = [v for v in values if dataset.names and v not in dataset.names]
    unknown = [v for v in unknown if v != dataset.ignore]
    if unknown:
        raise RegionError(
            f"labels must be values of dataset.json ({sorted(dataset.names)}), got {unknown[0]}: "
            "name it there, or correct the labels"
        )


def _masked(labels: Labels, case: Case, image: Image, ignore: int) -> Labels:
    """Put -1 where the truth is not known."""
    data = labels.data.to(torch.int32)
    if ignore >= 0:
        data = torch.where(data == ignore, -1, data)
    if case.region is not None:
        region, _ = _read_labels(case.region, case, image)
        data = torch.where(region.data == 0, -1, data)
    return Labels(data, labels.grid, labels.names)


@final
@dataclass(frozen=True, slots=True)
class _Told:
    """What ``dataset.json`` says."""

    name: str = ""
    channels: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    ignore: int = -1
    licence: str = ""
    reference: str = ""

    @classmethod
    def read(cls, path: Path) -> "_Told":
        if not path.is_file():
            return cls()
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            channels = told.get("channel_names", told.get("modality", {}))
            names, ignore = _label_names(told.get("labels", {}))
            ordered = sorted(channels.items(), key=lambda item: int(item[0]))
            return cls(
                str(told.get("name", "")),
                tuple(str(name) for _, name in ordered),
                names,
                ignore,
                str(told.get("licence", told.get("license", ""))),
                str(told.get("reference", "")),
            )
        except (ValueError, AttributeError, TypeError) as error:
            raise FormatError(
                f"dataset.json must give channel_names and labels as nnU-Net v2 does, reading "
                f"it failed: {error}"
            ) from error


def _label_names(labels: Mapping[str, object]) -> tuple[dict[int, str], int]:
    """Names by value, of nnU-Net v2 (name to value) or of the decathlon (value to name)."""
    names: dict[int, str] = {}
    ignore = -1
    for key, value in labels.items():
        if isinstance(value, list):
            raise FormatError(
                f"a label must be one number, {key!r} of dataset.json is the list {value}: "
                "regions that overlap are not trained; give each class its own number"
            )
        number, name = (int(key), str(value)) if isinstance(value, str) else (_int(value), key)
        if name == "ignore":
            ignore = number
        elif number != 0:
            names[number] = name
    return names, ignore


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"label value {value!r} is no whole number")
    return value


def _first_of(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _listed(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir())[:5] if root.is_dir() else []
    return ", ".join(names) or "nothing"


def _stems(folder: Path | None, *, endings: tuple[str, ...] = ()) -> dict[str, Path]:
    """Files of a folder by the name of their case; refuses two files of one name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder is not None else ():
        if path.name.startswith("."):
            continue
        stem = path.name.removesuffix(".gz")
        stem = stem[: stem.rfind(".")] if "." in stem else stem
        for ending in endings:
            stem = stem.removesuffix(ending)
        if stem in found:
            raise FormatError(
                f"a case must have one file in {path.parent.name}/, {stem!r} has "
                f"{found[stem].name!r} and {path.name!r}: remove one"
            )
        found[stem] = path
    return found


def _channels_joined(
    files: dict[str, Path], *, known: set[str], nnunet: bool
) -> dict[str, tuple[Path, ...]]:
    """Put NAME_0000, NAME_0001, ... together, unless that is the name of the labels too."""
    parts: dict[str, dict[int, Path]] = {}
    for stem, path in files.items():
        match = _CHANNEL.match(stem)
        if match is None or stem in known or not (nnunet or match[1] in known):
            parts.setdefault(stem, {})[0] = path
        else:
            parts.setdefault(match[1], {})[int(match[2])] = path
    for name, numbered in parts.items():
        if sorted(numbered) != list(range(len(numbered))):
            raise FormatError(
                f"case {name!r} must have all its channels, it has the numbers "
                f"{sorted(numbered)}: a file is missing"
            )
    return {name: tuple(numbered[i] for i in sorted(numbered)) for name, numbered in parts.items()}
