"""Opening: find the volumes at a path, read their headers, leave their samples."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, final

from vesalius.core import Grid, Labels
from vesalius.errors import FormatError, GeometryError
from vesalius.io._analyze import is_body, open_pair
from vesalius.io._archive import ARCHIVES, Unpacked, is_archive, unpack
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._contours import Contours
from vesalius.io._geojson import read_geojson
from vesalius.io._handle import Allow, Array, Finding, Form, Frames, Handle, Load, Rules, Window
from vesalius.io._hdf5 import open_hdf5
from vesalius.io._jpeg import open_jpeg
from vesalius.io._metaimage import open_metaimage
from vesalius.io._mgh import open_mgh
from vesalius.io._mrc import is_map, open_mrc
from vesalius.io._nifti import open_nifti
from vesalius.io._nrrd import open_nrrd
from vesalius.io._onto import onto
from vesalius.io._png import open_png
from vesalius.io._rasterise import Drawn
from vesalius.io._regions import Canvas, draw_outlines, join_masks, read_map
from vesalius.io._walk import walk
from vesalius.io.dicom._dicomdir import is_dicomdir, list_files
from vesalius.io.dicom._series import open_dicom
from vesalius.io.dicom._slice import is_dicom
from vesalius.io.micro._cellpose import refuse_session
from vesalius.io.micro._imagej_roi import read_roi, read_roi_set
from vesalius.io.micro._omezarr import is_image, open_omezarr
from vesalius.io.micro._tiff import open_tiff

Found = TypeVar("Found")
Reader = Callable[[Path, Rules], Handle | tuple[Handle, ...]]
READERS: dict[str, Reader] = {
    ".nii": open_nifti,
    ".nii.gz": open_nifti,
    ".nrrd": open_nrrd,
    ".nhdr": open_nrrd,
    ".mha": open_metaimage,
    ".mhd": open_metaimage,
    ".png": open_png,
    ".tif": open_tiff,
    ".tiff": open_tiff,
    ".btf": open_tiff,
    ".svs": open_tiff,
    ".jpg": open_jpeg,
    ".jpeg": open_jpeg,
    ".hdr": open_pair,
    ".img": open_pair,
    ".hdr.gz": open_pair,
    ".img.gz": open_pair,
    ".mgh": open_mgh,
    ".mgz": open_mgh,
    ".mgh.gz": open_mgh,
    ".mrc": open_mrc,
    ".mrcs": open_mrc,
    ".map": open_mrc,
    ".ccp4": open_mrc,
    ".mrc.gz": open_mrc,
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
}
"""Readers of files by suffix; one that finds several volumes gives a tuple."""
FOLDERS: dict[str, Reader] = {".zarr": open_omezarr}
"""Readers of folders that are one volume, by suffix, such as .zarr."""
CLAIMS: dict[str, Callable[[Path], bool]] = {
    ".img": is_body,
    ".img.gz": is_body,
    ".map": is_map,
}
"""What must hold for a file to be what its suffix says, where others use that suffix too."""
OUTLINES: dict[str, Callable[[Path, Rules], Contours]] = {
    ".geojson": read_geojson,
    ".roi": read_roi,
    ".roi.zip": read_roi_set,
    "roiset.zip": read_roi_set,
}
"""Readers of outlines by suffix; RTSTRUCT is known by its content instead."""


@final
@dataclass(frozen=True, slots=True)
class Survey:
    """What is at a path.

    Attributes:
        handles: Volumes, in the order of their names.
        contours: Files of outlines.
        refused: Why what looked like an image could not be opened.
        skipped: Names of files that are no images.
    """

    handles: tuple[Handle, ...] = ()
    contours: tuple[Contours, ...] = ()
    refused: tuple[FormatError, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def volumes(self) -> tuple[Handle, ...]:
        """The handles without localizers, unless there is nothing else."""
        return tuple(h for h in self.handles if not _is_localizer(h)) or self.handles


def open(
    path: str | Path,
    *,
    form: Form = "agree",
    unit: str = "",
    frames: Frames = "time",
    patient: bool = False,
    allow: tuple[Allow, ...] = (),
    budget: Budget = DEFAULT,
) -> Handle:
    """Open the one volume at a path without reading its samples.

    Args:
        path: A file, archive, or a folder with one DICOM series or one image file. Localizers
            beside it do not count.
        form: Which position a NIfTI file has where sform and qform differ by more than 0.1 mm;
            ``"agree"`` refuses such a file.
        unit: Unit of the samples, such as ``"HU"``; empty takes what the file tells. For a PET
            series ``"SUV"``, ``"SUL"`` or ``"Bq/mL"`` is what it is converted to.
        frames: What a fourth axis is: frames in time, or channels.
        patient: Whether ``meta`` may hold what identifies a patient.
        allow: What to accept that is refused otherwise; a finding that is an error names its word.
        budget: What reading may cost.

    Returns:
        A handle with ``.grid``, ``.meta``, ``.findings`` and ``.read()``.

    Raises:
        FormatError: There is not exactly one volume, or it is damaged or ambiguous.
    """
    found = _survey(Path(path), Rules(form, unit, frames, patient, allow, budget))
    if found.refused:
        raise found.refused[0]
    volumes = found.volumes
    if not volumes and found.contours:
        raise FormatError(
            f"{Path(path).name!r} must hold a volume, it holds outlines, which have no grid: "
            "call io.open_labels(path, like=image.grid)"
        )
    if len(volumes) != 1:
        names = ", ".join(repr(handle.name) for handle in volumes[:5])
        raise FormatError(
            f"{Path(path).name!r} must hold one volume, it holds {len(volumes)} ({names}): "
            "open one by its own path, or list all with io.scan"
        )
    return volumes[0]


def scan(
    path: str | Path,
    *,
    form: Form = "agree",
    unit: str = "",
    frames: Frames = "time",
    patient: bool = False,
    allow: tuple[Allow, ...] = (),
    budget: Budget = DEFAULT,
) -> tuple[Handle, ...]:
    """Open every volume at a path without reading samples; folders are searched to the bottom.

    Args:
        path: A file, folder or archive.
        form: See ``open``.
        unit: See ``open``.
        frames: See ``open``.
        patient: See ``open``.
        allow: See ``open``.
        budget: See ``open``.

    Returns:
        One handle for each file or DICOM series, in the order of their names. What could not be
        read is told in the findings of each.

    Raises:
        FormatError: Nothing at the path can be read.
    """
    found = _survey(Path(path), Rules(form, unit, frames, patient, allow, budget))
    if found.refused and not found.handles:
        raise found.refused[0]
    refused = tuple(Finding("warning", "refused", str(error)) for error in found.refused)
    return tuple(replace(h, findings=h.findings + refused) for h in found.handles)


def survey(
    path: str | Path,
    *,
    form: Form = "agree",
    unit: str = "",
    frames: Frames = "time",
    patient: bool = False,
    allow: tuple[Allow, ...] = (),
    budget: Budget = DEFAULT,
) -> Survey:
    """Look at everything at a path without reading samples: volumes, outlines, what is refused.

    Args:
        path: A file, folder or archive.
        form: See ``open``.
        unit: See ``open``.
        frames: See ``open``.
        patient: See ``open``.
        allow: See ``open``.
        budget: See ``open``.

    Returns:
        What is there.

    Raises:
        FormatError: The path does not exist, cannot be read, or holds nothing of the kind.
    """
    return _survey(Path(path), Rules(form, unit, frames, patient, allow, budget))


def open_labels(
    path: str | Path,
    *,
    like: Grid | None = None,
    roi: str = "",
    form: Form = "agree",
    allow: tuple[Allow, ...] = (),
    budget: Budget = DEFAULT,
) -> Labels:
    """Read the one volume or file of outlines at a path as labels.

    Args:
        path: A file of whole numbers, integer or floating point; a DICOM SEG; or outlines.
        like: Grid that outlines are drawn on, and that labels with a grid of their own are laid
            on voxel for voxel; nothing is resampled.
        roi: Regular expression that the name of a region must match, whole; empty takes all.
        form: See ``open``.
        allow: See ``open``.
        budget: See ``open``.

    Returns:
        The labels, with the names that the file holds.

    Raises:
        FormatError: There is not exactly one volume or file of outlines, it holds values that are
            not whole, or no region has such a name.
        GeometryError: Outlines do not lie on the grid, or labels on another lattice than its.
    """
    drawn = open_regions(path, like=like, roi=roi, form=form, allow=allow, budget=budget)
    if like is None:
        return drawn.labels
    laid = onto(drawn.labels, like, Path(path).name, budget)
    apart = [finding.message for finding in laid.findings if finding.code == "other-lattice"]
    if apart:
        raise GeometryError(apart[0])
    return laid.labels


def open_regions(
    path: str | Path,
    *,
    like: Grid | None = None,
    roi: str = "",
    form: Form = "agree",
    allow: tuple[Allow, ...] = (),
    budget: Budget = DEFAULT,
    frame: str = "",
) -> Drawn:
    """Read labels as ``open_labels`` does, and tell what was noticed.

    Args:
        path: See ``open_labels``; a folder of masks, one structure in each file, is joined.
        like: Grid that outlines are drawn on; those in the folder of one volume are drawn on that
            where none is given. A DICOM SEG, which may leave empty planes out, is laid on it where
            both share a lattice; where not, it keeps its grid, and that is told as an error. Other
            label maps keep their grid.
        roi: See ``open_labels``.
        form: See ``open``.
        allow: See ``open``.
        budget: See ``open``.
        frame: Where ``like`` is of a DICOM volume, its ``handle.meta["frame_of_reference"]``:
            outlines in another one are told.

    Returns:
        The labels and the findings.

    Raises:
        FormatError: See ``open_labels``.
        GeometryError: See ``open_labels``.
    """
    place, rules = Path(path), Rules(form=form, allow=allow, budget=budget)
    found = _survey(place, rules)
    if found.refused:
        raise found.refused[0]
    volumes = found.volumes
    maps = tuple(h for h in volumes if h.meta.get("Modality") == "SEG") or volumes
    if len(found.contours) == 1 and maps is volumes:
        return draw_outlines(found.contours[0], volumes, Canvas(like, frame), roi, budget)
    if len(maps) > 1 and not found.contours and (place.is_dir() or is_archive(place.name)):
        drawn = join_masks(place.resolve().name, maps, roi, budget)
    elif len(maps) == 1 and not found.contours:
        drawn = read_map(maps[0], place, roi)
    else:
        listed = [one.name for one in maps] + [one.name for one in found.contours]
        names = ", ".join(map(repr, listed[:5]))
        raise FormatError(
            f"{place.name!r} must hold one volume or one file of outlines, it holds "
            f"{len(maps)} and {len(found.contours)} ({names}): open one by its own path"
        )
    if like is None or maps is volumes:
        return drawn
    laid = onto(drawn.labels, like, place.name, budget)
    return replace(laid, findings=drawn.findings + laid.findings)


def _is_localizer(handle: Handle) -> bool:
    return any(finding.code == "localizer" for finding in handle.findings)


def _survey(path: Path, rules: Rules) -> Survey:
    try:
        if path.is_dir():
            return _folder(path, rules)
        return _file(path, rules)
    except OSError as error:
        raise FormatError(
            f"{path.name!r} must be readable, the system says: {error.strerror}: "
            "check its permissions"
        ) from error


def _file(path: Path, rules: Rules) -> Survey:
    if not path.exists():
        raise FormatError(f"{path.name!r} must exist to be opened, it does not: check the path")
    if not path.is_file():
        raise FormatError(f"{path.name!r} must be a file or a folder, it is neither: copy it first")
    if path.stat().st_size == 0:
        raise FormatError(f"{path.name!r} must hold an image, it is empty: copy it again")
    known = _known(path, rules)
    if known is not None:
        return known
    if is_archive(path.name):
        return _archive(path, rules)
    if is_dicomdir(path):
        return _disc(path, rules)
    found = open_dicom([path], path.name, rules) if is_dicom(path) else None
    if found is None or found.skipped:
        raise FormatError(
            f"{path.name!r} must be an image file ({', '.join(READERS)} or DICOM) "
            f"or an archive ({', '.join(ARCHIVES)}), "
            "its name and first bytes say it is none: convert it first"
        )
    return Survey(found.handles, found.contours, found.refused)


def _known(path: Path, rules: Rules) -> Survey | None:
    """Read a file or folder whose suffix is known; None where it is not."""
    refuse_session(path)
    reader = _reader(path)
    claim = _by_suffix(path, CLAIMS)
    if reader is not None and (claim is None or claim(path)):
        found = reader(path, rules)
        return Survey(found if isinstance(found, tuple) else (found,))
    outlines = _by_suffix(path, OUTLINES)
    return None if outlines is None else Survey(contours=(outlines(path, rules),))


def _reader(path: Path) -> Reader | None:
    """Give the reader of a file by its suffix, of a folder by its suffix or what is in it."""
    if not path.is_dir():
        return _by_suffix(path, READERS)
    return _by_suffix(path, FOLDERS) or (open_omezarr if is_image(path) else None)


def _by_suffix(path: Path, table: Mapping[str, Found]) -> Found | None:
    name = path.name.lower()
    fitting = [suffix for suffix in table if name.endswith(suffix)]
    return table[max(fitting, key=len)] if fitting else None


def _folder(path: Path, rules: Rules) -> Survey:
    known = _known(path, rules)
    return _contents(path, rules) if known is None else known


def _contents(path: Path, rules: Rules) -> Survey:
    """Look at what is in a folder that is not itself a volume."""
    walked = walk(path, rules.budget, lambda inner: _reader(inner) is not None)
    parts = [Survey(refused=walked.refused)]
    skipped: list[str] = []
    dicom: list[Path] = []
    for file in walked.files:
        if is_body(file):
            continue  # its header is here and read
        try:
            known = _known(file, rules)
        except FormatError as error:
            known = Survey(refused=(error,))
        if known is not None:
            parts.append(known)
        elif is_dicomdir(file):
            pass  # what it lists is here and read anyway
        elif is_dicom(file):
            dicom.append(file)
        else:
            skipped.append(file.name)
    found = open_dicom(dicom, path.resolve().name, rules)
    parts.append(Survey(found.handles, found.contours, found.refused, found.skipped))
    skipped += found.skipped
    handles = [handle for part in parts for handle in part.handles]
    contours = [one for part in parts for one in part.contours]
    refused = [error for part in parts for error in part.refused]
    if not handles and not contours and not refused:
        raise FormatError(
            f"folder {path.name!r} must hold an image, none of its {len(skipped)} files is one: "
            "check the path"
        )
    return Survey(_with_skipped(handles, skipped), tuple(contours), tuple(refused), tuple(skipped))


def _disc(path: Path, rules: Rules) -> Survey:
    """Look at the files that a DICOMDIR lists."""
    listed = list_files(path, rules.budget)
    found = open_dicom(listed.files, path.resolve().parent.name, rules)
    refused = listed.refused + found.refused
    if not (found.handles or found.contours or refused):
        raise FormatError(
            f"{path.name!r} must list an image, none of the files it lists is there and is one: "
            "copy the whole disc"
        )
    noted = [
        replace(f, severity="warning") if f.allow in rules.allow else f for f in listed.findings
    ]
    handles = tuple(replace(h, findings=(*h.findings, *noted)) for h in found.handles)
    return Survey(handles, found.contours, refused, found.skipped)


def _archive(path: Path, rules: Rules) -> Survey:
    """Look at what is in an archive."""
    made = unpack(path, rules.budget)
    try:
        return _kept(_contents(made.folder, rules), made)
    finally:
        del made  # errors remember this frame, and would keep the folder as long as they are kept


def _kept(found: Survey, made: Unpacked) -> Survey:
    """Let every volume keep the folder that its samples are in."""
    handles = tuple(replace(h, _load=_keeping(h._load, made)) for h in found.handles)
    return replace(found, handles=handles)


def _keeping(load: Load, made: Unpacked) -> Load:
    # the default argument is the reference that keeps the folder
    def keeping(window: Window, made: Unpacked = made) -> Array:
        return load(window)

    return keeping


def _with_skipped(handles: list[Handle], names: list[str]) -> tuple[Handle, ...]:
    if not names:
        return tuple(handles)
    shown = ", ".join(repr(name) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    text = f"files that are no images were skipped: {shown}{more}"
    note = Finding("info", "skipped", text)
    return tuple(replace(h, findings=(*h.findings, note)) for h in handles)
