"""BIDS: names of derivatives, dataset_description.json, and a light check of a dataset.

Source: Gorgolewski et al. (2016), doi:10.1038/sdata.2016.44; the specification 1.10.0, "Common
principles", "Dataset description" and "Entities". The check looks at names, JSON and the files
that must be there, no further; bids-validator knows the whole schema.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vesalius._version import __version__
from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._handle import Finding

BIDS_VERSION = "1.10.0"
_FIRST = ("sub", "ses", "sample", "task", "tracksys", "acq", "ce", "trc", "stain", "rec", "dir")
_LATER = ("run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split")
_LAST = ("recording", "chunk", "seg", "res", "den", "label", "desc")
ORDER = (*_FIRST, *_LATER, *_LAST)
"""Every entity, in the order that names have them."""
IMAGES = (".nii.gz", ".nii", ".ome.tif", ".ome.tiff", ".ome.zarr", ".tif", ".tiff", ".png", ".mha")
TABLES = (".json", ".tsv", ".tsv.gz", ".bval", ".bvec", ".txt", ".html", ".nrrd")
JSON_BYTES = 1 << 24
FREE = ("code", "sourcedata", "derivatives", "stimuli", "phenotype", "logs")
NOTHING: Mapping[str, str] = MappingProxyType({})


def bids_name(
    subject: str, suffix: str, *, entities: Mapping[str, str] = NOTHING, extension: str = ".nii.gz"
) -> str:
    """Give the name of a file by the rules of BIDS, its entities in their order.

    Args:
        subject: Label of the subject, letters and digits.
        suffix: What the file holds, such as ``"T1w"``, ``"dseg"`` or ``"mask"``.
        entities: Label by entity, such as ``{"ses": "01", "desc": "smoothed"}``.
        extension: With its dot.

    Returns:
        The name, such as ``sub-01_ses-01_desc-smoothed_T1w.nii.gz``.

    Raises:
        FormatError: An entity is unknown, or a label has other characters.

    Example:
        >>> bids_name("01", "dseg", entities={"space": "T1w"})
        'sub-01_space-T1w_dseg.nii.gz'
    """
    labels = {"sub": subject, **entities}
    for entity, label in labels.items():
        if entity not in ORDER or not re.fullmatch(r"[A-Za-z0-9+]+", label):
            raise FormatError(
                f"an entity must be one of {', '.join(ORDER)} with a label of letters and "
                f"digits, got {entity!r}: {label!r}: leave out other characters"
            )
    if not re.fullmatch(r"[A-Za-z0-9]+", suffix) or not extension.startswith("."):
        raise FormatError(
            f"suffix must be letters and digits and extension begin with a dot, got {suffix!r} "
            f"and {extension!r}"
        )
    parts = [f"{entity}-{labels[entity]}" for entity in ORDER if entity in labels]
    return "_".join([*parts, suffix]) + extension


def write_dataset_description(
    folder: str | Path, name: str, *, sources: tuple[str, ...] = ()
) -> None:
    """Write dataset_description.json of a derivative dataset.

    Args:
        folder: Root of the dataset, which exists.
        name: Of the dataset.
        sources: URLs or DOIs of the datasets that it was derived from.

    Raises:
        OutputError: It cannot be written.
    """
    told: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "vesalius", "Version": __version__}],
    }
    if sources:
        told["SourceDatasets"] = [
            {"DOI" if source.startswith("doi:") else "URL": source} for source in sources
        ]
    with atomic_write(Path(folder) / "dataset_description.json") as file:
        file.write(json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n")


def validate_bids(root: str | Path, *, budget: Budget = DEFAULT) -> tuple[Finding, ...]:
    """Check a BIDS dataset lightly: its description, the names of files, JSON that parses.

    Args:
        root: Folder of the dataset.
        budget: Bounds the number of files and the depth.

    Returns:
        What does not hold, worst first; empty where all that is looked at holds.

    Raises:
        FormatError: ``root`` is no folder, or holds too many files.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FormatError(f"{folder.name!r} must be the folder of a BIDS dataset, it is none")
    found = [*_description(folder), *_root_files(folder)]
    for count, path in enumerate(_files(folder, budget.depth)):
        if count >= budget.files:
            raise FormatError(
                f"{folder.name!r} must hold at most {budget.files} files to be validated, it "
                "holds more: check a part of it"
            )
        found += _file(folder, path)
    worst_first = ("error", "warning", "info")
    return tuple(sorted(found, key=lambda f: worst_first.index(f.severity)))


