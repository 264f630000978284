"""Flows: fields of displacement in samples: warp, compose, exponentiate, invert.

A flow (3, z, y, x) displaces along the lattice's own (z, y, x), in samples:
``warped[i] = image(i + flow[i])``. An axis of one sample (2-D) is neither moved along nor
differentiated. A displacement that is not finite gives NaN.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError, GeometryError, ShapeError
from vesalius.ops import _flow_loops
from vesalius.ops._filters import require_floats
from vesalius.ops._invert_loops import invert_rows
from vesalius.ops._slope import Slope, linear_with_slope
from vesalius.ops._threads import share

Stack = Float[Tensor, "c z y x"]
Flow = Float[Tensor, "3 z2 y2 x2"]
Offset = tuple[int, int, int]

LONGEST = 1.0  # samples that the first step of an exponential may move
FARTHEST = 1e9  # samples that a velocity may lead; beyond, it is a mistake
LEAST = 1 << 16  # samples worth a thread of their own
HERE: Offset = (0, 0, 0)


class InverseFlow(NamedTuple):
    """A flow that leads back, and how far it misses.

    Attributes:
        flow: (3, z, y, x), samples.
        residual: (z, y, x); distance by which ``i + flow[i]`` misses ``i`` once mapped, samples.
    """

    flow: Float[Tensor, "3 z y x"]
    residual: Float[Tensor, "z y x"]


def warp(image: Stack, flow: Flow, *, offset: Offset = HERE) -> Float[Tensor, "c z2 y2 x2"]:
    """Look an image up where a flow points: ``out[i] = image(i + offset + flow[i])``, linear.

    Args:
        image: (c, z, y, x), float32 or float64; edge samples repeat outside.
        flow: (3, z2, y2, x2); displacement along (z, y, x), samples.
        offset: Index (z, y, x) of the image's sample that lies under the flow's first one.

    Returns:
        (c, z2, y2, x2), dtype and device of ``image``. Differentiable by both, once.

    Raises:
        UnitError: ``image`` is not floating point.
        ShapeError: ``image`` has no samples.

    Example:
        >>> flow = torch.zeros(3, 1, 1, 3)
        >>> flow[2] = 0.5
        >>> warp(torch.tensor([[[[0.0, 10.0, 40.0]]]]), flow)
        tensor([[[[ 5., 25., 40.]]]])
    """
    _check(image)
    flow = flow.to(image.device, image.dtype)
    if not _by_loops(image):
        return _by_torch(image, flow, offset)
    out: Tensor = _Warp.apply(image, flow, offset)  # type: ignore[no-untyped-call]
    return out


def warp_with_gradient(image: Stack, flow: Flow, *, offset: Offset = HERE) -> Slope:
    """Warp an image, with the derivative of each warped sample by its displacement.

    Args:
        image: As in ``warp``.
        flow: As in ``warp``.
        offset: As in ``warp``.

    Returns:
        The warped image (c, z2, y2, x2) and the slope (c, 3, z2, y2, x2) of its interpolant along
        (z, y, x), per sample; 0 beyond the edge samples. Differentiable, by torch.

    Raises:
        UnitError: ``image`` is not floating point.
        ShapeError: ``image`` has no samples.
    """
    _check(image)
    flow = flow.to(image.device, image.dtype)
    if not _by_loops(image) or _tracked(image, flow):
        return linear_with_slope(image, positions(flow, offset=offset))
    out = image.new_empty((image.shape[0], *flow.shape[1:]))
    slope = image.new_empty((image.shape[0], 3, *flow.shape[1:]))
    _rows(_flow_loops.slope_rows, image, flow, offset, out, slope)
    return Slope(out, slope)


def compose(outer: Float[Tensor, "3 z y x"], inner: Flow) -> Flow:
    """Chain two flows: ``out[i] = inner[i] + outer(i + inner[i])``; the inner one moves first.

    Args:
        outer: (3, z, y, x), samples; its edge repeats outside.
        inner: (3, z2, y2, x2) on a lattice that begins at the same sample.

    Returns:
        As ``inner``. Differentiable by both, once.
    """
    if not _by_loops(outer) or _tracked(outer, inner) or outer.dtype != inner.dtype:
        return inner + warp(outer, inner).to(inner.device, inner.dtype)
    _check(outer)
    out = torch.empty_like(inner, memory_format=torch.contiguous_format)
    _rows(_flow_loops.compose_rows, outer, inner, out)
    return out


def squarings(velocity: Float[Tensor, "3 z y x"]) -> int:
    """Give the number of squarings of an exponential: the first step moves at most one sample.

    It is ``max(0, ceil(log2(longest)))`` with the largest component of the velocity, samples.

    Args:
        velocity: (3, z, y, x), samples per unit of time.

    Returns:
        How often ``exponential`` composes the first step with itself.

    Raises:
        GeometryError: ``velocity`` is not finite, or leads 1e9 samples away.
    """
    longest = float(velocity.detach().abs().amax()) if velocity.numel() else 0.0
    if not longest < FARTHEST:
        raise GeometryError(
            f"velocity must be finite and below {FARTHEST:g} samples, got up to {longest:g}: "
            "check the step before"
        )
    return max(0, math.ceil(math.log2(longest / LONGEST))) if longest > 0 else 0


def exponential(
    velocity: Float[Tensor, "3 z y x"], *, steps: int | None = None
) -> Float[Tensor, "3 z y x"]:
    """Flow along a stationary velocity for a unit of time, by scaling and squaring.

    Args:
        velocity: (3, z, y, x), samples per unit of time.
        steps: Squarings; None takes ``squarings(velocity)``.

    Returns:
        The flow, as ``velocity``. Its inverse is ``exponential(-velocity)``. Differentiable, once.

    Raises:
        GeometryError: ``velocity`` is not finite and ``steps`` is None.
        ConfigError: ``steps`` is negative.

    References:
        Arsigny et al. (2006), doi:10.1007/11866565_113, section 4. Differs from it in: the first
        step is of the second order (midpoint rule), which is more exact than one squaring more
        and costs the same.
    """
    if steps is not None and steps < 0:
        raise ConfigError(f"steps must be at least 0, got {steps}: None takes what is needed")
    count = squarings(velocity) if steps is None else steps
    first: Tensor = velocity / 2**count
    flow: Tensor = warp(first, first / 2)
    for _ in range(count):
        flow = compose(flow, flow)
    return flow


def invert(flow: Float[Tensor, "3 z y x"], *, tol: float = 1e-3, steps: int = 30) -> InverseFlow:
    """Find the flow that leads back: ``inverse[i] = -flow(i + inverse[i])``.

    Each sample is searched for by Newton's method on the linear interpolant, damped, and by fixed
    point where that does not lead nearer. Off the CPU the fixed point runs for all samples at once,
    and what it leaves is searched for on the CPU.

    Args:
        flow: (3, z, y, x), samples; its edge repeats outside.
        tol: A sample is searched for until it misses by at most this, samples.
        steps: Most steps at a sample.

    Returns:
        The inverse on the same lattice, and how far each sample misses, which is more than ``tol``
        where the map folds. Not differentiable.

    Raises:
        ValueError: ``flow`` is empty or not finite, ``tol`` is not positive, ``steps`` below 1.
    """
    _check(flow)
    if not bool(torch.isfinite(flow.detach()).all()):
        raise GeometryError("flow must be finite to be inverted, got NaN or infinity")
    if not tol > 0 or steps < 1:
        raise ConfigError(f"tol must be positive and steps at least 1, got {tol:g} and {steps}")
    forward = flow.detach()
    if _by_loops(forward):
        return _invert_by_loops(forward, tol, steps)
    inverse = torch.zeros_like(forward)
    missed = compose(forward, inverse)
    for _ in range(steps):
        if float(missed.norm(dim=0).amax()) <= tol:
            return InverseFlow(inverse, missed.norm(dim=0))
        inverse = inverse - missed
        missed = compose(forward, inverse)
    found = _invert_by_loops(forward.cpu(), tol, steps)
    return InverseFlow(found.flow.to(flow.device), found.residual.to(flow.device))


def _invert_by_loops(flow: Tensor, tol: float, steps: int) -> InverseFlow:
    out, residual = torch.empty_like(flow).contiguous(), torch.empty_like(flow[0]).contiguous()
    source, target, left = flow.contiguous().numpy(), out.numpy(), residual.numpy()
    _, depth, height, width = flow.shape
    share(
        lambda a, b: invert_rows(source, tol, steps, target, left, a, b),
        depth * height,
        least=1 + LEAST // (8 * width),
    )
    return InverseFlow(out, residual)


def positions(flow: Flow, *, offset: Offset = (0, 0, 0)) -> Float[Tensor, "z2 y2 x2 3"]:
    """Give the index that each sample of a flow points at, ``i + offset + flow[i]``."""
    axes = [
        torch.arange(n, dtype=flow.dtype, device=flow.device) + o
        for n, o in zip(flow.shape[1:], offset, strict=True)
    ]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return index + flow.movedim(0, -1)


class _Warp(torch.autograd.Function):
    """The warp by loops, with its two derivatives by loops; these have none of their own."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, flow: Tensor, offset: Offset) -> Tensor:
        ctx.save_for_backward(image, flow)
        ctx.offset = offset
        out = image.new_empty((image.shape[0], *flow.shape[1:]))
        _rows(_flow_loops.warp_rows, image, flow, offset, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        image, flow = ctx.saved_tensors
        by_image = by_flow = None
        if ctx.needs_input_grad[0]:
            by_image = splat(gradient, flow, shape=tuple(image.shape[1:]), offset=ctx.offset)
        if ctx.needs_input_grad[1]:
            by_flow = torch.empty_like(flow, memory_format=torch.contiguous_format)
            _rows(_flow_loops.back_rows, image, flow, ctx.offset, gradient, by_flow)
        return by_image, by_flow, None


def splat(
    samples: Float[Tensor, "c z2 y2 x2"],
    flow: Flow,
    *,
    shape: tuple[int, int, int],
    offset: Offset = HERE,
) -> Stack:
    """Spread samples to where a flow points: the exact adjoint of ``warp`` by its image.

    Args:
        samples: (c, z2, y2, x2).
        flow: (3, z2, y2, x2), samples.
        shape: Size (z, y, x) of the image that ``warp`` would take.
        offset: As in ``warp``.

    Returns:
        (c, *shape), as ``samples``; not differentiable on the CPU.
    """
    flow = flow.to(samples.device, samples.dtype)
    out = samples.new_zeros((samples.shape[0], *shape))
    if not _by_loops(samples):
        with torch.enable_grad():
            image = out.requires_grad_()
            warped = _by_torch(image, flow.detach(), offset)
            (back,) = torch.autograd.grad(warped, image, samples)
        return back
    arrays = [t.detach().contiguous().numpy() for t in (samples, flow, out)]
    share(
        lambda a, b: _flow_loops.splat_channels(arrays[0], arrays[1], offset, arrays[2], a, b),
        len(out),
        least=1 + LEAST // max(flow[0].numel(), 1),
    )
    return out


def _check(image: Tensor) -> None:
    require_floats(image, "linear interpolation")
    if not image.numel():
        raise ShapeError(f"image must have samples to be warped, got {tuple(image.shape)}")


def _by_loops(image: Tensor) -> bool:
    """Whether the loops take it: on the CPU, and few enough samples for indices of 31 bits."""
    return image.device.type == "cpu" and image[0].numel() < 1 << 31


def _tracked(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _rows(loop: Any, source: Tensor, flow: Tensor, *rest: Any) -> None:
    """Run a loop over the rows of a flow, shared among threads."""
    given = [x.detach().contiguous().numpy() if isinstance(x, Tensor) else x for x in rest]
    first, second = source.detach().contiguous().numpy(), flow.detach().contiguous().numpy()
    _, depth, height, width = flow.shape
    share(
        lambda a, b: loop(first, second, *given, a, b),
        depth * height,
        least=1 + LEAST // max(width, 1),
    )


def _by_torch(image: Tensor, flow: Tensor, offset: Offset) -> Tensor:
    """Warp by torch's own kernel, which wants (x, y, z) from -1 to 1."""
    at = positions(flow, offset=offset)
    sizes = torch.tensor([max(n - 1, 1) for n in image.shape[1:]], dtype=at.dtype, device=at.device)
    moved = (at * (2 / sizes) - 1).flip(-1).to(image.dtype)
    out = torch.nn.functional.grid_sample(
        image[None], moved[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    # torch clamps what is not finite: 0 for a number, NaN for anything else
    return out[0] + (at - at).sum(dim=-1)
