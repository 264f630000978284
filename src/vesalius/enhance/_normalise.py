"""Intensity normalisation, for images whose scale has no unit (MR), with the fitted parameters."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import IntensityError, RegionError, ShapeError, UnitError

Method = Literal["zscore", "zscore_mask", "percentile", "nyul", "white_stripe"]
Mask = Bool[Tensor, "z y x"]
Values = Float[Tensor, " n"]

NYUL_PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
STRIPE = 0.05  # half width of the white stripe, in probability
RARE = 0.2  # a mode lower than this part of the highest is taken for noise


@dataclass(frozen=True, slots=True, eq=False)
class Normalised:
    """A normalised image and what was fitted to get it.

    Attributes:
        image: The normalised image, unit ``"1"``.
        parameters: Name and value of each fitted parameter, in the unit of the input.
    """

    image: Image
    parameters: tuple[tuple[str, float], ...]


def normalise(
    image: Image,
    mask: Mask | None = None,
    *,
    method: Method,
    percentiles: tuple[float, float] = (1.0, 99.0),
    scale: float = 1.0,
    landmarks: tuple[float, ...] = (),
) -> Normalised:
    """Bring the intensities of an image to a common scale.

    Args:
        image: (1, Z, Y, X), floating point.
        mask: (z, y, x), where the parameters are fitted for ``zscore_mask``; for ``percentile``,
            ``nyul`` and ``white_stripe`` too where given (use the foreground), else the whole image
            (``white_stripe``: voxels above the mean). ``zscore`` ignores it.
        method: ``zscore`` and ``zscore_mask``: (x - mean) / sd. ``percentile``: the two percentiles
            go to 0 and 1. ``nyul``: piecewise linear onto the landmarks of a standard scale.
            ``white_stripe``: (x - mean) / sd of the voxels around the brightest mode of the
            histogram, which is white matter in T1.
        percentiles: The ends used by ``percentile``.
        scale: Multiplies the normalised value.
        landmarks: Standard scale made by ``fit_nyul``, for ``nyul``.

    Returns:
        The image, of unit ``"1"``, and the fitted parameters.

    Raises:
        UnitError: ``image`` holds integers.
        ShapeError: ``image`` has more than one channel, ``mask`` another shape, or ``landmarks``
            or ``percentiles`` are not increasing or of the wrong number.
        RegionError: ``zscore_mask`` came without a mask, or the mask is empty.
        IntensityError: The values are not finite or have no spread.

    References:
        Nyul & Udupa (1999), doi:10.1002/(SICI)1522-2594(199912)42:6<1072::AID-MRM11>3.0.CO;2-M.
        Shinohara et al. (2014), doi:10.1016/j.nicl.2014.08.008; differs from it in: the mode is
        found on a histogram of 256 bins smoothed by a Gaussian of 4 bins instead of a spline.
    """
    values = _values(image, mask, method)
    match method:
        case "zscore" | "zscore_mask":
            fitted = _spread(values)
        case "percentile":
            fitted = _ends(values, percentiles)
        case "white_stripe":
            fitted = _spread(_stripe(values, mask is not None))
        case "nyul":
            return _nyul(image, values, landmarks, scale)
    (_, offset), (_, width) = fitted[:2]
    if method == "percentile":
        width -= offset
    data = (image.data - offset) * (scale / width)
    return Normalised(Image(data, image.grid, "1", image.channels), fitted)


def fit_nyul(images: Sequence[Image], masks: Sequence[Mask | None] = ()) -> tuple[float, ...]:
    """Learn the landmarks of a standard scale from images of one kind.

    The 1st and 99th percentile of each image are brought to 0 and 100, the deciles between them
    are averaged.

    Args:
        images: (1, Z, Y, X) each, floating point.
        masks: The foreground of each image, (z, y, x), or None for the whole; empty for all None.

    Returns:
        Landmarks at the percentiles 1, 10, 20, ... 90, 99, from 0 to 100.

    Raises:
        ShapeError: No image came, or another number of masks.
        IntensityError: An image has no spread.
    """
    chosen = tuple(masks) or (None,) * len(images)
    if not images or len(chosen) != len(images):
        raise ShapeError(
            f"images must not be empty and masks must be none or one for each, got {len(images)} "
            f"images and {len(chosen)} masks"
        )
    total = torch.zeros(len(NYUL_PERCENTILES), dtype=torch.float64)
    for image, mask in zip(images, chosen, strict=True):
        found = _quantiles(_values(image, mask, "nyul"), NYUL_PERCENTILES)
        low, high = float(found[0]), float(found[-1])
        _check_spread(high - low)
        total += 100 * (found - low) / (high - low)
    landmarks: list[float] = (total / len(images)).tolist()
    return tuple(landmarks)


def _values(image: Image, mask: Mask | None, method: Method) -> Values:
    if not image.data.is_floating_point():
        raise UnitError(
            f"image must be floating point to be normalised, got {image.dtype}: "
            "convert it with image.map(lambda x: x.double())"
        )
    if image.data.shape[0] != 1:
        raise ShapeError(
            f"image must have one channel to be normalised, got {image.data.shape[0]}: "
            "normalise each channel by itself"
        )
    if mask is None and method == "zscore_mask":
        raise RegionError("mask must be given for zscore_mask, got None: use zscore for the whole")
    if mask is not None and tuple(mask.shape) != image.grid.shape:
        raise ShapeError(
            f"mask must have the shape of the image {image.grid.shape}, got {tuple(mask.shape)}"
        )
    whole = mask is None or method == "zscore"
    values = image.data[0].flatten() if whole else image.data[0][mask]
    values = values.double()
    if len(values) == 0:
        raise RegionError("mask must not be empty, it holds no voxel: give the foreground")
    if not bool(torch.isfinite(values).all()):
        raise IntensityError("image must be finite to be normalised, it holds NaN or infinity")
    return values


def _check_spread(width: float) -> None:
    if not width > 0:
        raise IntensityError(
            f"values must have a spread to be normalised, got a width of {width:g}: "
            "the image or the mask is constant"
        )


def _spread(values: Values) -> tuple[tuple[str, float], ...]:
    mean, sd = float(values.mean()), float(values.std(correction=0))
    _check_spread(sd if sd > 1e-12 * abs(mean) else 0.0)
    return (("mean", mean), ("sd", sd))


def _ends(values: Values, percentiles: tuple[float, float]) -> tuple[tuple[str, float], ...]:
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise ShapeError(f"percentiles must increase from 0 to at most 100, got {percentiles}")
    low, high = _quantiles(values, percentiles).tolist()
    _check_spread(high - low)
    return ((f"p{percentiles[0]:g}", low), (f"p{percentiles[1]:g}", high))


def _quantiles(values: Values, percentiles: tuple[float, ...]) -> Float[Tensor, " p"]:
    ordered = values.sort().values  # torch.quantile refuses more than 2^24 values
    place = torch.tensor(percentiles, dtype=torch.float64) / 100 * (len(ordered) - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=len(ordered) - 1)
    part = (place - low).to(ordered.device)
    low, high = low.to(ordered.device), high.to(ordered.device)
    return (ordered[low] * (1 - part) + ordered[high] * part).cpu()


def _stripe(values: Values, masked: bool) -> Float[Tensor, " kept"]:
    if not masked:
        values = values[values > values.mean()]
    if len(values) == 0:
        _check_spread(0.0)
    mode = _last_mode(values)
    at = float((values < mode).double().mean())
    ends = (100 * max(at - STRIPE, 0.0), 100 * min(at + STRIPE, 1.0))
    low, high = _quantiles(values, ends).tolist()
    return values[(values >= low) & (values <= high)]


def _last_mode(values: Values) -> float:
    low, high = float(values.min()), float(values.max())
    _check_spread(high - low)
    counts = torch.histc(values.cpu(), bins=256, min=low, max=high)
    offsets = torch.arange(-16, 17, dtype=torch.float64)
    window = torch.exp(-0.5 * (offsets / 4) ** 2)
    smooth = torch.nn.functional.conv1d(counts[None, None], window[None, None], padding=16)[0, 0]
    before = torch.cat((smooth.new_zeros(1), smooth[:-1]))
    after = torch.cat((smooth[1:], smooth.new_zeros(1)))
    modes = (smooth >= before) & (smooth > after) & (smooth >= RARE * smooth.max())
    last = int(modes.nonzero().max())
    return low + (last + 0.5) * (high - low) / 256


def _nyul(image: Image, values: Values, landmarks: tuple[float, ...], scale: float) -> Normalised:
    steps = [b - a for a, b in itertools.pairwise(landmarks)]
    if len(landmarks) != len(NYUL_PERCENTILES) or min(steps) <= 0:
        raise ShapeError(
            f"landmarks must be {len(NYUL_PERCENTILES)} increasing values, got {landmarks}: "
            "learn them with fit_nyul"
        )
    source = _quantiles(values, NYUL_PERCENTILES)
    _check_spread(float(source.diff().min()))
    target = torch.tensor(landmarks, dtype=torch.float64)
    x = image.data.double()
    # the first and last piece go on beyond the ends
    piece = torch.searchsorted(source, x.cpu().contiguous()).clamp(1, len(source) - 1) - 1
    slope = (target.diff() / source.diff())[piece].to(x.device)
    data = target[piece].to(x.device) + (x - source[piece].to(x.device)) * slope
    names = (f"p{p:g}" for p in NYUL_PERCENTILES)
    fitted = tuple(zip(names, source.tolist(), strict=True))
    return Normalised(
        Image((data * scale).to(image.dtype), image.grid, "1", image.channels), fitted
    )
