"""Local features at several scales: smoothed value, edge strength, curvature, texture."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._filters import gaussian
from vesalius.ops._jit import kernel

Feature = Literal["value", "gradient", "hessian", "structure", "difference"]
FEATURES: tuple[Feature, ...] = ("value", "gradient", "hessian", "structure", "difference")
Triple = tuple[float, float, float]

_COARSE = 2.0
"""A smoothed image is sampled at least so often per sigma; beyond twice that every second one."""


def feature_names(
    features: tuple[Feature, ...], sigmas: tuple[float, ...], *, dims: int
) -> tuple[str, ...]:
    """Name the features of one channel in the order of :func:`local_features`.

    Args:
        features: Which ones.
        sigmas: Of the scales.
        dims: Axes of more than one sample, 1 to 3.

    Returns:
        Such as ``"hessian 2, sigma 1.6"``.
    """
    names: list[str] = []
    for sigma in sigmas:
        for feature in FEATURES:
            if feature in features:
                several = feature in ("hessian", "structure")
                parts = [f" {k + 1}" for k in range(dims)] if several else [""]
                names += [f"{feature}{part}, sigma {sigma:g}" for part in parts]
    return tuple(names)


def local_features(
    x: Float[Tensor, "z y x"],
    *,
    spacing: Triple,
    sigmas: tuple[float, ...],
    features: tuple[Feature, ...] = FEATURES,
) -> Float[Tensor, "k z y x"]:
    """Describe the surroundings of each sample at several scales.

    ``value`` is the image smoothed by sigma; ``gradient`` sigma times the length of its gradient;
    ``hessian`` sigma^2 times the eigenvalues of its second derivatives, the largest first;
    ``structure`` sigma^2 times those of the structure tensor, smoothed again by sigma;
    ``difference`` the value less that at 1.6 sigma. The powers of sigma make the scales
    comparable. Coarse scales are worked out on every second, fourth, ... sample, two or more per
    sigma, and interpolated linearly.

    Args:
        x: One channel, floating point.
        spacing: Distance of samples along (z, y, x), the unit of ``sigmas``.
        sigmas: Of the Gaussians.
        features: Which ones.

    Returns:
        float32, in the order of :func:`feature_names`; axes of one sample are left out.

    Raises:
        ConfigError: No feature or no sigma is given, or a sigma is not positive.
        IntensityError: A sample is not finite.

    References:
        Arganda-Carreras et al. (2017), doi:10.1093/bioinformatics/btx180, for the choice;
        Lindeberg (1998), doi:10.1023/A:1008045108935, for the powers of sigma.
    """
    if not features or not sigmas or not all(math.isfinite(s) and s > 0 for s in sigmas):
        raise ConfigError(
            f"features and sigmas must not be empty and sigmas positive, got {features}, {sigmas}"
        )
    if not bool(torch.isfinite(x).all()):
        raise IntensityError("samples must be finite to be described: replace NaN and infinity")
    level = _Level(x.detach().cpu().float(), spacing, 0.0)
    dims = sum(n > 1 for n in x.shape)
    each = len(feature_names(features, (1.0,), dims=dims))
    out = torch.empty(each * len(sigmas), *x.shape)
    for k in sorted(range(len(sigmas)), key=lambda k: sigmas[k]):
        level = level.smoothed(sigmas[k])
        at = k * each
        for part in _described(level, sigmas[k], features):
            out[at : at + len(part)] = _resized(part, tuple(x.shape))
            at += len(part)
    return out.to(x.device)


class _Level:
    """An image smoothed so far, on a lattice as coarse as that allows."""

    __slots__ = ("felt", "sigma", "spacing", "x")

    def __init__(self, x: Tensor, spacing: Triple, sigma: float) -> None:
        self.x, self.spacing, self.sigma = x, spacing, sigma
        self.felt = [axis for axis in range(3) if x.shape[axis] > 1]

    def smoothed(self, sigma: float) -> "_Level":
        """Smooth on to a larger sigma, then leave out samples that it does not need."""
        more = math.sqrt(max(sigma**2 - self.sigma**2, 0.0))
        x = self.blurred(self.x, more)
        spacing = list(self.spacing)
        for axis in self.felt:
            while sigma / spacing[axis] >= 2 * _COARSE and x.shape[axis] > 16:
                x = _halved(x, axis)
                spacing[axis] *= 2
        return _Level(x, (spacing[0], spacing[1], spacing[2]), sigma)

    def blurred(self, x: Tensor, sigma: float) -> Tensor:
        """Smooth any samples on this lattice."""
        dz, dy, dx = self.spacing
        return gaussian(x, (sigma / dz, sigma / dy, sigma / dx), truncate=3.0)


def _halved(x: Tensor, axis: int) -> Tensor:
    """Keep every second sample, the first one among them."""
    index = [slice(None)] * 3
    index[axis] = slice(None, None, 2)
    return x[tuple(index)].contiguous()


def _described(level: _Level, sigma: float, features: tuple[Feature, ...]) -> list[Tensor]:
    volume = level.x.contiguous().numpy()
    pitch = np.array([level.spacing[axis] / sigma for axis in level.felt], dtype=np.float32)
    axes = np.array(level.felt, dtype=np.int64)
    out: list[Tensor] = []
    if "value" in features:
        out.append(level.x[None])
    if len(axes) == 2:
        plane = np.pad(volume.reshape([n for n in volume.shape if n > 1]), 1, mode="edge")
        found = torch.from_numpy(_plane(plane, pitch)).reshape(3, *volume.shape)
        out += [found[:1]] if "gradient" in features else []
        out += [found[1:]] if "hessian" in features else []
    else:
        if "gradient" in features:
            out.append(
                torch.from_numpy(_gradient(volume, axes, pitch)).reshape(level.x[None].shape)
            )
        if "hessian" in features and len(axes):
            out.append(_eigenvalues(_second(volume, axes, pitch), volume.shape))
    if "structure" in features and len(axes):
        products = torch.from_numpy(_products(volume, axes, pitch)).reshape(-1, *volume.shape)
        out.append(_eigenvalues(level.blurred(products, sigma).numpy(), volume.shape))
    if "difference" in features:
        more = math.sqrt(1.6**2 - 1.0) * sigma
        out.append((level.x - level.blurred(level.x, more))[None])
    return out


def _eigenvalues(matrices: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    pairs = len(matrices)
    flat = np.ascontiguousarray(matrices.reshape(pairs, -1))
    values = flat if pairs == 1 else _two(flat) if pairs == 3 else _three(flat)
    return torch.from_numpy(values).reshape(-1, *shape)


def _resized(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Interpolate linearly back to the full lattice; sample i of a halved axis stood at 2 i."""
    out = x.contiguous().numpy()
    for axis in range(3):
        factor = 1
        while -(-shape[axis] // factor) > out.shape[axis + 1]:
            factor *= 2
        if factor > 1:
            lanes = int(np.prod(out.shape[axis + 2 :]))
            rows = out.reshape(-1, out.shape[axis + 1], lanes)
            wide = _stretched(rows, shape[axis], factor)
            out = wide.reshape(*out.shape[: axis + 1], shape[axis], *out.shape[axis + 2 :])
    return torch.from_numpy(out)


@kernel
@no_type_check
def _stretched(rows, length, factor):
    out = np.empty((rows.shape[0], length, rows.shape[2]), dtype=np.float32)
    last = rows.shape[1] - 1
    for r in range(rows.shape[0]):
        for i in range(length):
            a = min(i // factor, last)
            b = min(a + 1, last)
            t = np.float32((i - a * factor) / factor)
            low, high, to = rows[r, a], rows[r, b], out[r, i]
            for lane in range(len(to)):
                to[lane] = low[lane] + t * (high[lane] - low[lane])
    return out


@kernel
@no_type_check
def _ends(i, n, stride):
    """Offsets to the samples before and after; edges repeat."""
    return (-stride if i > 0 else 0), (stride if i < n - 1 else 0)


@kernel
@no_type_check
def _plane(x, pitch):
    """Gradient and both eigenvalues of the second derivatives of a plane with a rim of one."""
    ny, nx = x.shape[0] - 2, x.shape[1] - 2
    out = np.empty((3, ny, nx), dtype=np.float32)
    half, quarter = np.float32(0.5), np.float32(0.25)
    p, q = np.float32(1.0 / pitch[0]), np.float32(1.0 / pitch[1])
    for y in range(ny):
        up, row, down = x[y], x[y + 1], x[y + 2]
        edge, high, low = out[0, y], out[1, y], out[2, y]
        for i in range(nx):
            dy = half * p * (down[i + 1] - up[i + 1])
            dx = half * q * (row[i + 2] - row[i])
            edge[i] = np.sqrt(dy * dy + dx * dx)
            twice = row[i + 1] + row[i + 1]
            yy = p * p * (down[i + 1] + up[i + 1] - twice)
            xx = q * q * (row[i + 2] + row[i] - twice)
            yx = quarter * p * q * (down[i + 2] + up[i] - down[i] - up[i + 2])
            mean, away = half * (yy + xx), half * (yy - xx)
            root = np.sqrt(away * away + yx * yx)
            high[i] = mean + root
            low[i] = mean - root
    return out


@kernel
@no_type_check
def _gradient(x, axes, pitch):
    return np.sqrt(_sums_of_squares(_products(x, axes, pitch), len(axes)))


@kernel
@no_type_check
def _sums_of_squares(products, dims):
    out = np.zeros(products.shape[1], dtype=np.float32)
    at = 0
    for a in range(dims):
        for i in range(len(out)):
            out[i] += products[at, i]
        at += dims - a
    return out


@kernel
@no_type_check
def _products(x, axes, pitch):
    """Products of first derivatives, the upper triangle row by row, in units of 1 / sigma^2."""
    dims = len(axes)
    flat = x.ravel()
    strides = np.array([x.shape[1] * x.shape[2], x.shape[2], 1])
    slopes = np.zeros((dims, len(flat)), dtype=np.float32)
    for a in range(dims):
        stride, n = strides[axes[a]], x.shape[axes[a]]
        scale = np.float32(0.5 / pitch[a])
        for start in range(0, len(flat), stride):
            low, high = _ends((start // stride) % n, n, stride)
            for i in range(start, start + stride):
                slopes[a, i] = (flat[i + high] - flat[i + low]) * scale
    out = np.empty((dims * (dims + 1) // 2, len(flat)), dtype=np.float32)
    at = 0
    for a in range(dims):
        for b in range(a, dims):
            for i in range(len(flat)):
                out[at, i] = slopes[a, i] * slopes[b, i]
            at += 1
    return out


@kernel
@no_type_check
def _second(x, axes, pitch):
    """Second derivatives, the upper triangle row by row, in units of 1 / sigma^2."""
    dims = len(axes)
    flat = x.ravel()
    strides = np.array([x.shape[1] * x.shape[2], x.shape[2], 1])
    out = np.empty((dims * (dims + 1) // 2, len(flat)), dtype=np.float32)
    at = 0
    for a in range(dims):
        p, n = strides[axes[a]], x.shape[axes[a]]
        for b in range(a, dims):
            q, m = strides[axes[b]], x.shape[axes[b]]
            if a == b:
                scale = np.float32(1.0 / pitch[a] ** 2)
                for start in range(0, len(flat), p):
                    low, high = _ends((start // p) % n, n, p)
                    for i in range(start, start + p):
                        out[at, i] = (flat[i + high] - 2 * flat[i] + flat[i + low]) * scale
            else:
                scale = np.float32(0.25 / (pitch[a] * pitch[b]))
                for start in range(0, len(flat), q):  # b comes after a: its stride is smaller
                    low, high = _ends((start // p) % n, n, p)
                    left, right = _ends((start // q) % m, m, q)
                    for i in range(start, start + q):
                        both = flat[i + high + right] + flat[i + low + left]
                        out[at, i] = (both - flat[i + high + left] - flat[i + low + right]) * scale
            at += 1
    return out


@kernel
@no_type_check
def _two(matrix):
    """Eigenvalues of symmetric 2 x 2 matrices (aa, ab, bb), the larger first."""
    out = np.empty((2, matrix.shape[1]), dtype=np.float32)
    for i in range(matrix.shape[1]):
        mean = np.float32(0.5) * (matrix[0, i] + matrix[2, i])
        half = np.float32(0.5) * (matrix[0, i] - matrix[2, i])
        root = np.sqrt(half * half + matrix[1, i] * matrix[1, i])
        out[0, i] = mean + root
        out[1, i] = mean - root
    return out


@kernel
@no_type_check
def _three(matrix):
    """Eigenvalues of symmetric 3 x 3 matrices (aa, ab, ac, bb, bc, cc), by the angle formula."""
    out = np.empty((3, matrix.shape[1]), dtype=np.float32)
    for i in range(matrix.shape[1]):
        ab, ac, bc = matrix[1, i], matrix[2, i], matrix[4, i]
        mean = (matrix[0, i] + matrix[3, i] + matrix[5, i]) / 3.0
        a, b, c = matrix[0, i] - mean, matrix[3, i] - mean, matrix[5, i] - mean
        size = math.sqrt((a * a + b * b + c * c + 2.0 * (ab * ab + ac * ac + bc * bc)) / 6.0)
        angle = 0.0
        if size > 1e-20:
            det = a * (b * c - bc * bc) - ab * (ab * c - bc * ac) + ac * (ab * bc - b * ac)
            angle = math.acos(min(1.0, max(-1.0, 0.5 * det / size**3))) / 3.0
        first = mean + 2.0 * size * math.cos(angle)
        last = mean + 2.0 * size * math.cos(angle + 2.0 * math.pi / 3.0)
        out[0, i] = first
        out[1, i] = 3.0 * mean - first - last
        out[2, i] = last
    return out
