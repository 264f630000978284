"""ImageJ hyperstacks: TIFF with its calibration in micrometres."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from vesalius.core import Image, Labels, Series
from vesalius.errors import FormatError
from vesalius.io._handle import Array
from vesalius.io._samples import to_numpy
from vesalius.io.micro import _place
from vesalius.io.micro._units import length_mm, time_s

MOST_BYTES = (1 << 32) - (1 << 24)
NOTE = "vesalius: "


@final
@dataclass(frozen=True, slots=True)
class ImageJ:
    """What the description of an ImageJ file says.

    Attributes:
        unit_mm: Size of its unit of length, mm; 0 where it is none ("pixel").
        spacing: Distance of slices in that unit, 0 where not given.
        origin_zyx: Index of the voxel that lies at the origin.
        interval_s: Time between frames, seconds; 0 where not given.
        note: Our note, or empty.
        present: Whether there is such a description, which then counts and not the TIFF's unit.
    """

    unit_mm: float = 0.0
    spacing: float = 0.0
    origin_zyx: tuple[float, float, float] = (0.0, 0.0, 0.0)
    interval_s: float = 0.0
    note: str = ""
    present: bool = False


def imagej_of(tif: Any) -> ImageJ:
    """Read the calibration of an ImageJ file.

    Args:
        tif: An open ``tifffile.TiffFile``.

    Returns:
        What it says; entries that are damaged count as absent.
    """
    if not tif.is_imagej:
        return ImageJ()
    told = tif.imagej_metadata or {}
    unit = length_mm(str(told.get("unit", "")))
    if not unit and re.fullmatch(r"\\u00[bB]5m|.m", str(told.get("unit", ""))):
        unit = 1e-3  # the micro sign in whatever encoding ImageJ's user had
    z, y, x = (_number(told.get(f"{axis}origin")) for axis in "zyx")
    step = _number(told.get("finterval")) * (time_s(str(told.get("tunit", "sec"))) or 1.0)
    info = str(told.get("Info", ""))
    lines = [line for line in info.splitlines() if line.startswith(NOTE)]
    note = lines[0].removeprefix(NOTE) if lines else ""
    return ImageJ(unit, abs(_number(told.get("spacing"))), (z, y, x), step, note, True)


def _number(value: object) -> float:
    try:
        number = float(str(value)) if value is not None else 0.0
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def save_imagej(obj: Image | Labels | Series, path: Path) -> None:
    """Write a TIFF hyperstack that ImageJ and Fiji open with its calibration in um.

    Values are kept exactly: uint8, other integers from 0 to 65535 as uint16, float32. The origin
    and an oblique grid go into our note; ImageJ sees spacing and, on a plain grid, the origin.

    Args:
        obj: What to write; a series with even times has its interval in seconds.
        path: Where it goes.

    Raises:
        FormatError: ImageJ has no such number type, or the file would pass 4 GiB.
    """
    import tifffile

    samples = _typed(to_numpy(obj.data), path.name)
    stack = samples if isinstance(obj, Series) else samples[None]
    check_bytes(stack.nbytes, path.name)
    grid = _place.shown(obj.grid)
    dz, dy, dx = (1e3 * s for s in grid.spacing_mm)
    told = {"axes": "TZCYX", "unit": "um", "spacing": dz, "loop": False}
    origins = [-1e3 * o / s for o, s in zip(grid.origin_mm, (dx, dy, dz), strict=True)]
    told |= {f"{a}origin": o for a, o in zip("xyz", origins, strict=True) if o != 0}
    if isinstance(obj, Series) and len(obj) > 1:
        told["finterval"] = (obj.times_s[-1] - obj.times_s[0]) / (len(obj) - 1)
        told["tunit"] = "sec"
    told["Info"] = NOTE + _place.text(_place.encode(obj))
    if isinstance(obj, Image) and obj.channels:
        planes = len(stack) * obj.grid.shape[0]
        told["Labels"] = list(obj.channels) * planes
    tifffile.imwrite(
        path,
        np.ascontiguousarray(stack.transpose(0, 2, 1, 3, 4)),
        imagej=True,
        resolution=(1 / dx, 1 / dy),
        resolutionunit=1,
        software="vesalius",
        metadata=told,
    )


def check_bytes(count: int, name: str) -> None:
    """Check that samples fit into a TIFF of 32-bit offsets.

    Raises:
        FormatError: They do not.
    """
    if count > MOST_BYTES:
        raise FormatError(
            f"an ImageJ TIFF must stay below 4 GiB, {name!r} would take "
            f"{count / 2**30:.3g} GiB: save it as .ome.tif or .zarr"
        )


def _typed(samples: Array, name: str) -> Array:
    if samples.dtype in (np.uint8, np.uint16, np.float32):
        return samples
    low, high = (samples.min(), samples.max()) if samples.size else (0, 0)
    if samples.dtype.kind not in "iu" or low < 0 or high > 65535:
        raise FormatError(
            f"an ImageJ TIFF must hold uint8, uint16 or float32, {name!r} would hold "
            f"{samples.dtype.name} from {low} to {high}: convert the values first, such as "
            "image.map(torch.Tensor.float), or save as .ome.tif or .zarr"
        )
    return samples.astype(np.uint16)
