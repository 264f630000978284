"""Flow head: unit vectors towards the source of heat in each object, and the odds of an object."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._contingency import contingency
from vesalius.ops._flow_masks import FlowRules, flow_masks
from vesalius.ops._heat_flow import heat_flow
from vesalius.ops._matching import detection, match_objects, object_overlaps
from vesalius.segment._head import Head, Outputs, Targets, Weights

GAIN = 5.0
"""What flows are multiplied by in the outputs, so that they weigh as much as the logit."""
STEPS = 200
"""Steps of a sample on the lattice at most."""


@final
@dataclass(frozen=True, slots=True)
class FlowHead(Head):
    """Objects by flow: ``dims`` components of the flow and one logit of being in an object.

    Attributes:
        dims: Spatial axes, 2 or 3.
        across: Spacing along z by that in the plane, on the lattice of the plan; 1 where the
            lattice is each image's own, and flows are then in samples. Not used in 2-D.
        logit: A sample is in an object where its logit is above this.
        most_error: Objects whose flow error is above this are left out, but not at the border of
            the image; infinity keeps all.
        least_size: Objects of fewer samples are left out.

    Raises:
        ConfigError: ``dims`` is neither 2 nor 3, ``least_size`` is below 1, or ``across`` is not
            positive.

    References:
        Stringer et al. (2021), doi:10.1038/s41592-020-01018-x, Methods: targets, loss and masks.
        Differs from it in: native 3-D with spacing; see also ``ops``' heat flow and sinks.
    """

    dims: int = 2
    across: float = 1.0
    logit: float = 0.0
    most_error: float = 0.4
    least_size: int = 15

    def __post_init__(self) -> None:
        if self.dims not in {2, 3} or self.least_size < 1 or not 0 < self.across < math.inf:
            raise ConfigError(
                "flows need 2 or 3 axes, a least size of at least 1 and a positive ratio across, "
                f"got {self.dims}, {self.least_size} and {self.across}"
            )

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Spacing of the lattice that flows are measured on, in that of the plane."""
        return (self.across if self.dims == 3 else 1.0, 1.0, 1.0)

    @property
    def outputs(self) -> int:
        """Components along the axes, and the logit."""
        return self.dims + 1

    def targets(
        self, labels: Integer[Tensor, "z y x"], spacing: tuple[float, float, float]
    ) -> Float[Tensor, "t z y x"]:
        """Give the flow of the objects, then 1 in objects and 0 outside.

        Args:
            labels: An object per value; -1 where the truth is not known counts as outside here.
            spacing: Not used: the head knows its lattice.
        """
        flow = heat_flow(labels, self.spacing)
        return torch.cat([flow[3 - self.dims :], (labels > 0)[None].to(flow.dtype)])

    def turned(self, targets: Targets, matrix: Float[Tensor, "batch d d"]) -> Targets:
        """Turn the vectors with the samples and make them of unit length again.

        Args:
            targets: Already sampled at the new places.
            matrix: New to old position; vectors go by its inverse.

        Raises:
            ShapeError: The matrix is not of the head's axes.
        """
        d = self.dims
        if tuple(matrix.shape) != (len(targets), d, d):
            raise ShapeError(
                f"matrix must have shape {(len(targets), d, d)}, got {tuple(matrix.shape)}"
            )
        scale = torch.tensor(self.spacing[3 - d :], dtype=torch.float64, device=matrix.device)
        # a vector is as long in samples as it is in the world by the spacing
        world = scale[:, None] * torch.linalg.inv(matrix.double()) / scale
        back = world.to(targets.dtype)
        flow = torch.einsum("bij,bj...->bi...", back, targets[:, :d])
        length = torch.linalg.vector_norm(flow, dim=1, keepdim=True)
        inside = targets[:, d:] >= 0.5  # an interpolated border is brought back to one side
        unit = flow / length.clamp_min(1e-3) * (inside & (length > 1e-3))
        return torch.cat([unit, inside.to(targets.dtype)], dim=1)

    def loss(self, outputs: Outputs, targets: Targets, weight: Weights) -> Float[Tensor, ""]:
        """Half the squared error of five times the flow, and the cross-entropy of the logit.

        Args:
            outputs: (batch, dims + 1, *space).
            targets: From :meth:`targets`.
            weight: 0 where the truth is not known.
        """
        d = self.dims
        total = weight.sum().clamp_min(1.0)
        square = (outputs[:, :d].float() - GAIN * targets[:, :d]).square()
        entropy = nn.functional.binary_cross_entropy_with_logits(
            outputs[:, d:].float(), targets[:, d:], weight=weight, reduction="sum"
        )
        return (weight * square).sum() / (2 * d * total) + entropy / total

    def decode(
        self, outputs: Float[Tensor, "k z y x"], spacing: tuple[float, float, float]
    ) -> Int32[Tensor, "z y x"]:
        """Follow the flow from each likely sample; those that end together are an object.

        Args:
            outputs: Of the network, (dims + 1, z, y, x).
            spacing: Not used: the head knows its lattice.

        Returns:
            Objects from 1 on, in the order of their sinks.
        """
        flow, likely = self.parts(outputs)
        inside = likely > self.logit
        return flow_masks(flow, inside, spacing=self.spacing, rules=self.rules()).labels

    def rules(self, *, zoom: float = 1.0) -> FlowRules:
        """Give the rules by which flows become objects.

        Args:
            zoom: Samples of the flow for one sample of the lattice, along one axis: ways are as
                much longer, objects as much larger.
        """
        size = max(1, round(self.least_size * zoom**self.dims))
        steps = max(1, math.ceil(STEPS * zoom))
        return FlowRules(steps=steps, most_error=self.most_error, least_size=size)

    def parts(
        self, outputs: Float[Tensor, "k z y x"]
    ) -> tuple[Float[Tensor, "3 z y x"], Float[Tensor, "z y x"]]:
        """Split outputs into a flow of about unit length with three components, and the logit.

        Raises:
            ShapeError: The number of channels is not the head's.
        """
        if len(outputs) != self.outputs:
            raise ShapeError(f"a flow head has {self.outputs} outputs, got {len(outputs)}")
        flow = outputs[: self.dims].float() / GAIN
        flat = torch.zeros_like(flow[: 3 - self.dims])
        return torch.cat([flat, flow]), outputs[self.dims].float()

    def mirrored(
        self, outputs: Float[Tensor, "batch k *space"], axes: list[int]
    ) -> Float[Tensor, "batch k *space"]:
        """Bring outputs for a mirrored image back: places are turned already, vectors are not.

        Args:
            outputs: Of the network, flipped back; changed in place.
            axes: That were mirrored, 0 for the first spatial one.
        """
        outputs[:, axes] *= -1
        return outputs

    def score(self, found: Integer[Tensor, "z y x"], truth: Integer[Tensor, "z y x"]) -> float:
        """Give the average precision at an IoU of .5.

        Args:
            found: Decoded.
            truth: -1 where it is not known, which counts for nothing.
        """
        known = torch.where(truth < 0, 0, found)
        return found_share(known, truth.clamp_min(0))


def found_share(
    found: Integer[Tensor, "z y x"], truth: Integer[Tensor, "z y x"], threshold: float = 0.5
) -> float:
    """Give TP / (TP + FP + FN) of objects; 1 where neither array has any.

    Args:
        found: Objects.
        truth: Objects.
        threshold: Least intersection over union of a match.
    """
    overlaps = object_overlaps(contingency(found, truth))
    if len(overlaps.first) + len(overlaps.second) == 0:
        return 1.0
    return detection(match_objects(overlaps, threshold)).average_precision
