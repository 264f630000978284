"""The house's own transform files: JSON that says its direction, with fields in NIfTI beside it."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from vesalius._version import __version__
from vesalius.core import (
    BSpline,
    Composite,
    Displacement,
    Grid,
    Image,
    Linear,
    Transform,
    Velocity,
)
from vesalius.core._inverse import Inverse
from vesalius.errors import FormatError, VesaliusError
from vesalius.io._atomic import staged
from vesalius.io._body import beside
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._handle import Rules
from vesalius.io._nifti import open_nifti, save_nifti
from vesalius.io._transform_text import read_text

FORMAT = "vesalius transform"
VERSION = 1
PLACE = {"direction": "fixed -> moving", "frame": "LPS", "unit": "mm"}
LARGEST = 1 << 26  # bytes of JSON; the fields are not in there
DEEPEST = 16  # composites of composites
FIELDS: dict[str, type[Displacement] | type[Velocity] | type[BSpline]] = {
    "displacement": Displacement,
    "velocity": Velocity,
    "b-spline": BSpline,
}


def holds(transform: Transform) -> bool:
    """Tell whether this format keeps a transform as it is."""
    if isinstance(transform, Composite):
        return all(holds(part) for part in transform.parts)
    if isinstance(transform, Inverse):
        return holds(transform.forward)
    return isinstance(transform, (Linear, *FIELDS.values()))


def save_json(transform: Transform, path: str | Path) -> None:
    """Write a transform so that it is read back bit by bit.

    Fields go to ``NAME.0.nii.gz``, ``NAME.1.nii.gz``, ... beside ``NAME.json``, which holds their
    SHA-256; all appear together. Those of displacement are what ANTs and ITK read too.

    Args:
        transform: Linear, Displacement, Velocity, BSpline, an inverse or a Composite of them.
        path: Where it goes, ending in ``.json``.

    Raises:
        FormatError: The transform is of another class.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    with staged(file) as stage:
        fields: list[Path] = []
        entry = _encode(transform, stage, fields)
        head = {"format": FORMAT, "version": VERSION, "written by": f"vesalius {__version__}"}
        text = json.dumps({**head, **PLACE, "transform": entry}, indent=1, allow_nan=False)
        stage.write_text(text + "\n", encoding="utf-8")


