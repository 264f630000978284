"""Region growing: what hangs together with a seed and is like it, with a guard against leaks."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.core import Grid, Image, Labels, Step
from vesalius.errors import ConfigError, RegionError
from vesalius.ops._components import components
from vesalius.ops._enclosed import fill_enclosed
from vesalius.ops._geodesic import geodesic
from vesalius.ops._inside import box_of
from vesalius.ops._nearest_label import grown, shrunk
from vesalius.ops._shell_tree import narrowest_neck
from vesalius.segment._elements import Ball, radii_in_samples
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    above,
    at_least,
    check_reach,
    numbers_of,
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Curve, Segmentation

Mask = NDArray[np.bool_]
_LEAK_SHARE = 0.25  # what lies behind a neck counts as a leak from this share of the rest on
_MOST_LEAKS = 16


@final
@dataclass(frozen=True, slots=True)
class RegionGrowing(Method):
    """Take what hangs together with the seeds by faces and is like them.

    ``"statistics"`` starts from the mean and standard deviation in a ball around the seeds, takes
    the values within ``k_sd`` standard deviations, and measures both anew in what it found, until
    nothing changes; the deviation is corrected for what the band cuts off a normal distribution.
    ``"band"`` takes the values from ``low`` to ``high``.

    A region leaks where it passes a narrow place into something wide. Two guards undo that and say
    in the remarks where it was: ``"shell"`` follows the front as it moves away from the seeds and
    cuts where one of its parts becomes narrow and then ``explosion`` times as wide, with at least a
    quarter of the volume behind, unless the seed is right in front of the neck; ``"neck"`` keeps
    what a ball of ``neck_mm`` reaches from the seeds.

    Attributes:
        similarity: What counts as like the seeds.
        k_sd: Half width of the band, in standard deviations.
        low: Least value of the band, in the unit of the image.
        high: Greatest value of the band.
        start_radius_mm: Ball around each seed whose values are the first sample; within the object.
        steps: Most rounds.
        guard: Against leaks.
        explosion: How much wider than a neck the front becomes behind it, for ``"shell"``.
        neck_mm: Half the width of the widest neck that is cut, for ``"neck"``.
        fill: Whether holes are filled in the end.

    References:
        Adams and Bischof (1994), doi:10.1109/34.295913, for the idea; the guards are our own.
    """

    similarity: Literal["statistics", "band"] = "statistics"
    k_sd: float = 2.5
    low: float = -math.inf
    high: float = math.inf
    start_radius_mm: float = 2.0
    steps: int = 20
    guard: Literal["none", "shell", "neck"] = "shell"
    explosion: float = 4.0
    neck_mm: float = 1.0
    fill: bool = True

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        self._check()
        values = numbers_of(one_channel(image, "RegionGrowing"))
        check_reach("start_radius_mm", self.start_radius_mm, image.grid)
        mask = where_to_work(hints)
        inside = np.ones(values.shape, np.bool_) if mask is None else mask.cpu().numpy()
        seeds = _painted(hints, image.grid, inside)
        start = grown(_tensor(seeds), radii_in_samples(Ball(self.start_radius_mm), image.grid)) > 0
        scene = _Scene(values, inside, start & inside, image.grid)
        growth = self._grow(scene, on_step)
        region = growth.region
        if self.fill:
            region = fill_enclosed(_tensor(region)).numpy().astype(np.bool_) & inside
        remarks = (*growth.leaks, *_at_border(region))
        labels = Labels(_tensor(region)[None].to(image.device), image.grid, {(0, 1): "object"})
        curve = _shells(scene, growth)
        values_found = {**growth.numbers, "voxels": float(region.sum())}
        return Segmentation(labels, {}, (curve,), (), values_found, remarks, settings_of(self))

    def _check(self) -> None:
        if not self.low <= self.high:
            raise ConfigError(f"the band must have low <= high, got {self.low:g} and {self.high:g}")
        positive = (self.k_sd, self.start_radius_mm, self.neck_mm, float(self.steps))
        if not (all(math.isfinite(v) and v > 0 for v in positive) and self.explosion >= 1):
            raise ConfigError(
                "k_sd, start_radius_mm, neck_mm and steps must be positive and explosion at least "
                f"1, got {positive} and {self.explosion}"
            )

    def _grow(self, scene: "_Scene", on_step: OnStep | None) -> "_Growth":
        if self.similarity == "band":
            return self._guarded(scene, self.low, self.high)
        region, growth = scene.start, _Growth(scene.start)
        for step in range(self.steps):
            sample = scene.values[region].astype(np.float64)
            # from one of them: the mean of equal values is then that value, without rounding
            mean = float(sample[0] + (sample - sample[0]).mean())
            sd = float((sample - sample[0]).std())
            sd /= _spread_within(self.k_sd) if step > 0 else 1.0
            growth = self._guarded(scene, mean - self.k_sd * sd, mean + self.k_sd * sd)
            growth.numbers.update({"mean": mean, "sd": sd, "rounds": step + 1.0})
            if on_step is not None:
                on_step(Step("segment: RegionGrowing", step + 1, self.steps))
            if np.array_equal(growth.region, region):
                break
            region = growth.region
        return growth

    def _guarded(self, scene: "_Scene", low: float, high: float) -> "_Growth":
        like = at_least(scene.values, low) & ~above(scene.values, high) & scene.inside
        start = like & scene.start
        if not start.any():
            raise RegionError(
                f"a seed must lie in what is grown: no value around it lies between {low:g} and "
                f"{high:g}: move the seed, or widen the band"
            )
        parts = components(_tensor(like), full=False)
        wanted = np.zeros(len(parts.sizes) + 1, np.bool_)
        wanted[np.unique(parts.numbers[start])] = True
        growth = _Growth(wanted[parts.numbers], numbers={"low": low, "high": high})
        guards = {"none": lambda *_: None, "shell": self._cut_shells, "neck": self._cut_necks}
        guards[self.guard](scene, growth)
        return growth

    def _cut_shells(self, scene: "_Scene", growth: "_Growth") -> None:
        thickness = scene.thickness_mm
        for _ in range(_MOST_LEAKS):
            box = _box(growth.region)
            region = growth.region[box]
            sources = _tensor(scene.start[box] & region).int()
            spacing = orthogonal_spacing(scene.grid, "RegionGrowing")
            far = geodesic(sources, torch.from_numpy(region), spacing).distance
            neck = narrowest_neck(far, thickness, widening=self.explosion, share=_LEAK_SHARE)
            if neck is None:
                return
            first = np.array([s.start for s in box])
            growth.note(scene, neck.place + first, int(neck.behind.sum()))
            growth.region[box] &= ~neck.behind
            growth.at_mm.append(thickness * neck.shell)

    def _cut_necks(self, scene: "_Scene", growth: "_Growth") -> None:
        radii = radii_in_samples(Ball(self.neck_mm), scene.grid)
        if self.fill:  # a hole of noise would part the core
            growth.region = fill_enclosed(_tensor(growth.region)).numpy() != 0
            growth.region &= scene.inside
        core = shrunk(_tensor(growth.region), radii) & growth.region
        parts = components(_tensor(core), full=True)
        chosen = np.zeros(len(parts.sizes) + 1, np.bool_)
        near = grown(_tensor(scene.start), radii) > 0
        chosen[np.unique(parts.numbers[near & core])] = True
        chosen[0] = False
        if not chosen.any():
            growth.leaks.append(
                f"the region is nowhere wider than {2 * self.neck_mm:g} mm around the seeds: "
                "no leak was looked for"
            )
            return
        stays = (grown(_tensor(chosen[parts.numbers]), radii) > 0) & growth.region
        gone = components(_tensor(growth.region & ~stays), full=True)
        edge = grown(_tensor(stays), radii_in_samples(Ball(scene.thickness_mm), scene.grid)) > 0
        for k in np.flatnonzero(gone.sizes >= _LEAK_SHARE * stays.sum()):
            place = np.argwhere(edge & (gone.numbers == k + 1))
            growth.note(scene, place.astype(np.int64), int(gone.sizes[k]))
        growth.region &= stays


@final
@dataclass(frozen=True, slots=True)
class _Scene:
    """What is grown in: values, where, and the first sample around the seeds."""

    values: NDArray[np.generic]
    inside: Mask
    start: Mask
    grid: Grid

    @property
    def thickness_mm(self) -> float:
        """The largest spacing along an axis of more than one sample: no shell has gaps."""
        sizes = zip(self.grid.shape, self.grid.spacing_mm, strict=True)
        return max((mm for n, mm in sizes if n > 1), default=1.0)


@final
@dataclass(slots=True)
class _Growth:
    """A region and what was learned on the way."""

    region: Mask
    numbers: dict[str, float] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    at_mm: list[float] = field(default_factory=list)

    def note(self, scene: _Scene, place: NDArray[np.int64], lost: int) -> None:
        """Say where the region leaked, in the world."""
        middle = torch.from_numpy(place.mean(axis=0)) if len(place) else torch.zeros(3)
        left, posterior, superior = scene.grid.to_world(middle.double()).tolist()
        self.leaks.append(
            f"the region leaked at (L, P, S) = ({left:.1f}, {posterior:.1f}, {superior:.1f}) mm "
            f"through {len(place)} voxels; {lost} voxels behind them were left out"
        )
        self.numbers["leaks"] = self.numbers.get("leaks", 0.0) + 1.0


def _painted(hints: Hints, grid: Grid, inside: Mask) -> Mask:
    """Mark the voxels of the seeds, each of which must lie in the image and in the mask."""
    if not hints.seeds_mm:
        raise RegionError(
            "RegionGrowing needs a seed inside the object: give "
            "hints=Hints(seeds_mm=((left, posterior, superior),)), or --seed L,P,S in the shell"
        )
    seeds = np.zeros(grid.shape, np.bool_)
    for point in hints.seeds_mm:
        index = grid.to_index(torch.tensor(point, dtype=torch.float64)).tolist()
        z, y, x = (round(i) for i in index)
        there = all(0 <= k < n for k, n in zip((z, y, x), grid.shape, strict=True))
        if not (there and inside[z, y, x]):
            raise RegionError(
                f"a seed must lie inside the image and the mask, {point} mm is at voxel "
                f"({z}, {y}, {x}) of {grid.shape}"
            )
        seeds[z, y, x] = True
    return seeds


def _tensor(mask: Mask) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(mask).view(np.uint8))


def _box(mask: Mask) -> tuple[slice, slice, slice]:
    (a, b), (c, d), (e, f) = box_of(np.ascontiguousarray(mask)).tolist()
    return slice(a, b), slice(c, d), slice(e, f)


def _spread_within(k: float) -> float:
    """Standard deviation of a normal distribution of 1 cut off at k on both sides."""
    density = math.exp(-k * k / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(max(1 - 2 * k * density / math.erf(k / math.sqrt(2)), 1e-6))


def _at_border(region: Mask) -> tuple[str, ...]:
    faces = (np.moveaxis(region, axis, 0)[[0, -1]] for axis, n in enumerate(region.shape) if n > 1)
    if any(face.any() for face in faces):
        return ("the region reaches the border of the image: it may go on beyond",)
    return ()


def _shells(scene: _Scene, growth: _Growth) -> Curve:
    """Count the voxels by how far they are from the seeds along the region."""
    box = _box(growth.region)
    region = growth.region[box]
    spacing = orthogonal_spacing(scene.grid, "RegionGrowing")
    sources = _tensor(scene.start[box] & region).int()
    far = geodesic(sources, torch.from_numpy(region), spacing).distance.numpy()
    shells = (far[np.isfinite(far)] / scene.thickness_mm).astype(np.int64)
    counts = np.bincount(shells).astype(np.float64)
    return Curve(
        "growth from the seeds",
        torch.from_numpy(scene.thickness_mm * np.arange(len(counts), dtype=np.float64)),
        torch.from_numpy(counts),
        "distance from the seeds (mm)",
        "voxels in the shell",
        tuple(growth.at_mm),
    )
