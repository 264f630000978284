"""Riesz transform: derivatives of every frequency at one scale, along the axes or the edges."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._convolve import Samples, check_float
from vesalius.ops._filters import gaussian

Stack = Float[Tensor, "*batch z y x"]
Order = tuple[int, int, int]
Triple = tuple[float, float, float]
Component = Callable[[Order], Tensor]


def riesz(
    x: Samples,
    order: Order,
    *,
    steps: Triple = (1.0, 1.0, 1.0),
    window: float = 0.0,
    boundary: Literal["periodic", "mirror"] = "periodic",
    in_plane: bool = False,
) -> Stack:
    """Give one component of the Riesz transform of order L = sum of ``order``.

    The gain at frequency k is (-i)^L sqrt(L! / (lz! ly! lx!)) kz^lz ky^ly kx^lx / |k|^L, and 0 at
    frequency 0: over all components of one order, energy is conserved (where sizes are odd).

    Args:
        x: (*batch, z, y, x), floating point.
        order: (lz, ly, lx); with ``in_plane`` lz is 0.
        steps: Distance of samples along (z, y, x).
        window: Standard deviation of the Gaussian under which the structure tensor is averaged, in
            the unit of ``steps``. Its axes then take the place of the array's, voxel by voxel: x
            that of the largest eigenvalue, z that of the smallest. 0 keeps those of the array.
        boundary: ``periodic``, as the transform has it, or ``mirror``: the volume is continued by
            its mirror image along each axis first.
        in_plane: Transform each (y, x) slice by itself.

    Returns:
        Same shape, dtype, device and unit as ``x``.

    Raises:
        ShapeError: ``order`` has a negative part, is 0 or leaves the plane.
        UnitError: ``x`` is not floating point.

    References:
        IBSI reference manual, chapter 2 (arXiv:2006.05470), Riesz transforms; Unser and
        Van De Ville (2010), doi:10.1109/TIP.2009.2038832. Differs from the former in: an odd power
        of the highest frequency of an even number of samples, whose sign is not defined, is 0; the
        structure tensor is made of the first-order transform; its axes point to where the
        first-order response is positive. Checked by its properties, not against the standard's
        response maps.
    """
    check_float(x)
    if min(order) < 0 or sum(order) == 0 or (in_plane and order[0]):
        raise ShapeError(
            f"order must have parts of at least 0 along (z, y, x), not all 0, and 0 along z in the "
            f"plane, got {order}: (0, 0, 1) is the first derivative along x"
        )
    component = _transform(x, steps, boundary, in_plane)
    scale = math.sqrt(_multinomial(order))
    if window == 0:
        return scale * component(order)
    axes = (1, 2) if in_plane else (0, 1, 2)
    sigma = [window / step if axis in axes else 0.0 for axis, step in enumerate(steps)]
    frame = _frame([component(_unit(axis)) for axis in axes], (sigma[0], sigma[1], sigma[2]))
    terms = _expand(order, frame, axes)
    total = torch.zeros_like(x)
    for powers, weight in terms.items():
        total += weight * component(powers)
    return scale * total


def riesz_orders(total: int, *, in_plane: bool = False) -> tuple[Order, ...]:
    """List the components (lz, ly, lx) of one order: 3 of the first, 6 of the second in space."""
    axes = (1, 2) if in_plane else (0, 1, 2)
    picks = combinations_with_replacement(axes, total)
    return tuple((p.count(0), p.count(1), p.count(2)) for p in picks)


def _multinomial(order: Order) -> int:
    return math.factorial(sum(order)) // math.prod(math.factorial(part) for part in order)


def _unit(axis: int) -> Order:
    return (int(axis == 0), int(axis == 1), int(axis == 2))


def _transform(x: Tensor, steps: Triple, boundary: str, in_plane: bool) -> Component:
    """Transform once; give the function that makes any component, without its factor."""
    dims = (-2, -1) if in_plane else (-3, -2, -1)
    wide = x
    if boundary == "mirror":
        for dim in dims:
            wide = torch.cat((wide, wide.flip(dim)), dim=dim)
    sizes = [wide.shape[dim] for dim in dims]
    spectrum = torch.fft.rfftn(wide, dim=dims)
    axes = [_frequencies(wide, dim, steps[dim], half=dim == -1) for dim in dims]
    radius = torch.sqrt(sum((f**2 for f in axes), start=torch.zeros_like(axes[0])))
    radius.view(-1)[0] = 1.0
    z, y, w = x.shape[-3:]

    def component(powers: Order) -> Tensor:
        gain = radius ** -sum(powers)
        for dim, frequency in zip(dims, axes, strict=True):
            gain = gain * _power(frequency, powers[dim], wide.shape[dim], dim)
        turned = spectrum * gain * (-1j) ** sum(powers)
        out: Tensor = torch.fft.irfftn(turned, s=sizes, dim=dims)
        return out[..., :z, :y, :w]

    return component


def _frequencies(x: Tensor, dim: int, step: float, *, half: bool) -> Tensor:
    make = torch.fft.rfftfreq if half else torch.fft.fftfreq
    frequency: Tensor = make(x.shape[dim], d=step, dtype=x.dtype, device=x.device)
    return frequency.reshape(-1, *(1,) * (-dim - 1))


def _power(frequency: Tensor, power: int, size: int, dim: int) -> Tensor:
    found = frequency**power
    if power % 2 and size % 2 == 0:
        found.narrow(dim, size // 2, 1).zero_()
    return found


def _frame(first: list[Tensor], sigma: Triple) -> Tensor:
    """Give the axes of the structure tensor, (*batch, z, y, x, component, axis), weakest first."""
    rows = [torch.stack([gaussian(a * b, sigma) for b in first], dim=-1) for a in first]
    vectors = torch.linalg.eigh(torch.stack(rows, dim=-2)).eigenvectors
    along = (vectors * torch.stack(first, dim=-1)[..., None]).sum(dim=-2, keepdim=True)
    return torch.where(along < 0, -vectors, vectors)


def _expand(order: Order, frame: Tensor, axes: tuple[int, ...]) -> dict[Order, Tensor]:
    """Multiply out the powers of the turned frequencies: weights by powers of the array's."""
    terms = {(0, 0, 0): torch.ones_like(frame[..., 0, 0])}
    for column, axis in enumerate(axes):
        for _ in range(order[axis]):
            grown: dict[Order, Tensor] = {}
            for (z, y, x), weight in terms.items():
                for row, other in enumerate(axes):
                    dz, dy, dx = _unit(other)
                    key = (z + dz, y + dy, x + dx)
                    grown[key] = grown.get(key, 0.0) + weight * frame[..., row, column]
            terms = grown
    return terms
