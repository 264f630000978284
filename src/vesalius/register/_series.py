"""Series: every frame of a time series brought onto a reference, and how much it moved."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Linear, Series, Step, Transform, resample
from vesalius.errors import ConfigError
from vesalius.register._linear_model import rigid_parameters
from vesalius.register._plan import Plan
from vesalius.register._presets import Preset
from vesalius.register._register import register

HEAD_RADIUS_MM = 50.0  # of the sphere on which an angle becomes a length
PROBES = 8  # places along each axis where motion is read


@dataclass(frozen=True, slots=True, eq=False)
class SeriesMotion:
    """The motion of a time series.

    Attributes:
        series: As it was given.
        reference: What each frame was brought onto.
        transforms: One for each frame, reference to frame, mm.
        framewise_displacement_mm: Power's sum of six motions between a frame and the one before,
            mm; 0 for the first. Empty where a transform is not linear.
        mean_displacement_mm: Mean length, over the field of view, of a point's motion between a
            frame and the one before, mm; for any transform.
    """

    series: Series
    reference: Image
    transforms: tuple[Transform, ...]
    framewise_displacement_mm: tuple[float, ...]
    mean_displacement_mm: tuple[float, ...]

    @property
    def corrected(self) -> Series:
        """The series with every frame pulled onto the reference, linear; edges repeat."""
        return _pulled(self.series, self.transforms)


def register_series(
    series: Series,
    *,
    reference: int | Literal["mean"] = 0,
    plan: Plan | Preset = "rigid",
    on_step: Callable[[Step], None] | None = None,
) -> SeriesMotion:
    """Bring every frame onto a reference; each search begins where the frame before ended.

    Args:
        series: Frames on one grid.
        reference: Index of a frame; or ``"mean"``: the mean of the frames after they were brought
            onto the first one.
        plan: A preset by name, or stages of your own.
        on_step: Told of each frame.

    Returns:
        The transforms and the motion.

    Raises:
        ConfigError: There is no such frame.
    """
    count = len(series)
    if isinstance(reference, int) and not 0 <= reference < count:
        raise ConfigError(
            f"reference must be a frame, 0 to {count - 1}, or 'mean', got {reference}"
        )
    watch = _Count(on_step, count if isinstance(reference, int) else 2 * count)
    ready = Series(series.data.to(torch.float32), series.grid, series.times_s, series.unit)
    target = ready[0 if reference == "mean" else int(reference)]
    transforms = _follow(ready, target, plan, watch)
    if reference == "mean":
        mean = _pulled(ready, transforms).data.mean(dim=0)
        target = Image(mean, series.grid, series.unit)
        transforms = _follow(ready, target, plan, watch)
    linear = [t for t in transforms if isinstance(t, Linear)]
    middle = series.grid.to_world((torch.tensor(series.grid.shape).double() - 1) / 2)
    a, b, c = middle.tolist()
    power: tuple[float, ...] = ()
    if len(linear) == count:
        power = framewise_displacement(linear, centre_mm=(a, b, c))
    return SeriesMotion(
        series, target, transforms, power, _mean_displacement(transforms, series.grid)
    )


def framewise_displacement(
    transforms: Sequence[Linear],
    *,
    centre_mm: tuple[float, float, float],
    radius_mm: float = HEAD_RADIUS_MM,
) -> tuple[float, ...]:
    """Sum the six changes of a rigid motion from each frame to the next.

    Args:
        transforms: Reference to frame; of maps that scale or shear the nearest rotation is read.
        centre_mm: About which the rotation is read, (L, P, S); the shifts depend on it.
        radius_mm: Of the sphere on whose surface an angle becomes an arc, mm; 50 is about the
            distance from the centre of a head to its cortex.

    Returns:
        ``|dx| + |dy| + |dz| + r (|da| + |db| + |dc|)`` for each frame, mm; 0 for the first.

    Raises:
        ConfigError: ``radius_mm`` is negative.

    References:
        Power et al. (2012), doi:10.1016/j.neuroimage.2011.10.018. Differs from it in: the angles
        are the parts of a rotation vector, which for small motions are the angles about the axes.
    """
    if not 0 <= radius_mm < math.inf:
        raise ConfigError(f"radius_mm must be at least 0, got {radius_mm}")
    read = [rigid_parameters(t, centre_mm) for t in transforms]
    total = [0.0] if read else []
    for (turn_a, shift_a), (turn_b, shift_b) in pairwise(read):
        arc = sum(abs(math.radians(b - a)) for a, b in zip(turn_a, turn_b, strict=True))
        way = sum(abs(b - a) for a, b in zip(shift_a, shift_b, strict=True))
        total.append(way + radius_mm * arc)
    return tuple(total)


@dataclass(slots=True)
class _Count:
    on_step: Callable[[Step], None] | None
    total: int
    done: int = 0

    def __call__(self, frame: int) -> None:
        self.done += 1
        if self.on_step is not None:
            self.on_step(Step(f"register: frame {frame}", self.done, self.total))


def _follow(
    series: Series, target: Image, plan: Plan | Preset, watch: _Count
) -> tuple[Transform, ...]:
    found: list[Transform] = []
    last: Transform = Linear.identity()
    for frame in range(len(series)):
        begin = last if isinstance(last, Linear) else Linear.identity()
        last = register(target, series[frame], plan=plan, init=begin).transform
        found.append(last)
        watch(frame)
    return tuple(found)


def _pulled(series: Series, transforms: Sequence[Transform]) -> Series:
    floats = series.data if series.data.is_floating_point() else series.data.to(torch.float32)
    frames = [
        resample(Image(data, series.grid), series.grid, transform=t).data
        for data, t in zip(floats, transforms, strict=True)
    ]
    return Series(torch.stack(frames), series.grid, series.times_s, series.unit)


def _mean_displacement(transforms: Sequence[Transform], grid: Grid) -> tuple[float, ...]:
    at = _lattice(grid)
    places = [transform(at) for transform in transforms]
    return (0.0, *(float((b - a).norm(dim=1).mean()) for a, b in pairwise(places)))


def _lattice(grid: Grid) -> Float[Tensor, "n 3"]:
    axes = [torch.linspace(0, n - 1, min(n, PROBES)).double() for n in grid.shape]
    return grid.to_world(torch.cartesian_prod(*axes))
