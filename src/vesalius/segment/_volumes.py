"""Volumes: of each label, with the interval that a model's calibration states."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from typing import Any

import torch

from vesalius.core import Labels
from vesalius.errors import FormatError
from vesalius.segment._segmentation import Quantity


def volumes(
    labels: Labels, names: Mapping[int, str], calibration: Mapping[str, Any]
) -> tuple[Quantity, ...]:
    """Measure the volume of each label, or its area in 2-D, by counting voxels.

    The interval is the volume times the ratios of true to predicted volume that were found on
    cases the model had not learned from; it holds for cases like those.

    Args:
        labels: One layer.
        names: Of the label values that are wanted.
        calibration: Of the model; without ``"volumes"`` no interval is known.

    Returns:
        One for each name, also where the label does not occur (then 0, with no interval).

    Raises:
        FormatError: The calibration is not what ``calibrate`` gives.
    """
    flat = labels.grid.shape[0] == 1
    _, dy, dx = labels.grid.spacing_mm
    each = dy * dx if flat else labels.grid.voxel_volume_mm3
    known = calibration.get("volumes", {})
    found = []
    for value, name in sorted(names.items()):
        size = int(torch.count_nonzero(labels.data == value)) * each
        low, high, coverage = _ratios(known, value, calibration)
        if size == 0 or coverage == 0:
            low, high, coverage = 1.0, 1.0, 0.0
        what, unit = ("area", "mm2") if flat else ("volume", "mm3")
        found.append(Quantity(value, name, what, size, low * size, high * size, unit, coverage))
    return tuple(found)


def _ratios(known: Any, value: int, calibration: Mapping[str, Any]) -> tuple[float, float, float]:
    try:
        ratio = known.get(str(value))
        if ratio is None:
            return 1.0, 1.0, 0.0
        low, high, coverage = float(ratio[0]), float(ratio[1]), float(calibration["coverage"])
        if not (0 <= low <= high and 0 < coverage < 1):
            raise ValueError(f"ratios {low}, {high} of coverage {coverage}")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(
            "the calibration of a model must have coverage, and for each label two ratios that "
            f"rise, got {error}: calibrate again"
        ) from error
    return low, high, coverage
