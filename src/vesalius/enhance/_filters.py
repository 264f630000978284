"""Convolutional filters of IBSI chapter 2 on images: specified in mm, applied in samples."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.ops._convolve import Boundary, Chain, chain_reach, convolve_separable
from vesalius.ops._gabor import Wave, gabor
from vesalius.ops._isotropic import Isotropic, isotropic_wavelet
from vesalius.ops._laws import box, energy, laws_kernels
from vesalius.ops._log import laplacian_of_gaussian, log_radius
from vesalius.ops._riesz import riesz
from vesalius.ops._rotations import Rotation, pool_rotations
from vesalius.ops._wavelets import Family, wavelet_chain

Triple = tuple[float, float, float]
Stack = Float[Tensor, "c z y x"]
Dimension = Literal["2D", "3D"]
Positive = Annotated[float, Field(gt=0)]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MeanFilter(_Spec):
    """Average over a cube (or square) of voxels."""

    kind: Literal["mean"] = "mean"
    size: int = Field(3, ge=1, description="Width of the window, voxels; odd.")
    dimension: Dimension = "3D"
    boundary: Boundary = "mirror"

    @field_validator("size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError(f"size must be odd to have a centre, got {size}: use {size + 1}")
        return size


class LogFilter(_Spec):
    """Laplacian of Gaussian; the response is per squared voxel."""

    kind: Literal["log"] = "log"
    sigma_mm: Positive = Field(3.0, description="Standard deviation of the Gaussian, mm.")
    truncate: Positive = Field(4.0, description="Radius of the kernel, standard deviations.")
    dimension: Dimension = "3D"
    boundary: Boundary = "mirror"


class LawsFilter(_Spec):
    """Laws' kernels, pooled over rotations, and the energy of their response."""

    kind: Literal["laws"] = "laws"
    kernels: str = Field(
        "L5E5E5", description="Along x, y and z, or along x and y alone (slice by slice)."
    )
    rotation: Rotation = Field("none", description="Pooling over right-angle rotations.")
    energy_distance: int = Field(
        0, ge=0, description="Chebyshev radius of the energy window, voxels; 0 gives the response."
    )
    boundary: Boundary = "mirror"

    @field_validator("kernels")
    @classmethod
    def _known(cls, kernels: str) -> str:
        laws_kernels(kernels)
        return kernels


class GaborFilter(_Spec):
    """Modulus of a Gabor response in the axial slices, or averaged over the orthogonal planes."""

    kind: Literal["gabor"] = "gabor"
    sigma_mm: Positive = Field(5.0, description="Standard deviation of the envelope, mm.")
    wavelength_mm: Positive = Field(2.0, description="Distance of two crests, mm.")
    gamma: Positive = Field(1.0, description="Extent along the wave over the extent across it.")
    angle_deg: float = Field(0.0, description="Direction of the wave, from x towards y.")
    rotation: Rotation = Field("none", description="Pooling over directions in a full turn.")
    step_deg: float = Field(
        45.0, ge=1, le=360, description="Between two pooled directions; 360 / step_deg is whole."
    )
    planes: Literal["axial", "orthogonal"] = "axial"
    boundary: Boundary = "mirror"

    @field_validator("step_deg")
    @classmethod
    def _divides(cls, step_deg: float) -> float:
        turns = 360 / step_deg
        if abs(turns - round(turns)) > 1e-6:
            raise ValueError(f"step_deg must divide 360, got {step_deg:g}: use 22.5, 30, 45 or 90")
        return step_deg


class WaveletFilter(_Spec):
    """One band of a separable wavelet transform without decimation."""

    kind: Literal["wavelet"] = "wavelet"
    family: Family = "coif1"
    band: str = Field(
        "LLL",
        pattern="^[LH]{2,3}$",
        description="Low or high pass along x, y and z, or along x and y alone (slice by slice).",
    )
    level: int = Field(1, ge=1, le=6)
    rotation: Rotation = Field("none", description="Pooling over right-angle rotations.")
    boundary: Boundary = "mirror"


class NonseparableFilter(_Spec):
    """One octave of an isotropic wavelet."""

    kind: Literal["nonseparable"] = "nonseparable"
    family: Isotropic = "simoncelli"
    level: int = Field(1, ge=1, le=6)
    dimension: Dimension = "3D"
    boundary: Literal["periodic", "mirror"] = "periodic"


class RieszFilter(_Spec):
    """A component of the Riesz transform, of the image or of one of its bands."""

    kind: Literal["riesz"] = "riesz"
    order: tuple[int, int] | tuple[int, int, int] = Field(
        (1, 0, 0), description="Along x, y and z, or along x and y alone (slice by slice)."
    )
    band: Literal["none", "log", "simoncelli"] = Field(
        "none", description="Transform the image, its Laplacian of Gaussian, or an octave of it."
    )
    sigma_mm: Positive = Field(3.0, description="Standard deviation of the band log, mm.")
    level: int = Field(1, ge=1, le=6, description="Octave of the band simoncelli.")
    align_mm: float = Field(
        0.0,
        ge=0,
        description="Window of the structure tensor whose axes replace x, y and z, strongest "
        "first, mm; 0 keeps those of the array.",
    )
    boundary: Literal["periodic", "mirror"] = "periodic"

    @field_validator("order")
    @classmethod
    def _some(cls, order: tuple[int, ...]) -> tuple[int, ...]:
        if min(order) < 0 or not 1 <= sum(order) <= 8:
            raise ValueError(
                f"order must have parts of at least 0 that add up to 1 to 8, got {order}: "
                "(1, 0, 0) is the first derivative along x"
            )
        return order


