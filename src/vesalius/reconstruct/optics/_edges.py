"""What a microscope image must be to be deconvolved, and what lies beyond its field."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal

import torch

from vesalius.core import Image
from vesalius.errors import GeometryError, IntensityError, ShapeError, UnitError
from vesalius.physics.optics import Convolution

Edges = Literal["open", "zero"]
"""``"open"``: the object goes on beyond the field by the size of the PSF; ``"zero"``: it is dark"""
Window = tuple[slice, slice, slice]


def blurring(image: Image, psf: Image, edges: Edges) -> tuple[Convolution, Window]:
    """Build the operator from the object to the image.

    Args:
        image: The image.
        psf: Its PSF, already checked.
        edges: What lies beyond the field.

    Returns:
        The operator, and where in its domain the image's own samples lie.
    """
    kernel = psf.data[0].to(image.device, image.dtype)
    z, y, x = image.grid.shape
    if edges == "zero":
        return Convolution(kernel, (z, y, x)), (slice(0, z), slice(0, y), slice(0, x))
    size = tuple(kernel.shape)
    domain = tuple(n + k - 1 for n, k in zip((z, y, x), size, strict=True))
    # sample i of a valid result stands over sample i + k - 1 - k // 2 of the object
    a, b, c = (k - 1 - k // 2 for k in size)
    window = (slice(a, a + z), slice(b, b + y), slice(c, c + x))
    return Convolution(kernel, domain, "valid"), window


def check_image(image: Image, psf: Image, *, counts: bool) -> None:
    """Refuse what cannot be deconvolved.

    Args:
        image: The image.
        psf: Its PSF.
        counts: Whether the image must be at least 0.

    Raises:
        UnitError: The image is not float32 or float64.
        ShapeError: The PSF has more than one channel.
        GeometryError: PSF and image differ in spacing by more than 0.1 %.
        IntensityError: The image is not finite or, for counts, negative; the PSF has negative or
            infinite values or a sum other than 1.
    """
    if image.dtype not in (torch.float32, torch.float64):
        raise UnitError(
            f"image must be float32 or float64 to be deconvolved, got {image.dtype}: convert it "
            "with image.map(lambda x: x.float())"
        )
    if psf.data.shape[0] != 1:
        raise ShapeError(f"psf must have one channel, got {psf.data.shape[0]}: one call for each")
    ratios = zip(psf.grid.spacing_mm, image.grid.spacing_mm, psf.grid.shape, strict=True)
    if any(abs(a / b - 1) > 1e-3 for a, b, n in ratios if n > 1):
        raise GeometryError(
            f"psf must have the spacing of the image, {image.grid.spacing_mm} mm along (z, y, x), "
            f"got {psf.grid.spacing_mm}: make it with that spacing_mm"
        )
    low = float(image.data.min())
    if not bool(torch.isfinite(image.data).all()) or (counts and low < 0):
        raise IntensityError(
            f"image must be finite{' and at least 0' if counts else ''}, its smallest value is "
            f"{low:g}: do not subtract the background, give it in the options"
        )
    total = float(psf.data.sum())
    if not abs(total - 1) <= 1e-3 or float(psf.data.min()) < 0:
        raise IntensityError(
            f"psf must be at least 0 with a sum of 1, got a sum of {total:g} and a minimum of "
            f"{float(psf.data.min()):g}: take its background off and divide it by its sum"
        )
