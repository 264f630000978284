"""Fields of displacement as images: ANTs 1Warp.nii.gz, ITK vector images, NIfTI vectors."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import struct
from pathlib import Path
from typing import IO, Literal, cast

import torch
from torch import Tensor

from vesalius.core import Displacement, Image
from vesalius.errors import FormatError, GeometryError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._open import open as open_one
from vesalius.io._save import save
from vesalius.io._transform_parts import Dimensions, check_flat, check_plane

Convention = Literal["itk", "ras"]
DISPLACEMENT, VECTOR = 1006, 1007
INTENTS = {
    0: "none",
    1006: "displacement vectors",
    1007: "vectors",
    2006: "an FSL FNIRT displacement field",
    2007: "FSL cubic spline coefficients",
    2008: "FSL DCT coefficients",
    2009: "FSL quadratic spline coefficients",
    2016: "an FSL topup field",
}
IMAGES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def load_field(
    path: str | Path, *, convention: Convention = "itk", budget: Budget = DEFAULT
) -> Displacement:
    """Read a field of displacement in mm from an image of vectors.

    The vectors stand on the fixed grid and lead to the moving world, as in ITK and ANTs and here:
    nothing is inverted. Beyond the grid nothing moves.

    Args:
        path: A .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd file with 2 or 3 components; those of
            two dimensions leave S alone.
        convention: Frame of the components. ``"itk"``: LPS, as ITK and ANTs write (NIfTI intent
            1007), but RAS where the NIfTI intent is 1006, as ITK reads it. ``"ras"``: RAS in
            every case, the frame of a NIfTI header. AFNI writes LPS too; warps of FSL FNIRT hold
            other coordinates and are refused.
        budget: What reading may cost.

    Returns:
        The displacement.

    Raises:
        FormatError: The file is damaged, holds other than 2 or 3 components, or its NIfTI intent
            is another one.
    """
    file = Path(path)
    handle = open_one(file, frames="channels", budget=budget)
    if any(finding.code == "unit-converted" for finding in handle.findings):
        raise FormatError(
            f"{file.name!r} must give lengths in mm to be a field of displacement, its header "
            "has another unit: set it to mm"
        )
    flipped = convention == "ras"
    if str(handle.meta["format"]).startswith("NIfTI"):
        flipped |= _intent(file) == DISPLACEMENT
    image = handle.read()
    if len(image.data) not in (2, 3) or not image.data.is_floating_point():
        raise FormatError(
            f"{file.name!r} must hold vectors of 2 or 3 floating-point components, it holds "
            f"{len(image.data)} of {handle.meta['stored']}: it is no field of displacement"
        )
    try:
        return Displacement(_three(image.data, flipped=flipped), image.grid, border="zero")
    except GeometryError as error:
        raise FormatError(f"{file.name!r} must hold finite vectors: {error}") from error


def save_field(transform: Displacement, path: str | Path, *, dimensions: Dimensions = 3) -> None:
    """Write a field of displacement as ITK and ANTs do: LPS mm, NIfTI intent 1007.

    ``antsApplyTransforms -t FILE`` and SimpleITK read it as it stands, and move nothing beyond
    its grid.

    Args:
        transform: The displacement; its border is not kept.
        path: Where it goes: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd.
        dimensions: 2 writes two components on the plane (L, P), as ANTs does with ``-d 2``.

    Raises:
        FormatError: The suffix is another one, or the field leaves the plane.
        OutputError: The folder is absent or not writable.
    """
    target = Path(path)
    if not target.name.lower().endswith(IMAGES):
        raise FormatError(
            f"a field of displacement must end in one of {', '.join(IMAGES)}, got {target.name!r}"
        )
    data = transform.data.detach().cpu()
    if dimensions == 2:
        check_flat(target.name, transform.grid)
        check_plane(target.name, dimensions, [data[2].numpy()])
    save(Image(data[:dimensions].contiguous(), transform.grid, "mm"), target)


def _three(data: Tensor, *, flipped: bool) -> Tensor:
    third = data.new_zeros((3 - len(data), *data.shape[1:]))
    field = torch.cat([data, third]) if len(third) else data
    if flipped:
        field[:2] *= -1  # right becomes left, anterior posterior
    return field if field.dtype.itemsize >= 4 else field.float()


def _intent(file: Path) -> int:
    """Read the intent of a NIfTI file that has been opened already, and refuse foreign ones."""
    with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as stream:
        head = cast(IO[bytes], stream).read(544)
    order = "<" if struct.unpack("<i", head[:4])[0] in (348, 540) else ">"
    one = struct.unpack(f"{order}i", head[:4])[0] == 348
    spot, kind = (68, "h") if one else (504, "i")
    intent = int(struct.unpack_from(f"{order}{kind}", head, spot)[0])
    if intent not in (DISPLACEMENT, VECTOR):
        raise FormatError(
            f"{file.name!r} must have the intent 1007 (vectors) or 1006 (displacement vectors), "
            f"it has {intent} ({INTENTS.get(intent, 'another')}): convert it to an ITK "
            "displacement field, or set the intent if it is one"
        )
    return intent
