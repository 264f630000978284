"""The front of the room: one call for every method, with one set of checks."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import torch
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import IntensityError
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._segmentation import Segmentation


def segment(
    image: Image, method: Method, *, hints: Hints | None = None, on_step: OnStep | None = None
) -> Segmentation:
    """Segment an image by any method.

    Args:
        image: Finite; integers stay integers.
        method: Such as ``threshold.Otsu()``, ``contours.ChanVese()``, ``networks.Trained(model)``.
        hints: Seeds, marks, mask, first contour; none where the method needs none.
        on_step: Told of each finished piece.

    Returns:
        Labels on the image's grid, 0 outside ``hints.mask``, and what they were decided by.

    Raises:
        IntensityError: The image has NaN or infinite samples.
        GeometryError: A hint lies on another grid.
        RegionError: A hint that the method needs is absent, or nothing was found.
        ConfigError: A setting does not fit the image.
    """
    known = Hints() if hints is None else hints
    known.check(image.grid)
    if image.data.is_floating_point() and not _finite(image.data):
        bad = int((~torch.isfinite(image.data)).sum())
        raise IntensityError(
            f"an image must be finite to be segmented, {bad} samples are NaN or infinite: replace "
            "them first (torch.nan_to_num), or crop them away"
        )
    found = method.apply(image, known, on_step)
    if known.mask is None:
        return found
    inside = (known.mask.data != 0).any(dim=0, keepdim=True)
    labels = replace(found.labels, data=found.labels.data * inside)
    return replace(found, labels=labels)


def _finite(x: Tensor) -> bool:
    """Look at the extremes, which NaN spoils: one pass, a quarter of the time of all samples."""
    return all(bool(torch.isfinite(end)) for end in torch.aminmax(x))