Filter = Annotated[
    MeanFilter
    | LogFilter
    | LawsFilter
    | GaborFilter
    | WaveletFilter
    | NonseparableFilter
    | RieszFilter,
    Field(discriminator="kind"),
]
"""Any filter; ``kind`` says which."""

AnyFilter = (
    MeanFilter
    | LogFilter
    | LawsFilter
    | GaborFilter
    | WaveletFilter
    | NonseparableFilter
    | RieszFilter
)


def apply_filter(image: Image, spec: AnyFilter) -> Image:
    """Filter an image as the IBSI standard says.

    Letters and angles refer to the array axes: x is the last axis, "2D" means slices of constant z.

    Args:
        image: (C, Z, Y, X), floating point, finite, any unit.
        spec: The filter.

    Returns:
        The response on the same grid, with the unit of ``image``; per squared voxel for ``log``.
        On voxels that are not cubes the second derivatives of ``log`` refer to a cube of the
        same volume (in 2-D a square of the same area).

    Raises:
        UnitError: ``image`` holds integers.
        IntensityError: A sample is NaN or infinite.
        GeometryError: The axes of the grid are not at right angles.

    Example:
        >>> from vesalius.core import Grid
        >>> image = Image(torch.ones(1, 8, 8, 8), Grid.from_spacing((8, 8, 8)), "HU")
        >>> apply_filter(image, MeanFilter(size=3)).data.unique()
        tensor([1.])

    References:
        IBSI reference manual, chapter 2, arXiv:2006.05470.
    """
    _check(image)
    unit = response_unit(spec, image.unit)
    return Image(_response(image.data, spec, image.grid.spacing_mm), image.grid, unit)


def response_unit(spec: AnyFilter, unit: str) -> str:
    """Give the unit of a response from that of the image: per squared voxel after a Laplacian."""
    laplacian = isinstance(spec, LogFilter) or (
        isinstance(spec, RieszFilter) and spec.band == "log"
    )
    return f"{unit}/voxel^2" if laplacian else unit


def margin_voxels(spec: AnyFilter, spacing_mm: Triple) -> tuple[int, int, int] | None:
    """Give how far from a voxel its response reads.

    A block that holds this margin around a region, as far as the image reaches, gives the same
    response inside the region as the whole image.

    Args:
        spec: The filter.
        spacing_mm: Distance between samples along (z, y, x), mm.

    Returns:
        Voxels along (z, y, x), or None where the whole image is needed (periodic borders and
        filters made in the frequency domain).
    """
    if isinstance(spec, NonseparableFilter | RieszFilter) or spec.boundary == "periodic":
        return None
    z, y, x = _reach(spec, spacing_mm)
    return (0 if in_plane(spec) else z, y, x)


def in_plane(spec: AnyFilter) -> bool:
    """Say whether a filter works slice by slice."""
    match spec:
        case LawsFilter():
            return len(spec.kernels) == 4
        case WaveletFilter():
            return len(spec.band) == 2
        case GaborFilter():
            return spec.planes == "axial"
        case RieszFilter():
            return len(spec.order) == 2
        case _:
            return spec.dimension == "2D"


def filter_name(spec: AnyFilter) -> str:
    """Name a filter by its kind and what differs from the defaults, with [A-Za-z0-9_] only.

    Example:
        >>> filter_name(LogFilter(sigma_mm=1.5, dimension="2D"))
        'log_sigma_mm_1p5_dimension_2D'
    """
    parts: list[str] = [spec.kind]
    for key, value in spec.model_dump(exclude={"kind"}, exclude_defaults=True).items():
        text = f"{value:g}" if isinstance(value, float) else str(value)
        text = "".join(map(str, value)) if isinstance(value, tuple) else text
        parts.append(f"{key}_{text}".replace(".", "p").replace("-", "m"))
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(parts))


def wavelet_bands(
    family: Family, *, level: int = 1, dimension: Dimension = "3D", boundary: Boundary = "mirror"
) -> tuple[WaveletFilter, ...]:
    """Give every band of one level: eight in space, four in the plane."""
    bands = ["L", "H"]
    for _ in range(1 if dimension == "2D" else 2):
        bands = [a + b for a in bands for b in "LH"]
    return tuple(
        WaveletFilter(family=family, band=band, level=level, boundary=boundary) for band in bands
    )


