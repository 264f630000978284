"""From a flow and a foreground to objects: follow, gather in sinks, tidy, judge."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._follow import follow
from vesalius.ops._heat_flow import errors_of
from vesalius.ops._object_boxes import object_boxes
from vesalius.ops._sinks import SinkRules, ends_to_bins, sinks
from vesalius.ops._tidy_objects import dropped, tidy_objects

Spacing = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class FlowRules:
    """How a flow is turned into objects.

    Attributes:
        steps: Most Euler steps of a sample.
        most_error: Objects whose flow error is above this are left out; infinity keeps all.
        least_size: Objects of fewer samples are left out.
        sink: What counts as one sink.

    Raises:
        ConfigError: A number is out of range.
    """

    steps: int = 200
    most_error: float = 0.4
    least_size: int = 15
    sink: SinkRules = field(default_factory=SinkRules)

    def __post_init__(self) -> None:
        if min(self.steps, self.least_size) < 1 or not self.most_error > 0:
            raise ConfigError(
                "steps and least_size must be at least 1 and most_error above 0, got "
                f"{self.steps}, {self.least_size} and {self.most_error}"
            )


class FlowMasks(NamedTuple):
    """Objects made from a flow.

    Attributes:
        labels: From 1 on, in the order of their sinks; 0 is background.
        errors: Flow error of each object (see ``flow_errors``): 0 is agreement.
        refused: Objects that were left out because their error was too large.
    """

    labels: Int32[Tensor, "z y x"]
    errors: Float[Tensor, " n"]
    refused: int


def flow_masks(
    flow: Float[Tensor, "c z2 y2 x2"],
    mask: Bool[Tensor, "z y x"],
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    rules: FlowRules = FlowRules(),
) -> FlowMasks:
    """Make objects of the samples whose flow ends in the same place.

    Args:
        flow: (3, z, y, x), components of about unit length, in the unit of the spacing.
        mask: (z, y, x), the foreground.
        spacing: Size of a sample along (z, y, x), any common unit.
        rules: Steps, sinks, and which objects are kept.

    Returns:
        Labels with the flow error of each object.

    Raises:
        ShapeError: Flow and mask have different shapes.
        ConfigError: A spacing is not positive.

    References:
        Stringer et al. (2021), doi:10.1038/s41592-020-01018-x, Methods. Differs from it in: only
        the largest piece of an object is kept.
    """
    z, y, x = mask.shape
    bins = ends_to_bins(follow(flow, mask, spacing=spacing, steps=rules.steps), (z, y, x))
    labels = gathered(bins, mask, spacing=spacing, rules=rules)
    return judged(flow, labels, spacing=spacing, most_error=rules.most_error)


def gathered(
    bins: Int64[Tensor, " n"],
    mask: Bool[Tensor, "z y x"],
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    rules: FlowRules = FlowRules(),
) -> Int32[Tensor, "z y x"]:
    """Make objects of samples by where they ended; see :func:`flow_masks`.

    Args:
        bins: Where each True sample of the mask ended, in array order.
        mask: (z, y, x), the foreground.
        spacing: Size of a sample along (z, y, x).
        rules: Sinks, and the least size.
    """
    z, y, x = mask.shape
    labels = torch.zeros((z, y, x), dtype=torch.int32)
    labels[mask.cpu()] = sinks(bins, (z, y, x), spacing=spacing, rules=rules.sink)
    return tidy_objects(labels, least_size=rules.least_size)


def judged(
    flow: Float[Tensor, "3 z y x"],
    labels: Int32[Tensor, "z y x"],
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    most_error: float = math.inf,
) -> FlowMasks:
    """Leave out the objects with whose own flow the given one does not agree.

    Args:
        flow: (3, z, y, x).
        labels: Numbered from 1 without gaps.
        spacing: Size of a sample along (z, y, x).
        most_error: Largest flow error that is kept.
    """
    errors = errors_of(flow, object_boxes(labels), spacing)
    bad = errors > most_error
    if bool(bad.any()):
        labels = dropped(labels, bad.numpy())
    return FlowMasks(labels, errors[~bad], int(bad.sum()))
