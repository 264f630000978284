"""What every classical method asks of its input and says of itself."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import fields, is_dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, GeometryError, ShapeError
from vesalius.segment._hints import Hints

Spacing = tuple[float, float, float]


def one_channel(image: Image, what: str) -> Shaped[Tensor, "z y x"]:
    """Give the samples of an image of one channel.

    Args:
        image: Of one channel.
        what: What needs one channel, for the message.

    Returns:
        (z, y, x), shared with the image.

    Raises:
        ShapeError: There are more channels.
    """
    if image.data.shape[0] != 1:
        raise ShapeError(
            f"{what} needs an image of one channel, got {image.data.shape[0]}: take one with "
            "Image(image.data[k:k + 1], image.grid, image.unit)"
        )
    return image.data[0]


def where_to_work(hints: Hints) -> Bool[Tensor, "z y x"] | None:
    """Give the mask of the hints; None for everywhere."""
    return None if hints.mask is None else (hints.mask.data != 0).any(dim=0)


def marks_of(labels: Labels) -> Int64[Tensor, "z y x"]:
    """Give the highest value of any layer at each voxel, on the CPU, from any integer type."""
    # torch has no maximum of unsigned numbers of 16 bits and more
    return labels.data.detach().cpu().long().amax(dim=0)


def held_inside(
    x: Float[Tensor, "*c z y x"], mask: Bool[Tensor, "mz my mx"] | None, spacing: Spacing
) -> Float[Tensor, "*c z y x"]:
    """Give each sample outside a mask the value of the nearest one inside.

    What is smoothed or differentiated then hears nothing from outside, and has no edge at the rim.

    Args:
        x: Samples, on the CPU.
        mask: True inside; None leaves the samples as they are.
        spacing: Along (z, y, x).

    Returns:
        Same shape; inside as it was.
    """
    if mask is None or bool(mask.all()):
        return x
    from scipy.ndimage import distance_transform_edt

    inside = mask.cpu().numpy()
    at = distance_transform_edt(
        ~inside, sampling=spacing, return_distances=False, return_indices=True
    )
    z, y, w = torch.from_numpy(at.astype(np.int64))
    return x[..., z, y, w]


def orthogonal_spacing(grid: Grid, what: str) -> tuple[float, float, float]:
    """Give the spacing of a grid whose axes meet at right angles, mm.

    Args:
        grid: Of the image.
        what: What needs right angles, for the message.

    Returns:
        Along (z, y, x).

    Raises:
        GeometryError: The grid is sheared.
    """
    if not grid.is_orthogonal:
        raise GeometryError(
            f"{what} needs a grid whose axes meet at right angles, this one is sheared: "
            "resample first with core.resample"
        )
    return grid.spacing_mm


def finest_mm(grid: Grid) -> float:
    """Give the smallest spacing of the axes that have more than one sample, mm."""
    felt = [s for s, n in zip(grid.spacing_mm, grid.shape, strict=True) if n > 1]
    return min(felt or grid.spacing_mm)


def check_reach(name: str, length_mm: float, grid: Grid) -> None:
    """Refuse a length beyond the whole image: nothing in it is as large as that.

    Args:
        name: Of the setting.
        length_mm: Its value.
        grid: Of the image.

    Raises:
        ConfigError: It is longer than the diagonal of the image.
    """
    sizes = zip(grid.shape, grid.spacing_mm, strict=True)
    longest = math.hypot(*(n * mm for n, mm in sizes if n > 1))
    if length_mm > max(longest, min(grid.spacing_mm)):
        raise ConfigError(
            f"{name} must not exceed the image, whose diagonal is {longest:.4g} mm, got "
            f"{length_mm:g} mm: give it in the size of what is looked for, or check the spacing"
        )


def settings_of(method: object) -> dict[str, object]:
    """Write the settings of a method in JSON types; infinite numbers become text."""
    assert is_dataclass(method)
    found: dict[str, object] = {"method": type(method).__name__}
    for one in fields(method):
        value = getattr(method, one.name)
        endless = isinstance(value, float) and not math.isfinite(value)
        found[one.name] = str(value) if endless else value
    return found


def numbers_of(x: Shaped[Tensor, "z y x"]) -> NDArray[np.generic]:
    """Give the samples as numpy numbers; half precision becomes float32, which holds it exactly."""
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    samples: NDArray[np.generic] = wide.detach().cpu().numpy()
    return samples


def above(x: NDArray[np.generic], threshold: float) -> NDArray[np.bool_]:
    """Compare without rounding: a whole number lies above 3.5 where it lies above 3."""
    whole = x.dtype.kind in "iu" and math.isfinite(threshold)
    found: NDArray[np.bool_] = np.greater(x, math.floor(threshold) if whole else threshold)
    return found


def at_least(x: NDArray[np.generic], threshold: float) -> NDArray[np.bool_]:
    """Compare without rounding: a whole number is at least 3.5 where it is at least 4."""
    whole = x.dtype.kind in "iu" and math.isfinite(threshold)
    end = math.ceil(threshold) if whole else threshold
    found: NDArray[np.bool_] = np.greater_equal(x, end)
    return found


def as_floats(x: Shaped[Tensor, "z y x"]) -> Shaped[Tensor, "z y x"]:
    """Copy samples to float64 on the CPU, which holds every integer up to 53 bits exactly."""
    return torch.from_numpy(x.detach().cpu().double().numpy().copy())