def _check(image: Image) -> None:
    if not image.data.is_floating_point():
        raise UnitError(
            f"image must be floating point to be filtered, got {image.dtype}: "
            "convert it with image.map(lambda x: x.double())"
        )
    if not bool(torch.isfinite(image.data).all()):
        count = int((~torch.isfinite(image.data)).sum())
        raise IntensityError(
            f"image must be finite to be filtered, got {count} NaN or infinite voxels: fill them "
            "first, for example with image.map(lambda x: x.nan_to_num())"
        )
    if not image.grid.is_orthogonal:
        raise GeometryError(
            "grid must have axes at right angles to be filtered along them, this one is sheared: "
            "use core.resample onto an orthogonal grid"
        )


def _response(x: Stack, spec: AnyFilter, spacing: Triple) -> Stack:
    flat = in_plane(spec)
    match spec:
        case MeanFilter():
            window = box(spec.size)
            return convolve_separable(x, (() if flat else window, window, window), spec.boundary)
        case LogFilter():
            return _log(x, spec, spacing)
        case LawsFilter():
            found = _pooled(x, laws_kernels(spec.kernels), spec)
            if not spec.energy_distance:
                return found
            return energy(found, spec.energy_distance, spec.boundary, in_plane=flat)
        case GaborFilter():
            return _gabor(x, spec, spacing)
        case WaveletFilter():
            return _pooled(x, _bands(spec), spec)
        case NonseparableFilter():
            return isotropic_wavelet(
                x, spec.family, spec.level, boundary=spec.boundary, in_plane=flat
            )
        case RieszFilter():
            return _riesz(x, spec, spacing)


def _riesz(x: Stack, spec: RieszFilter, spacing: Triple) -> Stack:
    flat = in_plane(spec)
    if spec.band == "simoncelli":
        x = isotropic_wavelet(x, "simoncelli", spec.level, boundary=spec.boundary, in_plane=flat)
    elif spec.band == "log":
        plane: Dimension = "2D" if flat else "3D"
        log = LogFilter(sigma_mm=spec.sigma_mm, dimension=plane, boundary=spec.boundary)
        x = _log(x, log, spacing)
    lx, ly, *lz = spec.order
    return riesz(
        x,
        (lz[0] if lz else 0, ly, lx),
        steps=spacing,
        window=spec.align_mm,
        boundary=spec.boundary,
        in_plane=flat,
    )


def _pooled(x: Stack, kernels: tuple[Chain, ...], spec: LawsFilter | WaveletFilter) -> Stack:
    x_axis, y_axis, *z_axis = kernels
    chains = (z_axis[0] if z_axis else (), y_axis, x_axis)
    return pool_rotations(x, chains, spec.boundary, rotation=spec.rotation, in_plane=in_plane(spec))


def _bands(spec: WaveletFilter) -> tuple[Chain, ...]:
    return tuple(
        wavelet_chain(spec.family, "L" if letter == "L" else "H", spec.level)
        for letter in spec.band
    )


def _log(x: Stack, spec: LogFilter, spacing: Triple) -> Stack:
    axes = (1, 2) if in_plane(spec) else (0, 1, 2)
    mean = math.prod(spacing[axis] for axis in axes) ** (1 / len(axes))
    sigma = [spec.sigma_mm / spacing[axis] if axis in axes else 0.0 for axis in range(3)]
    weights = [(mean / s) ** 2 for s in spacing]
    return laplacian_of_gaussian(
        x,
        (sigma[0], sigma[1], sigma[2]),
        truncate=spec.truncate,
        boundary=spec.boundary,
        weights=(weights[0], weights[1], weights[2]),
    )


def _gabor(x: Stack, spec: GaborFilter, spacing: Triple) -> Stack:
    return gabor(
        x,
        _wave(spec),
        spacing,
        boundary=spec.boundary,
        pooling="max" if spec.rotation == "max" else "mean",
        orthogonal=spec.planes == "orthogonal",
    )


def _wave(spec: GaborFilter) -> Wave:
    count = 1 if spec.rotation == "none" else round(360 / spec.step_deg)
    angles = tuple(math.radians(spec.angle_deg + k * spec.step_deg) for k in range(count))
    return Wave(spec.sigma_mm, spec.wavelength_mm, spec.gamma, angles)


def _reach(spec: AnyFilter, spacing: Triple) -> tuple[int, int, int]:
    match spec:
        case MeanFilter():
            return (spec.size // 2,) * 3
        case LogFilter():
            z, y, x = (log_radius(spec.sigma_mm / s, spec.truncate) for s in spacing)
            return (z, y, x)
        case GaborFilter():
            z, y, x = (_wave(spec).radius(s) for s in spacing)
            return (z, y, x)
        case LawsFilter():
            return _spread(laws_kernels(spec.kernels), spec.energy_distance)
        case WaveletFilter():
            return _spread(_bands(spec), 0)
        case NonseparableFilter() | RieszFilter():
            return (0, 0, 0)


def _spread(kernels: tuple[Chain, ...], more: int) -> tuple[int, int, int]:
    # rotations bring every kernel along every axis
    return (max(chain_reach(chain) for chain in kernels) + more,) * 3