def load_json(path: str | Path, *, budget: Budget = DEFAULT) -> Transform:
    """Read a transform of the house's own format.

    Args:
        path: The .json file; its fields must lie beside it under the names that it gives.
        budget: What reading may cost.

    Returns:
        The transform that was saved, bit by bit.

    Raises:
        FormatError: The file is not of this format, is of a newer version, is damaged; or a field
            is missing, changed, or not what the file says.
    """
    file = Path(path)
    size = Budget(bytes=min(budget.bytes, LARGEST))
    try:
        record = json.loads(read_text(file, size, what="a transform in JSON"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, VesaliusError):
            raise
        raise FormatError(
            f"{file.name!r} must be JSON: {str(error)[:80]}: the file is damaged"
        ) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise FormatError(
            f"{file.name!r} must be a transform, its format is not {FORMAT!r}: "
            "check what the file is"
        )
    if record.get("version") != VERSION:
        raise FormatError(
            f"{file.name!r} must be of version {VERSION}, it is of {record.get('version')!r}: "
            "update vesalius"
        )
    for key, wanted in PLACE.items():
        if record.get(key) != wanted:
            raise FormatError(
                f"{file.name!r} must say {key} {wanted!r}, it says {record.get(key)!r}: "
                "it was changed by hand; nothing is converted silently"
            )
    try:
        return _decode(_Source(file, budget), record.get("transform"), 0)
    except VesaliusError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{file.name!r} must hold a transform of space: {error}") from error


def _encode(transform: Transform, stage: Path, fields: list[Path]) -> dict[str, object]:
    if isinstance(transform, Linear):
        return {"kind": "linear", "matrix": transform.matrix.detach().cpu().tolist()}
    if isinstance(transform, Composite):
        parts = [_encode(part, stage, fields) for part in transform.parts]
        return {"kind": "composite", "order": "the last part acts first", "parts": parts}
    if isinstance(transform, Inverse):
        return {
            "kind": "inverse",
            "of": _encode(transform.forward, stage, fields),
            "tol_mm": transform.tol_mm,
            "steps": transform.steps,
        }
    if isinstance(transform, BSpline):
        return _encode_field("b-spline", transform.coefficients, transform.grid, stage, fields)
    if isinstance(transform, Velocity):
        return _encode_field("velocity", transform.data, transform.grid, stage, fields)
    if isinstance(transform, Displacement):
        entry = _encode_field("displacement", transform.data, transform.grid, stage, fields)
        return {**entry, "border": transform.border}
    raise FormatError(
        f"{stage.name!r} can hold linear, displacement, velocity and B-spline transforms, got "
        f"{type(transform).__name__}: give like=, the grid to sample its displacement on"
    )


def _encode_field(
    kind: str, data: Tensor, grid: Grid, stage: Path, fields: list[Path]
) -> dict[str, object]:
    stem = stage.name.removesuffix(".json")
    field = stage.with_name(f"{stem}.{len(fields)}.nii.gz")
    fields.append(field)
    save_nifti(Image(data.detach().cpu().contiguous(), grid, "mm"), field)
    return {
        "kind": kind,
        "file": field.name,
        "sha256": _hash(field),
        "dtype": str(data.dtype).removeprefix("torch."),
        "shape_zyx": list(grid.shape),
        "affine_zyx_to_lps": grid.affine.tolist(),  # NIfTI would round it to float32
    }


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@final
@dataclass(frozen=True, slots=True)
class _Source:
    """The file that is read, and what it may cost."""

    file: Path
    budget: Budget

    def damaged(self, what: str) -> FormatError:
        return FormatError(
            f"{self.file.name!r} must hold a whole transform, {what}: the file is damaged"
        )


def _decode(source: _Source, entry: object, depth: int) -> Transform:
    if not isinstance(entry, Mapping) or depth > DEEPEST:
        raise source.damaged("an entry is no record" if depth <= DEEPEST else "it nests too deep")
    kind = str(entry.get("kind"))
    if kind == "linear":
        return Linear(torch.tensor(_floats(source, entry.get("matrix")), dtype=torch.float64))
    if kind == "composite":
        parts = entry.get("parts")
        if not isinstance(parts, list):
            raise source.damaged("a composite has no parts")
        return Composite(tuple(_decode(source, part, depth + 1) for part in parts))
    if kind == "inverse":
        return _inverse(source, entry, depth)
    if kind in FIELDS:
        return _decode_field(source, kind, entry)
    raise source.damaged(f"the kind {kind[:40]!r} is not known")


def _inverse(source: _Source, entry: Mapping[str, Any], depth: int) -> Inverse:
    tol, steps = entry.get("tol_mm"), entry.get("steps")
    if not isinstance(tol, float) or not isinstance(steps, int) or not 0 < steps <= 10_000:
        raise source.damaged(f"an inverse has tol_mm {tol!r} and steps {steps!r}")
    return Inverse(_decode(source, entry.get("of"), depth + 1), tol, steps)


def _floats(source: _Source, rows: object) -> list[list[float]]:
    if isinstance(rows, list) and all(isinstance(row, list) and len(row) == 4 for row in rows):
        values = [value for row in rows for value in row]
        small = all(type(v) in (int, float) and abs(v) < 1e300 for v in values)  # NaN is not
        if len(rows) == 4 and small:
            return [[float(value) for value in row] for row in rows]
    raise source.damaged("a matrix is not 4 x 4 finite numbers")


def _decode_field(source: _Source, kind: str, entry: Mapping[str, Any]) -> Transform:
    shape, border = entry.get("shape_zyx"), entry.get("border", "nearest")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(n) is int for n in shape):
        raise source.damaged(f"the shape of a field is {str(shape)[:40]}")
    if border not in ("nearest", "zero"):
        raise source.damaged(f"the border of a field is {str(border)[:40]!r}")
    affine = torch.tensor(_floats(source, entry.get("affine_zyx_to_lps")), dtype=torch.float64)
    z, y, x = shape
    grid = Grid((z, y, x), affine)
    data = _samples(source, entry)
    if (list(data.shape[1:]), str(data.dtype)) != (shape, f"torch.{entry.get('dtype')}"):
        raise source.damaged(
            f"the field has shape {list(data.shape[1:])} and {data.dtype}, told are {shape} and "
            f"{str(entry.get('dtype'))[:20]}"
        )
    if kind == "displacement":
        return Displacement(data, grid, border)
    make: Callable[[Tensor, Grid], Transform] = FIELDS[kind]
    return make(data, grid)


def _samples(source: _Source, entry: Mapping[str, Any]) -> Tensor:
    field = beside(source.file, str(entry.get("file", "")))
    source.budget.check_size(field.name, (max(field.stat().st_size, 1),), 1)
    if _hash(field) != entry.get("sha256"):
        raise FormatError(
            f"{field.name!r} must be the field that was saved with {source.file.name!r}, its "
            "SHA-256 is another one: it was changed or replaced; bring the right one back"
        )
    handle = open_nifti(field, Rules(frames="channels", budget=source.budget))
    return handle.read().data
