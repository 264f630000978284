"""BIDS: names, folders and sidecars of derivatives, and a light check of a dataset."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Mapping
from pathlib import Path

from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write
from vesalius.io._bids import bids_name, validate_bids, write_dataset_description
from vesalius.io._handle import Handle

__all__ = ["bids_name", "bids_path", "save_sidecar", "validate_bids", "write_dataset_description"]

FOLDERS = {
    "func": ("bold", "cbv", "sbref"),
    "dwi": ("dwi",),
    "pet": ("pet",),
    "perf": ("asl", "m0scan"),
    "fmap": ("phasediff", "magnitude", "epi"),
    "micr": ("TEM", "SEM", "uCT", "BF", "DF", "PC", "DIC", "FLUO", "CONF", "PLI", "CARS", "2PE"),
}
"""Suffixes by folder; every other suffix lies in anat."""
MILLISECONDS = ("RepetitionTime", "EchoTime", "InversionTime")
PLAIN = {
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "ManufacturersModelName",
    "MagneticFieldStrength": "MagneticFieldStrength",
    "FlipAngle": "FlipAngle",
    "Modality": "Modality",
    "BodyPartExamined": "BodyPart",
    "ConvolutionKernel": "ConvolutionKernel",
    "KVP": "XRayEnergy",
    "SliceThickness": "SliceThickness",
}


def bids_path(stem: str, extension: str = ".nii.gz") -> Path:
    """Give the path of a derivative below the root of its dataset.

    Args:
        stem: Entities and suffix, such as ``"sub-01_ses-02_T1w"``, in any order.
        extension: With its dot.

    Returns:
        Such as ``sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz``.

    Raises:
        FormatError: There is no subject or no suffix, or an entity is unknown or there twice.

    Example:
        >>> bids_path("ses-02_sub-01_T1w").as_posix()
        'sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz'
    """
    *parts, suffix = stem.split("_")
    pairs = [part.partition("-") for part in parts]
    entities = {entity: label for entity, _, label in pairs}
    if "sub" not in entities or "-" in suffix or len(entities) < len(pairs):
        raise FormatError(
            "a BIDS name must be entities, each once, and a suffix, such as "
            f"sub-01_ses-02_T1w, got {stem!r}"
        )
    subject = entities.pop("sub")
    name = bids_name(subject, suffix, entities=entities, extension=extension)
    kind = next((folder for folder, known in FOLDERS.items() if suffix in known), "anat")
    session = [f"ses-{entities['ses']}"] if "ses" in entities else []
    return Path(f"sub-{subject}", *session, kind, name)


def save_sidecar(handle: Handle, path: str | Path) -> None:
    """Write the JSON file beside an image: what the header says, in the words and units of BIDS.

    Args:
        handle: The volume; nothing of it that identifies a patient is written.
        path: Where, ``.json``.

    Raises:
        OutputError: It cannot be written.
    """
    told = _told(handle.meta)
    told |= {"Units": handle.unit} if handle.unit != "1" else {}
    told["Findings"] = [f"{f.severity}: {f.code}: {f.message}" for f in handle.findings]
    with atomic_write(path) as file:
        file.write(json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n")


def _told(meta: Mapping[str, object]) -> dict[str, object]:
    told: dict[str, object] = {new: meta[old] for old, new in PLAIN.items() if old in meta}
    for keyword in MILLISECONDS:
        value = meta.get(keyword)
        if isinstance(value, int | float):
            told[keyword] = value / 1000.0  # BIDS wants seconds
    return told
