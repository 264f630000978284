"""Small microscopy files made by tifffile and zarr, not by us, for the tests of this room."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

AXES = [{"name": "c", "type": "channel"}]
AXES += [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
TIME = {"name": "t", "type": "time", "unit": "millisecond"}


def ramp(*shape: int, dtype: str = "uint8") -> np.ndarray:
    """Samples that all differ (as far as the type allows)."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def ome_xml(pixels: str, body: str = "", *, before: str = "", after: str = "") -> str:
    """An OME-XML document of one image from the attributes and children of its Pixels."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="x"><Pixels ID="Pixels:0" {pixels}>{body}</Pixels></Image>'
        f"{after}</OME>"
    )


def sizes(**given: object) -> str:
    """Attributes of Pixels, with one sample along each axis that is not given."""
    told = {"DimensionOrder": "XYZCT", "Type": "uint8"}
    told |= {f"Size{axis}": 1 for axis in "XYZCT"} | given
    return " ".join(f'{key}="{value}"' for key, value in told.items())


def write_ome(path: Path, planes: np.ndarray, xml: str, **options: object) -> Path:
    """Write planes (n, y, x[, s]) as pages under a description that we choose."""
    with tifffile.TiffWriter(path, ome=False) as tif:
        photometric = "rgb" if planes.ndim == 4 else "minisblack"
        tif.write(
            planes, description=xml.encode(), metadata=None, photometric=photometric, **options
        )
    return path


def write_zarr(
    path: Path, arrays: list[np.ndarray], ome: dict[str, Any], *, version: int = 3, **options: Any
) -> Path:
    """Write arrays "0", "1", ... and the attributes of an image."""
    path.mkdir(parents=True, exist_ok=True)
    for k, array in enumerate(arrays):
        given = {"chunks": tuple(min(n, 4) for n in array.shape)} | options
        stored = zarr.create_array(
            store=str(path / str(k)), shape=array.shape, dtype=array.dtype, zarr_format=version,
            fill_value=0, **given,
        )  # fmt: skip
        stored[...] = array
    return describe(path, ome, version=version)


def describe(path: Path, ome: dict[str, Any], *, version: int = 3) -> Path:
    """Write the metadata of a group."""
    path.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(ome))
        return path
    told = {"ome": {"version": "0.5", **ome}}
    node = {"zarr_format": 3, "node_type": "group", "attributes": told}
    (path / "zarr.json").write_text(json.dumps(node))
    return path


def multiscale(
    *scales: list[float], axes: list[dict[str, str]] = AXES, **extra: object
) -> dict[str, Any]:
    """An image's metadata from the scale of each level."""
    datasets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for k, scale in enumerate(scales)
    ]
    one = {"axes": axes, "datasets": datasets, "name": "x", **extra}
    return {"multiscales": [one]}


def files_read(folder: Path) -> int:
    """Count the files below a folder."""
    return sum(1 for path in folder.rglob("*") if path.is_file())
