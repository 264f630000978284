"""Thresholds for the whole image: where its histogram is cut, and the curve that says why."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError, IntensityError
from vesalius.ops import _criteria as criteria
from vesalius.ops._criteria import Cut
from vesalius.ops._value_histogram import ValueHistogram, value_histogram
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    above,
    at_least,
    numbers_of,
    one_channel,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Curve, Segmentation

Foreground = Literal["bright", "dark"]

LARGEST = 255
"""Labels that one byte holds."""


@final
@dataclass(frozen=True, slots=True)
class Otsu(Method):
    """Cut where the variance between the two sides is greatest.

    For two classes of like size and spread. A small object on a large ground is cut too deep:
    take ``MaximumEntropy`` or ``Yen``.

    Attributes:
        bins: Of the histogram of floats; whole numbers have a bin each.
        foreground: Which side becomes label 1.

    References:
        Otsu (1979), doi:10.1109/TSMC.1979.4310076.
    """

    bins: int = 256
    foreground: Foreground = "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        rule = _Rule(criteria.otsu, "variance between the sides", "variance")
        return _cut(self, image, hints, on_step, rule)


@final
@dataclass(frozen=True, slots=True)
class MultiOtsu(Method):
    """Cut into several classes so that the variance between them is greatest.

    Attributes:
        classes: At least 2; labels are 0 (darkest) to ``classes - 1``.
        bins: Of the histogram of floats; whole numbers have a bin each.

    References:
        Liao, Chen, Chung (2001), JISE 17(5): 713-727.
    """

    classes: int = 3
    bins: int = 256

    @property
    def foreground(self) -> Foreground:
        """Labels rise with the value."""
        return "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        if self.classes > LARGEST:
            raise ConfigError(f"classes must be at most {LARGEST}, got {self.classes}")
        decide = partial(criteria.multi_otsu, classes=self.classes)
        rule = _Rule(decide, "variance between classes, by the last cut", "variance")
        return _cut(self, image, hints, on_step, rule)


@final
@dataclass(frozen=True, slots=True)
class MaximumEntropy(Method):
    """Cut where the entropies of the two sides add up to most.

    For objects of few samples. Needs smooth histograms: many bins with few samples each mislead.

    Attributes:
        bins: Of the histogram of floats; whole numbers have a bin each.
        foreground: Which side becomes label 1.

    References:
        Kapur, Sahoo, Wong (1985), doi:10.1016/0734-189X(85)90125-2.
    """

    bins: int = 256
    foreground: Foreground = "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        rule = _Rule(criteria.maximum_entropy, "entropy of both sides", "nats")
        return _cut(self, image, hints, on_step, rule)


@final
@dataclass(frozen=True, slots=True)
class Isodata(Method):
    """Cut halfway between the means of the two sides.

    Attributes:
        bins: Of the histogram of floats; whole numbers have a bin each.
        foreground: Which side becomes label 1.

    References:
        Ridler and Calvard (1978), doi:10.1109/TSMC.1978.4310039.
    """

    bins: int = 256
    foreground: Foreground = "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        rule = _Rule(criteria.isodata, "midpoint of both means, less the value", image.unit)
        return _cut(self, image, hints, on_step, rule)


@final
@dataclass(frozen=True, slots=True)
class Li(Method):
    """Cut where the cross entropy between the image and its two means is least.

    For bright objects that fade out, such as fluorescence.

    Attributes:
        bins: Of the histogram of floats; whole numbers have a bin each.
        foreground: Which side becomes label 1.

    References:
        Li and Tam (1998), doi:10.1016/S0167-8655(98)00057-9.
    """

    bins: int = 4096
    foreground: Foreground = "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        rule = _Rule(criteria.li, "cross entropy, up to a constant", "entropy")
        return _cut(self, image, hints, on_step, rule)


@final
@dataclass(frozen=True, slots=True)
class Yen(Method):
    """Cut where the correlation criterion of Yen is greatest.

    Attributes:
        bins: Of the histogram of floats; whole numbers have a bin each.
        foreground: Which side becomes label 1.

    References:
        Yen, Chang, Chang (1995), doi:10.1109/83.366472.
    """

    bins: int = 256
    foreground: Foreground = "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        rule = _Rule(criteria.yen, "correlation of both sides", "nats")
        return _cut(self, image, hints, on_step, rule)


@final
@dataclass(frozen=True, slots=True)
class Valley(Method):
    """Cut at the lowest place between the two modes of the smoothed histogram.

    For two clear peaks of any size; it refuses a histogram that has no two.

    Attributes:
        bins: Of the histogram of floats; whole numbers have a bin each.
        steps: Most rounds of smoothing by the mean of three bins.
        foreground: Which side becomes label 1.

    References:
        Prewitt and Mendelsohn (1966), doi:10.1111/j.1749-6632.1965.tb11715.x.
    """

    bins: int = 256
    steps: int = 10_000
    foreground: Foreground = "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        rule = _Rule(partial(criteria.valley, steps=self.steps), "smoothed histogram", "samples")
        return _cut(self, image, hints, on_step, rule)


@final
@dataclass(frozen=True, slots=True)
class Fixed(Method):
    """Take the values of a band, ends included: ``Fixed(low=300)`` for bone in HU.

    Attributes:
        low: Lowest value, in the unit of the image.
        high: Highest value.
        bins: Of the histogram that is shown, for floats.
    """

    low: float = 0.5
    high: float = math.inf
    bins: int = 256

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        if not self.low <= self.high:
            raise ConfigError(
                f"the band of values must have low <= high, got {self.low:g} and {self.high:g}"
            )
        x = one_channel(image, "Fixed")
        inside = where_to_work(hints)
        ends = {"low": self.low, "high": self.high}
        known = {name: end for name, end in ends.items() if math.isfinite(end)}
        samples = numbers_of(x)
        found = (at_least(samples, self.low) & ~above(samples, self.high)).view(np.uint8)
        curves = _shown(x, inside, self.bins, (image.unit, tuple(known.values())))
        return _told(self, image, _kept(found, inside), Told(curves, known), on_step)


@final
@dataclass(frozen=True, slots=True)
class Told:
    """What goes with the labels.

    Attributes:
        curves: What was decided by.
        values: The thresholds.
    """

    curves: tuple[Curve, ...]
    values: dict[str, float]


@final
@dataclass(frozen=True, slots=True)
class _Rule:
    """How a histogram is cut, and what its criterion is called."""

    decide: Callable[[ValueHistogram], Cut]
    title: str
    unit: str


_Whole = Otsu | MultiOtsu | MaximumEntropy | Isodata | Li | Yen | Valley


def _cut(
    method: _Whole, image: Image, hints: Hints, on_step: OnStep | None, rule: _Rule
) -> Segmentation:
    x = one_channel(image, type(method).__name__)
    inside = where_to_work(hints)
    histogram = value_histogram(x, bins=method.bins, inside=inside)
    cut = rule.decide(histogram)
    samples = numbers_of(x)
    found = above(samples, cut.thresholds[0]).view(np.uint8)
    if method.foreground == "dark":
        found = np.logical_not(found).view(np.uint8)
    for threshold in cut.thresholds[1:]:
        found = found + above(samples, threshold).view(np.uint8)
    several = len(cut.thresholds) > 1
    values = {
        f"threshold {k}" if several else "threshold": t for k, t in enumerate(cut.thresholds, 1)
    }
    shown = np.isfinite(cut.criterion)
    why = Curve(
        rule.title,
        torch.from_numpy(histogram.values[shown]),
        torch.from_numpy(cut.criterion[shown]),
        f"value ({image.unit})",
        f"{rule.title} ({rule.unit})",
        cut.thresholds,
    )
    curves = (_histogram_curve(histogram, image.unit, cut.thresholds), why)
    return _told(method, image, _kept(found, inside), Told(curves, values), on_step)


def _shown(
    x: Shaped[Tensor, "z y x"],
    inside: Tensor | None,
    bins: int,
    words: tuple[str, tuple[float, ...]],
) -> tuple[Curve, ...]:
    """Draw the histogram under a band that is known already; one value alone has none."""
    try:
        return (_histogram_curve(value_histogram(x, bins=bins, inside=inside), *words),)
    except IntensityError:
        return ()


def _histogram_curve(histogram: ValueHistogram, unit: str, marks: tuple[float, ...]) -> Curve:
    values, counts = torch.from_numpy(histogram.values), torch.from_numpy(histogram.counts)
    return Curve("histogram", values, counts, f"value ({unit})", "samples", marks)


def _kept(found: NDArray[np.uint8], inside: Tensor | None) -> UInt8[Tensor, "z y x"]:
    labels = torch.from_numpy(np.ascontiguousarray(found))
    return labels if inside is None else labels * inside.cpu().to(torch.uint8)


def _told(
    method: Method, image: Image, found: Tensor, told: Told, on_step: OnStep | None
) -> Segmentation:
    if on_step is not None:
        on_step(Step(f"segment: {type(method).__name__}", 1, 1))
    classes = method.classes if isinstance(method, MultiOtsu) else 2
    names = (
        {(0, 1): "object"} if classes == 2 else {(0, k): f"class {k}" for k in range(1, classes)}
    )
    labels = Labels(found[None].to(image.device), image.grid, names)
    return Segmentation(
        labels=labels, curves=told.curves, values=told.values, settings=settings_of(method)
    )
