"""From a flow and a foreground to objects: follow, gather in sinks, tidy, judge."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._follow import follow_packed
from vesalius.ops._heat_flow import errors_of
from vesalius.ops._object_boxes import object_boxes
from vesalius.ops._packed_flow import PackedFlow, packed
from vesalius.ops._sinks import SinkRules, ends_to_bins, sinks
from vesalius.ops._tidy_objects import dropped, tidy_objects

Spacing = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class FlowRules:
    """How a flow is turned into objects.

    Attributes:
        steps: Most Euler steps of a sample.
        most_error: Objects whose flow error is above this are left out, unless they touch the
            border, beyond which their middle may lie; infinity keeps all.
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
        the largest piece of an object is kept; objects at the border are not judged.
    """
    return packed_masks(packed(flow, mask), mask, spacing=spacing, rules=rules)


def packed_masks(
    flow: PackedFlow,
    mask: Bool[Tensor, "z y x"],
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    rules: FlowRules = FlowRules(),
) -> FlowMasks:
    """Make objects from a packed flow; see :func:`flow_masks`.

    Args:
        flow: From ``packed`` with this mask.
        mask: (z, y, x), the foreground.
        spacing: Size of a sample along (z, y, x).
        rules: Steps, sinks, and which objects are kept.
    """
    z, y, x = mask.shape
    ends = follow_packed(flow, mask, spacing=spacing, steps=rules.steps)
    bins = ends_to_bins(ends, (z, y, x))
    labels = torch.zeros((z, y, x), dtype=torch.int32)
    labels[mask.cpu()] = sinks(bins, (z, y, x), spacing=spacing, rules=rules.sink)
    labels = tidy_objects(labels, least_size=rules.least_size)
    objects = object_boxes(labels)
    errors = errors_of(flow, objects, spacing)
    bad = (errors > rules.most_error) & ~_cut_off(objects.boxes, labels.shape)
    if bool(bad.any()):
        labels = dropped(labels, bad.numpy())
    return FlowMasks(labels, errors[~bad], int(bad.sum()))


def _cut_off(boxes: npt.NDArray[np.int64], shape: torch.Size) -> Bool[Tensor, " n"]:
    """Tell which objects touch the border: their middle may lie beyond, and so may their flow's."""
    out = np.zeros(len(boxes), bool)
    for axis, n in enumerate(shape):
        if n > 1:
            out |= (boxes[:, 2 * axis] == 0) | (boxes[:, 2 * axis + 1] == n)
    return torch.from_numpy(out)
