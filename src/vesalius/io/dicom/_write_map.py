"""DICOM parametric map out: an image of real numbers, exactly, with its unit."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Any

import numpy as np

from vesalius.core import Image
from vesalius.errors import UnitError
from vesalius.io._atomic import staged
from vesalius.io._samples import to_numpy
from vesalius.io.dicom._context import (
    Caption,
    equipment,
    geometry,
    highdicom,
    quiet,
    seed,
    settle,
    short,
    source_for,
    uid,
    unreal,
    upright,
)
from vesalius.io.dicom._map import UNNAMED, open_parametric_map
from vesalius.io.dicom.codes import Code, ucum


def save_parametric_map(
    image: Image,
    path: str | Path,
    *,
    like: str | Path = "",
    quantity: Code | None = None,
    caption: Caption = Caption(),  # noqa: B008  frozen
) -> None:
    """Write an image as a DICOM parametric map, PS3.3 A.75; values are kept to the last bit.

    Planes that run against their normal are written, and come back, turned round in z: the same
    values at the same places.

    Args:
        image: float32 or float64, any number of channels, finite or not.
        path: Where it goes; an existing file is replaced.
        like: Folder of the series that the map was made from; empty writes an anonymous study.
        quantity: What the values are, such as a code of CID 7180; None leaves it out.
        caption: Description, number and date of the series.

    Raises:
        UnitError: The samples are not float32 or float64, or the unit cannot be coded.
        FormatError: The source cannot be read.
        GeometryError: Rows and columns are not at right angles.
        ExtraError: highdicom is not installed.
        OutputError: The folder is absent or not writable, or what was read back differs.
    """
    data, grid = upright(image.data, image.grid)
    values = to_numpy(data)
    if values.dtype not in (np.float32, np.float64):
        raise UnitError(
            f"a parametric map must hold float32 or float64, got {image.dtype}: convert it first, "
            "such as image.map(torch.Tensor.float), or write a series"
        )
    source = source_for(grid, data, like)
    own = seed(data, grid, source, "map", image.unit, image.channels, quantity, caption)
    names = image.channels or (UNNAMED,) * values.shape[0]
    mappings = [
        [_mapping(f"{k + 1}:{name}", image.unit, values, quantity)] for k, name in enumerate(names)
    ]
    with quiet():
        dataset = highdicom().pm.ParametricMap(
            source_images=list(source.headers),
            pixel_array=np.ascontiguousarray(np.moveaxis(values, 0, -1)),
            series_instance_uid=uid(own, "series"),
            series_number=caption.number,
            sop_instance_uid=uid(own, "instance"),
            instance_number=1,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=mappings,
            voi_lut_transformations=[_window(values)],
            content_label="MAP",
            **equipment(),
            **geometry(grid),
        )
    dataset.Laterality = None
    unreal(dataset, source)
    settle(dataset, own, source, caption)
    with staged(path) as stage:
        dataset.save_as(stage, enforce_file_format=True)
        _compare(Image(data, grid, image.unit, image.channels), stage)


def _mapping(name: str, unit: str, values: Any, quantity: Code | None) -> Any:
    known = values[np.isfinite(values)]
    ends = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    return highdicom().pm.RealWorldValueMapping(
        lut_label=short(name, 16),
        lut_explanation=short(name.partition(":")[2]),
        unit=ucum(unit).concept(),
        value_range=ends,
        slope=1.0,
        intercept=0.0,
        quantity_definition=None if quantity is None else quantity.concept(),
    )


def _window(values: Any) -> Any:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    # the window is a hint for display; a width must be positive
    return highdicom().VOILUTTransformation(
        window_center=float(f"{(low + high) / 2:.6g}"),
        window_width=float(f"{max(high - low, 1e-6):.6g}"),
        voi_lut_function="LINEAR_EXACT",  # C.11.2.1.3: the only one with widths below 1
    )


def _compare(image: Image, stage: Path) -> None:
    from vesalius.io._save import Writer, compare

    compare(image, Writer(lambda obj, path: None, open_parametric_map), stage)