def _json(path: Path) -> tuple[dict[str, Any], str]:
    """Give a JSON object, and why it is none."""
    try:
        if path.stat().st_size > JSON_BYTES:
            return {}, f"it is longer than {JSON_BYTES >> 20} MiB"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        return {}, str(error).replace(str(path), path.name)[:100]
    return (found, "") if isinstance(found, dict) else ({}, "it is no object")


def _description(folder: Path) -> Iterator[Finding]:
    path = folder / "dataset_description.json"
    if not path.is_file():
        yield Finding("error", "bids-description", "dataset_description.json must be there")
        return
    told, reason = _json(path)
    if reason:
        text = f"dataset_description.json must be a JSON object: {reason}"
        yield Finding("error", "bids-description", text)
        return
    needed = ["Name", "BIDSVersion"]
    needed += ["GeneratedBy"] if told.get("DatasetType") == "derivative" else []
    for key in needed:
        if not told.get(key):
            text = f"dataset_description.json must have {key}"
            yield Finding("error", "bids-description", text)


def _root_files(folder: Path) -> Iterator[Finding]:
    if not any(folder.glob("README*")):
        yield Finding("warning", "bids-readme", "there should be a README")
    if not any(path.is_dir() for path in folder.glob("sub-*")):
        yield Finding("error", "bids-subjects", "there must be a folder for each subject, sub-*")
    table = folder / "participants.tsv"
    if table.is_file():
        with table.open(encoding="utf-8", errors="replace") as file:
            first = file.readline(10_000).rstrip("\r\n").split("\t")[0]
        if first.lstrip("\ufeff") != "participant_id":
            text = "participants.tsv must begin with the column participant_id"
            yield Finding("error", "bids-participants", text)


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Give the files below the subjects' folders, folders that are one image as such."""
    waiting = [(one, 1) for one in sorted(folder.glob("sub-*")) if one.is_dir()]
    while waiting:
        at, level = waiting.pop()
        for path in sorted(at.iterdir()):
            if path.name.startswith(".") or path.is_symlink():
                continue
            if path.is_dir() and not path.name.endswith((".zarr", ".ds")):
                if level < depth and path.name not in FREE:
                    waiting.append((path, level + 1))
                continue
            yield path


def _file(root: Path, path: Path) -> Iterator[Finding]:
    extension = next(
        (e for e in sorted(IMAGES + TABLES, key=len, reverse=True) if _ends(path, e)), ""
    )
    if not extension:
        text = f"{path.name!r} has an ending that this check does not know"
        yield Finding("info", "bids-extension", text)
        return
    *pairs, suffix = path.name.removesuffix(extension).split("_")
    entities = [pair.partition("-") for pair in pairs]
    names = [entity for entity, _, _ in entities]
    good = all(re.fullmatch(r"[A-Za-z0-9+]+", label) for _, _, label in entities)
    if not good or not set(names) <= set(ORDER) or not re.fullmatch("[A-Za-z0-9]+", suffix):
        text = f"{path.name!r} must be entity-label pairs and a suffix, joined by _"
        yield Finding("error", "bids-name", text)
        return
    if names != [entity for entity in ORDER if entity in names]:
        yield Finding("error", "bids-order", f"{path.name!r} must have its entities in order")
    above = path.relative_to(root).parts[:-1]
    for entity, _, label in entities:
        if entity in ("sub", "ses") and f"{entity}-{label}" not in above:
            text = f"{path.name!r} must lie below the folder {entity}-{label}"
            yield Finding("error", "bids-place", text)
    if "sub" not in names:
        yield Finding("error", "bids-name", f"{path.name!r} must begin with sub-<label>")
    if extension == ".json" and _json(path)[1]:
        text = f"{path.name!r} must be a JSON object: {_json(path)[1]}"
        yield Finding("error", "bids-json", text)


def _ends(path: Path, extension: str) -> bool:
    return path.name.endswith(extension)
