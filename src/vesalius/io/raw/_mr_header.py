"""The XML header of ISMRMRD, which fastMRI carries too: matrix, field of view, k-space centre."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from vesalius.errors import FormatError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@final
@dataclass(frozen=True, slots=True)
class MrHeader:
    """What is needed of the header, each along (z, y, x): slice or phase 2, phase 1, read.

    Attributes:
        matrix: Number of samples of encoded k-space.
        fov_mm: Field of view of the encoded matrix, mm.
        centre: Encoding steps (phase 2, phase 1) of the zero frequency.
        trajectory: ``"cartesian"``, ``"radial"``, ...
    """

    matrix: tuple[int, int, int]
    fov_mm: tuple[float, float, float]
    centre: tuple[int, int]
    trajectory: str

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x), mm."""
        dz, dy, dx = (f / n for f, n in zip(self.fov_mm, self.matrix, strict=True))
        return (dz, dy, dx)


def parse_header(path: Path, text: str) -> MrHeader:
    """Read the first encoding of an ISMRMRD header.

    Args:
        path: Its file, for errors.
        text: The XML.

    Returns:
        The header.

    Raises:
        FormatError: It is not such XML, or lacks the encoded space.

    References:
        Inati et al. (2017), doi:10.1002/mrm.26089, and the schema ismrmrd.xsd.
    """
    import xml.etree.ElementTree as ET

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(
            f"{path.name!r} must have an XML header without a document type, it has one: a "
            "hostile file, or no ISMRMRD"
        )
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise FormatError(
            f"{path.name!r} must have a header of XML, it does not parse: {error}"
        ) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return _header(path, root)


def _header(path: Path, root: "Element") -> MrHeader:
    space = "encoding/encodedSpace"
    x, y, z = (_number(root, f"{space}/matrixSize/{a}") for a in "xyz")
    fov = [_number(root, f"{space}/fieldOfView_mm/{a}") for a in "zyx"]
    matrix = [int(n) if math.isfinite(n) else 0 for n in (z, y, x)]
    if min(matrix) < 1 or max(matrix) > 1 << 16 or not all(0 < f < math.inf for f in fov):
        raise FormatError(
            f"{path.name!r} must tell matrixSize and fieldOfView_mm of its encodedSpace, it tells "
            f"{matrix} and {fov} (z, y, x): the header is damaged"
        )
    centre = []
    for step, n in (("2", matrix[0]), ("1", matrix[1])):
        told = _number(root, f"encoding/encodingLimits/kspace_encoding_step_{step}/center")
        centre.append(int(told) if math.isfinite(told) else n // 2)
    kind = root.findtext("encoding/trajectory") or "cartesian"
    return MrHeader(
        (matrix[0], matrix[1], matrix[2]),
        (fov[0], fov[1], fov[2]),
        (centre[0], centre[1]),
        kind.strip().lower(),
    )


def _number(root: "Element", place: str) -> float:
    try:
        return float(root.findtext(place) or math.nan)
    except ValueError:
        return math.nan
