"""Names of labels that other programs keep beside or inside a file of labels."""
# SPDX-License-Identifier: Apache-2.0

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from vesalius.io._handle import Finding

Names = dict[tuple[int, int], str]
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".png", ".tif", ".tiff")
LONGEST = 1 << 24
_DECLARES = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_SNAP = re.compile(r"\s*(\d+)(?:\s+[-+.\deE]+){6}\s+\x22([^\x22]*)\x22\s*$")


def names_beside(path: Path, findings: list[Finding]) -> Names:
    """Read the names in a file beside a file of labels.

    Looked for, by the name of the file without its suffix: ``.label`` and ``.txt`` (label
    description of ITK-SNAP) and ``.tsv`` with columns ``index`` and ``name`` (BIDS, dseg; also
    ``dseg.tsv`` for all of a folder).

    Args:
        path: The file of labels.
        findings: Where to note what was taken, or why a file that is there was not.

    Returns:
        Names by (layer, value), all in layer 0; empty where there are none.
    """
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), path.suffix)
    stem = path.name[: len(path.name) - len(suffix)] if suffix else path.name
    wanted = [f"{stem}.label", f"{stem}.txt", f"{stem}.tsv"]
    wanted += ["dseg.tsv"] if stem.endswith("dseg") else []
    for file in (path.with_name(name) for name in wanted):
        if file == path or file.is_symlink() or not file.is_file():
            continue
        names = _read(file)
        if names:
            text = f"names of labels are from {file.name!r}"
            findings.append(Finding("info", "names-beside", text))
            return names
        if file.suffix != ".txt":
            text = f"{file.name!r} holds no names of labels that can be read, and was passed over"
            findings.append(Finding("warning", "names-unread", text))
    return {}


def itk_snap_names(text: str) -> Names:
    """Read a label description of ITK-SNAP: value, colour, opacity, two flags, quoted name.

    Args:
        text: The file.

    Returns:
        Names by (layer, value); empty where a line that is no comment is of another form.
    """
    names: Names = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _SNAP.match(line)
        if found is None:
            return {}
        if int(found[1]) and found[2].strip():
            names[0, int(found[1])] = found[2].strip()
    return names


def bids_names(text: str) -> Names:
    """Read a BIDS look-up table: tab-separated, columns ``index`` and ``name``.

    Args:
        text: The file.

    Returns:
        Names by (layer, value); empty where a column is absent or an index is no number.
    """
    names: Names = {}
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        index, name = (row.get("index") or "").strip(), (row.get("name") or "").strip()
        if not index.isascii() or not index.isdigit() or not name:
            return {}
        names[0, int(index)] = name
    names.pop((0, 0), None)
    return names


def slicer_names(header: Mapping[str, object]) -> Names:
    """Read the segments of a .seg.nrrd file of 3D Slicer.

    Args:
        header: Fields of the NRRD header.

    Returns:
        Names by (layer, value); a segment without layer is in layer 0.
    """
    names: Names = {}
    for key, name in header.items():
        if key.startswith("Segment") and key.endswith("_Name"):
            prefix = key.removesuffix("_Name")
            layer = str(header.get(f"{prefix}_Layer", "0")).strip()
            value = str(header.get(f"{prefix}_LabelValue", "1")).strip()
            if all(part.isascii() and part.isdigit() for part in (layer, value)):
                names[int(layer), int(value)] = str(name).strip()
    return names


def caret_names(extensions: Iterable[bytes]) -> Names:
    """Read the label table in a NIfTI header extension, as TotalSegmentator and Caret write it.

    Args:
        extensions: Content of each extension of the header.

    Returns:
        Names by (layer, value); empty where there is no table. XML that declares a document type
        or entities is passed over.
    """
    names: Names = {}
    for raw in extensions:
        text = raw.strip(b"\0 \r\n")
        if b"<CaretExtension" not in text or _DECLARES.search(text) or len(text) > LONGEST:
            continue
        try:
            tree = ElementTree.fromstring(text.decode("utf-8", "replace"))
        except (ElementTree.ParseError, ValueError):
            continue
        for label in tree.iter("Label"):
            key, name = label.get("Key", ""), (label.text or "").strip()
            if key.isascii() and key.isdigit() and int(key) and name:
                names[0, int(key)] = name
    return names


def _read(file: Path) -> Names:
    try:
        with file.open("rb") as stream:
            raw = stream.read(LONGEST)
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    try:
        return bids_names(text) if file.suffix == ".tsv" else itk_snap_names(text)
    except (ValueError, csv.Error):  # a number of a million digits, a field without an end
        return {}
